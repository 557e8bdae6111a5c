#!/usr/bin/env python3
"""Compares summaries with what another server answered for a corpus of real mail.

usage: corpus_summary.py SUMMARY_DUMP [-v]

The corpus is $RINGMAIL_SHARED/corpus: dovecot-fetch.jsonl holds ENVELOPE, BODY,
BODYSTRUCTURE, RFC822.SIZE, and size and SHA-256 of every section, as stored and
without its transfer encoding. Differences listed
in corpus_differences.tsv (message, item, reason) are expected; any other one, and
any listed one that no longer occurs, is a failure. Without RINGMAIL_SHARED the test
is skipped.
"""
import hashlib
import json
import os
import re
import subprocess
import sys

ATOM = re.compile(rb"[^ ()]+")
LITERAL = re.compile(rb"\{(\d+)\}\r\n")


def quoted(text, at):
    value = bytearray()
    while text[at:at + 1] != b'"':
        at += text[at:at + 1] == b"\\"
        value += text[at:at + 1]
        at += 1
        if at > len(text):
            raise ValueError("string does not end")
    return bytes(value), at + 1


def parse(text):
    """One parenthesized list as nested lists; strings as bytes, NIL as None."""
    stack, at = [[]], 0
    while at < len(text):
        c = text[at:at + 1]
        literal = LITERAL.match(text, at)
        if c == b" ":
            at += 1
        elif c == b"(":
            stack.append([])
            at += 1
        elif c == b")":
            done = stack.pop()
            stack[-1].append(done)
            at += 1
        elif c == b'"':
            value, at = quoted(text, at + 1)
            stack[-1].append(value)
        elif literal:
            end = literal.end() + int(literal[1])
            if end > len(text):
                raise ValueError("literal does not end")
            stack[-1].append(text[literal.end():end])
            at = end
        else:
            word = ATOM.match(text, at)
            stack[-1].append(None if word[0].upper() == b"NIL" else ("atom", word[0]))
            at = word.end()
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError("parentheses do not match")
    return stack[0][0]


def folded(value):
    """The same with the case of every string ignored."""
    if isinstance(value, list):
        return [folded(v) for v in value]
    return value.upper() if isinstance(value, bytes) else value


def stored(path):
    with open(path, "rb") as f:
        return re.sub(rb"(?<!\r)\n", b"\r\n", f.read())


class Dump:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def line(self):
        return self.process.stdout.readline().rstrip(b"\n")

    def ask(self, path, sections):
        self.process.stdin.write("\t".join([path] + sections).encode() + b"\n")
        self.process.stdin.flush()
        answer = {"size": int(self.line())}
        for name in ("envelope", "body", "bodystructure"):
            answer[name] = self.process.stdout.read(int(self.line()))
        answer["sections"] = {s: self.section() for s in sections}
        return answer

    def section(self):
        """(offset, length, decoded octets), or None where there is none."""
        line = self.line()
        if line == b"-":
            return None
        at, length, decoded = map(int, line.split())
        return at, length, self.process.stdout.read(decoded)


def differences(record, answer, message):
    """(item, theirs, ours) of everything that is not the same."""
    identical = record["body_identical"]
    if identical and record["rfc822_size"] != answer["size"]:
        yield "RFC822.SIZE", record["rfc822_size"], answer["size"]
    for name in ("envelope", "body", "bodystructure"):
        theirs, ours = parse(record[name].encode("latin-1")), parse(answer[name])
        if name != "envelope":
            theirs, ours = folded(theirs), folded(ours)
        if theirs != ours:
            yield name.upper(), theirs, ours
    for section, theirs in record["sections"].items() if identical else ():
        at, length, decoded = answer["sections"][section] or (0, -1, b"")
        octets = message[at:at + length] if length >= 0 else None
        if octets is None or hashlib.sha256(octets).hexdigest() != theirs["sha256"]:
            yield f"[{section}]", theirs["size"], octets
        elif "binary_sha256" in theirs and \
                hashlib.sha256(decoded).hexdigest() != theirs["binary_sha256"]:
            yield f"BINARY[{section}]", theirs["binary_size"], decoded


def expected_differences():
    table = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                         "corpus_differences.tsv")
    with open(table, encoding="utf-8") as f:
        rows = [r.rstrip("\n").split("\t") for r in f if r.strip() and r[0] != "#"]
    assert all(len(r) == 3 and r[2] for r in rows), "message, item, reason"
    return {(r[0], r[1]) for r in rows}


def main():
    shared, verbose = os.environ.get("RINGMAIL_SHARED"), "-v" in sys.argv
    if not shared:
        print("skipped: RINGMAIL_SHARED is not set")
        return 0
    corpus, dump = os.path.join(shared, "corpus"), Dump(sys.argv[1])
    expected, seen, items, wrong = expected_differences(), set(), 0, 0
    with open(os.path.join(corpus, "dovecot-fetch.jsonl"), encoding="utf-8") as f:
        records = [json.loads(line) for line in f]
    for record in records:
        name = record["file"]
        if "envelope" not in record:
            continue
        path = os.path.join(corpus, name)
        answer = dump.ask(path, list(record["sections"]))
        items += 4 + len(record["sections"])
        for item, theirs, ours in differences(record, answer, stored(path)):
            seen.add((name, item))
            if (name, item) not in expected or verbose:
                print(f"{name} {item}\n  theirs {str(theirs)[:1500]}\n"
                      f"  ours   {str(ours)[:1500]}")
            wrong += (name, item) not in expected
    for name, item in sorted(expected - seen):
        print(f"{name} {item}: listed as different, but is the same")
        wrong += 1
    print(f"{len(records)} messages, {items} items, {len(seen & expected)} explained "
          f"differences, {wrong} failures")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
