"""ringmail-ceiling: every figure is there and makes sense, words pick what is measured, bad usage is told."""
import json
import os
import subprocess
import tempfile

from harness import RINGMAIL, check, finish

CEILING = os.path.join(os.path.dirname(os.path.abspath(RINGMAIL)), "ringmail-ceiling")
COMMITS = ("commit_4k_x1", "commit_4k_x4", "commit_64k_x1", "commit_64k_x4")
RATES = ("line", "connect", "serve_2k", "serve_10k", "serve_100k")
TLS = ("tls_handshake_us", "tls_line_us", "tls_10k_us")
ALL = {"%s_%s" % (c, unit) for c in RATES for unit in ("us", "per_s")} | set(TLS) | {
    "%s_%s" % (c, unit) for c in COMMITS for unit in ("us", "per_s", "p50_us", "p99_us")} | {
    "receive_us_per_mb", "receive_mb_per_s", "text_10k_us", "late_p50_us", "late_p99_us"}


def ceiling(*args):
    return subprocess.run([CEILING, *args], capture_output=True, text=True, timeout=300)


def measured(*args):
    """The figures of a run that leaves nothing on the disk."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        done = ceiling(*args, "--seconds", "0.05", "--dir", folder)
        good = done.returncode == 0 and not done.stderr and not os.listdir(folder)
        check("%s: it runs and leaves nothing" % " ".join(args), good, (done.returncode, done.stderr, os.listdir(folder)))
    return json.loads(done.stdout or "{}")


def all_test():
    for connections in ("1", "16"):
        f = measured("all", "--connections", connections)
        check("all figures, %s at once" % connections, f.keys() == ALL, f.keys() ^ ALL)
        check("each is more than nothing", all(v > 0 for v in f.values()), f)
        check("of commits most are no slower than the slowest", all(f[c + "_p50_us"] <= f[c + "_p99_us"] for c in COMMITS), f)
        check("half of the lines are no later than most", f["late_p50_us"] <= f["late_p99_us"], f)
        check("a handshake is dearer than a line", f["tls_handshake_us"] > f["tls_line_us"], f)


def words_test():
    for words, want in ((("text",), {"text_10k_us"}), (("tls_line",), {"tls_line_us"}), (("tls",), set(TLS)),
                        (("serve_2k", "line"), {"serve_2k_us", "serve_2k_per_s", "line_us", "line_per_s"})):
        check("%s is what it says" % " ".join(words), measured(*words).keys() == want)


def usage_test():
    for args in ((), ("lines",), ("tls_l",), ("",), ("line", "--connections", "0"), ("line", "--seconds", "x"),
                 ("line", "--dir"), ("line", "--fast", "1")):
        done = ceiling(*args)
        check("%s: one line, 64" % (args,), done.returncode == 64 and done.stdout == "" and done.stderr.count("\n") == 1, done)
    helped = ceiling("--help")
    names = RATES + COMMITS + ("receive", "late", "text_10k") + tuple(f[:-3] for f in TLS)
    check("--help names them", helped.returncode == 0 and all("\n  %s " % n in helped.stdout for n in names), helped.stdout)


all_test()
words_test()
usage_test()
finish()
