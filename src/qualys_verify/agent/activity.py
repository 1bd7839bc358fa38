"""What the log says of the agent's activity (runbook step 2.2). Activity is confirmed here, never results."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from qualys_verify.agent.clock import HostClock
from qualys_verify.agent.execution import GRAVE
from qualys_verify.agent.log import Entry
from qualys_verify.agent.patterns import Patterns, Regexes, matches

# "The last 50 lines": entries, because a payload of many lines would push everything else out of sight.
LAST_ENTRIES = 50
_SEVERE = frozenset({"fatal", "critical"})


@dataclass(frozen=True)
class Activity:
    """The log's tail, judged.

    `age` is that of the last entry by the target's own clock, None when there is no entry, and `max_age` what
    it may be. `assessment`, `communication` and `disabled` are the last entries that say so, or None.
    `failures` are the entries since the last success that tell of a failed attempt to reach the platform, and
    `attempts` how many attempts that were. `fatal` are the fatal errors among the last 50 entries, and `entries` how
    many entries there are, without noise.
    """

    age: timedelta | None
    max_age: timedelta
    assessment: Entry | None
    communication: Entry | None
    disabled: Entry | None
    failures: tuple[Entry, ...]
    attempts: int
    fatal: tuple[Entry, ...]
    entries: int

    @property
    def is_settled(self) -> bool:
        """Whether nothing that lies before these entries could change a verdict or what is shown.

        (`disabled` counts where there is no `assessment`.)
        """
        return self.entries >= LAST_ENTRIES and None not in {self.assessment, self.communication}

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
            f"last entry {_span(self.age)} ago, {'' if len(self.fatal) > 1 else 'fatal errors '}{self.fatal_errors}"
            if self.age is not None
            else "no entry"
        )

    @property
    def communication_state(self) -> str:
        """`succeeds`, `fails` (several attempts in a row, and none succeeded since), or `not shown`.

        One failed attempt is followed by another try; several without a success are a condition.
        """
        if self.attempts > 1:
            return f"fails: {self.attempts} attempts since the last success, the last: {self.failures[-1]}"
        return "succeeds" if self.communication else "not shown"


def _span(time: timedelta) -> str:
    """A time as people say it; an entry from the clock's own second is not in the future."""
    seconds = max(0, int(time.total_seconds()))
    hours, minutes = divmod(seconds // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


# An entry, and what of its message phrases are looked for in.
Line = tuple[Entry, str]


# Agents check in every hour at the latest; after a day without, the last success says nothing of now.
_CHECK_INS = timedelta(days=1)


def judge_activity(
    entries: Sequence[Entry], clock: HostClock, patterns: Patterns, max_age: timedelta
) -> Activity:
    """Read the entries of the log's tail, oldest first. Noise (runbook: PAM-tacplus, su) never counts."""
    all_lines = [(entry, patterns.gist(entry.message)) for entry in entries]
    lines = [line for line in all_lines if not matches(patterns.noise, line[1])]
    communication = _last(lines, lambda line: _succeeds(line, patterns.communication, patterns))
    since = itertools.takewhile(lambda line: line[0] is not communication, reversed(lines))
    failures = [line for line in since if _has_failed(line, patterns)][::-1]
    return Activity(
        age=clock.age(lines[-1][0].stamp) if lines else None,
        max_age=max_age,
        assessment=_last(lines, lambda line: _succeeds(line, patterns.assessment, patterns)),
        communication=communication
        if communication and clock.age(communication.stamp) <= _CHECK_INS
        else None,
        disabled=_last(lines, lambda line: matches(patterns.disabled, line[1])),
        failures=tuple(entry for entry, _ in failures),
        attempts=_attempts(failures, patterns),
        fatal=tuple(line[0] for line in lines[-LAST_ENTRIES:] if _is_fatal(line, patterns)),
        entries=len(lines),
    )


def _last(lines: Sequence[Line], holds: Callable[[Line], bool]) -> Entry | None:
    return next((line[0] for line in reversed(lines) if holds(line)), None)


def _succeeds(line: Line, phrases: Regexes, patterns: Patterns) -> bool:
    entry, text = line
    return entry.level not in GRAVE and matches(phrases, text) and not matches(patterns.negated, text)


def _has_failed(line: Line, patterns: Patterns) -> bool:
    entry, text = line
    troubled = entry.level in GRAVE and matches(patterns.communication_trouble, text)
    return troubled or matches(patterns.communication_failure, text)


def _attempts(failures: Sequence[Line], patterns: Patterns) -> int:
    """How many attempts failed: one may tell of it in several phrases, the same phrase twice is two attempts."""
    phrases = (*patterns.communication_failure, *patterns.communication_trouble)
    first = (next(phrase for phrase in phrases if phrase.search(text)) for _, text in failures)
    return max(Counter(first).values(), default=0)


def _is_fatal(line: Line, patterns: Patterns) -> bool:
    entry, text = line
    return entry.level in _SEVERE or (entry.level == "error" and matches(patterns.fatal, text))


@dataclass(frozen=True)
class Sign:
    """What the log shows of one thing, and the entry that shows it."""

    state: str
    entry: Entry | None

    def __str__(self) -> str:
        """What the report shows as observed."""
        return f"{self.state} ({self.entry})" if self.entry else self.state
