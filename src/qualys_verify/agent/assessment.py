"""`Last assessment: <timestamp>`: reading it, and judging whether it has advanced (runbook steps 2.3 and 5)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

from qualys_verify.agent.clock import TOLERANCE, HostClock, parse_offset

# `Last assessment: <timestamp>`, and the same as a list item, a JSON member or in capitals.
_LINE = re.compile(
    r"""^[\s*"'-]{0,20}Last[ _-]?assessment(?:[ _-]?(?:time|date|timestamp))?["' \t]{0,20}[:=](?P<value>[^\n]*)""",
    re.IGNORECASE | re.MULTILINE,
)
# As it is, and as the transport writes control characters.
_COLOUR = re.compile(r"(?:\x1b|\\x1b)\[[\d;]*m")
_LIMITATION = re.compile(r"Invalid key name in status", re.IGNORECASE)
_NEVER = re.compile(
    r"|none|never|n/?a|-+|null|nil|not (?:yet|available|assessed)\b.*|unknown|0", re.IGNORECASE
)

# A timestamp is a date and a time of day, and around them what does not change their meaning. Month names
# have a table of their own: those of `strptime` depend on the locale of whoever runs this.
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,? )?"
_MONTH = rf"(?P<name>{'|'.join(_MONTHS)})[a-z]{{0,6}}\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19[7-9]|20\d|21\d)\d)"
_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d{1,9})?)?(?: ?(?P<half>[ap])\.?m\.?)?"
)
_ZONE = r"(?: ?\(?(?P<zone>Z|UTC|(?:UTC|GMT)?[+-]\d\d:?\d\d|[a-z]{1,4}T|MSK|WIB)\)?)?"
_THEN = rf"(?:(?:T|,? (?:at )?){_TIME}{_ZONE})?"
_FORMATS = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        rf"{_WEEKDAY}{_YEAR}[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}}){_THEN}",
        rf"{_WEEKDAY}{_DAY}[-/. ]\.? ?{_MONTH},?[-/ ]{_YEAR}{_THEN}",
        rf"{_WEEKDAY}{_MONTH} {_DAY},? {_YEAR}{_THEN}",
        rf"{_WEEKDAY}{_MONTH} {_DAY} {_TIME}{_ZONE} {_YEAR}",
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.{_YEAR}{_THEN}",
        rf"{_WEEKDAY}(?P<first>\d{{1,2}})[-/](?P<then>\d{{1,2}})[-/]{_YEAR}{_THEN}",
        rf"{_YEAR}(?P<month>\d\d)(?P<day>\d\d)[T ]?(?P<hour>\d\d):?(?P<minute>\d\d):?(?P<second>\d\d){_ZONE}",
    )
)
_EPOCH = re.compile(r"(?P<seconds>1\d{9})(?:\d{3}|\.\d{1,9})?", re.ASCII)
# "(3 hours ago)", "[Europe/Berlin]" after an offset; any other remark, such as "(failed)", is left in the way.
_REMARK = re.compile(r" ?(?:\((?:[^()]* ago|local(?: time)?)\)|\[[\w/+-]+\])$", re.IGNORECASE)
_LONGEST = 100
# How long `status`, and the look at the clock after it, may take together.
_MOMENT = timedelta(seconds=5)
_NOTHING, _SECOND, _MINUTE, _WHOLE_DAY = (timedelta(seconds=step) for step in (0, 1, 60, 86400))


@dataclass(frozen=True)
class Stamp:
    """A timestamp as printed. `resolution` is the step it is printed in: a stamp of 10:11 may mean 10:11:59."""

    when: datetime
    resolution: timedelta

    def __str__(self) -> str:
        """As a reader of logs expects it; the zone only where it was printed."""
        return (
            self.when.isoformat(" ", "seconds") if self.resolution < _WHOLE_DAY else f"{self.when:%Y-%m-%d}"
        )


class Kind(StrEnum):
    """What an answer of `status` says about the last assessment."""

    STAMP = "shows the last assessment"
    NEVER = "has never assessed"
    LIMITED = "known limitation"
    UNREADABLE = "shows a last assessment that cannot be read"
    UNEXPECTED = "shows no last assessment"


