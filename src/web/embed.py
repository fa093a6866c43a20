#!/usr/bin/env python3
"""embed.py OUTPUT FILE...: a C file that holds the FILEs as web__assets (web_internal.h)."""
import hashlib
import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def literal(data):
    """C string literals, a line of the source each; what is not plain is written in octal."""
    plain = {c: chr(c) for c in range(32, 127) if chr(c) not in '"\\?'}
    lines = data.split(b"\n")
    text = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    for line in text:
        yield '\t"' + "".join(plain.get(c) or "\\%03o" % c for c in line) + '"'


def main(output, files):
    parts = ["/* Made by embed.py. */", '#include "web/web_internal.h"', "", "const struct web__asset web__assets[] = {"]
    for path in files:
        with open(path, "rb") as file:
            data = file.read()
        name = os.path.basename(path)
        tag = hashlib.sha256(data).hexdigest()[:16]
        parts.append('{"%s", "%s", "\\"%s\\"", {(const uint8_t *)' % (name, TYPES[os.path.splitext(name)[1]], tag))
        parts.extend(literal(data) if data else ['\t""'])
        parts.append("\t, %d}}," % len(data))
    parts += ["{0},", "};", ""]
    with open(output, "w", encoding="ascii") as file:
        file.write("\n".join(parts))


main(sys.argv[1], sys.argv[2:])
