"""The whole result of a run, made from its journal; `run.json` is this, and every other file is rendered from it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256

import msgspec

from qualys_verify.evidence.events import (
    AnyEvent,
    Check,
    Command,
    Ended,
    Identified,
    Inventory,
    Judged,
    Merged,
    Observed,
    Part,
    Planned,
    Reading,
    Started,
)
from qualys_verify.evidence.journal import Chain, of_kind
from qualys_verify.evidence.redaction import markers
from qualys_verify.verdict import Verdict, exit_status
from qualys_verify.waivers import Waiver

UNREACHED = "not assessed, the run ended before this test"
_UNFINISHED = "not seen: the run ended while this was looked at"
# Exit statuses that no verdict makes better: interrupted, internal error, usage error.
_PYTESTS_OWN = (2, 3, 4)


class Look(msgspec.Struct, frozen=True):
    """One look of a poll, or the only one: when it was, and what it came to."""

    at: datetime
    attempt: int
    text: str


class Observation(msgspec.Struct, frozen=True):
    """One observation of one host; `outcome` is `seen`, `not applicable` or `inconclusive`.

    `commands` are the numbers of its commands in the host's transcript.
    """

    name: str
    started: datetime
    took: float
    outcome: str
    text: str
    readings: tuple[Look, ...]
    commands: tuple[int, ...]


class Assessment(msgspec.Struct, frozen=True):
    """The verdict on one sentence of the runbook for one host, and what it rests on.

    `assessed` is false for what was expected and never came to a verdict. `waiver` is the id of the waiver that covers
    it, or empty.
    """

    test: str
    step: str
    verdict: Verdict
    observed: str
    reason: str
    rests_on: tuple[str, ...]
    took: float
    waiver: str
    assessed: bool = True


class Host(msgspec.Struct, frozen=True, dict=True):
    """One host: who answered (empty where nobody did), and everything that was found there."""

    id: str
    identity: dict[str, str]
    transcript: str
    assessments: tuple[Assessment, ...]
    observations: tuple[Observation, ...]

    @cached_property
    def spans(self) -> Mapping[str, tuple[datetime, datetime]]:
        """From when until when each observation was made, UTC."""
        return {
            each.name: (each.started, each.started + timedelta(seconds=each.took))
            for each in self.observations
        }


class WaiverUse(msgspec.Struct, frozen=True):
    """A waiver and what it did: `state` is `applied`, `expired`, `not yet effective`, `matched nothing` or `not needed`.

    `hosts` are those that it covers, or would cover if it were in force.
    """

    waiver: Waiver
    state: str
    hosts: tuple[str, ...]


class Coverage(msgspec.Struct, frozen=True):
    """Expected hosts by selected sentences against what came to a verdict."""

    hosts: int
    expected: int
    assessed: int


class Run(msgspec.Struct, frozen=True):
    """The run itself.

    `ended` and `exit_status` are None for a run that was killed, whose evidence is incomplete. `redacted` counts what
    redaction took out, by rule. `parts` are the runs that were merged into this one, `inventories` the hosts that were
    meant: one, or several where runs over different ones were merged. `shard` (`2/8`) is the part of them that was looked at.
    """

    id: str
    started: datetime
    ended: datetime | None
    exit_status: int | None
    interrupted: str
    user: str
    controller: str
    command: tuple[str, ...]
    version: str
    commit: str
    runbook: str
    options: dict[str, str]
    tools: dict[str, str]
    expires: datetime
    scan_types: tuple[str, ...]
    read_only: bool
    redacted: dict[str, int]
    parts: tuple[Part, ...]
    shard: str = ""
    inventories: tuple[Inventory, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the run came to its own end."""
        return self.ended is not None


class JournalRef(msgspec.Struct, frozen=True):
    """The journal that a result was made from: how many lines, and the SHA-256 of the last."""

    lines: int
    head: str


class Result(msgspec.Struct, frozen=True, dict=True):
    """Everything that a run found."""

    format: str
    run: Run
    verdicts: dict[str, int]
    coverage: Coverage
    checks: tuple[Check, ...]
    hosts: tuple[Host, ...]
    waivers: tuple[WaiverUse, ...]
    journal: JournalRef

    @cached_property
    def check_of(self) -> Mapping[str, Check]:
        """The checks by their test's name."""
        return {check.test: check for check in self.checks}


