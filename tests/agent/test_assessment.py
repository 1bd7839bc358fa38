"""`Last assessment`: how it may be written, and when it has advanced."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.agent.assessment import (
    Kind,
    Reading,
    has_advanced,
    has_gone_back,
    keeps_pace,
    lies_ahead,
    may_be_time_of_asking,
    parse_stamp,
    parse_status,
)
from qualys_verify.agent.clock import HostClock

NOON = datetime(2026, 3, 23, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def local(text):
    """A local time, of whatever zone."""
    return datetime.fromisoformat(text)


EVENING = local("2026-11-01 20:15")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-01 20:15:00",
        "2026-11-01 20:15:00.000",
        "2026-11-01 20:15:00,123",
        "2026-11-01T20:15:00",
        "2026-11-01 at 20:15:00",
        "2026/11/01 20:15:00",
        "2026.11.01 20:15:00",
        "20261101201500",
        "20261101T201500",
        "20261101 20:15:00",
        "Sun Nov  1 20:15:00 2026",
        "Sun Nov 1 20:15:00 CET 2026",
        "Sun Nov  1 08:15:00 PM EST 2026",
        "Sun 01 Nov 2026 08:15:00 PM CET",
        "Sun, 1 Nov 2026 20:15:00",
        "Sunday, November 1, 2026 at 8:15:00 PM",
        "Nov 1, 2026 8:15:00 p.m.",
        "November 1st, 2026 20:15:00",
        "1st Nov 2026 20:15:00",
        "1 Nov 2026 20:15:00",
        "01-Nov-2026 20:15:00",
        "01/Nov/2026 20:15:00",
        "1. Nov 2026, 20:15:00",
        "01.11.2026 20:15:00",
        "2026-11-01 20:15:00 CEST",
        "2026-11-01 20:15:00 (3 hours ago)",
        "2026-11-01 20:15:00 (local time)",
        "'2026-11-01 20:15:00'",
    ],
)
def test_the_usual_ways_of_writing_a_timestamp_are_read(text):
    stamp = parse_stamp(text)
    assert (stamp.when, stamp.resolution) == (EVENING, SECOND)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("2026-11-01T20:15:00Z", 0),
        ("2026-11-01 20:15:00 UTC", 0),
        ("2026-11-01 20:15:00 (UTC)", 0),
        ("2026-11-01 20:15:00 +0000", 0),
        ("2026-11-01T20:15:00.123+01:00[Europe/Berlin]", 1),
        ("2026-11-01 20:15:00 GMT+0100", 1),
        ("2026-11-01 20:15:00 UTC+0100", 1),
        ("Sun Nov  1 20:15:00 UTC 2026", 0),
        ("Sun Nov  1 20:15:00 -0500 2026", -5),
        ("Sun, 01 Nov 2026 20:15:00 -0500", -5),
        ("Sun 01 Nov 2026 08:15:00 PM UTC", 0),
        ("20261101T201500Z", 0),
    ],
)
def test_a_zone_that_is_printed_counts(text, offset):
    when = parse_stamp(text).when
    assert when == EVENING.replace(tzinfo=timezone(offset * HOUR))
    assert when.utcoffset() == offset * HOUR


@pytest.mark.parametrize("text", ["1793564100", "1793564100123", "1793564100.5"])
def test_seconds_since_the_epoch_are_read(text):
    assert parse_stamp(text).when == EVENING.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "resolution"),
    [
        ("2026-11-01 20:15", MINUTE),
        ("2026/11/01 20:15", MINUTE),
        ("2026-11-01T20:15Z", MINUTE),
        ("Nov 1, 2026 8:15 PM", MINUTE),
        ("2026-11-01", 24 * HOUR),
        ("1 November 2026", 24 * HOUR),
    ],
)
def test_the_step_that_it_is_printed_in_is_known(text, resolution):
    assert parse_stamp(text).resolution == resolution


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("11/21/2026 20:15", local("2026-11-21 20:15")),
        ("21/11/2026 20:15", local("2026-11-21 20:15")),
        ("03/03/2026 20:15", local("2026-03-03 20:15")),
        ("03/04/2026 20:15", None),
        ("11/12/2026 20:15", None),
        ("2026-11-01 12:15 AM", local("2026-11-01 00:15")),
        ("2026-11-01 12:15 PM", local("2026-11-01 12:15")),
        ("2026-11-01 00:15 PM", None),
        ("2026-11-01 13:15 PM", None),
    ],
)
def test_what_could_mean_two_is_not_read(text, when):
    assert getattr(parse_stamp(text), "when", None) == when


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "20:15:00",
        "2026-02-30 10:00:00",
        "2026-11-01 25:00:00",
        "2026-11-01 13:15 PM",
        "2026-13-01 10:00:00",
        "2026-11-01 20:15:00 +9999",
        "2026-11-01 20:15:00 FAILED",
        "2026-11-01 20:15:00 (failed)",
        "0001-01-01 00:00:00",
        "failed 2026-11-01 20:15:00",
        "99/99/2026 10:00",
        "2026-11-01 20:15:00 " + " " * 200,
        "Foo 1 2026 20:15:00",
    ],
)
def test_what_is_no_timestamp_is_not_read(text):
    assert parse_stamp(text) is None


FORMATS = [
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%z",
    "%a %b %d %H:%M:%S %Y",
    "%d %b %Y %I:%M:%S %p",
    "%Y%m%d%H%M%S",
]


@given(st.datetimes(local("1970-01-01"), local("2199-12-31")), st.sampled_from(FORMATS))
def test_what_is_written_is_read_back(when, form):
    zone = UTC if "%z" in form else None
    assert parse_stamp(when.replace(tzinfo=zone).strftime(form)).when == when.replace(
        microsecond=0, tzinfo=zone
    )


@pytest.mark.parametrize(
    ("output", "kind", "said"),
    [
        ("Last assessment: 2026-11-01 20:15:00\n", Kind.STAMP, "2026-11-01 20:15:00"),
        (
            "Agent: running\n  last assessment = 2026-11-01 20:15:00 \r\nBye\n",
            Kind.STAMP,
            "2026-11-01 20:15:00",
        ),
        ("* Last Assessment Time: 2026-11-01 20:15\n", Kind.STAMP, "2026-11-01 20:15:00"),
        ('{\n  "last_assessment": "2026-11-01T20:15:00Z",\n}', Kind.STAMP, "2026-11-01 20:15:00+00:00"),
        ("\x1b[1mLast assessment:\x1b[0m 2026-11-01 20:15:00", Kind.STAMP, "2026-11-01 20:15:00"),
        ("Last assessment: 2026-11-01", Kind.STAMP, "2026-11-01"),
        ("Last assessment: 2026-11-01 20:15:00\n" * 2, Kind.STAMP, "2026-11-01 20:15:00"),
        ("Last assessment: never", Kind.NEVER, "never"),
        ("Last assessment: N/A", Kind.NEVER, "N/A"),
        ("Last assessment: Not yet assessed", Kind.NEVER, "Not yet assessed"),
        ("Last assessment: \n", Kind.NEVER, "(empty)"),
        ("Last assessment: 03/04/2026 20:15", Kind.UNREADABLE, "03/04/2026 20:15"),
        ("Last assessment: failed", Kind.UNREADABLE, "failed"),
        (
            "Last assessment: never\nLast assessment: 2026-11-01 20:15:00",
            Kind.UNREADABLE,
            "never; 2026-11-01 20:15:00",
        ),
        (
            "Error: Invalid key name in status\n",
            Kind.LIMITED,
            "`status` answers: Error: Invalid key name in status",
        ),
        ("Error: Invalid key name in scan\n", Kind.UNEXPECTED, "Error: Invalid key name in scan"),
        (
            "There was no Last assessment: 2026-11-01 20:15:00",
            Kind.UNEXPECTED,
            "There was no Last assessment: 2026-11-01 20:15:00",
        ),
        ("Segmentation fault", Kind.UNEXPECTED, "Segmentation fault"),
        ("", Kind.UNEXPECTED, "(nothing printed)"),
    ],
)
def test_an_answer_of_status_is_read(output, kind, said, clock):
    reading = parse_status(output, clock)
    assert (reading.kind, reading.said) == (kind, said)
    assert (reading.stamp is not None) == (kind is Kind.STAMP)
    assert said in str(reading)


@pytest.mark.parametrize(
    ("value", "answer", "usable"),
    [
        ("2026-11-01 20:15", "shows the last assessment", True),
        ("never", "has never assessed", True),
        ("2026-11-01", "shows the last assessment", False),  # cannot tell one assessment from the next
        ("soon", "shows a last assessment that cannot be read", False),
    ],
)
def test_what_an_answer_is_good_for(value, answer, usable, clock):
    reading = parse_status(f"Last assessment: {value}", clock)
    assert (reading.answer, reading.is_usable) == (answer, usable)


def test_an_unknown_answer_is_shown(clock):
    assert parse_status("Segmentation fault", clock).answer == "unexpected: Segmentation fault"


@given(st.text())
def test_any_answer_is_read(text):
    clock = HostClock(NOON, (HOUR, 2 * HOUR))
    for output in (text, f"Last assessment: {text}", f"Last assessment: 2026-11-01 {text}"):
        reading = parse_status(output, clock)
        assert str(reading)
        assert not has_advanced(reading, reading, NOON)
        assert not has_gone_back(reading, reading)


@pytest.mark.parametrize(
    "head", ["", "Last assessment: a", "Last assessment", "Last assessment: 2026-11-01 20:15:00 "]
)
@pytest.mark.parametrize("filler", [" ", "Last assessment: ", "\n", "\n ", "(", "\x1b[", "1", "*", '\n"'])
def test_an_enormous_answer_takes_no_time(head, filler, clock):
    began = time.process_time()
    parse_status(head + filler * ((1 << 18) // len(filler)) + "x", clock)
    assert time.process_time() - began < 1


def reading(shown, now=NOON + 5 * MINUTE, offsets=(timedelta(0),)):
    """An answer of `status` at `now`, on a host with these offsets from UTC."""
    return parse_status(f"Last assessment: {shown}", HostClock(now, offsets))


BEFORE = "2026-03-23 08:00:00"


@pytest.mark.parametrize(
    ("before", "after", "offsets"),
    [
        (BEFORE, "2026-03-23 12:04:00", [0]),
        (BEFORE, "2026-03-23 12:00:00", [0]),  # in the second of the trigger
        ("2026-03-23 08:00", "2026-03-23 12:00", [0]),  # may be 12:00:59
        ("never", "2026-03-23 12:04:00", [0]),
        (BEFORE, "2026-03-23 14:04:00", [2]),
        (BEFORE, "2026-03-23 12:04:00", [2]),  # printed in UTC
        (BEFORE, "2026-03-23 12:04:00", [-5]),
        (BEFORE, "2026-03-23 07:04:00 -0500", [9]),
        (BEFORE, "Mon Mar 23 12:04:00 UTC 2026", [2]),
        (BEFORE, "2026-03-23 12:05:59", [0]),  # the clock was read a little earlier
    ],
)
def test_an_assessment_after_the_request_has_advanced(before, after, offsets):
    offsets = tuple(offset * HOUR for offset in offsets)
    one, other = reading(before, NOON, offsets), reading(after, offsets=offsets)
    assert has_advanced(one, other, NOON)
    assert not has_gone_back(one, other)


@pytest.mark.parametrize(
    ("before", "after", "offsets"),
    [
        (BEFORE, BEFORE, [0]),
        (BEFORE, "2026-03-23 11:59:59", [0]),  # an interval scan that ended before the request
        ("2026-03-23 08:00", "2026-03-23 11:58", [0]),
        ("never", "never", [0]),
        ("never", "2026-03-23 11:00:00", [0]),
        ("2026-03-23 12:00", "2026-03-23 12:00", [0]),
        (BEFORE, "2026-03-23 12:30:00", [0]),  # not yet
        (BEFORE, "2026-03-23 13:00:00", [2]),  # neither local time nor UTC
        (BEFORE, "2026-03-23 13:59:59", [2]),
        (BEFORE, "soon", [0]),
        (BEFORE, "2026-03-24", [0]),
    ],
)
def test_anything_else_has_not(before, after, offsets):
    offsets = tuple(offset * HOUR for offset in offsets)
    one, other = reading(before, NOON, offsets), reading(after, offsets=offsets)
    assert not has_advanced(one, other, NOON)
    assert not has_gone_back(one, other)


@pytest.mark.parametrize(
    "after", ["2026-03-23 07:59:59", "2026-03-22 12:04:00", "never", "2026-03-23 06:00:00 +0000"]
)
def test_a_stamp_that_is_earlier_or_lost_has_gone_back(after):
    one, other = reading(BEFORE), reading(after)
    assert has_gone_back(one, other)
    assert not has_advanced(one, other, NOON)


def test_an_answer_that_says_nothing_neither_advances_nor_goes_back(clock):
    limited = Reading(clock, Kind.LIMITED, "Invalid key name in status")
    for one, other in ((limited, reading(BEFORE)), (reading(BEFORE), limited)):
        assert not has_advanced(one, other, NOON)
        assert not has_gone_back(one, other)


CHANGE = datetime(2026, 10, 25, 1, tzinfo=UTC)  # 03:00 (+02:00) becomes 02:00 (+01:00)
SUMMER, CHANGED = (2 * HOUR,), (HOUR, 2 * HOUR)


def test_clocks_put_back_advance_nothing():
    before = reading("2026-10-25 02:20:00", CHANGE - 35 * MINUTE, SUMMER)
    after = reading("2026-10-25 02:20:00", CHANGE + 30 * MINUTE, CHANGED)
    assert not has_advanced(before, after, CHANGE - 35 * MINUTE)
    assert not has_gone_back(before, after)


def test_an_assessment_while_clocks_are_put_back_has_advanced():
    before = reading("2026-10-25 02:50:00", CHANGE - 5 * MINUTE, SUMMER)
    after = reading("2026-10-25 02:04:00", CHANGE + 5 * MINUTE, CHANGED)
    assert has_advanced(before, after, CHANGE - 4 * MINUTE)
    assert not has_gone_back(before, after)


def test_an_assessment_while_clocks_are_put_forward_has_advanced():
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    before = reading("2026-03-29 01:50:00", change - 5 * MINUTE, (HOUR,))
    after = reading("2026-03-29 03:04:00", change + 5 * MINUTE, (2 * HOUR, HOUR))
    assert has_advanced(before, after, change - 4 * MINUTE)


def test_what_is_shown_of_a_long_answer_is_its_beginning(clock):
    assert parse_status("x" * 200, clock).said == "x" * 120
    assert parse_status(f"Last assessment: {'x' * 200}", clock).said == "x" * 80


def test_a_timestamp_is_not_as_long_as_a_page():
    for length, is_one in ((100, True), (101, False)):
        text = f"2026-11-01 20:15:00 ({'x'.rjust(length - 26)} ago)"
        assert len(text) == length
        assert (parse_stamp(text) is not None) == is_one


@pytest.mark.parametrize(
    ("shown", "offsets", "ahead"),
    [
        ("2026-03-23 11:59:00", [0], False),
        ("2026-03-23 12:01:30", [0], False),
        ("2026-03-23 12:01:31", [0], True),
        ("2026-03-23 12:00:00", [-2], False),  # in UTC it is now
        ("2026-03-23 14:00:00", [2], False),
        ("2026-03-23 12:01:31 +0000", [2], True),
        ("never", [0], False),
    ],
)
def test_a_stamp_lies_ahead_when_it_does_in_any_zone(shown, offsets, ahead):
    assert lies_ahead(reading(shown, NOON, tuple(offset * HOUR for offset in offsets))) == ahead


@pytest.mark.parametrize(("after", "has"), [("12:06:30", True), ("12:06:31", False)])
def test_an_assessment_may_be_a_moment_ahead_of_the_clock(after, has):
    assert has_advanced(reading(BEFORE), reading(f"2026-03-23 {after}"), NOON) == has


@pytest.mark.parametrize(
    "word",
    [
        "",
        "none",
        "Never",
        "n/a",
        "NA",
        "-",
        "---",
        "null",
        "nil",
        "not yet",
        "not available",
        "not assessed",
        "unknown",
        "0",
    ],
)
def test_the_usual_words_for_never_are_read(word, clock):
    assert parse_status(f"Last assessment: {word}", clock).kind is Kind.NEVER


@pytest.mark.parametrize(
    "name",
    [
        "Last assessment",
        "last_assessment",
        "LAST-ASSESSMENT",
        "Last Assessment Time",
        "lastAssessmentDate",
        "last assessment timestamp",
    ],
)
@pytest.mark.parametrize("form", ["{}: {}", "{} = {}", " * {}: {}", '"{}": "{}",'])
def test_the_usual_ways_of_naming_it_are_read(name, form, clock):
    seen = parse_status(form.format(name, "2026-03-23 08:00:00"), clock)
    assert (seen.kind, str(seen.stamp)) == (Kind.STAMP, "2026-03-23 08:00:00")


@pytest.mark.parametrize(
    ("text", "day"), [("1st", 1), ("2nd", 2), ("3rd", 3), ("4th", 4), ("5", 5), ("06", 6)]
)
def test_a_day_may_be_written_as_a_number_in_a_row(text, day):
    assert parse_stamp(f"November {text}, 2026 20:15").when == EVENING.replace(day=day)


@pytest.mark.parametrize(
    ("before", "shown", "offsets", "may"),
    [
        (None, "2026-03-23 12:05:00", [0], True),
        (None, "2026-03-23 12:04:55", [0], True),
        (None, "2026-03-23 12:05:05", [0], True),
        (None, "2026-03-23 12:04:54", [0], True),  # within the second that it is printed in
        (None, "2026-03-23 12:04:53", [0], False),
        (None, "2026-03-23 14:05:00", [2], True),
        (None, "2026-03-23 12:05:00", [2], True),  # printed in UTC
        (None, "2026-03-23 13:05:00", [2], False),
        (None, "2026-03-23 12:04", [0], True),
        (None, "2026-03-23 12:03", [0], False),
        (None, "never", [0], False),
        ("never", "2026-03-23 12:05:00", [0], True),
        ("2026-03-23 08:00:00", "2026-03-23 12:05:00", [0], True),  # it shows that it ended just now
        ("2026-03-23 08:00:00", "2026-03-23 12:04:55", [0], True),
        ("2026-03-23 08:00:00", "2026-03-23 12:04:54", [0], False),
        ("2026-03-23 08:00", "2026-03-23 12:04", [0], False),
        ("2026-03-23 11:59:50", "2026-03-23 12:04:50", [0], True),  # as late as before
        ("2026-03-23 11:59:50", "2026-03-23 12:04:44", [0], True),
        ("2026-03-23 11:59:50", "2026-03-23 12:04:43", [0], False),
    ],
)
def test_a_stamp_may_be_the_time_of_asking_when_it_lies_at_the_clock(before, shown, offsets, may):
    offsets = tuple(offset * HOUR for offset in offsets)
    one = before and reading(before, NOON, offsets)
    assert may_be_time_of_asking(reading(shown, NOON + 5 * MINUTE, offsets), one) == may


@pytest.mark.parametrize(
    ("one", "other", "keeps"),
    [
        ("12:00:00", "12:05:00", True),
        ("12:00:00", "12:04:54", True),
        ("12:00:00", "12:04:53", False),
        ("12:00:00", "12:00:00", False),
        ("11:59:00", "12:04:00", True),
        ("12:00", "12:05", True),
        ("12:00", "12:00", False),
    ],
)
def test_a_stamp_keeps_pace_when_it_moves_as_the_clock_does(one, other, keeps):
    first, then = reading(f"2026-03-23 {one}", NOON), reading(f"2026-03-23 {other}", NOON + 5 * MINUTE)
    assert keeps_pace(first, then) == keeps


def test_a_stamp_that_moves_no_step_while_the_clock_hardly_does_stays_where_it_is():
    first, then = (reading("2026-03-23 12:00:00", NOON + timedelta(seconds=late)) for late in (0, 3))
    assert not keeps_pace(first, then)


def test_what_is_no_stamp_keeps_no_pace():
    for one, other in (("never", BEFORE), (BEFORE, "never")):
        assert not keeps_pace(reading(one), reading(other))


@pytest.mark.parametrize("zone", ["CET", "EST", "WEST", "MSK", "WIB"])
def test_a_zones_name_alone_is_the_targets_own(zone):
    assert parse_stamp(f"Mon Nov  2 20:15:00 {zone} 2026").when == EVENING.replace(day=2)
