"""The timeline of a host: what is on it, and that its drawing stays legible."""

from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest

from qualys_verify.evidence.result import Host, Look, Observation
from qualys_verify.evidence.timeline import Kind, draw, timeline
from tests.evidence import sample

BEFORE, AFTER = "Last assessment: 2026-03-23 09:12:44", "Last assessment: 2026-03-23 12:14:31"


def host(*observations):
    return Host("web1", {}, "transcripts/web1.txt", (), observations)


def seen(name, start, text, *readings, **changes):
    looks = tuple(Look(sample.at(at), number, said) for number, (at, said) in enumerate(readings, 1))
    made = Observation(name, sample.at(start), 0.1, "seen", text, looks, ())
    return msgspec.structs.replace(made, **changes)


def polled(count, *, every=15, text=f"executed: before: {BEFORE}; after: {AFTER}", outcome="seen"):
    readings = [(20 + every * number, BEFORE) for number in range(count - 1)]
    readings.append((20 + every * (count - 1), AFTER))
    return seen("scan_execution", 10, text, *readings, outcome=outcome, took=every * count)


ASKED = (
    seen("assessment_before", 3, BEFORE, (3, BEFORE)),
    seen("scan", 4, "vm: accepted, ControlId 1.0", (4.5, "vm: accepted, ControlId 1.0")),
)


def test_the_sample_tells_baseline_trigger_control_id_each_reading_and_the_advance():
    marks = timeline(sample.result().hosts[0]).marks
    assert [(mark.kind, mark.first, mark.text) for mark in marks] == [
        (Kind.BASELINE, sample.at(3), BEFORE),
        (Kind.TRIGGER, sample.at(4), "scan asked for"),
        (Kind.ANSWER, sample.at(4), "vm: accepted, ControlId 20260323120004.0"),
        (Kind.READING, sample.at(20), BEFORE),
        (Kind.READING, sample.at(35), "Last assessment: 2026-03-23 12:00:31"),
        (
            Kind.ADVANCE,
            sample.at(35),
            f"executed: before: {BEFORE}; after: Last assessment: 2026-03-23 12:00:31",
        ),
    ]


@pytest.mark.parametrize(
    "observations",
    [
        (),
        (seen("assessment_before", 3, BEFORE, (3, BEFORE)),),
        (seen("scan", 4, "not triggered: this is a --read-only run", outcome="not applicable"),),
        (seen("scan", 4, "no dialect", outcome="inconclusive"),),
    ],
)
def test_a_host_of_which_nothing_was_asked_has_no_timeline(observations):
    assert timeline(host(*observations)) is None


def test_a_request_whose_answer_was_lost_is_on_it():
    lost = seen("scan", 4, "web1: the connection broke", outcome="inconclusive", commands=(7,), took=2)
    marks = timeline(host(lost)).marks
    assert [mark.kind for mark in marks] == [Kind.TRIGGER, Kind.ANSWER]
    assert marks[1].first == sample.at(6)
    assert marks[1].text == "web1: the connection broke"


def test_a_host_that_waited_was_asked_when_its_wait_was_over():
    waits = (4, "waits: 10 hosts are being scanned (--max-triggers-at-once=10)"), (64, "waited: 60.0 s")
    asked = seen("scan", 4, "vm: accepted", *waits, (64.5, "vm: accepted"), commands=(7, 8), took=61)
    (lane,) = timeline(host(asked)).lanes
    assert [(mark.kind, mark.first) for mark in lane.marks] == [
        (Kind.READING, sample.at(4)),
        (Kind.READING, sample.at(64)),
        (Kind.TRIGGER, sample.at(64)),
        (Kind.ANSWER, sample.at(64.5)),
    ]
    assert [mark.text for mark in lane.marks[:2]] == [said for _, said in waits]


def test_a_host_that_waited_and_was_not_asked_has_no_timeline():
    waits = seen("scan", 4, "web1: not triggered", (4, "waits: 3.0 s"), outcome="inconclusive", took=60)
    assert timeline(host(waits)) is None


