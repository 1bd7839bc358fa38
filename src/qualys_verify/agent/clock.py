"""The target's clock: the only one that its logs and timestamps may be compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# Now, and a day ago where `date` can tell it: GNU's tells both at once.
ASK_CLOCK = "date -f - '+%s %z' 2>/dev/null <<'END' || date '+%s %z'\nnow\n24 hours ago\nEND"
# What a log line may lie in the future by before it is strange: the clock is read after the log.
TOLERANCE = timedelta(seconds=90)


@dataclass(frozen=True)
class HostClock:
    """A reading of the target's clock.

    `now` is in UTC. `offsets` are the distances from UTC that its zone has today and had a day ago: two
    different ones when the clocks have just been changed, and a local time may then mean two instants.
    """

    now: datetime
    offsets: tuple[timedelta, ...]

    def instant(self, stamp: datetime, latest: datetime | None = None) -> datetime:
        """The UTC instant that a stamp of this host means.

        A stamp with an offset of its own needs no help. One without is the target's local time, by today's
        offset; where that lies after `latest` (the present, unless something earlier is known), by
        yesterday's. After clocks were put forward, a stamp from before that thus reads an hour too old:
        what is old must never look fresh.
        """
        if stamp.tzinfo is not None:
            return stamp.astimezone(UTC)
        latest = (latest or self.now) + TOLERANCE
        candidates = [(stamp - offset).replace(tzinfo=UTC) for offset in self.offsets]
        return next((candidate for candidate in candidates if candidate <= latest), min(candidates))

    def instants(self, stamps: Sequence[datetime]) -> tuple[datetime, ...]:
        """The instants of a log's stamps, oldest first.

        No entry is later than the next one: that tells the two passes of an hour apart which is repeated
        when clocks are put back.
        """
        read: list[datetime] = []
        for stamp in reversed(stamps):
            read.append(self.instant(stamp, min(read[-1], self.now) if read else None))
        return tuple(reversed(read))

    def age(self, stamp: datetime) -> timedelta:
        """How long ago a stamp of this host was; negative when it lies in the future."""
        return self.now - self.instant(stamp)


def parse_clock(lines: Sequence[str]) -> HostClock:
    """Read what `date '+%s %z'` printed for now and, where the target's `date` can, for a day ago.

    Raises ValueError when the first line is not of that form.
    """
    try:
        seconds, offset = lines[0].split()
        now = datetime.fromtimestamp(int(seconds), UTC)
    except (IndexError, OverflowError, OSError) as error:
        raise ValueError(f"not a clock's answer: {lines[:1]}") from error
    offsets = [parse_offset(offset)]
    for line in lines[1:2]:
        try:
            offsets.append(parse_offset(line.split()[-1]))
        except (IndexError, ValueError):
            continue  # not every `date` can tell of yesterday
    return HostClock(now, tuple(dict.fromkeys(offsets)))


def parse_offset(text: str) -> timedelta:
    """`+0530`, `-05:00`, `Z`, `GMT` or `UTC` as a distance from UTC; ValueError for anything else."""
    if text.upper() in {"Z", "GMT", "UTC"}:
        return timedelta(0)
    sign, digits = text[:1], text[1:].replace(":", "")
    if sign not in {"+", "-"} or len(digits) != len("hhmm") or not digits.isdecimal():
        raise ValueError(f"not an offset from UTC: {text!r}")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if distance >= timedelta(days=1):
        raise ValueError(f"not an offset from UTC: {text!r}")
    return -distance if sign == "-" else distance
