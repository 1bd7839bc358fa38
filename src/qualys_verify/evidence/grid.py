"""Findings, arranged for a reader: hosts by steps, and each distinct problem once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qualys_verify.verdict import Finding, Verdict, worst

LIMITS = (
    "Step 6: vulnerability results, pass or fail, QIDs and compliance details are visible only in the Qualys UI, 5 to 15 "
    "minutes after a scan. Nothing here shows them: this run confirms that the agent is alive and that what was asked "
    "for was accepted and carried out."
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

    What is observed on several hosts is the same problem when it reads the same but for the host's id.
    """
    groups: dict[tuple[Verdict, str, str, str], list[Finding]] = {}
    for finding in findings:
        key: tuple[Verdict, str, str, str]
        if finding.verdict is Verdict.NON_COMPLIANT:
            key = (finding.verdict, finding.step, finding.title, _nameless(finding.observed, finding.target))
        elif (
            finding.verdict is Verdict.INCONCLUSIVE
        ):  # the reason stands for all steps that it kept from being seen
            key = (finding.verdict, "", "", _nameless(finding.reason, finding.target))
        else:
            continue
        groups.setdefault(key, []).append(finding)
    found = (_problem(key, members) for key, members in groups.items())
    return tuple(sorted(found, key=lambda problem: (list(Verdict).index(problem.verdict), problem.step)))


def _nameless(text: str, host: str) -> str:
    """A sentence about one host as it reads for any; `web1` is not the beginning of `web10`."""
    return re.sub(rf"{re.escape(host)}(?![\w-]|[.:]\w)", "the host", text)


def _problem(key: tuple[Verdict, str, str, str], members: list[Finding]) -> Problem:
    verdict, step, title, observed = key
    steps = step or ", ".join(dict.fromkeys(finding.step for finding in members))
    hosts = tuple(dict.fromkeys(finding.target for finding in members))
    return Problem(steps, verdict, title, members[0].remedy if step else "", observed, hosts)