class Transcript(msgspec.Struct, frozen=True):
    """All commands of one host, in order; a command's number is its place here, from 1."""

    host: str
    commands: tuple[Command, ...]


def result_of(chain: Chain) -> Result:
    """The result that a journal tells. Raises ValueError when it does not tell who started what, or what is expected."""
    events = chain.events
    starts = tuple(of_kind(events, Started))
    if not starts:
        raise ValueError("the journal holds no run: it does not say who started what")
    known = {check.test: check for plan in of_kind(events, Planned) for check in plan.checks}
    for host, tests in _expected(events).items():
        if unknown := set(tests) - known.keys():
            raise ValueError(f"the journal expects {min(unknown)} of {host}, and does not say what that is")
    hosts = _hosts(events, known)
    assessments = [(host.id, item) for host in hosts for item in host.assessments]
    count = Counter(item.verdict for _, item in assessments)
    return Result(
        format=starts[0].format,
        run=_run(events, starts, [item.verdict for _, item in assessments]),
        verdicts={verdict.value: count[verdict] for verdict in Verdict},
        coverage=Coverage(len(hosts), len(assessments), sum(item.assessed for _, item in assessments)),
        checks=tuple(known.values()),
        hosts=hosts,
        waivers=_waiver_uses(starts, assessments),
        journal=JournalRef(len(events), chain.head),
    )


def transcripts_of(chain: Chain) -> tuple[Transcript, ...]:
    """What was run on each host; hosts on which nothing was are in it, too."""
    commands: dict[str, list[Command]] = {name: [] for name in _expected(chain.events)}
    for event in of_kind(chain.events, Command):
        commands.setdefault(event.host, []).append(event)
    return tuple(Transcript(host, tuple(found)) for host, found in commands.items())


def file_name(host: str) -> str:
    """A name for a host's file: readable, and no other host's, whatever it is called."""
    readable = re.sub(r"[^A-Za-z0-9._@-]+", "_", host).strip("._")[:80]
    return f"{readable}-{sha256(host.encode()).hexdigest()[:8]}"


def _run(events: Sequence[AnyEvent], starts: Sequence[Started], verdicts: Sequence[Verdict]) -> Run:
    merged = next(of_kind(events, Merged), None)
    ends = tuple(of_kind(events, Ended))
    first, is_whole = starts[0], len(ends) == len(starts)
    return Run(
        id=merged.run if merged else first.run,
        started=min(start.at for start in starts),
        ended=max(end.at for end in ends) if is_whole else None,
        exit_status=_exit_status(ends, verdicts, is_merged=merged is not None) if is_whole else None,
        interrupted="; ".join(end.interrupted for end in ends if end.interrupted),
        user=_joined(start.user for start in starts),
        controller=_joined(start.controller for start in starts),
        command=first.command,
        version=_joined(start.version for start in starts),
        commit=_joined(start.commit for start in starts),
        runbook=_joined(start.runbook for start in starts),
        options=first.options,
        tools=first.tools,
        expires=min(start.expires for start in starts),
        scan_types=tuple(dict.fromkeys(name for start in starts for name in start.scan_types)),
        read_only=any(start.read_only for start in starts),
        redacted=_redacted(events),
        parts=merged.parts if merged else (),
        shard=_joined(start.shard for start in starts),
        inventories=tuple(dict.fromkeys(start.inventory for start in starts if start.inventory)),
    )


def _joined(texts: Iterable[str]) -> str:
    """One text for several runs: each that there is, once."""
    return ", ".join(dict.fromkeys(text for text in texts if text))


def _exit_status(ends: Sequence[Ended], verdicts: Iterable[Verdict], *, is_merged: bool) -> int:
    """The run's own; of several that were merged the gravest, and what their verdicts say together."""
    if not is_merged:
        return ends[0].exit_status
    own = [end.exit_status for end in ends if end.exit_status in _PYTESTS_OWN]
    return max(own) if own else exit_status(verdicts, 0)


def _redacted(events: Iterable[AnyEvent]) -> dict[str, int]:
    count = Counter(name for event in events for name in markers(msgspec.json.encode(event).decode()))
    return dict(sorted(count.items()))