def test_both_requests_have_lanes_of_their_own():
    content = timeline(
        host(
            *ASKED,
            seen("policy_evaluation", 5, "pc: accepted", (5, "pc: accepted")),
            polled(3),
            seen("policy_execution", 70, "executed: pc: done", (70, "pc: done")),
        )
    )
    assert [lane.name for lane in content.lanes] == [
        "Before",
        "Scan asked",
        "Scan polled",
        "Policy evaluation asked",
        "Policy evaluation polled",
    ]


def test_equal_readings_are_one_mark_and_every_one_of_them_is_drawn():
    content = timeline(host(*ASKED, polled(61)))
    spans = [mark for mark in content.marks if mark.kind is Kind.READING]
    assert [(mark.count, mark.text) for mark in spans] == [(60, BEFORE), (1, AFTER)]
    assert spans[0].last - spans[0].first == timedelta(seconds=59 * 15)
    (row,) = [row for row in draw(content).rows if row.ticks]
    assert row.ticks.count("M") == 61
    assert row.label.text == "61 readings; executed, seen 12:15:20"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (f"unchanged: before: {BEFORE}; after: {BEFORE}", "seen"),
        ("web1: the log says nothing of it", "inconclusive"),
        ("executed: so it says", "inconclusive"),
    ],
)
def test_what_did_not_advance_is_no_advance(text, outcome):
    marks = timeline(host(*ASKED, polled(4, text=text, outcome=outcome))).marks
    assert Kind.ADVANCE not in {mark.kind for mark in marks}
    assert (marks[-1].kind, marks[-1].text, marks[-1].first) == (Kind.END, text, sample.at(70))


@pytest.mark.parametrize("every", [0, 0.001, 1, 15, 60, 86400, 86400 * 3000])
def test_the_axis_has_few_texts_that_do_not_touch_and_everything_stays_inside(every):
    drawing = draw(timeline(host(*ASKED, polled(480, every=every))))
    places = [x for x, _ in drawing.axis]
    assert 1 <= len(places) <= 9
    assert all(right - left >= 55 for left, right in pairwise(places))
    assert all(
        drawing.left <= point.x <= drawing.right <= drawing.width
        for row in drawing.rows
        for point in row.points
    )
    assert all(row.y < drawing.height for row in drawing.rows)


def test_what_was_made_at_one_instant_can_be_drawn():
    drawing = draw(timeline(host(seen("scan", 4, "vm: accepted", (4, "vm: accepted")))))
    assert {point.x for row in drawing.rows for point in row.points} == {drawing.left}


def test_a_long_text_is_cut_in_the_drawing_and_whole_in_the_list():
    text = "vm: not accepted, " + "and so on " * 40
    content = timeline(host(seen("scan", 4, text, (4, text))))
    assert content.marks[-1].text == text
    (row,) = draw(content).rows
    assert len(row.label.text) <= 62
    assert row.label.text.endswith("…")


def test_a_reading_s_lines_are_one_line_in_the_drawing():
    content = timeline(host(seen("scan", 4, "a", (4, "a\nb"))))
    assert draw(content).rows[0].label.text == "12:00:04 a b"


def test_a_host_as_it_is_read_from_run_json_has_the_same_timeline():
    found = sample.result().hosts[0]
    again = msgspec.json.decode(msgspec.json.encode(found), type=Host)
    assert timeline(again) == timeline(found)


@pytest.mark.parametrize("answered", [4.1, 10, 200, 400, 600, 890, 900])
@pytest.mark.parametrize("sent", [4, 300, 600, 899])
def test_a_label_stays_in_the_drawing_and_off_the_lanes_names(sent, answered):
    """Wherever the marks are: 62 characters need no more than 400 of the drawing's units."""
    long = "vm: not accepted, " + "and so on " * 40
    ends = seen("assessment_before", 0, BEFORE), seen("policy_evaluation", 900, "pc", (900, "pc"))
    drawing = draw(timeline(host(*ends, seen("scan", sent, long, (max(sent, answered), long)))))
    label = drawing.rows[1].label
    begins = label.x - 400 if label.ends else label.x
    assert drawing.left <= begins
    assert begins + 400 <= drawing.width
