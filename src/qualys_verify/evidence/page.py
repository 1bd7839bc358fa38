"""The evidence page: one HTML file that stands by itself, without a script, made from the result alone.

Pure: the same result gives the same bytes, whoever renders it, whenever. What a host or a user has a say in reaches
the page as text: Jinja escapes it, and what no reader could see of it is written out (`visible`).
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from html import escape
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from qualys_verify.evidence.controls import Control
from qualys_verify.evidence.events import Check, Command
from qualys_verify.evidence.grid import LIMITS, Grid, findings_of, grid, problems
from qualys_verify.evidence.plain import is_cut_short
from qualys_verify.evidence.result import Assessment, Host, Result, Run, Transcript, WaiverUse
from qualys_verify.evidence.signature import NAMESPACE
from qualys_verify.evidence.still_open import OpenReason
from qualys_verify.evidence.templating import environment, visible
from qualys_verify.evidence.timeline import Drawing, Timeline, draw, timeline
from qualys_verify.verdict import Verdict

# Up to this much (characters as they are written into the page) the transcripts stand in the page, too; a page of a
# large fleet links to their files instead, and opens as fast as that of a small one.
TRANSCRIPTS_SHOWN = 3_000_000
# With more hosts than this the matrix is drawn small, in blocks of so many rows.
_ROOMY, _BLOCK = 40, 50
# How many of the template's bits are written at once.
_PARTS = 200
# What stands around a command's own texts in the page.
_COMMAND_MARKUP = 300


def render_page(
    result: Result,
    transcripts: Sequence[Transcript],
    *,
    still_open: Sequence[OpenReason] = (),
    controls: Mapping[str, Sequence[Control]] | None = None,
) -> Iterator[bytes]:
    """The page, in parts: a large fleet's is not in memory as a whole.

    `transcripts` are those of the result's hosts, `still_open` the reasons why a finding may still be open in the
    Qualys UI, `controls` those of each step.
    """
    findings = findings_of(result)
    found = problems(findings)
    shown = {item.host: item.commands for item in transcripts} if _fits(transcripts) else None
    parts = _template().stream(
        result=result,
        run=result.run,
        standing=_standing(result.run),
        coverage=_coverage(result),
        is_red_elsewhere=result.run.exit_status == 1 and not result.verdicts.get(Verdict.NON_COMPLIANT),
        unreached=result.coverage.expected - result.coverage.assessed,
        command=shlex.join(result.run.command),
        first_only=" (first run)" if result.run.parts else "",
        verdicts=list(Verdict),
        matrix=_matrix(result, grid(findings)),
        block=_BLOCK if len(result.hosts) > _ROOMY else len(result.hosts) or 1,
        is_dense=len(result.hosts) > _ROOMY,
        problems=[item for item in found if item.verdict is not Verdict.NOT_APPLICABLE],
        not_applicable=[item for item in found if item.verdict is Verdict.NOT_APPLICABLE],
        number={host.id: number for number, host in enumerate(result.hosts, 1)},
        still_open=still_open,
        tally=_tally(result),
        controls=_controls_of(result, controls or {}),
        transcripts_are_shown=shown is not None,
        hosts=_host_views(result, shown),
        limits=LIMITS,
        namespace=NAMESPACE,
    )
    parts.enable_buffering(_PARTS)
    return (part.encode() for part in parts)


@dataclass(frozen=True)
class Standing:
    """How a run stands: its verdict in a word, `complete`, `interrupted` or `incomplete`, and what that means."""

    word: str
    verdict: Verdict
    state: str
    meaning: str


_MEANINGS: Mapping[int, tuple[str, Verdict, str]] = {
    0: (
        "compliant",
        Verdict.COMPLIANT,
        "everything that was asked for was assessed, and is compliant or waived",
    ),
    1: ("non-compliant", Verdict.NON_COMPLIANT, "something is non-compliant"),
    2: ("interrupted", Verdict.INCONCLUSIVE, "interrupted: what was not seen until then is inconclusive"),
    3: (
        "broken off",
        Verdict.INCONCLUSIVE,
        "internal error: the run broke off, and this is what it had seen until then",
    ),
    4: ("not started", Verdict.INCONCLUSIVE, "usage error: no host was touched"),
    5: (
        "nothing assessed",
        Verdict.INCONCLUSIVE,
        "nothing was assessed: nothing selected, or nothing applicable",
    ),
    6: ("inconclusive", Verdict.INCONCLUSIVE, "nothing is non-compliant, but something could not be seen"),
}


def _standing(run: Run) -> Standing:
    if run.exit_status is None:
        meaning = "this run never came to its own end: it was killed, or it was still going on when this page was made"
        return Standing("incomplete", Verdict.INCONCLUSIVE, "incomplete", meaning)
    unknown = ("unknown", Verdict.INCONCLUSIVE, "a status that this suite does not give")
    word, verdict, meaning = _MEANINGS.get(run.exit_status, unknown)
    state = "interrupted" if is_cut_short(run) else "complete"
    return Standing(word, verdict, state, meaning)


@dataclass(frozen=True)
class HostCoverage:
    """How many of the expected hosts could be judged: wholly, in part, not at all.

    Of the checks, how many were `judged`, are `inapplicable`, and could not be seen.
    """

    expected: int
    whole: int
    part: int
    none: int
    judged: int
    inapplicable: int
    unseen: int

    @property
    def assessed(self) -> int:
        """Hosts of which at least one check was judged."""
        return self.whole + self.part


def _coverage(result: Result) -> HostCoverage:
    kinds = Counter(_covered(host) for host in result.hosts)
    checks = Counter(item.verdict for host in result.hosts for item in host.assessments)
    unseen, inapplicable = checks[Verdict.INCONCLUSIVE], checks[Verdict.NOT_APPLICABLE]
    return HostCoverage(
        expected=len(result.hosts),
        whole=kinds["whole"],
        part=kinds["part"],
        none=kinds["none"],
        judged=result.coverage.expected - unseen - inapplicable,
        inapplicable=inapplicable,
        unseen=unseen,
    )


def _covered(host: Host) -> str:
    judged = [item.verdict is not Verdict.INCONCLUSIVE for item in host.assessments]
    return "none" if not any(judged) else "whole" if all(judged) else "part"


@dataclass(frozen=True)
class MatrixRow:
    """A host's row: its number in the page, its id, and the verdict of each step (None: not selected)."""

    number: int
    host: str
    verdicts: tuple[Verdict | None, ...]