@dataclass(frozen=True)
class Reading:
    """One answer of `status`, with the target's clock at that moment. `stamp` is set for Kind.STAMP alone."""

    clock: HostClock
    kind: Kind
    said: str
    stamp: Stamp | None = None

    @property
    def answer(self) -> str:
        """What `status` answered, in words of runbook step 2.3; its output when the runbook does not know it."""
        return f"unexpected: {self.said}" if self.kind is Kind.UNEXPECTED else self.kind.value

    @property
    def is_usable(self) -> bool:
        """Whether it tells one assessment from the next ("never" does, a date without a time does not)."""
        return self.kind is Kind.NEVER or (self.stamp is not None and self.stamp.resolution < _WHOLE_DAY)

    def __str__(self) -> str:
        """What the report shows as observed."""
        if self.kind is Kind.LIMITED:
            return f"{self.said}: a known limitation and no failure; service, log and accepted requests are the authority"
        dated = self.kind in {Kind.STAMP, Kind.NEVER}
        return f"Last assessment: {self.said}" if dated else f"`status` {self.kind}: {self.said}"


def parse_status(output: str, clock: HostClock) -> Reading:
    """Read what `qualys-cloud-agent.sh status` printed; never raises."""
    output = _COLOUR.sub("", output)
    values = tuple(dict.fromkeys(match["value"].strip(" \t\r\"',;") for match in _LINE.finditer(output)))
    if not values:
        limited = _LIMITATION.search(output)
        said = " ".join(output.split())[:120] or "(nothing printed)"
        return Reading(
            clock,
            Kind.LIMITED if limited else Kind.UNEXPECTED,
            f"`status` answers: {said}" if limited else said,
        )
    stamp = parse_stamp(values[0])
    if len(values) > 1 or (stamp is None and not _NEVER.fullmatch(values[0])):
        return Reading(clock, Kind.UNREADABLE, "; ".join(values)[:80])
    return (
        Reading(clock, Kind.STAMP, str(stamp), stamp)
        if stamp
        else Reading(clock, Kind.NEVER, values[0] or "(empty)")
    )


def parse_stamp(text: str) -> Stamp | None:
    """Read a timestamp in the usual ways of writing one; None when it is none, or ambiguous (03/04/2026)."""
    if len(text) > _LONGEST:
        return None
    text = _REMARK.sub("", " ".join(text.split()).strip("\"'"))
    epoch = _EPOCH.fullmatch(text)
    if epoch:
        return Stamp(datetime.fromtimestamp(int(epoch["seconds"]), UTC), _SECOND)
    found = next((match for form in _FORMATS if (match := form.fullmatch(text))), None)
    try:
        return _stamp(found.groupdict()) if found else None
    except ValueError:
        return None


def _stamp(parts: Mapping[str, str | Any]) -> Stamp:
    """The stamp that the parts mean; ValueError when they mean none, or might mean two."""
    month, day = _month_and_day(parts)
    date = datetime(int(parts["year"]), month, day)  # noqa: DTZ001  # the zone follows, or is the target's
    hour, second = parts.get("hour"), parts.get("second")
    if hour is None:
        return Stamp(date, _WHOLE_DAY)
    when = date.replace(
        hour=_hour(int(hour), parts.get("half")),
        minute=int(parts["minute"]),
        second=int(second or 0),
        tzinfo=_zone(parts.get("zone") or ""),
    )
    return Stamp(when, _SECOND if second else _MINUTE)


def _month_and_day(parts: Mapping[str, str | Any]) -> tuple[int, int]:
    if parts.get("first"):
        first, then = int(parts["first"]), int(parts["then"])
        if first != then and max(first, then) <= len(_MONTHS):
            raise ValueError("day and month cannot be told apart")
        return min(first, then), max(first, then)
    name = parts.get("name")
    return _MONTHS.index(name.lower()) + 1 if name else int(parts["month"]), int(parts["day"])


