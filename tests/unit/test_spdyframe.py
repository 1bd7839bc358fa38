"""SPDY's frames as bytes: what one side writes the other reads, however the bytes come."""

import itertools
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.standin.spdyframe import (
    DICTIONARY,
    Data,
    GoAway,
    Ping,
    ProtocolError,
    Reader,
    RstStream,
    SynReply,
    SynStream,
    WindowUpdate,
    Writer,
)

NUMBERS = st.integers(1, (1 << 31) - 1)
HEADERS = st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=20), max_size=4)
FRAMES = st.one_of(
    st.builds(Data, NUMBERS, st.binary(max_size=50), st.booleans()),
    st.builds(SynStream, NUMBERS, HEADERS, st.booleans()),
    st.builds(SynReply, NUMBERS, HEADERS, st.booleans()),
    st.builds(RstStream, NUMBERS, NUMBERS),
    st.builds(Ping, NUMBERS),
    st.builds(GoAway, NUMBERS, NUMBERS),
    st.builds(WindowUpdate, NUMBERS, NUMBERS),
)


def written(*frames):
    writer = Writer()
    return b"".join(map(writer.encode, frames))


def control(kind, content, flags=0, version=3):
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(content)) + content


def block(plain):
    """A header block, compressed as the first of its direction."""
    packer = zlib.compressobj(zdict=DICTIONARY)
    return packer.compress(plain) + packer.flush(zlib.Z_SYNC_FLUSH)


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 400), max_size=6))
def test_what_is_written_is_read_wherever_the_bytes_are_cut(frames, cuts):
    sent, reader = written(*frames), Reader()
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    pieces = [sent[start:end] for start, end in itertools.pairwise(places)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == frames


def test_the_dictionary_is_the_published_one():
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2
    assert DICTIONARY.startswith(b"\0\0\0\x07options\0\0\0\x04head")


def test_frames_have_the_published_form():
    assert written(Data(5, b"abc", is_last=True)) == bytes.fromhex("00000005 01000003") + b"abc"
    assert written(Ping(1)) == bytes.fromhex("80030006 00000004 00000001")
    assert written(GoAway(7, 1)) == bytes.fromhex("80030007 00000008 00000007 00000001")
    assert written(RstStream(3, 3)) == bytes.fromhex("80030003 00000008 00000003 00000003")
    assert written(WindowUpdate(3, 9)) == bytes.fromhex("80030009 00000008 00000003 00000009")
    reply = written(SynReply(1, {}))
    assert reply[:12] == bytes.fromhex("80030002") + struct.pack(">II", len(reply) - 8, 1)
    assert zlib.decompressobj(zdict=DICTIONARY).decompress(reply[12:]) == bytes(4)


def test_a_stream_as_another_program_opens_it_is_read():
    plain = struct.pack(">I", 1) + b"\0\0\0\x0astreamtype" + b"\0\0\0\x05stdin"
    opened = control(1, struct.pack(">IIBB", 3, 0, 7 << 5, 0) + block(plain), flags=1)
    assert list(Reader().feed(opened)) == [SynStream(3, {"streamtype": "stdin"}, is_last=True)]


def test_header_blocks_build_on_those_before_them_even_of_frames_that_are_passed_over():
    packer = zlib.compressobj(zdict=DICTIONARY)
    plain = struct.pack(">I", 1) + b"\0\0\0\x0astreamtype" + b"\0\0\0\x05error"
    first, second = (packer.compress(plain) + packer.flush(zlib.Z_SYNC_FLUSH) for _ in range(2))
    assert len(second) < len(first)
    passed_over = control(8, struct.pack(">I", 1) + first)
    settings = control(4, struct.pack(">III", 1, 4, 100))
    opened = control(1, struct.pack(">IIH", 3, 0, 0) + second)
    assert list(Reader().feed(passed_over + settings + opened)) == [SynStream(3, {"streamtype": "error"})]


@pytest.mark.parametrize(
    "sent",
    [
        control(6, struct.pack(">I", 1), version=2),
        control(6, b"\0"),
        control(7, struct.pack(">I", 1)),
        control(1, struct.pack(">IIH", 1, 0, 0) + b"not compressed"),
        control(1, b"\0\0"),
        control(2, struct.pack(">I", 1) + block(struct.pack(">I", 1) + b"\0\0\0\x09short")),
        control(2, struct.pack(">I", 1) + block(struct.pack(">I", 1) + b"\0\0\0\x01\xff\0\0\0\0")),
        control(2, struct.pack(">I", 1) + block(bytes(1 << 20))),
    ],
    ids=["version", "ping", "goaway", "no zlib", "too short", "headers end", "no text", "too large"],
)
def test_what_is_no_spdy_is_an_error(sent):
    with pytest.raises(ProtocolError):
        list(Reader().feed(sent))


def test_more_than_fits_into_a_frame_is_not_cut_off():
    with pytest.raises(ValueError, match="more than fits"):
        written(Data(1, bytes(1 << 24)))
