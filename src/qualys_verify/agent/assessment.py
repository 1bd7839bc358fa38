"""`Last assessment: <timestamp>`: reading it, and judging whether it has advanced (runbook steps 2.3 and 5)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

from qualys_verify.agent.clock import TOLERANCE, HostClock, parse_offset

_LINE = re.compile(
    r"^[ \t]*Last assessment[ \t]*[:=][ \t]*(?P<value>.*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_LIMITATION = re.compile(r"Invalid key name in status", re.IGNORECASE)
_NEVER = re.compile(r"|none|never|n/?a|-+|null|not (?:yet |available|assessed).*|unknown|0", re.IGNORECASE)
_ZONE = re.compile(r"\s*(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)$", re.IGNORECASE)
_NAMED_ZONE = re.compile(
    r"\b(?!(?:AM|PM|MON|TUE|WED|THU|FRI|SAT|SUN|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\b)[A-Z]{3,5}\b"
)
_FORMATS = (
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%a %b %d %H:%M:%S %Y",
    "%a %d %b %Y %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
    "%b %d %H:%M:%S %Y",
    "%b %d, %Y %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%d-%b-%Y %H:%M:%S",
)


@dataclass(frozen=True)
class Stamp:
    """A timestamp as printed. `resolution` is the step it is printed in: a stamp of 10:11 may mean 10:11:59."""

    when: datetime
    resolution: timedelta

    def __str__(self) -> str:
        """As a reader of logs expects it; the zone only where it was printed."""
        return self.when.isoformat(" ", "seconds")


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
        """Whether it says when the last assessment was ("never" included)."""
        return self.kind in {Kind.STAMP, Kind.NEVER}

    def __str__(self) -> str:
        """What the report shows as observed."""
        if self.kind is Kind.LIMITED:
            return f"{self.said}: a known limitation and no failure; service, log and accepted requests are the authority"
        return f"Last assessment: {self.said}" if self.is_usable else f"`status` {self.kind}: {self.said}"


def parse_status(output: str, clock: HostClock) -> Reading:
    """Read what `qualys-cloud-agent.sh status` printed; never raises."""
    values = {match["value"] for match in _LINE.finditer(output)}
    if not values:
        limited = _LIMITATION.search(output)
        said = " ".join(output.split())[:120] or "(nothing printed)"
        return Reading(
            clock,
            Kind.LIMITED if limited else Kind.UNEXPECTED,
            f"`status` answers: {said}" if limited else said,
        )
    value = values.pop()
    stamp = parse_stamp(value)
    if values or (stamp is None and not _NEVER.fullmatch(value)):
        return Reading(clock, Kind.UNREADABLE, value[:80])
    return (
        Reading(clock, Kind.STAMP, str(stamp), stamp)
        if stamp
        else Reading(clock, Kind.NEVER, value or "(empty)")
    )


def parse_stamp(text: str) -> Stamp | None:
    """Read a timestamp in the usual ways of writing one; None when it is none, or ambiguous (03/04/2026)."""
    text = " ".join(text.split())
    if re.fullmatch(r"1\d{9}", text):
        return Stamp(datetime.fromtimestamp(int(text), UTC), timedelta(seconds=1))
    bare, zone = _split_zone(text)
    for candidate in (bare, bare.replace("T", " ", 1)):
        for form in _FORMATS:
            when = _try(candidate, form)
            if when is not None:
                step = timedelta(seconds=1) if "%S" in form else timedelta(minutes=1)
                return Stamp(when.replace(tzinfo=zone), step)
    return None


def _split_zone(text: str) -> tuple[str, timezone | None]:
    """The text without its zone, and the zone: `… +0100`, `…Z`, `Sat Nov 21 20:15:00 UTC 2026`."""
    match = _ZONE.search(text)
    if match and not re.fullmatch(r"\d{4}-\d\d-\d\d", text[: match.end()]):
        return text[: match.start()], timezone(parse_offset(match["zone"]))
    inner = re.search(r" (UTC|GMT|[+-]\d{4}) (\d{4})$", text)
    if inner:
        return f"{text[: inner.start()]} {inner[2]}", timezone(parse_offset(inner[1]))
    # A zone by its name (CET, EST …): names are ambiguous, so it is read as the target's own local time.
    return " ".join(_NAMED_ZONE.sub("", text).split()), None


def _try(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007  # the zone is set by the caller, or is the target's
    except ValueError:
        return None


def has_advanced(before: Reading, after: Reading, accepted: datetime) -> bool:
    """Whether an assessment was made after the request (runbook step 5).

    `before` was read before the trigger, `accepted` is the UTC instant by the target's clock at which the
    trigger was sent. It counts when the stamp is later than the one before, and not before the request: an
    interval scan that ended in between advances the stamp too. A stamp without a zone may be the target's
    local time or UTC, so it counts if one of them puts it between the request and now.
    """
    if after.stamp is None or not after.is_usable:
        return False
    if before.stamp is not None and not _is_later(after.stamp.when, before.stamp.when, after.clock):
        return False
    earliest = accepted - after.stamp.resolution
    return any(
        earliest < instant <= after.clock.now + TOLERANCE
        for instant in _instants(after.stamp.when, after.clock)
    )


def has_gone_back(before: Reading, after: Reading) -> bool:
    """Whether the stamp is earlier than the one before: then it says nothing about this request."""
    if before.stamp is None or after.stamp is None:
        return False
    return _is_later(before.stamp.when, after.stamp.when, after.clock)


def _is_later(one: datetime, other: datetime, clock: HostClock) -> bool:
    if one.tzinfo is None and other.tzinfo is None and len(clock.offsets) == 1:
        return one > other  # the same wall clock, without a change of offset
    return clock.instant(one) > clock.instant(other)


def _instants(when: datetime, clock: HostClock) -> Iterator[datetime]:
    yield clock.instant(when)
    if when.tzinfo is None:
        yield when.replace(tzinfo=UTC)
