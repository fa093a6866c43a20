"""The layouts of all messages and the list of APIs, read from smack's own src/kafka/messages.def and apis.def."""
import os
import re

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "src", "kafka")
FOREVER = 127  # UP and NO in messages.def
NUMBERS = {"UP": FOREVER, "NO": FOREVER, "INT16_MAX": 32767, "INT32_MIN": -(1 << 31), "INT32_MAX": (1 << 31) - 1, "INT64_MAX": (1 << 63) - 1}
PLAIN_ABSENT = {"BOOL": bool, "I8": int, "I16": int, "I32": int, "I64": int, "F64": float}


class Field:
    """kind: a plain kind, or STRUCT with `of`. A list has many=True."""

    def __init__(self, name, kind, since, until, null_since, tag=None, many=False, of=None, absent=0):
        self.name, self.kind, self.since, self.until, self.null_since = name, kind, since, until, null_since
        self.tag, self.many, self.of = tag, many, of
        self.absent = [] if many else self.plain_absent(absent)

    def plain_absent(self, absent):
        if self.kind == "STRUCT":
            return None
        if self.kind in PLAIN_ABSENT:
            return PLAIN_ABSENT[self.kind](absent)
        if self.kind == "UUID":
            return bytes(16)
        return None if self.null_since < FOREVER else (b"" if self.kind in ("BYTES", "RECORDS") else "")

    def stands_in(self, version):
        return self.since <= version <= self.until

    def may_be_null(self, version):
        return version >= self.null_since


class Api:
    def __init__(self, constant, name, key, advertised, least, most, flexible):
        self.constant, self.name, self.key = constant, name, key
        self.advertised, self.least, self.most, self.flexible_since = advertised, least, most, flexible

    def flexible(self, version):
        return version >= self.flexible_since


def number(text):
    return NUMBERS[text] if text in NUMBERS else int(text)


def entries(name):
    with open(os.path.join(SOURCE, name), encoding="ascii") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    for letter, arguments in re.findall(r"^([A-Z]+)\((.*)\)\s*$", text, flags=re.M):
        yield letter, [a.strip() for a in arguments.split(",")]


def field_of(letter, a, structures):
    """One line of messages.def between S and E."""
    if letter == "F":
        return Field(a[1], a[0], number(a[2]), number(a[3]), number(a[4]), absent=number(a[5]))
    if letter == "L":
        return Field(a[1], a[0], number(a[2]), number(a[3]), number(a[4]), many=True)
    if letter == "A":
        return Field(a[1], "STRUCT", number(a[2]), number(a[3]), number(a[4]), many=True, of=structures[a[0]])
    if letter in ("O", "N"):
        return Field(a[1], "STRUCT", number(a[2]), FOREVER, 0 if letter == "O" else FOREVER, of=structures[a[0]])
    if letter == "T":
        return Field(a[1], a[0], number(a[2]), FOREVER, number(a[4]), tag=number(a[3]), absent=number(a[5]))
    if letter in ("TO", "TN", "TA"):
        return Field(a[1], "STRUCT", number(a[2]), FOREVER, FOREVER, tag=number(a[3]), many=letter == "TA", of=structures[a[0]])
    raise ValueError(f"messages.def: {letter}({', '.join(a)}) is not known here; add it to layouts.py")


def read_structures():
    """name -> list of fields, in their order."""
    structures, fields = {}, None
    for letter, a in entries("messages.def"):
        if letter == "S":
            fields = structures[a[0]] = []
        elif letter != "E":
            fields.append(field_of(letter, a, structures))
    return structures


STRUCTURES = read_structures()
APIS = {a[1]: Api(a[0], a[1], *map(number, a[2:7])) for letter, a in entries("apis.def") if letter == "X"}
