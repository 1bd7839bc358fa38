"""How fast a fleet is asked for scans, and when no further: what the user said."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """So many hosts, or so many in a hundred."""

    number: int
    is_percent: bool

    def is_exceeded(self, count: int, hosts: int) -> bool:
        """Whether `count` of `hosts` is more than this (exactly as many is not)."""
        return count * 100 > self.number * hosts if self.is_percent else count > self.number

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"{self.number}%" if self.is_percent else str(self.number)


@dataclass(frozen=True)
class Pace:
    """How scans are asked for: at most so many hosts at a time (None: no limit), each after up to `jitter` seconds.

    Nothing more is asked for when more than `max_inconclusive` of the hosts could not be looked at.
    """

    at_once: int | None = None
    jitter: float = 0.0
    max_inconclusive: Share = Share(100, is_percent=True)
