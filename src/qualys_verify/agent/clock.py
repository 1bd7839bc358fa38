"""The target's clock: the only one that its logs and timestamps may be compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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

    def instant(self, stamp: datetime) -> datetime:
        """The UTC instant that a stamp of this host means.

        A stamp with an offset of its own needs no help. One without is the target's local time; where it
        means two instants (clocks gone back or forward since yesterday) the latest that is not in the
        future is taken: logs are read shortly after they are written.
        """
        if stamp.tzinfo is not None:
            return stamp.astimezone(UTC)
        candidates = [(stamp - offset).replace(tzinfo=UTC) for offset in self.offsets]
        past = [candidate for candidate in candidates if candidate <= self.now + TOLERANCE]
        return max(past) if past else min(candidates)

    def age(self, stamp: datetime) -> timedelta:
        """How long ago a stamp of this host was; negative when it lies in the future."""
        return self.now - self.instant(stamp)


def parse_clock(lines: Sequence[str]) -> HostClock:
    """Read what `date '+%s %z'` printed for now and, where the target's `date` can, for a day ago.

    Raises ValueError when the first line is not of that form.
    """
    seconds, offset = lines[0].split()
    offsets = [parse_offset(offset)]
    if len(lines) > 1:
        yesterday = parse_offset(lines[1].split()[-1])
        if yesterday not in offsets:
            offsets.append(yesterday)
    return HostClock(datetime.fromtimestamp(int(seconds), UTC), tuple(offsets))


def parse_offset(text: str) -> timedelta:
    """`+0530`, `-05:00`, `Z`, `GMT` or `UTC` as a distance from UTC; ValueError for anything else."""
    if text.upper() in {"Z", "GMT", "UTC"}:
        return timedelta(0)
    sign, digits = text[:1], text[1:].replace(":", "")
    if sign not in {"+", "-"} or len(digits) != len("hhmm") or not digits.isdecimal():
        raise ValueError(f"not an offset from UTC: {text!r}")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -distance if sign == "-" else distance
