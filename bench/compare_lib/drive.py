"""Runs ringmail-bench against a server, and says what both of them used for it."""
import contextlib
import json
import os
import resource
import subprocess
import time

from compare_lib.packages import Trouble
from compare_lib.processes import stat_of
from compare_lib.server import PASSWORD, USERS

CPUS = os.cpu_count() or 1


def machine_cpu_s():
    """CPU that anybody on this machine has used."""
    with open("/proc/stat", encoding="utf-8") as f:
        fields = [int(v) for v in f.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def drivers_cpu_s():
    """CPU of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def used_us(counters, after):
    """User and system time from the moment all sessions were set up, to the end of the run, or (for a server that
    delivers later what it took) to the moment `after`."""
    both = [counters[name] for name in ("user", "system")]
    return [last - first for (first, _), last in zip(both, after or [end for _, end in both])]


class Driver:
    def __init__(self, binary):
        self.binary, self.running = binary, []

    def start(self, server, port, drive, connections, users, tls="none", more=(), timeout="20s"):
        command = [self.binary, *drive, "--to", "127.0.0.1:%d" % server.ports[port], "--connections", str(connections),
                   "--users", server.login, "--password", PASSWORD, *users, "--tls", tls,
                   "--timeout", timeout, "--json", "-", "--quiet", "--progress", "no", *more]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        self.running.append(process)
        return process

    def end(self, process, seconds):
        """Its figures. Errors of the server are among them; a driver that can't work is trouble."""
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Trouble("ringmail-bench does not end: %s" % " ".join(process.args)) from None
        finally:
            if process.poll() is None:  # that, or an interrupt
                process.kill()
                process.communicate()
            self.running.remove(process)
        if process.returncode not in (0, 1) or not out.strip():
            raise Trouble("%s: %s" % (" ".join(process.args), err.strip() or "no figures"))
        return json.loads(out)

    def stop(self):
        for process in self.running:
            process.kill()
            process.wait()
        self.running.clear()

    # --- what the comparison does with it ---

    def fill(self, server, fill):
        """Delivers the mail that a line wants to find: to each user first by one connection alone,
        for some servers can't make one mailbox twice at a time."""
        self.deliver(server, fill, fill.users, 1)
        if fill.messages > fill.users:
            self.deliver(server, fill, fill.messages - fill.users, 8 if fill.users > 1 else 4)
        server.drain()

    def deliver(self, server, fill, count, connections):
        port = "lmtp" if "lmtp" in server.listeners else "smtp"
        drive = (port, "--size", str(fill.size), "--count", str(count))
        figures = self.end(self.start(server, port, drive, min(count, connections), fill.to_users()), 600)
        if figures["errors"]:
            raise Trouble("%s: filling %s: %s" % (server.name, fill.name, figures.get("error_text") or "errors"))

    def load(self, server, line, seconds):
        """One run: figures for each thing done, until all of it can be read."""
        more = ["--time", str(seconds)]
        if line.deliver:
            more += ["--deliver", "127.0.0.1:%d" % server.ports[line.deliver], "--deliver-protocol", line.deliver]
        more += server.group.watched()
        before, machine, driver, began = server.group.cpu_us(), machine_cpu_s(), drivers_cpu_s(), time.monotonic()
        process = self.start(server, line.port, line.drive, line.connections, line.fill.to_users(), line.tls, more)
        figures = self.end(process, seconds + 180)
        waited = server.drain()
        after, elapsed = server.group.cpu_us(), time.monotonic() - began
        driver = drivers_cpu_s() - driver
        done = figures["operations"] * line.per
        if not done:
            raise Trouble("%s: %s did nothing: %s" % (server.name, line.name, figures.get("error_text") or "no operation"))
        if not figures["server"]:
            raise Trouble("%s: %s: a process of it has ended" % (server.name, line.name))
        used = used_us(figures["server"]["counters_us"], after if server.queues else None)
        others = machine_cpu_s() - machine - (sum(after) - sum(before)) / 1e6 - driver
        latency = figures["latency_us"]
        return {
            "operations": done, "errors": figures["errors"], "error_text": figures.get("error_text") or "",
            "rate": done / (figures["seconds"] + waited),
            "cpu_us": sum(used) / done, "user_us": used[0] / done, "system_us": used[1] / done,
            "p50_us": latency["p50"], "p99_us": latency["p99"], "memory_bytes": server.group.memory_bytes(),
            "driver_busy": figures["driver"]["busy_percent"], "bottleneck": int(bool(figures["driver"]["bottleneck"])),
            "others_percent": max(0.0, others) / elapsed / CPUS * 100,
        }

    @contextlib.contextmanager
    def flood(self, server, line):
        """The load beside a line, for as long as it takes."""
        port, drive, connections = line.flood
        process = self.start(server, port, drive, connections, line.fill.to_users(), more=["--time", "600"])
        try:
            await_connections(process, server.ports[port], connections)
            yield
        finally:
            process.terminate()
            process.communicate()
            self.running.remove(process)

    def idle_memory(self, server, line, few, many, seconds):
        """Memory of each of `many` connections, held beside `few` that have warmed the server."""
        held, sizes, counts, port = [], [], [], server.ports[line.port]
        try:
            for count in (few, many):
                held.append(self.start(server, line.port, line.drive, count, line.fill.to_users(), line.tls,
                                       ["--time", "600"], "60s"))
                settle(held[-1], server.name, seconds)
                sizes.append(server.group.memory_bytes())
                counts.append(established(port))
            if counts[1] < few + many:
                raise Trouble("%s holds %d connections, not %d" % (server.name, counts[1], few + many))
        finally:
            for process in held:
                process.terminate()
                process.communicate()
                self.running.remove(process)
        return {"operations": many, "errors": 0, "error_text": "", "rate": 0, "cpu_us": 0, "user_us": 0, "system_us": 0,
                "p50_us": 0, "p99_us": 0, "memory_bytes": (sizes[1] - sizes[0]) / (counts[1] - counts[0]), "driver_busy": 0,
                "bottleneck": 0, "others_percent": 0}


def settle(process, name, seconds, limit=120):
    """Waits until a driver that holds connections has made them all: it stops working. And a bit
    more, in which servers put them to sleep."""
    began, calm, before = time.monotonic(), 0, None
    while calm < 4:
        time.sleep(0.25)
        if process.poll() is not None:
            raise Trouble("%s: %s" % (name, process.communicate()[1].strip() or "no connections held"))
        if time.monotonic() - began > limit:
            raise Trouble("%s: connections are not made within %d s" % (name, limit))
        now = stat_of(process.pid)[1:]
        calm = calm + 1 if now == before else 0
        before = now
    time.sleep(seconds)


def await_connections(process, port, connections, limit=60):
    """Waits until a driver has its connections, and has used them for a moment."""
    began = time.monotonic()
    while established(port) < connections:
        if process.poll() is not None or time.monotonic() - began > limit:
            raise Trouble("%s: connections are not made" % " ".join(process.args))
        time.sleep(0.05)
    time.sleep(0.3)


def established(port):
    """Connections that somebody has to this port of 127.0.0.1, as its server sees them."""
    with open("/proc/net/tcp", encoding="utf-8") as f:
        rows = [line.split() for line in f][1:]
    return sum(r[1].endswith(":%04X" % port) and r[3] == "01" for r in rows)
