"""Runs ringmail-ceiling, and adds its figures up to what a perfect server would spend."""
import json
import subprocess

from compare_lib.packages import Trouble

CALIBRATIONS = {"line": ("line_",), "connect": ("connect_",), "receive": ("receive_",), "serve": ("serve_",),
                "text": ("text_",), "tls": ("tls_",), "commit": ("commit_",)}


def wanted(line):
    """The calibrations that a line's sum needs."""
    return [c for c, starts in CALIBRATIONS.items() if any(f.startswith(starts) for f, _ in line.ceiling)]


def measure(binary, names, folder, seconds, connections):
    got = subprocess.run([binary, *names, "--seconds", str(seconds), "--dir", folder, "--connections", str(connections)],
                         capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if got.returncode:
        raise Trouble(got.stderr.strip())
    return json.loads(got.stdout)


def sum_us(line, figures):
    return sum(figures[name] * times for name, times in line.ceiling)


def sum_text(line):
    """The sum as the table shows it: "3 line + 1/6 commit 64k x4"."""
    words = []
    for name, times in line.ceiling:
        what = name.replace("_us_per_mb", " 10k" if name.startswith("receive") else "").replace("_us", "").replace("_", " ")
        if name.startswith("receive"):
            times = 1
        words.append(("" if times == 1 else "1/%d " % round(1 / times) if times < 1 else "%d " % times) + what)
    return " + ".join(words)
