"""The target's clock: stamps without a zone, clocks put back and forward, answers that are none."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.agent.clock import TOLERANCE, HostClock, parse_clock, parse_offset

HOUR = timedelta(hours=1)


def at(text):
    """A stamp as parsed: `25 02:30` is a local time, `25 02:30+01:00` carries its offset, in October 2026."""
    return datetime.fromisoformat(
        f"2026-10-{text.replace(' ', 'T')}:00" if len(text) == 8 else f"2026-10-{text}"
    )


def utc(text):
    return at(text).replace(tzinfo=UTC)


# Clocks are put back on the 25th at 03:00 (+02:00), which then is 02:00 (+01:00).
PUT_BACK = (HOUR, 2 * HOUR)
# … and this is how a change the other way would look in the same night.
PUT_FORWARD = (2 * HOUR, HOUR)


@pytest.mark.parametrize(
    ("offsets", "now", "stamp", "instant"),
    [
        ((HOUR * 0,), "24 12:00", "24 11:59", "24 11:59"),
        ((-5 * HOUR,), "24 12:00", "24 06:59", "24 11:59"),
        ((timedelta(hours=5, minutes=30),), "24 12:00", "24 17:29", "24 11:59"),
        (PUT_BACK, "25 12:00", "25 12:59", "25 11:59"),
        (PUT_BACK, "25 00:31", "25 02:30", "25 00:30"),  # the first pass: the second is yet to come
        (PUT_BACK, "25 01:31", "25 02:30", "25 01:30"),  # either pass: the later one
        (PUT_FORWARD, "25 12:00", "25 13:59", "25 11:59"),
        (PUT_FORWARD, "25 03:00", "25 03:30", "25 01:30"),  # never an hour younger than it is
    ],
)
def test_a_stamp_means_the_latest_instant_that_is_safe(offsets, now, stamp, instant):
    clock = HostClock(utc(now), offsets)
    assert clock.instant(at(stamp)) == utc(instant)
    assert clock.age(at(stamp)) == utc(now) - utc(instant)


def test_a_stamp_with_an_offset_needs_no_help():
    clock = HostClock(utc("25 12:00"), PUT_BACK)
    stamp = at("25 11:00").replace(tzinfo=timezone(-HOUR))
    assert clock.instant(stamp) == utc("25 12:00")


def test_a_clock_that_is_ahead_gives_a_negative_age():
    assert HostClock(utc("25 12:00"), (HOUR,)).age(at("25 16:00")) == -3 * HOUR


def test_a_log_tells_the_two_passes_of_an_hour_apart():
    clock = HostClock(utc("25 01:50"), PUT_BACK)
    stamps = [at(f"25 {time}") for time in ("01:50", "02:10", "02:45", "02:15", "02:40")]
    expected = [utc(f"2{time}") for time in ("4 23:50", "5 00:10", "5 00:45", "5 01:15", "5 01:40")]
    assert clock.instants(stamps) == tuple(expected)


def test_entries_out_of_order_by_a_moment_change_nothing():
    clock = HostClock(utc("25 10:00"), PUT_BACK)
    stamps = [at("25 10:00"), at("25 10:01").replace(second=30), at("25 10:01")]
    assert clock.instants(stamps) == tuple((stamp - HOUR).replace(tzinfo=UTC) for stamp in stamps)


@pytest.mark.parametrize(
    ("lines", "offsets"),
    [
        (["1774267200 +0000"], (0,)),
        (["1774267200 +0200", "1774180800 +0200"], (2,)),
        (["1774267200 +0100", "1774180800 +0200"], (1, 2)),
        (["1774267200 -0500", ""], (-5,)),
        (["1774267200 +0100", "1774180800 +0200", "1774094400 +0300"], (1, 2)),
        (["1774267200 -0500", "date: invalid date"], (-5,)),
    ],
)
def test_a_clocks_answer_is_read(lines, offsets):
    assert parse_clock(lines) == HostClock(
        datetime(2026, 3, 23, 12, tzinfo=UTC), tuple(timedelta(hours=offset) for offset in offsets)
    )


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["noon"],
        ["1774267200"],
        ["1774267200 CET"],
        ["x +0000"],
        ["1774267200 +9900"],
        ["9" * 30 + " +0000"],
    ],
)
def test_what_is_no_clock_is_an_error(lines):
    with pytest.raises(ValueError):
        parse_clock(lines)


@pytest.mark.parametrize(
    ("text", "minutes"), [("Z", 0), ("utc", 0), ("GMT", 0), ("+0530", 330), ("-05:00", -300), ("+0000", 0)]
)
def test_an_offset_is_read(text, minutes):
    assert parse_offset(text) == timedelta(minutes=minutes)


@given(st.text(max_size=8))
def test_an_offset_is_less_than_a_day_or_an_error(text):
    with suppress(ValueError):
        assert abs(parse_offset(text)) < timedelta(days=1)


@pytest.mark.parametrize("text", ["+2400", "-24:00", "+9959", "0100", "+01", "+1:00", "CET", ""])
def test_what_is_no_offset_is_an_error(text):
    with pytest.raises(ValueError, match="not an offset from UTC"):
        parse_offset(text)


def test_an_offset_may_be_a_minute_less_than_a_day():
    assert parse_offset("+23:59") == timedelta(hours=23, minutes=59)


def test_a_stamp_may_be_a_moment_ahead_of_the_clock():
    clock = HostClock(utc("25 12:00"), PUT_BACK)
    latest = (utc("25 12:00") + timedelta(seconds=90)).replace(tzinfo=None)
    assert timedelta(seconds=90) == TOLERANCE
    assert clock.instant(latest + HOUR) == utc("25 12:00") + TOLERANCE
    assert clock.instant(latest + HOUR + timedelta(seconds=1)) < utc("25 12:00")
