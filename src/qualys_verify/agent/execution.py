"""Following a request through the log until it is done (runbook step 5 in the vendor's dialect, and step 2.3)."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntEnum

from qualys_verify.agent.clock import HostClock
from qualys_verify.agent.dialect import Dialect
from qualys_verify.agent.log import Entry
from qualys_verify.agent.patterns import (
    Patterns,
    Regexes,
    RequestPatterns,
    is_of_another,
    is_own,
    matches,
    name_own,
)
from qualys_verify.agent.request import MANIFEST_REMEDY, Answer, ScanType, Step

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
    """What the log says of one request: how far it came, and the entry that says so.

    `doubt` is an entry about a missing manifest that does not say which application's.
    """

    answer: Answer
    stage: Stage = Stage.UNSEEN
    entry: Entry | None = None
    manifest_missing: bool = False
    doubt: Entry | None = None

    def __str__(self) -> str:
        """What the report shows as observed."""
        name = f"{self.answer.label} {self.answer.control_id or ''}".strip()
        said = f" ({self.entry})" if self.entry else ""
        doubted = self.doubt is not None and not self.stage.is_final
        doubt = f", perhaps its manifest is missing ({self.doubt}): {MANIFEST_REMEDY}" if doubted else ""
        return f"{name}: {self.stage.name.lower()}{said}{doubt}"


@dataclass(frozen=True)
class _Line:
    """An entry, and what of its message phrases are looked for in."""

    entry: Entry
    text: str

    @property
    def is_grave(self) -> bool:
        return self.entry.level in GRAVE

    @property
    def is_own(self) -> bool:
        return is_own(self.text)


def trace(
    answer: Answer,
    entries: Iterable[Entry],
    clock: HostClock,
    patterns: Patterns,
    ambiguous: Collection[str] = (),
) -> Trace:
    """Follow one accepted request through the log's entries, oldest first.

    Only entries since the request was sent count, and any that names its ControlId; none that names
    another request's. A request that covers two applications (`vmpc`) is as far as the one that is behind.
    `ambiguous` are ControlIds that several requests got: an entry with one of these counts for the application
    that it names as well.
    """
    lines = tuple(_relevant(answer, tuple(entries), clock, patterns))
    shares_id = answer.control_id in ambiguous
    traces = [_follow(answer, lines, patterns.of_request(types), shares_id) for types in _followed(answer)]
    failed = [trace for trace in traces if trace.stage is Stage.FAILED]
    return failed[0] if failed else min(traces, key=lambda trace: trace.stage)


def standing_failure(
    answer: Answer, entries: Iterable[Entry], clock: HostClock, patterns: Patterns
) -> Entry | None:
    """The last entry that says that a request failed, unless a later one tells of another start or end of it."""
    failure = None
    phrases = patterns.of_request([name for types in _followed(answer) for name in types])
    for line in _relevant(answer, tuple(entries), clock, patterns):
        if _tells_of_failure(line, phrases):
            failure = line.entry
        elif not line.is_grave and _goes_on(line, phrases):
            failure = None
    return failure


def _tells_of_failure(line: _Line, phrases: RequestPatterns) -> bool:
    """Whether a line says that it failed, be it without a name: "Scan failed"."""
    if not line.is_grave or phrases.names_other_only(line.text):
        return False
    missing = matches(phrases.manifest_missing, line.text) and phrases.names_own(line.text)
    return missing or _says((*phrases.failed, *phrases.failed_unnamed), phrases.single, line)


def _goes_on(line: _Line, phrases: RequestPatterns) -> bool:
    return _says(phrases.started, phrases.pending, line) or _says(phrases.done, phrases.unfinished, line)


# An agent may log in another zone than its host's, so an entry with our ControlId may seem this much older than the
# request; one that is older still speaks of an earlier request with the same token.
_OTHER_ZONE = timedelta(hours=26)


def _relevant(
    answer: Answer, entries: Sequence[Entry], clock: HostClock, patterns: Patterns
) -> Iterator[_Line]:
    instants = clock.instants([entry.stamp for entry in entries])
    for entry, instant in zip(entries, instants, strict=True):
        text = name_own(patterns.gist(entry.message), answer.control_id)
        foreign = answer.control_id is not None and is_of_another(text)
        since = instant >= answer.sent and not foreign
        mine = is_own(text) and instant >= answer.sent - _OTHER_ZONE
        if (since or mine) and not matches(patterns.noise, text):
            yield _Line(entry, text)


def _followed(answer: Answer) -> tuple[tuple[str, ...], ...]:
    """By which scan types the log may name the request: a tuple for each application that it covers."""
    if answer.demand.dialect is Dialect.RUNBOOK:
        return (("vm",),) if answer.demand.step is Step.SCAN else (("pc", "sca", "udc"),)
    types = answer.demand.types
    return (("vm",), ("pc",)) if ScanType.VMPC in types else ((types[0],),)


def _follow(
    answer: Answer,
    lines: Iterable[_Line],
    phrases: RequestPatterns,
    shares_id: bool,  # noqa: FBT001  # a fact about the request, not a switch
) -> Trace:
    of_two = len(_followed(answer)) > 1
    so_far = Trace(answer)
    for line in lines:
        if so_far.stage.is_final:
            break
        unnamed = shares_id and not phrases.names_own(line.text)
        others = of_two and phrases.names_other_only(line.text)
        if not (line.is_own and (unnamed or others)):
            so_far = _advance(so_far, line, phrases)
    return so_far


def _advance(so_far: Trace, line: _Line, phrases: RequestPatterns) -> Trace:
    """The trace after one more line.

    Without the ControlId in it, `done` counts only after `started`: an interval scan of the same
    application may have been running when the request was made, and its end is not ours.
    """
    if matches(phrases.manifest_missing, line.text):
        return _without_manifest(so_far, line, phrases)
    if line.is_grave:
        failed = _says(phrases.failed, phrases.single, line)
        return replace(so_far, stage=Stage.FAILED, entry=line.entry) if failed else so_far
    if (line.is_own or so_far.stage is Stage.STARTED) and _says(phrases.done, phrases.unfinished, line):
        return replace(so_far, stage=Stage.DONE, entry=line.entry)
    if _says(phrases.started, phrases.pending, line):
        return replace(so_far, stage=Stage.STARTED, entry=line.entry)
    if matches(phrases.delayed, line.text):
        return replace(so_far, stage=Stage.DELAYED, entry=line.entry)
    return so_far


def _says(phrase: Regexes, taken_back: Regexes, line: _Line) -> bool:
    return matches(phrase, line.text) and not matches(taken_back, line.text)


def _without_manifest(so_far: Trace, line: _Line, phrases: RequestPatterns) -> Trace:
    """A missing manifest: ours if the line says so; if it does not say whose it is, only a doubt."""
    if line.is_own or (line.is_grave and phrases.names_own(line.text)):
        return replace(so_far, stage=Stage.FAILED, entry=line.entry, manifest_missing=True)
    if line.is_grave and not phrases.names_other_only(line.text):
        return replace(so_far, doubt=line.entry)
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
