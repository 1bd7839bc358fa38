"""What the log says of the agent's activity (runbook step 2.2). Activity is confirmed here, never results."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from qualys_verify.agent.clock import HostClock
from qualys_verify.agent.execution import GRAVE
from qualys_verify.agent.log import Entry
from qualys_verify.agent.patterns import Patterns, matches

# "The last 50 lines": entries, because a payload of many lines would push everything else out of sight.
LAST_ENTRIES = 50
_SEVERE = frozenset({"fatal", "critical"})


@dataclass(frozen=True)
class Activity:
    """The log's tail, judged.

    `age` is that of the last entry by the target's own clock, None when there is no entry, and `max_age` what
    it may be. `assessment`,
    `communication` and `disabled` are the last entries that say so, or None. `failures` are the failed
    attempts to reach the platform since the last one that succeeded. `fatal` are the fatal errors among
    the last 50 entries.
    """

    age: timedelta | None
    max_age: timedelta
    assessment: Entry | None
    communication: Entry | None
    disabled: Entry | None
    failures: tuple[Entry, ...]
    fatal: tuple[Entry, ...]

    @property
    def fatal_errors(self) -> str:
        """`not repeated`, or how many. One fatal error is an event, more than one is a condition."""
        repeated = len(self.fatal) > 1
        return f"{len(self.fatal)} fatal errors, the last: {self.fatal[-1]}" if repeated else "not repeated"

    @property
    def freshness(self) -> str:
        """`recent` when the last entry is not older than allowed, else how old it is."""
        if self.age is None:
            return "no entry"
        if self.age > self.max_age:
            return f"last entry {_span(self.age)} ago, more than {_span(self.max_age)}"
        return "recent"

    def __str__(self) -> str:
        """What the report shows as observed."""
        return (
            f"last entry {_span(self.age)} ago, fatal errors {self.fatal_errors}"
            if self.age is not None
            else "no entry"
        )

    @property
    def communication_state(self) -> str:
        """`succeeds`, `fails` (several attempts in a row, and none succeeded since), or `not shown`.

        One failed attempt is followed by another try; several without a success are a condition.
        """
        if len(self.failures) > 1:
            return (
                f"fails: {len(self.failures)} attempts since the last success, the last: {self.failures[-1]}"
            )
        return "succeeds" if self.communication else "not shown"


def _span(time: timedelta) -> str:
    hours, minutes = divmod(int(time.total_seconds() // 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def judge_activity(
    entries: Sequence[Entry], clock: HostClock, patterns: Patterns, max_age: timedelta
) -> Activity:
    """Read the entries of the log's tail, oldest first. Noise (runbook: PAM-tacplus, su) never counts."""
    relevant = tuple(entry for entry in entries if not matches(patterns.noise, entry.message))
    communication = _last(relevant, lambda entry: _has_communicated(entry, patterns))
    since = tuple(itertools.takewhile(lambda entry: entry is not communication, reversed(relevant)))[::-1]
    return Activity(
        age=clock.age(relevant[-1].stamp) if relevant else None,
        max_age=max_age,
        assessment=_last(relevant, lambda entry: _has_assessed(entry, patterns)),
        communication=communication,
        disabled=_last(relevant, lambda entry: matches(patterns.disabled, entry.message)),
        failures=tuple(entry for entry in since if _has_failed(entry, patterns)),
        fatal=tuple(entry for entry in relevant[-LAST_ENTRIES:] if _is_fatal(entry, patterns)),
    )


def _last(entries: Sequence[Entry], holds: Callable[[Entry], bool]) -> Entry | None:
    return next((entry for entry in reversed(entries) if holds(entry)), None)


def _has_assessed(entry: Entry, patterns: Patterns) -> bool:
    return entry.level not in GRAVE and matches(patterns.assessment, entry.message)


def _has_communicated(entry: Entry, patterns: Patterns) -> bool:
    return entry.level not in GRAVE and matches(patterns.communication, entry.message)


def _has_failed(entry: Entry, patterns: Patterns) -> bool:
    troubled = entry.level in GRAVE and matches(patterns.communication_trouble, entry.message)
    return troubled or matches(patterns.communication_failure, entry.message)


def _is_fatal(entry: Entry, patterns: Patterns) -> bool:
    return entry.level in _SEVERE or (entry.level == "error" and matches(patterns.fatal, entry.message))


@dataclass(frozen=True)
class Sign:
    """What the log shows of one thing, and the entry that shows it."""

    state: str
    entry: Entry | None

    def __str__(self) -> str:
        """What the report shows as observed."""
        return f"{self.state} ({self.entry})" if self.entry else self.state
