"""bench/compare: what its tables and chart say of figures that are known, and one quick run
of it with ringmail alone: table, CSV and chart are there and agree."""
import csv
import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

from harness import RELEASE, TOP, check, finish

sys.path.insert(0, os.path.join(TOP, "bench"))
sys.dont_write_bytecode = True
from compare_lib import ceilings, chart, matrix, peers, table  # noqa: E402
from compare_lib.drive import Driver, used_us  # noqa: E402
from compare_lib.processes import Group, born_of  # noqa: E402
from compare_lib.results import HELD, MISSED, OUT_OF_REACH, Results  # noqa: E402
from compare_lib.server import Server  # noqa: E402

COMPARE = os.path.join(TOP, "bench", "compare")
LINES = {line.name: line for line in matrix.lines()}


def figures(cpu_us, rate=100.0, **more):
    f = {"operations": 10, "rate": rate, "cpu_us": cpu_us, "user_us": cpu_us / 2, "system_us": cpu_us / 2, "p50_us": 1000.0,
         "p99_us": 5000.0, "memory_bytes": 1 << 20, "errors": 0, "error_text": "", "driver_busy": 10, "bottleneck": 0,
         "others_percent": 1}
    return dict(f, **more)


def verdicts():
    r, kept = Results(), LINES["smtp-kept"]
    for n, (ours, theirs) in enumerate(((40, 11000), (44, 12000), (30, 9000)), 1):
        r.add(kept, "ringmail", n, figures(ours, rate=9000))
        r.add(kept, "good", n, figures(theirs, rate=100))
        r.add(kept, "slow", n, figures(theirs * 2, rate=50))
        r.add(kept, "forker", n, figures(theirs / 2, rate=400))
    counted = {"ringmail", "good", "slow"}
    check("the best peer is the cheapest that counts", r.best(kept, "cpu_us", counted) == "good")
    check("without peers there is no best", r.best(kept, "cpu_us", {"ringmail"}) is None)
    ratio = r.ratio(kept, "cpu_us", "good")
    check("ratios are of rounds that ran side by side", (ratio.low, ratio.middle, ratio.high) == (12000 / 44, 275, 300))
    check("a target that is reached is held", r.verdict(kept, counted) == HELD)
    check("a target is judged by peers that count", r.verdict(kept, counted | {"forker"}) == MISSED)
    check("without a peer there is no verdict", r.verdict(kept, {"ringmail"}) is None)
    r.add(kept, "ringmail", 4, figures(40, rate=9000, errors=1))
    check("with errors nothing is held", r.verdict(kept, counted) == MISSED)

    for name, good, bad in (("idle-latency", {"p50_us": 1900.0, "p99_us": 9000.0}, {"p50_us": 1900.0, "p99_us": 11000.0}),
                            ("idle-memory", {"memory_bytes": 1000}, {"memory_bytes": 1100}),
                            ("sum-noop", {"ceiling_us": 3, "ceiling_percent": 60.0}, {"ceiling_us": 3, "ceiling_percent": 59.0})):
        for words, values, want in (("below", good, HELD), ("above", bad, MISSED)):
            one = Results()
            one.add(LINES[name], "ringmail", 1, figures(5, **values))
            check("%s, %s its limit" % (name, words), one.verdict(LINES[name], set()) == want)
    for words, ours, echoes, want in (("below", 4900.0, (9000.0,), HELD), ("above", 5100.0, (4900.0,), MISSED),
                                      ("above, as a bare echo is,", 5100.0, (5000.0, 6000.0), OUT_OF_REACH),
                                      ("above, as a bare echo is not each time,", 5100.0, (4900.0, 6000.0, 6000.0), MISSED)):
        one = Results()
        for n, echo in enumerate(echoes, 1):
            one.add(LINES["noop-flood"], "ringmail", n, figures(5, p99_us=ours, echo_p99_us=echo))
        check("beside a flood, %s its limit" % words, one.verdict(LINES["noop-flood"], set()) == want)


