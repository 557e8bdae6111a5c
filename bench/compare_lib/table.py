"""The tables, in Markdown: ratios with their targets, sums of ceilings, every server."""
from compare_lib import ceilings
from compare_lib.matrix import target_text
from compare_lib.results import MISSED, OURS
from compare_lib.words import micros, number, octets, spread

NOTE = """\
Ratios are medians over the rounds, which ran side by side (A B A B), with the least and the
greatest in brackets. CPU is user and system time of all the server's processes; kernel threads
(journal, writeback) are not in it. The driver shares the CPUs. Each 250 and OK of ringmail follows
its sync, and so do those of the peers for mail; Postfix is charged until its queue is empty.
Passwords are kept in clear on both sides: no hash is counted.

**A perfect server** would do only what none can do without: take bytes in and answer them, have a
share in a commit, each by the smallest program that does it (the sums are below). How many times
less than the best peer that alone costs was measured right before the line in each round, with as
many connections. A target above it in every round is out of reach here, for any server.

**Read with care:** on virtual machines like this one page faults, fork and exec are dear, by one
to two orders of magnitude beside common hardware. That punishes servers that fork and flatters
ringmail. So only peers that fork nothing for each operation count, with processes that are used
again (Dovecot: `service_count=1000`, `process_min_avail=16`), and for each line the best of
them. Peers that fork stand in the last table, not in the ratios. Differences under 25 % mean
nothing here.
"""
MARKS = {MISSED: "**missed**", None: "–"}


def row(cells):
    return "| " + " | ".join(cells) + " |"


def head(*names):
    return [row(names), "|" + "---|" * len(names)]


def mark(verdict):
    return MARKS.get(verdict, verdict)


def times(ratio):
    return spread(ratio, lambda v: number(v)) + "×" if ratio else "–"


def goal_cells(results, line):
    """What ringmail did, for targets that need no peer."""
    if line.kind == "memory":
        return octets(results.middle(line, OURS, "memory_bytes").middle)
    return "p50 %s, p99 %s" % tuple(micros(results.middle(line, OURS, f).middle) for f in ("p50_us", "p99_us"))


def peer_goal(results, line, counted):
    echo = results.middle(line, OURS, "echo_p99_us")
    if echo:
        return "a bare echo beside it: p99 %s" % micros(echo.middle)
    field = "memory_bytes" if line.kind == "memory" else "p50_us"
    peer = results.best(line, field, counted)
    if not peer:
        return "–"
    show = octets if line.kind == "memory" else micros
    return "%s: %s" % (peer, show(results.middle(line, peer, field).middle))


def ratio_row(results, line, counted):
    if line.kind == "memory" or line.p99_us:
        ours = goal_cells(results, line)
        ratio = results.ratio(line, "memory_bytes" if line.kind == "memory" else "p50_us",
                              results.best(line, "memory_bytes" if line.kind == "memory" else "p50_us", counted) or "")
        return row([line.title, peer_goal(results, line, counted), ours, target_text(line),
                    mark(results.verdict(line, counted)), times(ratio) if line.kind == "load" else "", "", "", "",
                    times(ratio) if line.kind == "memory" else ""])
    peer = results.best(line, "cpu_us", counted)
    fast, prompt, small = (results.best(line, f, counted, m)
                           for f, m in (("rate", True), ("p99_us", False), ("memory_bytes", False)))
    return row([
        line.title,
        "%s: %s" % (peer, micros(results.middle(line, peer, "cpu_us").middle)) if peer else "–",
        micros(results.middle(line, OURS, "cpu_us").middle), target_text(line), mark(results.verdict(line, counted)),
        times(results.ratio(line, "cpu_us", peer)) if peer else "–", times(results.perfect(line, peer)) if peer else "–",
        times(results.ratio(line, "rate", fast, True)) if fast else "–",
        times(results.ratio(line, "p99_us", prompt)) if prompt else "–",
        times(results.ratio(line, "memory_bytes", small)) if small else "–"])


