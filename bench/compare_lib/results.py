"""What was measured: runs, their medians and spread, ratios of the rounds, verdicts."""
import csv
import statistics

FIELDS = ["line", "server", "round", "operations", "rate", "cpu_us", "user_us", "system_us", "p50_us", "p99_us",
          "memory_bytes", "errors", "error_text", "driver_busy", "bottleneck", "others_percent", "ceiling_us",
          "ceiling_percent", "echo_p99_us"]
OURS = "ringmail"
HELD, MISSED, OUT_OF_REACH = "held", "missed", "out of reach here"


class Middle:
    """The median of some values, and the least and the greatest."""

    def __init__(self, values):
        self.middle, self.low, self.high = statistics.median(values), min(values), max(values)


class Results:
    def __init__(self):
        self.runs = []  # dicts of FIELDS, in order of time

    def add(self, line, server, number, figures):
        self.runs.append(dict(figures, line=line.name, server=server, round=number))

    def of(self, line, server):
        return [r for r in self.runs if r["line"] == line.name and r["server"] == server]

    def servers(self, line):
        return list(dict.fromkeys(r["server"] for r in self.runs if r["line"] == line.name))

    def middle(self, line, server, field):
        values = [r[field] for r in self.of(line, server) if r.get(field) is not None]
        return Middle(values) if values else None

    def errors(self, line, server):
        return sum(r["errors"] for r in self.of(line, server))

    def best(self, line, field, counted, most=False):
        """The peer that does best, of those that count; None where none was run."""
        peers = [(self.middle(line, s, field).middle, s) for s in self.servers(line) if s != OURS and s in counted]
        return (max(peers) if most else min(peers))[1] if peers else None

    def ratio(self, line, field, peer, most=False):
        """How many times better ringmail was, by round: the rounds ran side by side."""
        ours = {r["round"]: r[field] for r in self.of(line, OURS)}
        theirs = {r["round"]: r[field] for r in self.of(line, peer)}
        values = [ours[n] / theirs[n] if most else theirs[n] / ours[n]
                  for n in ours.keys() & theirs.keys() if ours[n] > 0 and theirs[n] > 0]
        return Middle(values) if values else None

    def perfect(self, line, peer):
        """How many times less CPU than the peer's the sum is of what no server can do without, by round."""
        values = [r["cpu_us"] / r["ceiling_us"] for r in self.of(line, peer) if r.get("ceiling_us")]
        return Middle(values) if values else None

    def ratio_verdict(self, line, field, times, counted, most=False):
        peer = self.best(line, field, counted, most)
        ratio = self.ratio(line, field, peer, most) if peer else None
        if not ratio:
            return None
        if ratio.middle >= times:
            return HELD
        perfect = self.perfect(line, peer) if field == "cpu_us" else None
        return OUT_OF_REACH if perfect and perfect.high < times else MISSED  # in no round within reach

    def limit_verdict(self, line, field, limit):
        if self.middle(line, OURS, field).middle < limit:
            return HELD
        echo = self.middle(line, OURS, "echo_p99_us") if field == "p99_us" else None
        return OUT_OF_REACH if echo and echo.low >= limit else MISSED

    def verdict(self, line, counted):
        """Of all targets of a line; None where there is nothing to judge by."""
        tests = []
        if not self.of(line, OURS):
            return None
        for times, field, most in ((line.cpu_times, "cpu_us", False), (line.rate_times, "rate", True)):
            if times:
                tests.append(self.ratio_verdict(line, field, times, counted, most))
        for limit, field in ((line.p50_us, "p50_us"), (line.p99_us, "p99_us"), (line.memory_bytes, "memory_bytes")):
            if limit:
                tests.append(self.limit_verdict(line, field, limit))
        if line.sum_percent:
            tests.append(HELD if self.middle(line, OURS, "ceiling_percent").middle >= line.sum_percent else MISSED)
        if self.errors(line, OURS):
            return MISSED
        return next((v for v in (None, MISSED, OUT_OF_REACH) if v in tests), HELD if tests else None)

    def write_csv(self, path):
        with open(path, "w", encoding="utf-8", newline="") as f:
            out = csv.DictWriter(f, FIELDS, restval="", extrasaction="ignore")
            out.writeheader()
            for run in self.runs:
                out.writerow({k: round(v, 3) if isinstance(v, float) else v for k, v in run.items()})
