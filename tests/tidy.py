#!/usr/bin/env python3
"""What the formatter cannot see: floors, lengths, banned calls, stray files.

Arrows between folders point one way: server -> store, server -> proto, bench -> proto and
the ring layer, store -> proto/base. bench/populate* is a small server, which fills a store.
Prints a line for each fault and ends with the count.
"""
import os
import re
import subprocess
import sys

MAY_INCLUDE = {  # a file under the first may include only from these
    "proto/base": ("proto/base/",),
    "proto": ("proto/",),
    "store": ("store/", "proto/base/"),
    "server": ("server/", "store/", "proto/"),
    "bench": ("bench/", "proto/", "server/ring.h", "server/clock.h", "server/rand.h", "store/"),
    "bench/populate": ("bench/populate", "server/", "store/", "proto/"),
    "bench/micro": ("bench/", "proto/", "store/", "server/"),  # whatever it measures
    "tests": ("tests/", "server/", "store/", "proto/", "bench/"),
}
STORE_FACE = {"store/store.h", "store/disk.h", "store/reshard.h", "store/format.h"}  # what they may see
LIBRARY_BANNED = {"strcpy": "slices", "strcat": "struct out", "sprintf": "struct out", "strtok": "slices",
                  "printf": "return a status", "fprintf": "return a status", "exit": "return a status",
                  "gettimeofday": "the caller's clock", "time": "the caller's clock", "rand": "the caller's randomness"}
SERVER_BANNED = {"strcpy": "slices", "strcat": "struct out", "sprintf": "snprintf or struct out", "strtok": "slices",
                 "usleep": "a timer", "sleep": "a timer", "system": "nothing", "popen": "nothing",
                 "gethostbyname": "c-ares", "getaddrinfo": "c-ares or inet_pton"}
IO_WORDS = re.compile(r"\b(open|read|write|pread|pwrite|socket|send|recv|fopen|malloc|calloc|realloc)\(")
LINE_MAX, FUNCTION_MAX, FILE_MAX = 90, 70, 1000
TOP = {"server", "proto", "store", "bench", "tests", "CMakeLists.txt", "README.md", "LICENSE"}
faults = []


def fault(path, n, text):
    faults.append("%s:%d: %s" % (path, n, text))


def layer_of(path):
    if path.startswith("bench/populate"):
        return "bench/populate"
    return next(l for l in ("proto/base", "proto", "store", "server", "bench/micro", "bench", "tests") if path.startswith(l + "/"))


def strip(line):
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return re.sub(r"//.*|/\*.*?\*/", "", line)


def check_include(path, n, layer, inc):
    if not inc.startswith(MAY_INCLUDE[layer]):
        fault(path, n, "%s may not include %s" % (layer, inc))
    if layer in ("server", "bench/populate") and inc.startswith("store/") and inc not in STORE_FACE:
        fault(path, n, "the server sees of the store only %s, not %s" % (", ".join(sorted(STORE_FACE)), inc))
    if not os.path.exists(inc):
        fault(path, n, "no such file: %s (includes are written from the root)" % inc)


def check_source(path):
    layer = layer_of(path)
    lines = open(path, encoding="utf-8").read().split("\n")
    if len(lines) > FILE_MAX:
        fault(path, FILE_MAX, "%d lines, more than %d: two subjects?" % (len(lines), FILE_MAX))
    start, in_comment = None, False
    for n, line in enumerate(lines, 1):
        if len(line) > LINE_MAX:
            fault(path, n, "line of %d columns" % len(line))
        inc = re.match(r'#include "([^"]+)"', line)
        if inc:
            check_include(path, n, layer, inc[1])
        if in_comment or line.lstrip().startswith(("/*", "*")):
            in_comment = ("/*" in line or in_comment) and "*/" not in line
            continue
        code = strip(line)
        if line == "{":
            start = n
        elif line == "}" and start:
            if n - start - 1 > FUNCTION_MAX:
                fault(path, start, "function of %d lines, more than %d" % (n - start - 1, FUNCTION_MAX))
            start = None
        banned = LIBRARY_BANNED if layer in ("proto", "proto/base", "store") else SERVER_BANNED if layer == "server" else {}
        for word, instead in banned.items():
            if re.search(r"(?<![\w.>])%s\(" % word, code) and not path.endswith("check.c"):
                fault(path, n, "%s is banned here, use %s" % (word, instead))
        if layer == "proto" and IO_WORDS.search(code) and not re.search(r"[\w>.]_?(open|read|write|send|recv)\(", code):
            fault(path, n, "proto does no I/O and allocates from an arena only: %s" % code.strip())
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
            fault(path, n, "unfinished by its own words")


def check_built(files):
    lists = "".join(open(f, encoding="utf-8").read() for f in files if f.endswith((".cmake", "CMakeLists.txt")))
    for path in files:
        if path.endswith(".c") and os.path.basename(path) not in lists:
            fault(path, 1, "nobody builds this file")


def check_top(files):
    for name in sorted({f.split("/")[0] for f in files}):
        if not name.startswith(".") and name not in TOP:
            fault(name, 1, "the top level holds only %s" % " ".join(sorted(TOP)))


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    files = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    files = [f for f in files if os.path.exists(f)]
    sources = [f for f in files if f.endswith((".c", ".h")) and not f.startswith(".")]
    for path in sources:
        check_source(path)
    check_built(files)
    check_top(files)
    for text in faults:
        print("not ok " + text)
    print("%d passed, %d failed" % (len(sources), len(faults)))
    return 1 if faults else 0


sys.exit(main())
