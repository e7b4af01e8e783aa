"""The protocol as bytes: proto/wire/dhat.proto and proto/wire/frame.h, spoken by hand."""
import socket
import struct

STATUS, SNAPSHOT, ATTACH, DETACH = 2, 3, 4, 5  # fields of Request
ERROR, DONE = 2, 5  # fields of Response
VERSION = 1


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def message_field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number_field(number, value):
    return varint(number << 3) + varint(value)


def request(kind, body=b"", version=VERSION):
    return number_field(1, version) + message_field(kind, body)


def frame(payload):
    return struct.pack("<I", len(payload)) + payload


def fields(data):
    """[(number, value)] of a message; a length-delimited value is bytes."""
    def take_varint(at):
        value = shift = 0
        while True:
            value |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if not data[at - 1] & 128:
                return value, at

    result, at = [], 0
    while at < len(data):
        key, at = take_varint(at)
        if key & 7 == 0:
            value, at = take_varint(at)
        elif key & 7 == 1:
            value, at = data[at:at + 8], at + 8
        elif key & 7 == 2:
            size, at = take_varint(at)
            value, at = data[at:at + size], at + size
        else:
            raise AssertionError(f"wire type {key & 7}")
        result.append((key >> 3, value))
    return result


class Peer:
    """A connection to dhatd; a context manager."""

    def __init__(self, path, timeout=120):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False if the daemon has closed the connection."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(min(size - len(data), 1 << 20))
            if not more:
                return None
            data += more
        return data

    def response(self):
        """{field: value} of the next response; None: the daemon closed the connection."""
        try:
            head = self._exactly(4)
            payload = self._exactly(struct.unpack("<I", head)[0]) if head else None
        except ConnectionResetError:
            return None
        return None if payload is None else dict(fields(payload))

    def error(self):
        """(exit code, text) of a response that is an error; None if it closed without one."""
        response = self.response()
        if response is None:
            return None
        error = dict(fields(response[ERROR]))
        return error[1], error[2].decode()
