"""A raw Kafka client: frames in, frames out, no logic."""
import socket
import struct
import time

from codec import Wrong, decode, encode, uvarint
from layouts import STRUCTURES

CLIENT_ID = "differential"


class Closed(Exception):
    """The broker has ended the connection."""


class Silent(Exception):
    """The broker has not answered in time."""


def header(api_key, version, correlation, flexible, client_id=CLIENT_ID):
    out = struct.pack(">hhi", api_key, version, correlation)
    out += struct.pack(">h", -1) if client_id is None else struct.pack(">h", len(client_id)) + client_id.encode()
    return out + (uvarint(0) if flexible else b"")


class Connection:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0
        self.waiting = []

    def close(self):
        self.socket.close()

    def send_bytes(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # the answer, or its absence, tells

    def send(self, api, version, body):
        self.correlation += 1
        flexible = api.flexible(version)
        frame = header(api.key, version, self.correlation, flexible)
        frame += body if isinstance(body, bytes) else encode(STRUCTURES[api.name + "_request"], version, flexible, body)
        self.send_bytes(struct.pack(">i", len(frame)) + frame)
        self.waiting.append((api, version, self.correlation))

    def take(self, n, until):
        out = bytearray()
        while len(out) < n:
            left = until - time.monotonic()
            if left <= 0:
                raise Silent()
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(n - len(out))
            except socket.timeout as error:
                raise Silent() from error
            except OSError as error:
                raise Closed() from error
            if not data:
                raise Closed()
            out += data
        return bytes(out)

    def frame(self, timeout_s=30):
        until = time.monotonic() + timeout_s
        return self.take(struct.unpack(">i", self.take(4, until))[0], until)

    def receive(self, timeout_s=30):
        """The answer to the oldest request that has none yet."""
        api, version, correlation = self.waiting.pop(0)
        frame = self.frame(timeout_s)
        if struct.unpack(">i", frame[:4])[0] != correlation:
            raise Wrong(f"the answer has another correlation id than {api.name}'s {correlation}")
        flexible = api.flexible(version)
        at = 4
        if flexible and api.name != "api_versions":
            if frame[4] != 0:
                raise Wrong("the answer's header has tags")
            at = 5
        try:
            return decode(STRUCTURES[api.name + "_response"], version, flexible, frame[at:])
        except Wrong:
            # ApiVersions of a version that is not known is answered in version 0.
            if api.name == "api_versions":
                return decode(STRUCTURES["api_versions_response"], 0, False, frame[at:])
            raise
