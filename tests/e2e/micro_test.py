"""The micro-benchmarks run, every line has figures, and bad usage is told."""
import json
import os
import subprocess
import tempfile

from harness import RINGMAIL, check, finish

MICRO = os.path.join(os.path.dirname(RINGMAIL), "ringmail-micro")
CEILING = os.path.join(os.path.dirname(RINGMAIL), "ringmail-ceiling")


def micro(*args):
    return subprocess.run([MICRO, *args], capture_output=True, text=True, timeout=300)


def figures_test(names):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        done = micro("--quick", "--json", "--dir", folder)
        check("a quick run succeeds", done.returncode == 0 and not done.stderr, (done.returncode, done.stderr[-400:]))
        check("nothing is left on the disk", os.listdir(folder) == [], os.listdir(folder))
    lines = json.loads(done.stdout or "[]")
    check("every case has a line", [l["case"] for l in lines] == names, [l["case"] for l in lines])
    for l in lines:
        bad = [k for k in ("per_second", "reference_per_second", "ratio", "ratio_low", "ratio_high", "cpu_ns_each",
                           "reference_cpu_ns_each", "rounds") if not l[k] > 0]
        check("%s has figures" % l["case"], not bad and l["ratio_low"] <= l["ratio"] <= l["ratio_high"], l)


def table_test(names):
    few = [n for n in names if "smtp" in n]
    done = micro("--quick", "--only", "smtp")
    rows = [r for r in done.stdout.split("\n") if r.startswith("smtp-")]
    check("--only takes some", done.returncode == 0 and [r.split()[0] for r in rows] == few, done.stdout)
    check("columns are aligned", len({r.index("memchr") for r in rows}) == 1, done.stdout)


def usage_test():
    for args, word in ((["--only"], "--only"), (["--only", "no-such-case"], "no-such-case"), (["--fast"], "--fast"),
                       (["smtp"], "smtp"), (["--dir", "/no/such"], "/no/such"), (["--dir", ""], "--dir")):
        done = micro(*args)
        check("%s: one line, 64" % " ".join(args), done.returncode == 64 and done.stdout == "" and
              done.stderr.count("\n") == 1 and word in done.stderr, (done.returncode, done.stdout, done.stderr))
    with open("/dev/full", "w", encoding="ascii") as full:
        for command in ([MICRO, "--only", "crc32c-1k", "--quick"], [CEILING, "text", "--seconds", "0.05"]):
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
            check("figures that can't be written are told of: %s" % os.path.basename(command[0]),
                  done.returncode == 1 and done.stderr.count("\n") == 1 and "No space" in done.stderr, done)


listed = micro("--list")
all_names = listed.stdout.split()
check("--list names cases", listed.returncode == 0 and len(all_names) == len(set(all_names)) > 30, all_names)
for kind in ("line-", "smtp-", "pop3-", "imap-", "mime-", "search-", "crc32c-", "index-", "log-", "raw-"):
    check("there are cases %s*" % kind, any(n.startswith(kind) for n in all_names))
figures_test(all_names)
table_test(all_names)
usage_test()
finish()
