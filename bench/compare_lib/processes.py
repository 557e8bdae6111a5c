"""A server's processes: started in a control group of their own, measured, ended by pid.

Where there is no writable cgroup v2 hierarchy the tree of the started process is walked
instead; then the CPU of children that nobody has waited for yet may be missing.
"""
import os
import signal
import subprocess
import time

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def hierarchy():
    """Where cgroup v2 is mounted, or None."""
    with open("/proc/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    return None


def stat_of(pid):
    """Parent and CPU (own and of waited-for children, user and system) in microseconds."""
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    user, system = int(fields[11]) + int(fields[13]), int(fields[12]) + int(fields[14])
    return int(fields[1]), user * TICK_US, system * TICK_US


def born_of(pid):
    """When a process began, or None: neither a number used again nor a zombie is taken for it."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def tree(root):
    """`root` and all below it that live now."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents[int(name)] = stat_of(int(name))[0]
            except OSError:
                pass
    members, grown = {root} & parents.keys(), True
    while grown:
        more = {p for p, parent in parents.items() if parent in members} - members
        members |= more
        grown = bool(more)
    return sorted(members)


class Group:
    """The processes of one server."""

    def __init__(self, name):
        self.main, self.folder = None, None
        top = hierarchy()
        if top:
            folder = os.path.join(top, "compare-%s-%d" % (name, os.getpid()))
            try:
                os.mkdir(folder)
                self.folder = folder
            except OSError:
                pass

    def enter(self):
        """In the child, between fork and exec."""
        os.setsid()
        if self.folder:
            with open(os.path.join(self.folder, "cgroup.procs"), "w", encoding="utf-8") as f:
                f.write(str(os.getpid()))

    def start(self, command, log, env=None):
        with open(log, "ab") as out:
            self.main = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
                                         preexec_fn=self.enter)

    def alive(self):
        return self.main is not None and self.main.poll() is None

    def members(self):
        if self.folder:
            with open(os.path.join(self.folder, "cgroup.procs"), encoding="utf-8") as f:
                return [int(p) for p in f.read().split()]
        return tree(self.main.pid) if self.alive() else []

    def cpu_us(self):
        """User and system time of all that ever ran here."""
        if self.folder:
            with open(os.path.join(self.folder, "cpu.stat"), encoding="utf-8") as f:
                fields = dict(line.split() for line in f)
            return int(fields["user_usec"]), int(fields["system_usec"])
        stats = []
        for pid in self.members():
            try:
                stats.append(stat_of(pid))
            except OSError:
                pass
        return sum(s[1] for s in stats), sum(s[2] for s in stats)

    def watched(self):
        """The same for ringmail-bench, which looks at it when all sessions are set up, and at the end."""
        if self.folder:
            return ["--server-cgroup", self.folder]
        return ["--server-pid", str(self.main.pid), "--server-tree", "yes"]

    def memory_bytes(self):
        """What belongs to these processes; pages they share are counted once (Pss)."""
        total = 0
        for pid in self.members():
            try:
                with open("/proc/%d/smaps_rollup" % pid, encoding="utf-8") as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            except OSError:
                pass
        return total * 1024

    def stop(self, patience=((signal.SIGTERM, 3), (signal.SIGTERM, 10), (signal.SIGKILL, 10))):
        """Asks the first process to end, then all that are left, then ends them, by pid."""
        known = {pid: born_of(pid) for pid in self.members()}
        for step, (signum, seconds) in enumerate(patience):
            targets = [self.main.pid] if step == 0 and self.alive() else self.left(known)
            for pid in targets:
                try:
                    os.kill(pid, signum)
                except ProcessLookupError:
                    pass
            end = time.monotonic() + seconds
            while time.monotonic() < end and (self.alive() or self.left(known)):
                time.sleep(0.02)
        if self.main:
            self.main.wait()
        if self.folder:
            for _ in range(100):
                try:
                    os.rmdir(self.folder)
                    break
                except OSError:
                    time.sleep(0.05)
            self.folder = None
        self.main = None

    def left(self, known):
        """Those of the group that live; without a control group those seen before."""
        if self.folder:
            return self.members()
        return [pid for pid, born in known.items() if born_of(pid) == born]
