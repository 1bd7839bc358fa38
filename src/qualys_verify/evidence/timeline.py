"""When a host was asked for something, and what was seen from then on: the marks of a timeline, and its drawing.

Made from the observations of runbook steps 3 to 5 alone. All times are UTC. Nothing here is HTML: the drawing is
numbers and texts, and whoever puts it into a page escapes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from qualys_verify.evidence.result import Host, Look, Observation

_BASELINE = "assessment_before"
# What each trigger is called here, its observation, and the one that waits for it to be carried out.
_TRIGGERS = (
    ("Scan", "scan", "scan_execution"),
    ("Policy evaluation", "policy_evaluation", "policy_execution"),
)
# How an execution that was carried out begins to speak (agent/execution.py).
_EXECUTED = "executed:"
# How the readings begin of a host that waited before it was asked (gate.py).
_WAITS = ("waits:", "waited:")


class Kind(StrEnum):
    """What happened at a mark."""

    BASELINE = "baseline"
    TRIGGER = "trigger"
    ANSWER = "answer"
    READING = "reading"
    ADVANCE = "advance"
    END = "end of the wait"


@dataclass(frozen=True)
class Mark:
    """One thing that happened, or `count` readings in a row that read the same, from `first` to `last`."""

    kind: Kind
    first: datetime
    last: datetime
    count: int
    text: str


@dataclass(frozen=True)
class Lane:
    """What belongs on one line of the drawing: its marks, and the instant of each single reading."""

    name: str
    marks: tuple[Mark, ...]
    readings: tuple[datetime, ...] = ()


@dataclass(frozen=True)
class Timeline:
    """A host's baseline, its triggers, and the readings that followed each."""

    lanes: tuple[Lane, ...]

    @property
    def marks(self) -> tuple[Mark, ...]:
        """All marks, lane by lane."""
        return tuple(mark for lane in self.lanes for mark in lane.marks)

    @property
    def first(self) -> datetime:
        """When it begins."""
        return min(mark.first for mark in self.marks)

    @property
    def last(self) -> datetime:
        """When it ends."""
        return max(mark.last for mark in self.marks)


def timeline(host: Host) -> Timeline | None:
    """The timeline of a host; None where nothing was triggered."""
    made = {item.name: item for item in host.observations}
    triggered = [row for row in _TRIGGERS if _was_sent(made.get(row[1]))]
    if not triggered:
        return None
    lanes = [Lane("Before", (_baseline(made[_BASELINE]),))] if _BASELINE in made else []
    for name, trigger, execution in triggered:
        lanes.append(_asked(name, made[trigger]))
        if execution in made and made[execution].readings:
            lanes.append(_polled(name, made[execution]))
    return Timeline(tuple(lanes))


def _was_sent(trigger: Observation | None) -> bool:
    """Whether something was sent to the agent, whatever became of the answer."""
    if trigger is None:
        return False
    _, answers = _waits_and_answers(trigger)
    return trigger.outcome == "seen" or bool(trigger.commands or answers)


def _waits_and_answers(trigger: Observation) -> tuple[tuple[Look, ...], tuple[Look, ...]]:
    waits = tuple(look for look in trigger.readings if look.text.startswith(_WAITS))
    return waits, tuple(look for look in trigger.readings if look not in waits)


def _baseline(before: Observation) -> Mark:
    at = before.readings[-1].at if before.readings else before.started
    return Mark(Kind.BASELINE, at, at, 1, before.text)


def _asked(name: str, trigger: Observation) -> Lane:
    waits, answered = _waits_and_answers(trigger)
    at = waits[-1].at if waits else trigger.started
    waited = [Mark(Kind.READING, look.at, look.at, 1, look.text) for look in waits]
    sent = Mark(Kind.TRIGGER, at, at, 1, f"{name.lower()} asked for")
    answers = [Mark(Kind.ANSWER, look.at, look.at, 1, look.text) for look in answered]
    if not answers:
        end = _end(trigger)
        answers = [Mark(Kind.ANSWER, end, end, 1, trigger.text)]
    return Lane(f"{name} asked", (*waited, sent, *answers))


def _polled(name: str, execution: Observation) -> Lane:
    spans = [_span(tuple(looks)) for _, looks in groupby(execution.readings, lambda look: look.text)]
    return Lane(
        f"{name} polled",
        (*spans, _outcome(execution)),
        tuple(look.at for look in execution.readings),
    )


def _span(looks: tuple[Look, ...]) -> Mark:
    return Mark(Kind.READING, looks[0].at, looks[-1].at, len(looks), looks[0].text)


