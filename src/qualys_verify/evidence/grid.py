"""Findings, arranged for a reader: hosts by steps, and each distinct problem once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qualys_verify.evidence.result import Result
from qualys_verify.verdict import Finding, Verdict, worst

LIMITS = (
    "Step 6: vulnerability results, pass or fail, QIDs and compliance details are visible only in the Qualys UI, 5 to 15 "
    "minutes after a scan. Nothing here shows them."
)


@dataclass(frozen=True)
class Grid:
    """The verdict of each step on each host; None where a step was not selected."""

    steps: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Verdict | None, ...]], ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be, and the hosts that have it."""

    step: str
    verdict: Verdict
    title: str
    remedy: str
    observed: str
    hosts: tuple[str, ...]


def findings_of(result: Result) -> tuple[Finding, ...]:
    """The findings that a result holds, for whoever arranges them; the transcripts are files of their own."""
    checks = result.check_of
    return tuple(
        Finding(
            nodeid=item.test,
            target=host.id,
            step=item.step,
            title=checks[item.test].title,
            remedy=checks[item.test].remedy,
            verdict=item.verdict,
            observed=item.observed,
            reason=item.reason,
            took=item.took,
        )
        for host in result.hosts
        for item in host.assessments
    )


def grid(findings: Iterable[Finding]) -> Grid:
    """Arrange findings: a row for each host in the order it was named, a column for each step."""
    cells: dict[str, dict[str, list[Verdict]]] = {}
    for finding in findings:
        cells.setdefault(finding.target, {}).setdefault(finding.step, []).append(finding.verdict)
    steps = tuple(sorted({step for row in cells.values() for step in row}))
    rows = (
        (host, tuple(worst(row[step]) if step in row else None for step in steps))
        for host, row in cells.items()
    )
    return Grid(steps, tuple(rows))


def problems(findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """Each distinct problem once: non-compliant before inconclusive, then by step.

    What is observed on several hosts is the same problem when it reads the same but for the host's id and for
    numbers (times, process ids); the first host's words stand for all. A reason why something could not be
    seen stands for all steps that it kept from being seen.
    """
    groups: dict[tuple[Verdict, str, str, str], list[Finding]] = {}
    for finding in findings:
        key: tuple[Verdict, str, str, str]
        if finding.verdict is Verdict.NON_COMPLIANT:
            key = (finding.verdict, finding.step, finding.title, _kind(finding))
        elif finding.verdict in {Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE}:
            key = (finding.verdict, "", "", _kind(finding))
        else:
            continue
        groups.setdefault(key, []).append(finding)
    found = (_problem(members) for members in groups.values())
    return tuple(sorted(found, key=lambda problem: (list(Verdict).index(problem.verdict), problem.step)))


def _kind(finding: Finding) -> str:
    """What two findings of the same problem have in common."""
    return re.sub(r"[0-9]+", "#", _said(finding))


def _said(finding: Finding) -> str:
    """What was observed, or why nothing was, as it reads for any host."""
    text = finding.observed if finding.verdict is Verdict.NON_COMPLIANT else finding.reason
    # `web1` is not the beginning of `web10`.
    for_any = re.sub(rf"{re.escape(finding.target)}(?![\w-]|[.:]\w)", "the host", text)
    return for_any.removeprefix("the host: ")


def _problem(members: list[Finding]) -> Problem:
    first = members[0]
    judged = first.verdict is Verdict.NON_COMPLIANT
    return Problem(
        step=", ".join(dict.fromkeys(finding.step for finding in members)),
        verdict=first.verdict,
        title=first.title if judged else "",
        remedy=first.remedy if judged else "",
        observed=_said(first),
        hosts=tuple(dict.fromkeys(finding.target for finding in members)),
    )
