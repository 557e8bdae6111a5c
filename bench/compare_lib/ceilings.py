"""Runs ringmail-ceiling, and adds its figures up to what a perfect server would spend."""
import json
import subprocess

from compare_lib.packages import Trouble
from compare_lib.words import octets

OCTETS = {"receive_us_per_mb": ("receive", 1e6), "text_10k_us": ("text", 10240)}  # figures for so many of them


def wanted(line):
    """The calibrations that a line's sum needs: figures begin with their names."""
    return list(dict.fromkeys(figure.split("_us")[0] for figure, _ in line.ceiling))


def measure(binary, names, folder, seconds, connections):
    got = subprocess.run([binary, *names, "--seconds", str(seconds), "--dir", folder, "--connections", str(connections)],
                         capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if got.returncode:
        raise Trouble(got.stderr.strip())
    return json.loads(got.stdout)


def sum_us(line, figures):
    return sum(figures[name] * times for name, times in line.ceiling)


def sum_text(line):
    """The sum as the table shows it: "3 line + text 1.00 KiB + 1/6 commit 64k x4"."""
    words = []
    for figure, times in line.ceiling:
        if figure in OCTETS:
            what, each = OCTETS[figure]
            words.append("%s %s" % (what, octets(round(times * each))))
        else:
            count = "" if times == 1 else "1/%d " % round(1 / times) if times < 1 else "%d " % times
            words.append(count + figure.replace("_us", "").replace("_", " "))
    return " + ".join(words)
