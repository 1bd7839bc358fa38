"""SPDY/3.1 as bytes: its frames, and the header blocks in them that all frames of a direction compress together.

Nothing is sent or received here. The source is the public draft of the protocol (SPDY Protocol, Draft 3.1). What is
not needed to serve `kubectl exec` (SETTINGS, and a stream's later HEADERS) is read and passed over.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_STATUSES = "100 101 201 202 205 206 300 302 303 304 305 306 307 402 405 406 407 408 409 410 411 412 413 414 415 416 417 502 504 505"
_PHRASES = (
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug "
    "Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch"
    "charset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
_CHECKSUM = 0xE3C6A7C2
_VERSION = 3
_FIN = 1
_HEAD = 8  # bytes before each frame's content
_CONTROL = 1 << 31
_LENGTH = (1 << 24) - 1
_STREAM = _CONTROL - 1
_HEADERS_LIMIT = 1 << 16  # bytes of one header block, unpacked; kubectl's have some forty
PROTOCOL_ERROR, REFUSED_STREAM = 1, 3  # statuses of RST_STREAM; the former is one of GOAWAY, too


class _Kind(IntEnum):
    """Kinds of control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


def _dictionary() -> bytes:
    """What both sides' compression starts from: words with their lengths, and then what headers often hold."""
    words = (word.replace("_", " ").encode() for word in _WORDS.split())
    made = b"".join(_counted(word) for word in words) + (_STATUSES.replace(" ", "") + _PHRASES).encode()
    assert zlib.adler32(made) == _CHECKSUM  # noqa: S101  # a constant of the protocol, or nobody understands us
    return made


def _counted(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


DICTIONARY = _dictionary()


class ProtocolError(ValueError):
    """What came is no SPDY/3.1; after it nothing that follows can be understood."""


@dataclass(frozen=True)
class Data:
    """Bytes of a stream; `is_last`: the sender sends no more of it."""

    stream: int
    data: bytes
    is_last: bool = False


@dataclass(frozen=True)
class SynStream:
    """A stream is opened."""

    stream: int
    headers: Mapping[str, str]
    is_last: bool = False


@dataclass(frozen=True)
class SynReply:
    """It is accepted."""

    stream: int
    headers: Mapping[str, str]
    is_last: bool = False


@dataclass(frozen=True)
class RstStream:
    """A stream ends at once, or is refused."""

    stream: int
    status: int


@dataclass(frozen=True)
class Ping:
    """To be sent back by the side that did not number it: the client's numbers are odd."""

    number: int


@dataclass(frozen=True)
class GoAway:
    """The sender wants no more streams."""

    last_stream: int
    status: int = 0


@dataclass(frozen=True)
class WindowUpdate:
    """So many bytes more may be sent."""

    stream: int
    more: int


Frame = Data | SynStream | SynReply | RstStream | Ping | GoAway | WindowUpdate


class Writer:
    """Frames of one direction, as bytes in the order in which they are sent."""

    def __init__(self) -> None:
        """At the connection's beginning."""
        self._packer = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:  # noqa: PLR0911  # one for each kind
        """A frame. Raises ValueError for data that is longer than a frame may be (16 MiB)."""
        match frame:
            case Data(stream, data, is_last):
                if len(data) > _LENGTH:
                    raise ValueError("more than fits into a frame")
                return struct.pack(">II", stream, _FIN * is_last << 24 | len(data)) + data
            case SynStream(stream, headers, is_last):
                content = struct.pack(">IIH", stream, 0, 0) + self._packed(headers)
                return _control(_Kind.SYN_STREAM, content, _FIN * is_last)
            case SynReply(stream, headers, is_last):
                content = struct.pack(">I", stream) + self._packed(headers)
                return _control(_Kind.SYN_REPLY, content, _FIN * is_last)
            case RstStream(stream, status):
                return _control(_Kind.RST_STREAM, struct.pack(">II", stream, status))
            case Ping(number):
                return _control(_Kind.PING, struct.pack(">I", number))
            case GoAway(last_stream, status):
                return _control(_Kind.GOAWAY, struct.pack(">II", last_stream, status))
            case WindowUpdate(stream, more):
                return _control(_Kind.WINDOW_UPDATE, struct.pack(">II", stream, more))

    def _packed(self, headers: Mapping[str, str]) -> bytes:
        pairs = b"".join(
            _counted(name.encode()) + _counted(value.encode()) for name, value in headers.items()
        )
        block = struct.pack(">I", len(headers)) + pairs
        return self._packer.compress(block) + self._packer.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: _Kind, content: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8000 | _VERSION, kind, flags << 24 | len(content)) + content


class Reader:
    """Bytes of one direction, however they come, as frames."""

    def __init__(self) -> None:
        """At the connection's beginning."""
        self._unpacker = zlib.decompressobj(zdict=DICTIONARY)
        self._held = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now. Raises ProtocolError, after which no more is to be fed."""
        self._held += data
        while len(self._held) >= _HEAD:
            first, second = struct.unpack_from(">II", self._held)
            end = _HEAD + (second & _LENGTH)
            if len(self._held) < end:
                return
            content, self._held = self._held[_HEAD:end], self._held[end:]
            is_last = bool(second >> 24 & _FIN)
            if not first & _CONTROL:
                yield Data(first, content, is_last)
            elif first >> 16 & 0x7FFF != _VERSION:
                raise ProtocolError(f"SPDY version {first >> 16 & 0x7FFF}")
            elif frame := self._control_frame(first & 0xFFFF, content, is_last=is_last):
                yield frame

    def _control_frame(self, kind: int, content: bytes, *, is_last: bool) -> Frame | None:  # noqa: PLR0911  # one for each kind
        try:
            match kind:
                case _Kind.SYN_STREAM:
                    return SynStream(_number(content), self._unpacked(content[10:]), is_last)
                case _Kind.SYN_REPLY:
                    return SynReply(_number(content), self._unpacked(content[4:]), is_last)
                case _Kind.RST_STREAM:
                    return RstStream(_number(content), _number(content, 1))
                case _Kind.PING:
                    return Ping(_number(content))
                case _Kind.GOAWAY:
                    return GoAway(_number(content), _number(content, 1))
                case _Kind.HEADERS:  # unpacked because all later ones build on them
                    self._unpacked(content[4:])
                case _Kind.WINDOW_UPDATE:
                    return WindowUpdate(_number(content), _number(content, 1))
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise ProtocolError(f"a control frame of kind {kind} that cannot be read: {error}") from error
        return None

    def _unpacked(self, block: bytes) -> dict[str, str]:
        plain = self._unpacker.decompress(block, _HEADERS_LIMIT)
        if self._unpacker.unconsumed_tail:
            raise ProtocolError("a header block that is too large")
        return dict(_pairs(plain))


def _pairs(block: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of an unpacked header block. Raises struct.error where it ends too early."""
    (count,) = struct.unpack_from(">I", block)
    at = 4
    for _ in range(count):
        texts = []
        for _part in ("name", "value"):
            (length,) = struct.unpack_from(">I", block, at)
            (text,) = struct.unpack_from(f"{length}s", block, at + 4)
            texts.append(text.decode())
            at += 4 + length
        yield texts[0], texts[1]


def _number(content: bytes, index: int = 0) -> int:
    """One of a control frame's numbers, of 31 bits."""
    (number,) = struct.unpack_from(">I", content, 4 * index)
    return int(number) & _STREAM