def ratios(results, lines, counted):
    shown = [l for l in lines if not l.sum_percent and results.of(l, OURS)]
    if not shown:
        return []
    return (["## ringmail and the best peer", ""] +
            head("work", "best peer, CPU", "ringmail, CPU", "target", "verdict", "times less CPU", "a perfect server",
                 "times its rate", "times shorter p99", "times less memory") +
            [ratio_row(results, l, counted) for l in shown] + [""] + notes(results, shown, counted))


def each_peer(results, line, counted):
    """What a line costs each of the peers that count, where there are some to choose from: they may differ widely."""
    peers = [s for s in results.servers(line) if s != OURS and s in counted]
    costs = ("%s %s" % (s, micros(results.middle(line, s, "cpu_us").middle)) for s in peers)
    return "%s (%s)" % (line.title, ", ".join(costs)) if len(peers) > 1 else line.title


def notes(results, lines, counted):
    """What must be known of some lines, each said once."""
    said = {}
    for l in lines:
        if l.note:
            said.setdefault(l.note, []).append(each_peer(results, l, counted))
    return [text for note, titles in said.items() for text in ("%s: %s" % ("; ".join(titles), note), "")]


def sums(results, lines):
    shown = [l for l in lines if l.ceiling and results.of(l, OURS)]
    if not shown:
        return []
    rows = []
    for l in shown:  # of the same work some lines have other numbers of connections
        ours, limit, percent = (results.middle(l, OURS, f) for f in ("cpu_us", "ceiling_us", "ceiling_percent"))
        rows.append(row([l.title, str(l.connections), ceilings.sum_text(l), spread(limit, micros), spread(ours, micros),
                         spread(percent, lambda v: "%.0f" % v) + " %", target_text(l) if l.sum_percent else "", mark(results.verdict(l, ())) if l.sum_percent else ""]))
    return (["## How close to the ceilings", "",
             "The sum is what a server would spend that did nothing but what it must, from calibrations",
             "(`ringmail-ceiling`) taken right before the runs of each round, with as many connections.", ""] +
            head("work", "connections", "sum of", "sum, CPU", "ringmail, CPU", "sum / ringmail", "target", "verdict") + rows + [""])


def calibration(figures):
    if not figures:
        return []
    counts = sorted({count for by_count in figures.values() for count in by_count})
    rows = [row(["`%s`" % name] + [number(by_count[c]) if c in by_count else "" for c in counts])
            for name, by_count in figures.items()]
    return (["## The machine at its best (medians)", ""] +
            head("figure", *("%d connection%s" % (c, "" if c == 1 else "s") for c in counts)) + rows + [""])


def everybody(results, lines):
    rows = []
    for l in lines:
        for server in results.servers(l):
            m = {f: results.middle(l, server, f) for f in ("rate", "cpu_us", "p50_us", "p99_us", "memory_bytes",
                                                           "others_percent")}
            memory = octets(m["memory_bytes"].middle)
            if l.kind == "memory":
                cells = ["", "", "", "", memory + " a connection"]
            else:
                cells = [spread(m["rate"]), spread(m["cpu_us"], micros), micros(m["p50_us"].middle),
                         micros(m["p99_us"].middle), memory]
            busy = any(r["bottleneck"] for r in results.of(l, server))
            rows.append(row([l.name, server] + cells + [str(results.errors(l, server)),
                             "%.0f %%%s" % (m["others_percent"].middle, ", driver at its limit" if busy else "")]))
    return (["## Every server", ""] + head("line", "server", "each second", "CPU of each", "p50", "p99", "memory",
                                           "errors", "other load") + rows + [""])


def document(results, lines, counted, facts, figures):
    """The whole report; `facts` are lines about the machine and the command."""
    return "\n".join(["# ringmail compared", ""] + ["- " + f for f in facts] + ["", NOTE] +
                     ratios(results, lines, counted) + sums(results, lines) + calibration(figures) +
                     everybody(results, lines))