def _outcome(execution: Observation) -> Mark:
    """What the wait came to: an advance is as old as the reading that shows it."""
    if execution.outcome == "seen" and execution.text.startswith(_EXECUTED):
        at = execution.readings[-1].at
        return Mark(Kind.ADVANCE, at, at, 1, execution.text)
    at = max(_end(execution), execution.readings[-1].at)
    return Mark(Kind.END, at, at, 1, execution.text)


def _end(observation: Observation) -> datetime:
    return observation.started + timedelta(seconds=observation.took)


# The drawing's measures, in its own units.
_WIDTH, _LEFT, _RIGHT = 920, 170, 880
_MIDDLE = (_LEFT + _RIGHT) // 2
_LANE, _AXIS = 34, 30
# A label: how many characters, the room that they need, how far from its mark; and where below the lane's own line.
_LABEL, _ROOM, _GAP = 62, 400, 17
_BESIDE, _BELOW = 4, 20
_STEPS = tuple(
    timedelta(seconds=seconds)
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
)
_MOST_STEPS = 7


@dataclass(frozen=True)
class Point:
    """Where a mark is drawn."""

    x: int
    mark: Mark


@dataclass(frozen=True)
class Label:
    """What a lane says in a few words, and where; it begins at `x`, or ends there."""

    text: str
    x: int
    y: int
    ends: bool


@dataclass(frozen=True)
class Row:
    """A lane as it is drawn; `ticks` is the path of its readings. What is in it counts its `y` from the lane's."""

    y: int
    name: str
    points: tuple[Point, ...]
    ticks: str
    label: Label


@dataclass(frozen=True)
class Drawing:
    """A timeline in figures: its size, its rows, and where the axis has which text."""

    width: int
    height: int
    left: int
    right: int
    rows: tuple[Row, ...]
    axis: tuple[tuple[int, str], ...]


def draw(content: Timeline) -> Drawing:
    """Lay a timeline out, from its first mark to its last."""
    scale = _Scale(content.first, content.last)
    rows = tuple(
        _row(_AXIS + _LANE * number + _LANE // 3, lane, scale) for number, lane in enumerate(content.lanes)
    )
    return Drawing(
        width=_WIDTH,
        height=_AXIS + _LANE * len(rows),
        left=_LEFT,
        right=_RIGHT,
        rows=rows,
        axis=tuple(_axis(scale)),
    )


@dataclass(frozen=True)
class _Scale:
    first: datetime
    last: datetime

    @property
    def span(self) -> timedelta:
        return max(self.last - self.first, timedelta(seconds=1))

    def x(self, at: datetime) -> int:
        return round(_LEFT + (_RIGHT - _LEFT) * ((at - self.first) / self.span))


def _axis(scale: _Scale) -> Iterator[tuple[int, str]]:
    whole_days = timedelta(days=1 + scale.span // timedelta(days=_MOST_STEPS))
    step = next((step for step in _STEPS if scale.span / step <= _MOST_STEPS), whole_days)
    form = "%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M" if step < _STEPS[-1] else "%m-%d"
    midnight = scale.first.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + -(-(scale.first - midnight) // step) * step
    while at <= scale.first + scale.span:
        yield scale.x(at), f"{at:{form}}"
        at += step


def _row(y: int, lane: Lane, scale: _Scale) -> Row:
    points = tuple(Point(scale.x(mark.first), mark) for mark in lane.marks)
    return Row(
        y=y,
        name=lane.name,
        points=points,
        ticks="".join(f"M{scale.x(at)}-5v10" for at in lane.readings),
        label=_label(lane, points),
    )


def _label(lane: Lane, points: tuple[Point, ...]) -> Label:
    """Beside the marks, on the side that has room; below them where neither has, or where readings are."""
    text = _cut(_said(lane))
    first, last = points[0].x, points[-1].x
    room_left, room_right = first - _GAP - _ROOM >= _LEFT, last + _GAP + _ROOM <= _RIGHT
    if lane.readings or not (room_left or room_right):
        return Label(text, last if last > _MIDDLE else first, _BELOW, ends=last > _MIDDLE)
    return Label(text, last + _GAP if room_right else first - _GAP, _BESIDE, ends=not room_right)


def _said(lane: Lane) -> str:
    """The lane in a few words; the list below the drawing has all of them."""
    last = lane.marks[-1]
    if not lane.readings:
        return f"{last.last:%H:%M:%S}  {last.text}"
    number = len(lane.readings)
    became = "executed, seen" if last.kind is Kind.ADVANCE else "the wait ended"
    return f"{number} reading{'' if number == 1 else 's'}; {became} {last.last:%H:%M:%S}"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LABEL else f"{line[: _LABEL - 1]}…"
