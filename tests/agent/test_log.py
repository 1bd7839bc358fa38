"""The log: every documented header, continuations, and lines that are neither."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.agent.log import LEVELS, excerpt, parse_header, parse_log

STAMP = datetime.fromisoformat("2026-03-23 10:11:12.345")  # as local as in the log
EST = timezone(timedelta(hours=-5))
LONGEST = 1 << 17


@pytest.mark.parametrize(
    ("line", "stamp", "logger", "level", "message"),
    [
        (
            "2026-03-23 10:11:12.345 [agent][1]:[Information]:[123456789123456]:said",
            STAMP,
            "agent",
            "information",
            "said",
        ),
        ("2026-03-23 10:11:12.345 [agent][1]:[Error]:said", STAMP, "agent", "error", "said"),
        ("2026-03-23 10:11:12.345 [agent.scan][1]:[Warning]:said", STAMP, "agent.scan", "warning", "said"),
        (
            "2026-03-23 10:11:12.345 -0500 [agent][1]:[Error]:said",
            STAMP.replace(tzinfo=EST),
            "agent",
            "error",
            "said",
        ),
        (
            "2026-03-23 10:11:12.345 +0000 [agent][1]:[Error]:said",
            STAMP.replace(tzinfo=UTC),
            "agent",
            "error",
            "said",
        ),
        (
            "2026-03-23 10:11:12.345 GMT [agent][1]:[Error]:said",
            STAMP.replace(tzinfo=UTC),
            "agent",
            "error",
            "said",
        ),
        (
            "2026-03-23T10:11:12.345Z [agent][1]:[Error]:said",
            STAMP.replace(tzinfo=UTC),
            "agent",
            "error",
            "said",
        ),
        ("2026-03-23 10:11:12,345 [agent] [1]: [Error]: [7]: said\r", STAMP, "agent", "error", "said"),
        (
            "2026-03-23 10:11:12 [agent][1]:[Trace]:said",
            STAMP.replace(microsecond=0),
            "agent",
            "trace",
            "said",
        ),
        ("2026-03-23 10:11:12.345 [agent][1]:[FATAL]:said", STAMP, "agent", "fatal", "said"),
        ("2026-03-23 10:11:12.345 [agent][1]:[warn]:said", STAMP, "agent", "warning", "said"),
        ("2026-03-23 10:11:12.345 [agent][1]:[Error]:", STAMP, "agent", "error", ""),
        ("2026-03-23 10:11:12.345 [agent][1]:[Error]:[7] said", STAMP, "agent", "error", "[7] said"),
    ],
)
def test_every_header_is_read(line, stamp, logger, level, message):
    entry = parse_header(line)
    assert (entry.stamp, entry.logger, entry.level, entry.message) == (stamp, logger, level, message)
    assert entry.stamp.tzinfo == stamp.tzinfo


@pytest.mark.parametrize(
    "line",
    [
        "",
        "said",
        ' "title": "fatal error"',
        "2026-03-23 10:11:12.345 said",
        "2026-03-23 10:11:12.345 [agent][1]:[Verbose]:said",
        "2026-03-23 10:11:12.345 [agent][one]:[Error]:said",
        "2026-02-30 10:11:12.345 [agent][1]:[Error]:said",
        "2026-03-23 25:11:12.345 [agent][1]:[Error]:said",
        "2026-03-23 10:11:12.345 +9900 [agent][1]:[Error]:said",
        "0001-01-01 00:00:00.000 [agent][1]:[Error]:said",
        "x 2026-03-23 10:11:12.345 [agent][1]:[Error]:said",
    ],
)
def test_everything_else_is_a_continuation(line):
    assert parse_header(line) is None


LOG = """\
 "cut": "off"}
