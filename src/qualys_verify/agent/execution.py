"""Following a request through the log until it is done (runbook step 5 in the vendor's dialect, and step 2.3)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from qualys_verify.agent.clock import HostClock
from qualys_verify.agent.dialect import Dialect
from qualys_verify.agent.log import Entry
from qualys_verify.agent.patterns import Patterns, RequestPatterns, matches
from qualys_verify.agent.request import Answer, ScanType, Step

# Levels at which an entry may speak of a failure; below them the words are chatter.
GRAVE = frozenset({"fatal", "critical", "error", "warning"})


class Stage(IntEnum):
    """How far a request has come, by what the log says."""

    UNSEEN = 0
    DELAYED = 1
    STARTED = 2
    DONE = 3
    FAILED = 4

    @property
    def is_final(self) -> bool:
        """Whether polling can stop."""
        return self in {Stage.DONE, Stage.FAILED}


@dataclass(frozen=True)
class Trace:
    """What the log says of one request: how far it came, and the entry that says so."""

    answer: Answer
    stage: Stage = Stage.UNSEEN
    entry: Entry | None = None
    manifest_missing: bool = False

    def __str__(self) -> str:
        """What the report shows as observed."""
        name = f"{self.answer.label} {self.answer.control_id or ''}".strip()
        said = f" ({self.entry})" if self.entry else ""
        return f"{name}: {self.stage.name.lower()}{said}"


def trace(answer: Answer, entries: Iterable[Entry], clock: HostClock, patterns: Patterns) -> Trace:
    """Follow one accepted request through the log's entries, oldest first.

    Only entries since the request was sent count, and any that names its ControlId. A request that covers
    two applications (`vmpc`) is as far as the one that is behind.
    """
    relevant = [
        entry
        for entry in entries
        if not matches(patterns.noise, entry.message)
        and (_names_it(answer, entry) or _is_since(entry, answer, clock))
    ]
    traces = [_follow(answer, relevant, patterns, types) for types in _followed(answer)]
    failed = [trace for trace in traces if trace.stage is Stage.FAILED]
    return failed[0] if failed else min(traces, key=lambda trace: trace.stage)


def _followed(answer: Answer) -> tuple[tuple[str, ...], ...]:
    """By which scan types the log may name the request: a tuple for each application that it covers."""
    if answer.demand.dialect is Dialect.RUNBOOK:
        return (("vm",),) if answer.demand.step is Step.SCAN else (("pc", "sca", "udc"),)
    types = answer.demand.types
    return (("vm",), ("pc",)) if ScanType.VMPC in types else ((types[0],),)


def _names_it(answer: Answer, entry: Entry) -> bool:
    return answer.control_id is not None and answer.control_id in entry.message


def _is_since(entry: Entry, answer: Answer, clock: HostClock) -> bool:
    return clock.instant(entry.stamp) >= answer.sent


def _follow(answer: Answer, entries: Iterable[Entry], patterns: Patterns, types: tuple[str, ...]) -> Trace:
    phrases = patterns.of_request(answer.control_id, types)
    so_far = Trace(answer)
    for entry in entries:
        if so_far.stage.is_final:
            break
        so_far = _advance(so_far, entry, phrases)
    return so_far


def _advance(so_far: Trace, entry: Entry, phrases: RequestPatterns) -> Trace:
    """The trace after one more entry.

    Without the ControlId in it, `done` counts only after `started`: an interval scan of the same
    application may have been running when the request was made, and its end is not ours.
    """
    own, grave, message = _names_it(so_far.answer, entry), entry.level in GRAVE, entry.message
    if matches(phrases.manifest_missing, message) and (own or (grave and phrases.is_about(message))):
        return replace(so_far, stage=Stage.FAILED, entry=entry, manifest_missing=True)
    if grave:
        return (
            replace(so_far, stage=Stage.FAILED, entry=entry) if matches(phrases.failed, message) else so_far
        )
    if matches(phrases.delayed, message):
        return replace(so_far, stage=Stage.DELAYED, entry=entry)
    if matches(phrases.done, message) and (own or so_far.stage is Stage.STARTED):
        return replace(so_far, stage=Stage.DONE, entry=entry)
    if matches(phrases.started, message):
        return replace(so_far, stage=Stage.STARTED, entry=entry)
    return so_far


@dataclass(frozen=True)
class Execution:
    """What became of a step's requests (runbook step 5).

    `state` is `executed` when each of them was carried out, else what was seen instead. `witness` says what
    confirms it: two timestamps, or the log's entries.
    """

    state: str
    witness: str

    def __str__(self) -> str:
        """What the report shows as observed."""
        return f"{self.state}: {self.witness}"
