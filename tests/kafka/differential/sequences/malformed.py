"""Requests that are none: what becomes of the connection."""
import struct

from client import header
from codec import Raw, encode, uvarint
from layouts import APIS, STRUCTURES

NEGATIVE = struct.pack(">i", -2)


def framed(data):
    return struct.pack(">i", len(data)) + data


def frames(s, rng, names):
    right = header(18, 0, 1, False)
    for what, data in {
            "length 0": struct.pack(">i", 0),
            "length -1": struct.pack(">i", -1),
            "length 2 GiB": struct.pack(">i", 2 ** 31 - 1),
            "length above 100 MiB": struct.pack(">i", 104857601) + b"x",
            "one byte": framed(b"\0"),
            "no correlation id": framed(right[:6]),
            "no client id": framed(right[:8]),
            "client id null": framed(header(18, 0, 1, False, None)),
            "client id length -2": framed(right[:8] + b"\xff\xfe"),
            "client id too long": framed(right[:8] + b"\x7f\xffabc"),
            "bytes behind": framed(right + b"more"),
            "no tags": framed(header(18, 3, 1, False)),
            "header's tags": framed(header(18, 3, 1, False) + b"\1\0\1x" + b"\2a\2b\0"),
            "header's tags twice": framed(header(18, 3, 1, False) + b"\2\0\1x\0\1x" + b"\2a\2b\0"),
            "body's unknown tag": framed(header(18, 3, 1, True) + b"\2a\2b\1\x63\1x"),
            "body's tags out of order": framed(header(18, 3, 1, True) + b"\2a\2b\2\x63\1x\x62\1x"),
            "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "TLS": bytes.fromhex("16030100a5010000a1"),
    }.items():
        s.raw("frame: " + what, data)


def unknown(s, rng, names):
    """APIs and versions that there are not, and those that clients may not ask for."""
    for key in (-1, 4, 5, 6, 7, 52, 53, 54, 56, 57, 58, 59, 62, 63, 67, 70, 73, 82, 93, 999, 32767, -32768):
        s.raw(f"api {key}", framed(header(key, 0, 1, False) + bytes(8)))
    for api in APIS.values():
        for version in {api.advertised - 1, api.most + 1, -1, 99, 32767}:
            s.raw(f"{api.name} {version}", framed(header(api.key, version, 1, version >= api.flexible_since) + bytes(8)))


def api_versions_newer(s, rng, names):
    for version in (5, 6, 100, -1, 32767):
        for which, c in enumerate(s.pair("main")):
            del which
            c.send(APIS["api_versions"], version, b"")
        s.sent.setdefault("main", []).append(("api_versions", version, b""))
        s.take()
        s.drop("main")


def empty_bodies(s, rng, names):
    """Every API and version with no body, and with one cut or filled with noise: no answer may be made up."""
    for api in APIS.values():
        for version in range(api.least, api.most + 1):
            if api.name == "produce":
                continue
            fields = STRUCTURES[api.name + "_request"]
            body = encode(fields, version, api.flexible(version), {})
            s.raw(f"{api.name} {version} without a body", framed(header(api.key, version, 1, api.flexible(version))))
            if len(body) > 1:
                cut = body[:rng.randrange(len(body))]
                s.raw(f"{api.name} {version} cut to {len(cut)}", framed(header(api.key, version, 1, api.flexible(version)) + cut))


def wrong_values(s, rng, names):
    """A null where none may be, a count below -1, a count beyond the frame, a wrong boolean, text that is not UTF-8; in each list and text."""
    for api in APIS.values():
        for version in sorted({api.least, api.most, rng.randint(api.least, api.most)}):
            flexible = api.flexible(version)
            for field in STRUCTURES[api.name + "_request"]:
                if not field.stands_in(version) or field.tag is not None:
                    continue
                for what, raw in wrongs(field, flexible, version):
                    body = encode(STRUCTURES[api.name + "_request"], version, flexible, {field.name: Raw(raw)})
                    s.raw(f"{api.name} {version}: {field.name} {what}",
                          framed(header(api.key, version, 1, flexible) + body), 0.7)


def wrongs(field, flexible, version):
    if field.many or field.kind in ("BYTES", "RECORDS"):
        if not field.may_be_null(version):
            yield "null", uvarint(0) if flexible else struct.pack(">i", -1)
        if not flexible:
            yield "-2", NEGATIVE
        yield "beyond", uvarint(10 ** 6) if flexible else struct.pack(">i", 10 ** 6)
    elif field.kind == "STRING":
        if not field.may_be_null(version):
            yield "null", uvarint(0) if flexible else struct.pack(">h", -1)
        if not flexible:
            yield "-2", struct.pack(">h", -2)
        yield "beyond", uvarint(10 ** 4) if flexible else struct.pack(">h", 10 ** 4)


ALL = [frames, unknown, api_versions_newer, empty_bodies, wrong_values]
