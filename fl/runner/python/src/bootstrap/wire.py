# Frames and messages of proto/fieldmark/v1/runner.proto, by the standard library alone.
#
# A frame is a little-endian 32-bit length and that many bytes of one protobuf message. Only the messages that
# a runner needs are here; unknown fields are skipped, as protobuf demands. Payloads stay views of the frame
# they came in: nothing is copied but by whoever asks for another form.

import os

LENGTH_BYTES = 4
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Broken(Exception):
    """The supervisor sent something that is no message, or closed its end in the middle of one."""


class Channel:
    """The socket to the supervisor."""

    def __init__(self, descriptor, limit):
        self.descriptor = descriptor
        self.limit = limit

    def read(self):
        """The next frame's payload as a writable buffer of its own; None once the other end is closed."""
        head = self._exactly(LENGTH_BYTES, True)
        if head is None:
            return None
        length = int.from_bytes(head, "little")
        if length > self.limit:
            raise Broken(f"a frame of {length} bytes, {self.limit} allowed")
        return self._exactly(length, False)

    def skip(self, length):
        """Reads and forgets `length` raw bytes that follow a frame."""
        while length > 0:
            piece = os.read(self.descriptor, min(length, 1 << 16))
            if not piece:
                raise Broken("the socket ended in the middle of an artifact")
            length -= len(piece)

    def write(self, parts):
        """Sends one frame made of `parts`, bytes-like each."""
        parts = [memoryview(part).cast("B") for part in parts if len(part)]
        length = sum(len(part) for part in parts)
        if length > self.limit:
            raise TooLong(length, self.limit)
        parts.insert(0, memoryview(length.to_bytes(LENGTH_BYTES, "little")))
        while parts:
            written = os.writev(self.descriptor, parts[:64])
            while parts and written >= len(parts[0]):
                written -= len(parts.pop(0))
            if written:
                parts[0] = parts[0][written:]

    def _exactly(self, length, may_end):
        buffer = bytearray(length)
        view, filled = memoryview(buffer), 0
        while filled < length:
            count = os.readv(self.descriptor, [view[filled:]])
            if count == 0:
                if may_end and filled == 0:
                    return None
                raise Broken("the socket ended in the middle of a frame")
            filled += count
        return view


class TooLong(Exception):
    """A response that is longer than a frame may be."""

    def __init__(self, length, limit):
        super().__init__(f"the answer takes {length} bytes, {limit} are allowed")


def varint(value):
    """An unsigned varint; negative numbers as 64-bit two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    """A number field; nothing for 0, as proto3 leaves defaults out."""
    return varint(field << 3 | VARINT) + varint(value) if value else b""


def head(field, length):
    """What stands in front of a length-delimited field."""
    return varint(field << 3 | BYTES) + varint(length)


def text(field, value):
    """A text field; nothing for an empty one."""
    raw = value.encode("utf-8", "replace")
    return head(field, len(raw)) + raw if raw else b""


def nested(field, parts):
    """A message field out of its parts, as a list of parts."""
    return [head(field, sum(len(part) for part in parts)), *parts]


def fields(view):
    """Yields (field, value) of a message: numbers as int, everything length-delimited as a view."""
    at = 0
    while at < len(view):
        key, at = _varint(view, at)
        kind, field = key & 7, key >> 3
        if kind == VARINT:
            value, at = _varint(view, at)
        elif kind in (BYTES, FIXED32, FIXED64):
            length = {FIXED32: 4, FIXED64: 8}.get(kind)
            if length is None:
                length, at = _varint(view, at)
            if length > len(view) - at:
                raise Broken("a field is longer than its message")
            value, at = view[at : at + length], at + length
        else:
            raise Broken(f"a field of unknown kind {kind}")
        yield field, value


def _varint(view, at):
    value, shift = 0, 0
    while True:
        if at >= len(view) or shift > 63:
            raise Broken("a number that does not end")
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & ((1 << 64) - 1), at


def signed(value):
    """A 64-bit two's complement number as Python has it."""
    return value - (1 << 64) if value >> 63 else value


def plain(view):
    """The text of a field."""
    return bytes(view).decode("utf-8", "replace")


def message(view):
    """The message in a field, which must be length-delimited."""
    if not isinstance(view, memoryview):
        raise Broken("a number stands where a message should be")
    return view


def numbers(value):
    """The numbers of a repeated int64 field: one, or several packed."""
    if isinstance(value, int):
        return [signed(value)]
    found, at = [], 0
    while at < len(value):
        one, at = _varint(value, at)
        found.append(signed(one))
    return found