def reach():
    """Targets that no server could meet have a verdict of their own, by the sum of their own round."""
    for words, line, ours, theirs, sum_us, want, perfect in (
            ("a sum below the target", "noop", 9.0, 100.0, 3.9, MISSED, 100 / 3.9),
            ("a sum above it", "noop", 9.0, 100.0, 4.1, OUT_OF_REACH, 100 / 4.1),
            ("a target that is held all the same", "noop", 3.9, 100.0, 4.1, HELD, 100 / 4.1),
            ("no sum", "range-2k", 9.0, 30.0, None, MISSED, None)):
        r = Results()
        for n in (1, 2, 3):  # a machine at one, two and three times its price
            more = {"ceiling_us": sum_us * n} if sum_us else {}
            r.add(LINES[line], "ringmail", n, figures(ours * n, **more))
            r.add(LINES[line], "peer", n, figures(theirs * n, **more))
        got = r.perfect(LINES[line], "peer")
        check("%s: %s" % (words, want), r.verdict(LINES[line], {"peer"}) == want, r.verdict(LINES[line], {"peer"}))
        check(words + ": what a perfect server would do", got is None if perfect is None else
              abs(got.middle - perfect) < 1e-6 and abs(got.high - got.low) < 1e-6, got and vars(got))
    r = Results()
    for n, sum_us in enumerate((3.9, 8.0, 8.0), 1):
        r.add(LINES["noop"], "ringmail", n, figures(9.0, ceiling_us=sum_us))
        r.add(LINES["noop"], "peer", n, figures(100.0, ceiling_us=sum_us))
    check("what was in reach in one round is missed", r.verdict(LINES["noop"], {"peer"}) == MISSED)
    r = Results()
    r.add(LINES["smtp-kept"], "ringmail", 1, figures(60, rate=100, ceiling_us=50))
    r.add(LINES["smtp-kept"], "peer", 1, figures(10000, rate=90, ceiling_us=50))
    check("what is out of reach excuses no other target", r.verdict(LINES["smtp-kept"], {"peer"}) == MISSED)


def sums():
    one = {"line_us": 2.0, "receive_us_per_mb": 100.0, "text_10k_us": 1.0, "commit_64k_x4_us": 32.0, "connect_us": 20.0,
           "tls_handshake_us": 140.0, "serve_2k_us": 5.0, "serve_10k_us": 9.0, "serve_100k_us": 20.0, "tls_10k_us": 3.0,
           "tls_line_us": 0.5, "commit_4k_x1_us": 40.0, "commit_4k_x4_us": 16.0}
    got = {n: round(ceilings.sum_us(l, one), 3) for n, l in LINES.items() if l.ceiling}
    check("sums are what the ceilings add up to",
          got == {"smtp-kept": 9.202, "smtp-128": 8.452, "smtp-oneshot": 31.202, "smtp-10rcpt": 30.024, "lmtp-1": 48.202,
                  "lmtp-16": 9.202, "login": 22.0, "login-tls": 165.0, "noop": 2.0, "append": 3.202, "select-again": 2.0,
                  "body-2k": 5.0, "body-100k": 20.0, "store-16": 3.0, "store-big": 42.0, "pop3": 118.0,
                  "sum-smtp-kept": 13.357, "sum-smtp-oneshot": 35.333, "sum-smtp-tls": 179.333, "sum-fetch": 9.0,
                  "sum-fetch-tls": 12.0, "sum-noop": 2.0, "sum-noop-tls": 2.5}, got)
    check("each sum knows the calibrations it needs", ceilings.wanted(LINES["smtp-oneshot"]) ==
          ["connect", "line", "receive", "text_10k", "commit_4k_x4"])
    check("a sum can be read", ceilings.sum_text(LINES["smtp-oneshot"]) ==
          "connect + 5 line + receive 1.00 KiB + text 1.00 KiB + 1/16 commit 4k x4")


def pictures():
    r = Results()
    for line in LINES.values():
        for n in (1, 2):
            more = {"ceiling_us": 3.0, "ceiling_percent": 70.0 + n} if line.ceiling else {}
            r.add(line, "ringmail", n, figures(10.0 + n, **more))
            if not line.sum_percent:
                r.add(line, "good <&>", n, figures(3000.0 - n, **more))
                r.add(line, "dear", n, figures(90000.0, **more))
    counted = {"ringmail", "good <&>", "dear"}
    text = table.document(r, list(LINES.values()), counted, ["machine: none"],
                          {"line_us": {1: 8.0, 16: 2.0}, "connect_us": {16: 20.0}})
    rows = [l for l in text.split("\n") if l.startswith("|")]
    check("every line stands in the table", all(l.title in text for l in LINES.values()))
    check("rows have as many cells as their head", all(len(set(x)) == 1 for x in blocks(rows)), rows)
    check("held and missed are both told", "| held |" in text and "| **missed** |" in text)
    noop = next(l for l in rows if l.startswith("| IMAP NOOP |"))
    check("a ratio stands beside that of a perfect server", "| 1,000 (999 to 1,000)× |" in noop, noop)
    check("a line without a sum has none", "| – |" in next(l for l in rows if LINES["range-2k"].title in l))
    check("figures of the machine stand by connections", "| `line_us` | 8.00 | 2.00 |" in rows and
          "| `connect_us` |  | 20.0 |" in rows, rows)
    check("a note says what each peer took", "(good <&> 3.00 ms, dear 90.0 ms): Dovecot answers STORE" in text)
    check("the note names what flatters", "page faults, fork and exec" in text and "fork nothing for each operation" in text)
    drawing = xml.fromstring(chart.draw(r, list(LINES.values()), counted, "a <machine> & more"))
    boxes = [e for e in drawing.iter() if e.tag.endswith("rect")]
    bars = len([l for l in LINES.values() if l.cpu_times or l.sum_percent])
    check("the chart has a bar for each ratio and each sum", len(boxes) == bars + 1, len(boxes))
    width = float(drawing.get("width"))
    check("no bar leaves the chart", all(float(b.get("x", 0)) + float(b.get("width").rstrip("%")) <= width for b in boxes))


