"""The run: servers up, mail in place, lines in turn, each with all its servers side by side."""
import os
import statistics
import threading
import time

from compare_lib import ceilings, peers
from compare_lib.drive import Driver
from compare_lib.packages import Trouble
from compare_lib.results import OURS, Results
from compare_lib.ringmail import Ringmail
from compare_lib.words import micros, number, octets

# Connections held, then more. Of peers few: each is a process, and one user may watch only 128
# folders (inotify), beyond which Dovecot can't hibernate.
IDLE = {OURS: (500, 4000)}
IDLE_OTHERS = (10, 50)


class Run:
    def __init__(self, work, cache, programs, flags, names, lines, rounds, seconds, say):
        self.lines, self.rounds, self.seconds, self.say = lines, rounds, seconds, say
        self.work, self.programs, self.quick = work, programs, seconds < 1
        self.driver = Driver(programs["ringmail-bench"])
        self.servers = [Ringmail(work, flags)] + [peers.PEERS[n](work, cache) for n in names]
        self.results, self.figures, self.filled, self.troubles = Results(), {}, set(), []
        self.step = 0

    # --- servers and their mail ---

    def start(self, server):
        if not server.group:
            self.say("starting %s on %s" % (server.name, server.folder))
            server.start()

    def fill(self, server, fill):
        if (server.name, fill.name) not in self.filled:
            self.say("filling  %s: %d messages of %s" % (server.name, fill.messages, octets(fill.size)))
            self.driver.fill(server, fill)
            self.filled.add((server.name, fill.name))

    def stop(self):
        self.driver.stop()
        stops = [threading.Thread(target=server.stop) for server in self.servers]
        for thread in stops:
            thread.start()
        for thread in stops:
            thread.join()

    # --- one line ---

    def who(self, line):
        return [s for s in self.servers if s.name == OURS or peers.does(s, line)]

    def line(self, line):
        servers = []
        for server in self.who(line):
            if self.attempt(server, line, self.make_ready):
                servers.append(server)
        for number_of_round in range(1, self.rounds + 1):
            try:
                ceiling = self.calibrate(line)
            except Trouble as trouble:
                self.tell(line, "ringmail-ceiling", trouble)
                continue
            for server in list(servers):
                if not self.attempt(server, line, self.measure, number_of_round, ceiling):
                    servers.remove(server)

    def calibrate(self, line):
        """What no server can do without, in this round: measured once, right before all of them are."""
        if not line.ceiling:
            return {}
        known = ceilings.measure(self.programs["ringmail-ceiling"], ceilings.wanted(line), self.work,
                                 max(0.1, min(0.5, self.seconds / 4)), line.connections)
        for name, value in known.items():
            self.figures.setdefault(name, {}).setdefault(line.connections, []).append(value)
        return {"ceiling_us": ceilings.sum_us(line, known)}

    def attempt(self, server, line, what, *more):
        """Trouble with one server is told, and leaves the others running."""
        try:
            what(server, line, *more)
            return True
        except Trouble as trouble:
            self.tell(line, server.name, trouble)
            return False

    def tell(self, line, who, trouble):
        self.troubles.append("%s, %s: %s" % (line.name, who, trouble))
        self.say("TROUBLE  %s: %s" % (line.name, trouble))

    def make_ready(self, server, line):
        self.start(server)
        self.fill(server, line.fill)
        if line.kind == "load":
            self.driver.load(server, line, max(0.2, self.seconds / 10))  # to warm up, not counted

    def measure(self, server, line, number_of_round, ceiling):
        self.step += 1
        figures = dict(ceiling)
        if line.kind == "memory":
            figures.update(self.idle_memory(server, line))
        else:
            figures.update(self.load(server, line))
        if ceiling:
            figures["ceiling_percent"] = figures["ceiling_us"] / figures["cpu_us"] * 100
        self.results.add(line, server.name, number_of_round, figures)
        self.say(self.progress(line, server, number_of_round, figures))

    def load(self, server, line):
        """Beside a flood an echo in its place is measured, too: it waits for the machine alone."""
        if not line.flood:
            return self.driver.load(server, line, self.seconds)
        with self.driver.flood(server, line):
            figures = self.driver.load(server, line, self.seconds)
            echo = ceilings.measure(self.programs["ringmail-ceiling"], ["late"], self.work, min(60, self.seconds), 1)
        return dict(figures, echo_p99_us=echo["late_p99_us"], cpu_us=0, user_us=0, system_us=0)  # the flood's

    def idle_memory(self, server, line):
        """By a server that has just been started, for memory once used is seldom given back; and
        that ends right after it, for what it watches counts against the limit of all of them."""
        few, many = IDLE.get(server.name, IDLE_OTHERS)
        if self.quick:
            few, many = few // 5, many // 5
        server.stop()
        self.start(server)
        figures = self.driver.idle_memory(server, line, few, many, 0.2 if self.quick else 4)
        if server.name != OURS:
            server.stop()
        return figures

    def progress(self, line, server, number_of_round, figures):
        total = sum(len(self.who(l)) for l in self.lines) * self.rounds
        words = "[%3d/%d] %-16s %d  %-17s" % (self.step, total, line.name, number_of_round, server.name)
        if line.kind == "memory":
            return words + " %s a connection" % octets(figures["memory_bytes"])
        words += " %9s/s %10s CPU  p50 %s  p99 %s" % (number(figures["rate"]), micros(figures["cpu_us"]),
                                                    micros(figures["p50_us"]), micros(figures["p99_us"]))
        if line.ceiling:
            words += "  sum %s" % micros(figures["ceiling_us"])
        if line.flood:
            words += "  bare echo p99 %s" % micros(figures["echo_p99_us"])
        if figures["errors"]:
            words += "  %d ERRORS: %s" % (figures["errors"], figures["error_text"])
        return words

    # --- all ---

    def all(self):
        for line in self.lines:
            self.line(line)

    def calibration(self):
        """The figures of the machine that were taken beside the lines: medians, by connections."""
        return {name: {count: statistics.median(values) for count, values in by_count.items()}
                for name, by_count in sorted(self.figures.items())}


def machine():
    """One line about what this ran on."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((l.split(":")[1].strip() for l in f if l.startswith("model name")), "unknown processor")
    with open("/proc/meminfo", encoding="utf-8") as f:
        memory = int(f.readline().split()[1]) * 1024
    return "%d × %s, %s, Linux %s, %s" % (os.cpu_count(), model, octets(memory), os.uname().release,
                                          time.strftime("%Y-%m-%d"))