2026-03-23 10:11:12.345 [agent][1]:[Information]:first
{
  "title": "a fatal error [agent][1]:[Fatal]:"
}
2026-03-23 10:11:13.000 [agent][1]:[Error]:second
\0\0\0"""


def test_lines_without_a_header_continue_the_entry_before():
    first, second = parse_log(LOG)
    assert (first.message, first.body) == (
        "first",
        ("{", '  "title": "a fatal error [agent][1]:[Fatal]:"', "}"),
    )
    assert (second.message, second.body) == ("second", ("",))


def test_an_excerpt_has_headers_only():
    head, *lines = excerpt(LOG, 5).splitlines()
    assert lines == [
        "2026-03-23 10:11:12 [information] first [+ 3 lines]",
        "2026-03-23 10:11:13 [error] second [+ 1 lines]",
    ]
    assert head == (
        f"[{len(LOG.encode())} bytes read, SHA-256 {sha256(LOG.encode()).hexdigest()}; the last 2 of 2 entries]"
    )


def test_an_excerpt_says_how_much_it_leaves_out():
    head, *lines = excerpt(LOG, 1).splitlines()
    assert head.endswith("; the last 1 of 2 entries]")
    assert [line[:19] for line in lines] == ["2026-03-23 10:11:13"]


def test_a_reader_is_spared_a_message_as_long_as_a_payload():
    entry = parse_header("2026-03-23 10:11:12 [agent][1]:[Error]:" + "x" * LONGEST)
    assert len(entry.message) == LONGEST
    assert len(str(entry)) < 400


WORDS = st.text(st.characters(exclude_characters="\0\r\n"), max_size=40)
OFFSETS = st.one_of(
    st.none(), st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
)
MILLISECONDS = st.builds(
    lambda when, zone: when.replace(microsecond=when.microsecond // 1000 * 1000, tzinfo=zone),
    st.datetimes(datetime.fromisoformat("1970-01-01"), datetime.fromisoformat("2199-12-31")),
    OFFSETS,
)


def written(stamp, logger, level, thread, message):
    """An entry as the agent writes it."""
    offset = f" {stamp:%z}" if stamp.tzinfo else ""
    thread = f"[{thread}]:" if thread is not None else ""
    millisecond = stamp.microsecond // 1000
    return f"{stamp:%Y-%m-%d %H:%M:%S}.{millisecond:03}{offset} [{logger}][712]:[{level}]:{thread}{message}"


@given(
    MILLISECONDS,
    st.from_regex(r"[a-z.-]{1,20}", fullmatch=True),
    st.sampled_from([level.capitalize() for level in LEVELS]),
    st.one_of(st.none(), st.integers(0, 1 << 63)),
    WORDS.map(str.strip).filter(lambda text: not text.startswith("[")),
)
def test_what_is_written_is_read_back(stamp, logger, level, thread, message):
    line = written(stamp, logger, level, thread, message)
    entry = parse_header(line)
    assert (entry.stamp, entry.logger, entry.level, entry.message) == (stamp, logger, level.lower(), message)
    assert entry.stamp.utcoffset() == stamp.utcoffset()


@given(st.lists(st.one_of(WORDS, st.just("2026-03-23 10:11:12.345 [agent][1]:[Error]:said")), max_size=30))
def test_no_line_after_the_first_header_is_lost(lines):
    entries = parse_log("\n".join(lines))
    headers = [index for index, line in enumerate(lines) if parse_header(line)]
    assert len(entries) == len(headers)
    if headers:
        assert sum(1 + len(entry.body) for entry in entries) == len(lines) - headers[0]


@given(st.text())
def test_any_text_is_read(text):
    parse_log(text)
    parse_header(f"2026-03-23 10:11:12{text}")


@pytest.mark.parametrize(
    "head",
    ["", "2026-03-23 10:11:12 ", "2026-03-23 10:11:12 [", "2026-03-23 10:11:12 [agent][1]:[Error]: [1] "],
)
@pytest.mark.parametrize("filler", [" ", "[", "1", "]", "a", "[1]", "\t ", "\r", "2026-03-23 10:11:12 ["])
def test_an_enormous_line_takes_no_time(head, filler):
    began = time.process_time()
    parse_log(head + filler * (LONGEST // len(filler)) + "x")
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("fraction", ["3", "34", "345", "3450", "345000", "3450009", "345000999"])
def test_a_fraction_of_any_length_is_read(fraction):
    stamp = parse_header(f"2026-03-23 10:11:12.{fraction} [agent][1]:[Error]:said").stamp
    assert stamp.microsecond == int(fraction[:6].ljust(6, "0"))


def test_a_stamp_may_carry_any_of_the_names_of_utc():
    for name in ("UTC", "GMT", "Z", "+00:00"):
        assert parse_header(f"2026-03-23 10:11:12.345 {name} [a][1]:[Error]:said").stamp.tzinfo == UTC


def test_a_long_message_is_shown_by_its_beginning_and_compared_without_its_payload():
    entry = parse_header(f"2026-03-23 10:11:12 [a][1]:[Error]:{'x' * 301}")
    assert str(entry) == f"2026-03-23 10:11:12 [error] {'x' * 300}"
    assert replace(entry, body=("payload",)) == entry