def blocks(rows):
    """The number of cells in each row, table by table."""
    tables = []
    for n, text in enumerate(rows):
        if n + 1 < len(rows) and rows[n + 1].startswith("|---"):
            tables.append([])
        tables[-1].append(text.count("|"))
    return tables


def groups():
    with tempfile.TemporaryDirectory() as folder:
        group = Group("test")
        group.start(["sh", "-c", "trap '' TERM; sh -c 'trap \"\" TERM; while :; do :; done' & sleep 600"],
                    os.path.join(folder, "log"))
        while sum(group.cpu_us()) < 100_000 and group.alive():
            pass
        members = group.members()
        check("the CPU of children is counted", sum(group.cpu_us()) >= 100_000)
        check("memory is counted", group.memory_bytes() > 100_000)
        group.stop(((15, 0.2), (15, 0.2), (9, 10)))
        check("what does not want to end is ended", not any(born_of(p) for p in members), members)


def interrupts():
    """Ctrl-C, or TERM, while a driver is waited for."""
    driver = Driver("sleep")
    process = subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    driver.running.append(process)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        driver.end(process, 60)
        came = False
    except KeyboardInterrupt:
        came = True
    signal.signal(signal.SIGALRM, before)
    driver.stop()
    ended = process.poll() is not None
    check("a driver that is waited for ends with the run", came and ended, (came, ended))
    if not ended:
        process.kill()
        process.wait()


def windows():
    counters = {"user": [100, 350], "system": [1000, 1900]}
    check("CPU is that of the run alone", used_us(counters, None) == [250, 900])
    check("a queue that works on is charged", used_us(counters, (400, 2500)) == [300, 1500])
    check("who has a queue says so", all(p.queues == (p.queued is not Server.queued) for p in peers.PEERS.values()))


def usage():
    for flags, words in ((("--rounds", "0"), "--rounds"), (("--peers", "nobody"), "nobody"), (("--only", "zzz"), "zzz")):
        got = subprocess.run([COMPARE, *flags], capture_output=True, text=True)
        check("%s %s is bad usage, in one line" % flags,
              got.returncode == 64 and words in got.stderr and got.stderr.count("\n") == 1, got)
    got = subprocess.run([COMPARE, "--list"], capture_output=True, text=True)
    check("--list shows all lines", got.returncode == 0 and all(n in got.stdout for n in LINES), got.stderr)


def quick_run():
    with tempfile.TemporaryDirectory() as out:
        run = subprocess.Popen([COMPARE, "--quick", "--rounds", "1", "--peers", "none", "--out", out, "--only", "smtp-kept",
                                "--only", "noop", "--only", "append"], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=dict(os.environ, RINGMAIL_RELEASE=RELEASE))
        said = run.communicate()[0]
        if not check("a quick run ends well", run.returncode == 0, said[-3000:]):
            return
        with open(os.path.join(out, "results.csv"), encoding="utf-8") as f:
            runs = list(csv.DictReader(f))
        wanted = ["smtp-kept", "noop", "append", "noop-flood", "sum-smtp-kept", "sum-noop", "sum-noop-tls"]
        check("the CSV has a row for each run", [r["line"] for r in runs] == wanted, runs)
        check("each run did something, without errors",
              all(float(r["rate"]) > 0 and float(r["p99_us"]) > 0 and r["errors"] == "0" for r in runs), runs)
        flooded = [r for r in runs if r["line"] == "noop-flood"]
        check("each has the CPU of its own", all(float(r["cpu_us"]) > 0 for r in runs if r not in flooded), runs)
        check("each sum was measured", all(float(r["ceiling_us"]) > 0 for r in runs if r not in flooded), runs)
        check("an echo was measured beside the flood", all(float(r["echo_p99_us"]) > 0 for r in flooded), runs)
        with open(os.path.join(out, "table.md"), encoding="utf-8") as f:
            text = f.read()
        check("the table has the lines and the ceilings", all(LINES[n].title in text for n in wanted) and "`line_us`" in text)
        check("the chart is an SVG", xml.parse(os.path.join(out, "chart.svg")).getroot().tag.endswith("svg"))
        left = [d for _, folders, _ in os.walk("/sys/fs/cgroup") for d in folders if d == "compare-ringmail-%d" % run.pid]
        check("no control group is left behind", not left, left)


verdicts()
reach()
sums()
pictures()
groups()
interrupts()
windows()
usage()
quick_run()
finish()