def _expected(events: Sequence[AnyEvent]) -> dict[str, tuple[str, ...]]:
    """The selected tests of each host, in the order in which the hosts were named."""
    return {item.host: item.tests for plan in of_kind(events, Planned) for item in plan.expected}


def _hosts(events: Sequence[AnyEvent], checks: Mapping[str, Check]) -> tuple[Host, ...]:
    expected = _expected(events)
    facts = {event.host: event.facts for event in of_kind(events, Identified)}
    judged = {(event.host, event.test): event for event in of_kind(events, Judged)}
    observations = _observations(events)
    return tuple(
        Host(
            id=host,
            identity=facts.get(host, {}),
            transcript=f"transcripts/{file_name(host)}.txt",
            assessments=tuple(_assessment(host, checks[test], judged.get((host, test))) for test in tests),
            observations=observations.get(host, ()),
        )
        for host, tests in expected.items()
    )


def _assessment(host: str, check: Check, event: Judged | None) -> Assessment:
    if event is None:
        reason = f"{host}: {UNREACHED}"
        return Assessment(
            check.test, check.step, Verdict.INCONCLUSIVE, "", reason, (), 0.0, "", assessed=False
        )
    return Assessment(
        test=check.test,
        step=check.step,
        verdict=event.verdict,
        observed=event.observed,
        reason=event.reason,
        rests_on=event.rests_on,
        took=event.took,
        waiver=event.waiver,
        assessed=event.assessed,
    )


def _observations(events: Sequence[AnyEvent]) -> dict[str, tuple[Observation, ...]]:
    """Each host's observations in the order in which they were begun."""
    made = {(event.host, event.observation): event for event in of_kind(events, Observed)}
    looks: dict[tuple[str, str], list[Look]] = {}
    commands: dict[tuple[str, str], list[int]] = {}
    began: dict[tuple[str, str], datetime] = {}
    numbers = Counter[str]()
    for event in events:
        if isinstance(event, Command | Reading | Observed):
            began.setdefault((event.host, event.observation), event.at)
        if isinstance(event, Reading):
            look = Look(event.at, event.attempt, event.text)
            looks.setdefault((event.host, event.observation), []).append(look)
        elif isinstance(event, Command):
            numbers[event.host] += 1
            commands.setdefault((event.host, event.observation), []).append(numbers[event.host])
    found: dict[str, list[Observation]] = {}
    for key, at in began.items():
        readings, ran = tuple(looks.get(key, ())), tuple(commands.get(key, ()))
        found.setdefault(key[0], []).append(_observation(key[1], at, made.get(key), readings, ran))
    return {host: tuple(items) for host, items in found.items()}


def _observation(
    name: str, at: datetime, event: Observed | None, readings: tuple[Look, ...], commands: tuple[int, ...]
) -> Observation:
    if event is None:
        return Observation(name, at, 0.0, "inconclusive", _UNFINISHED, readings, commands)
    return Observation(name, event.at, event.took, event.outcome, event.text, readings, commands)


def _waiver_uses(
    starts: Sequence[Started], assessments: Sequence[tuple[str, Assessment]]
) -> tuple[WaiverUse, ...]:
    waivers = {waiver.id: (waiver, start.at) for start in starts for waiver in start.waivers}
    return tuple(_waiver_use(waiver, at, assessments) for waiver, at in waivers.values())


def _waiver_use(waiver: Waiver, at: datetime, assessments: Sequence[tuple[str, Assessment]]) -> WaiverUse:
    """What became of a waiver in this run, which began at `at`."""
    concerned = [item for item in assessments if waiver.concerns(item[0], item[1].step, item[1].test)]
    applied = [host for host, item in concerned if item.waiver == waiver.id]
    open_ones = [host for host, item in concerned if item.verdict in waiver.covers]
    if applied:
        state = "applied"
    elif not concerned:
        state = "matched nothing"
    elif not waiver.is_in_force(at):
        state = "expired" if waiver.expires <= at else "not yet effective"
    else:
        state = "not needed"
    hosts = applied or open_ones or [host for host, _ in concerned]
    return WaiverUse(waiver, state, tuple(dict.fromkeys(hosts)))
