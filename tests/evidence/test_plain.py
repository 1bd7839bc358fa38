"""What the renderers share: times, texts, names, and which waiver stands beside a verdict."""

from datetime import datetime, timedelta, timezone

import pytest

from qualys_verify.evidence.events import Ended
from qualys_verify.evidence.plain import (
    for_encoding,
    looked,
    name_of,
    one_line,
    printable,
    remembered,
    said,
    shortened,
    state_of,
    utc,
    waiver_on,
)
from qualys_verify.verdict import Verdict
from tests.evidence import odd, sample


def test_times_are_utc_whatever_zone_they_come_in():
    assert utc(datetime(2026, 3, 23, 14, tzinfo=timezone(timedelta(hours=2)))) == "2026-03-23T12:00:00Z"
    assert utc(sample.at(0.25)) == "2026-03-23T12:00:00.250000Z"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\\rb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2028b", "a\\u2028b"),
        ("\ufffe", "\\ufffe"),
        ("é漢\U0001f4a5", "é漢\U0001f4a5"),
        ("\\x1b", "\\x1b"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text, shown):
    assert printable(text) == shown


def test_one_line_is_one_and_has_no_white_space_at_its_ends():
    assert one_line("  a\n\n b\x85c\t") == "a b\\x85c"
    assert not one_line(" \n ")


def test_what_is_cut_says_how_long_it_was():
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3).startswith("abc … (the first 3 of 4 characters")


def test_names_differ_wherever_their_parts_are_cut():
    run = sample.result().run
    names = [("a", "b"), ("ab",), ("a\x00b",), ("a", "", "b"), ("b", "a"), ("a", "0:b"), ("a\x001:b",)]
    assert len({name_of(run, *parts) for parts in names}) == len(names)
    assert name_of(run, "a") == name_of(run, "a")


def test_a_look_is_as_long_as_what_it_rests_on():
    result = sample.result()
    good, _, lost = result.hosts
    assert looked(good, good.assessments[0]) == (sample.at(1), sample.at(2.1))
    assert looked(lost, lost.assessments[0]) == (sample.at(1), sample.at(1.1))
    assert looked(result.hosts[1], result.hosts[1].assessments[4]) is None


def test_what_is_said_is_said_once():
    (host,) = odd.hostile("x").hosts
    assert said(host.assessments[0]) == "x"


def test_how_a_run_ended():
    assert state_of(sample.result().run) == "complete"
    assert state_of(odd.killed().run).startswith("incomplete")
    events = [event for event in sample.events() if not isinstance(event, Ended)]
    assert state_of(sample.result([*events, Ended(sample.at(9), 2, "Ctrl-C")]).run) == "interrupted: Ctrl-C"
    assert state_of(sample.result([*events, Ended(sample.at(9), 2, "")]).run) == "interrupted: before its end"


@pytest.mark.parametrize(("length", "times"), [(3, 1), (1_000, 1), (1_001, 2)])
def test_only_what_is_made_of_short_texts_is_kept(length, times):
    made = []

    @remembered
    def upper(text):
        made.append(text)
        return text.upper()

    assert {upper("a" * length), upper("a" * length)} == {"A" * length}
    assert len(made) == times


def waivers_beside(result):
    host = result.hosts[1]
    found = [waiver_on(result.waivers, host, item) for item in host.assessments]
    return [use and f"{use.waiver.id} {use.state}" for use in found]


def test_a_waiver_stands_beside_what_it_covers_and_nothing_else():
    assert waivers_beside(sample.result()) == [None, None, "W-1 applied", None, None]
    assert waivers_beside(odd.expired()) == [None, None, "W-1 expired", None, None]


def test_a_waiver_that_is_not_in_force_says_nothing_of_what_is_as_it_should_be():
    result = odd.clean(Verdict.COMPLIANT)
    (host,) = result.hosts
    assert waiver_on(odd.expired().waivers, host, host.assessments[0]) is None


def test_a_terminal_without_the_symbols_gets_others():
    assert for_encoding("✔ ✘ … ü", "ascii") == "+ x ... ?"
    assert for_encoding("✔ ü", "utf-8") == "✔ ü"