@dataclass(frozen=True)
class Matrix:
    """Hosts by steps; a host of which nothing was selected has its row, too."""

    steps: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


def _matrix(result: Result, content: Grid) -> Matrix:
    verdicts = dict(content.rows)
    nothing: tuple[Verdict | None, ...] = (None,) * len(content.steps)
    return Matrix(
        content.steps,
        tuple(
            MatrixRow(number, host.id, verdicts.get(host.id, nothing))
            for number, host in enumerate(result.hosts, 1)
        ),
    )


def _controls_of(result: Result, controls: Mapping[str, Sequence[Control]]) -> dict[str, Sequence[Control]]:
    """The controls of the steps that were selected, in the order of the steps."""
    steps = dict.fromkeys(check.step for check in result.checks)
    return {step: controls[step] for step in steps if controls.get(step)}


def _tally(result: Result) -> dict[str, Counter[Verdict]]:
    """For each check, on how many hosts it has which verdict."""
    tally = {check.test: Counter[Verdict]() for check in result.checks}
    for host in result.hosts:
        for item in host.assessments:
            tally[item.test][item.verdict] += 1
    return tally


@dataclass(frozen=True)
class CheckView:
    """One check of one host: `reason` only where it says more than what was observed; `waiver` its number here."""

    item: Assessment
    check: Check
    reason: str
    waiver: int
    commands: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class HostView:
    """What the page shows of one host; `commands` is None where the page only links to the transcript."""

    number: int
    host: Host
    count: Counter[Verdict]
    checks: tuple[CheckView, ...]
    timeline: Timeline | None
    drawing: Drawing | None
    ran: int
    commands: tuple[Command, ...] | None


def _host_views(result: Result, shown: Mapping[str, tuple[Command, ...]] | None) -> Iterator[HostView]:
    """One after another, so that a thousand of them need not be there at once."""
    checks, waivers = result.check_of, _numbers(result.waivers)
    for number, host in enumerate(result.hosts, 1):
        numbers = {item.name: item.commands for item in host.observations}
        content = timeline(host)
        yield HostView(
            number=number,
            host=host,
            count=Counter(item.verdict for item in host.assessments),
            checks=tuple(
                CheckView(
                    item,
                    checks[item.test],
                    "" if item.reason == item.observed else item.reason,
                    waivers.get(item.waiver, 0),
                    ranges(command for name in item.rests_on for command in numbers.get(name, ())),
                )
                for item in host.assessments
            ),
            timeline=content,
            drawing=draw(content) if content else None,
            ran=sum(map(len, numbers.values())),
            commands=None if shown is None else shown.get(host.id, ()),
        )


def _numbers(waivers: Iterable[WaiverUse]) -> dict[str, int]:
    return {use.waiver.id: number for number, use in enumerate(waivers, 1)}


def ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Numbers as ranges, each once and in order: 1, 2, 3, 7 is (1, 3), (7, 7)."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def _fits(transcripts: Iterable[Transcript]) -> bool:
    """Whether all transcripts together stay below the budget; stops counting as soon as they do not."""
    left = TRANSCRIPTS_SHOWN
    for transcript in transcripts:
        for command in transcript.commands:
            texts = (command.command, command.stdout, command.stderr)
            left -= _COMMAND_MARKUP + sum(len(escape(text)) for text in texts)
            if left < 0:
                return False
    return True


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S}"


def _code(text: str) -> Markup:
    """A sentence of the runbook, its `quoted` commands set as code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part
        for number, part in enumerate(str(visible(text)).split("`"))
    )


def _link(path: str) -> str:
    """A path as a link that stays in the page's folder, whatever it is called."""
    return f"./{quote(path, errors='replace')}"


@cache
def _template() -> jinja2.Template:
    templates = environment()
    templates.filters |= {"utc": _utc, "clock": _clock, "link": _link, "code": _code}
    return templates.get_template("page.html")