def _hour(hour: int, half: str | None) -> int:
    if half is None:
        return hour
    if hour not in range(1, 13):
        raise ValueError("no such hour")
    return hour % 12 + (12 if half.lower() == "p" else 0)


def _zone(text: str) -> timezone | None:
    """The zone that is meant; None for a name (CET, EST …): several zones share one, so the target's is taken."""
    if re.fullmatch(r"Z|UTC|GMT", text, re.IGNORECASE):
        return UTC
    offset = re.search(r"[+-]\S+$", text)
    return timezone(parse_offset(offset[0])) if offset else None


def has_advanced(before: Reading, after: Reading, accepted: datetime) -> bool:
    """Whether an assessment was made after the request (runbook step 5).

    `before` was read before the trigger, `accepted` is the UTC instant by the target's clock at which the
    trigger was sent. It counts when the stamp is later than the one before, and not before the request: an
    interval scan that ended in between advances the stamp too. A stamp without a zone may be the target's
    local time or UTC, so it counts if one of them puts it between the request and now.
    """
    if after.stamp is None or not after.is_usable:
        return False
    if before.stamp is not None and _ahead(before.stamp, before.clock, after.stamp, after.clock) <= _NOTHING:
        return False
    earliest = accepted - after.stamp.resolution
    return any(
        earliest < instant <= after.clock.now + TOLERANCE
        for instant in _instants(after.stamp.when, after.clock)
    )


def has_gone_back(before: Reading, after: Reading) -> bool:
    """Whether the stamp is earlier than the one before, or lost: then it says nothing about this request."""
    if before.stamp is None:
        return False
    if after.stamp is None:
        return after.kind is Kind.NEVER
    return _ahead(before.stamp, before.clock, after.stamp, after.clock) < _NOTHING


def lies_ahead(reading: Reading) -> bool:
    """Whether the stamp lies in the future of the target's own clock, whichever zone it is in: a contradiction."""
    if reading.stamp is None:
        return False
    latest = reading.clock.now + TOLERANCE
    return all(instant > latest for instant in _instants(reading.stamp.when, reading.clock))


def may_be_time_of_asking(reading: Reading, before: Reading | None = None) -> bool:
    """Whether the stamp may be none of an assessment, but the time at which `status` was asked.

    It lies at the target's clock, or as far behind it as the stamp `before` did. A scan that has just ended looks
    the same once: another reading tells them apart, see `keeps_pace`.
    """
    if reading.stamp is None:
        return False
    lag = _lag(reading.stamp, reading.clock)
    usual = _lag(before.stamp, before.clock) if before and before.stamp else _NOTHING
    return lag <= _MOMENT or abs(lag - usual) <= reading.stamp.resolution + _MOMENT


def keeps_pace(one: Reading, other: Reading) -> bool:
    """Whether the stamp of a later reading has advanced just as the target's clock has."""
    if one.stamp is None or other.stamp is None:
        return False
    moved = _ahead(one.stamp, one.clock, other.stamp, other.clock) > _NOTHING
    slip = abs(_lag(one.stamp, one.clock) - _lag(other.stamp, other.clock))
    return moved and slip <= other.stamp.resolution + _MOMENT


def _lag(stamp: Stamp, clock: HostClock) -> timedelta:
    """How far a stamp lies from the clock that it was read with, in the zone that puts it nearest."""
    return min(abs(clock.now - instant) for instant in _instants(stamp.when, clock))


def _ahead(one: Stamp, clock: HostClock, other: Stamp, clock_of_other: HostClock) -> timedelta:
    """By how much `other` is later, each by the clock that it was read with.

    Two readings of the same local time are the same assessment, even when clocks were put back in between.
    """
    if one.when == other.when:
        return _NOTHING
    return clock_of_other.instant(other.when) - clock.instant(one.when)


def _instants(when: datetime, clock: HostClock) -> Iterator[datetime]:
    yield clock.instant(when)
    if when.tzinfo is None:
        yield when.replace(tzinfo=UTC)
