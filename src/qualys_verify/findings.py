"""From pytest's reports to findings: the verdict on one sentence of the runbook for one host."""

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from qualys_verify.observation import FLEET, Sightings, plan
from qualys_verify.targets import Target
from qualys_verify.verdict import Finding, Verdict
from qualys_verify.waivers import Waiver

_TITLE = re.compile(r"Step (?P<step>[\d.]+): (?P<title>.+)", re.DOTALL)


def finding_of(
    item: pytest.Item,
    report: pytest.TestReport,
    raised: pytest.ExceptionInfo[BaseException] | None,
) -> Finding | None:
    """The finding of a test's report; None for phases that decide nothing, and for tests that are not of the runbook.

    `raised` is what ended the phase: only a test's `assert` makes a host non-compliant.
    """
    target = target_of(item)
    if target is None or not isinstance(item, pytest.Function) or report.when == "teardown":
        return None
    if report.when == "setup" and report.passed:
        return None
    fleet = item.config.stash[FLEET]
    step, title, remedy = sentence_of(item)
    names = tuple(observation.name for observation in plan(item.fixturenames))
    verdict = _verdict(report, raised)
    return Finding(
        nodeid=report.nodeid,
        target=target.id,
        step=step,
        title=title,
        remedy=remedy,
        verdict=verdict,
        observed=_observed(item, fleet, target),
        reason=_reason(report, verdict),
        took=sum(fleet.sighting(target, name).took for name in names),
        rests_on=names,
    )


def missed(item: pytest.Item) -> Finding | None:
    """The finding of a selected test that never came to a verdict; None for tests that are not of the runbook."""
    target = target_of(item)
    if target is None or not isinstance(item, pytest.Function):
        return None
    step, title, remedy = sentence_of(item)
    reason = f"{target.id}: not assessed, the run ended before this test"
    return Finding(
        item.nodeid, target.id, step, title, remedy, Verdict.INCONCLUSIVE, "", reason, 0.0, assessed=False
    )


def target_of(item: pytest.Item) -> Target | None:
    """The host that a test is about, or None."""
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("target") if callspec else None
    return found if isinstance(found, Target) else None


def sentence_of(item: pytest.Function) -> tuple[str, str, str]:
    """Step number, sentence and remedy out of a test's docstring: `Step 1: …`, a blank line, `If not: …`."""
    return _sentence(item.function.__doc__ or "", item.originalname)


@cache  # one docstring for all hosts
def _sentence(docstring: str, name: str) -> tuple[str, str, str]:
    first, _, rest = inspect.cleandoc(docstring).partition("\n\n")
    match = _TITLE.match(first)
    remedy = " ".join(rest.split()).removeprefix("If not: ")
    if match is None:
        return "", " ".join(first.split()) or name, remedy
    return match["step"], " ".join(match["title"].split()), remedy


def _verdict(report: pytest.TestReport, raised: pytest.ExceptionInfo[BaseException] | None) -> Verdict:
    if hasattr(report, "wasxfail"):
        return Verdict.WAIVED
    if report.passed:
        return Verdict.COMPLIANT
    if report.skipped:
        return Verdict.NOT_APPLICABLE
    judged = report.when == "call" and raised is not None and raised.errisinstance(AssertionError)
    return Verdict.NON_COMPLIANT if judged else Verdict.INCONCLUSIVE


def waive(report: pytest.TestReport, finding: Finding, waiver: Waiver) -> Finding:
    """The finding as it counts under a waiver; pytest reports it as an expected failure."""
    note = f"{waiver.id}, approved by {waiver.approver} ({waiver.ticket}) until {waiver.expires:%Y-%m-%d %H:%M} UTC: {waiver.reason}"
    why = finding.reason or finding.observed
    report.outcome = "skipped"
    report.wasxfail = f"waived by {note}"
    return replace(finding, verdict=Verdict.WAIVED, reason=f"{why} (waived by {note})", waiver=waiver.id)


def redact(report: pytest.TestReport, clean: Callable[[str], str]) -> None:
    """Take secrets out of what pytest itself would show of a test: its failure and what was captured."""
    if report.longrepr is None and not report.sections:
        return
    shown = "" if report.longrepr is None else report.longreprtext
    if clean(shown) != shown:
        report.longrepr = (
            (*report.longrepr[:2], clean(report.longrepr[2]))
            if isinstance(report.longrepr, tuple)
            else clean(shown)
        )
    report.sections = [(name, clean(text)) for name, text in report.sections]


def annotate(report: pytest.TestReport, finding: Finding) -> None:
    """Tell JUnit and other plugins what the report is about; its message names host, step and what to do."""
    report.user_properties += [
        ("host", finding.target),
        ("step", finding.step),
        ("verdict", finding.verdict.value),
        ("looking_seconds", f"{finding.took:.3f}"),
    ]
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None and finding.verdict is Verdict.NON_COMPLIANT:
        crash.message = f"{finding.target}: step {finding.step}: {finding.title} Observed: {finding.observed}. If not: {finding.remedy}"


def _reason(report: pytest.TestReport, verdict: Verdict) -> str:
    """Why the verdict is not compliant, in one line."""
    if verdict is Verdict.COMPLIANT:
        return ""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else report.longreprtext
    return text.strip().split("\n")[0].removeprefix("AssertionError: ").removeprefix("Failed: ")


def _observed(item: pytest.Function, fleet: Sightings, target: Target) -> str:
    """What the test was handed: the values that it names itself."""
    found = (fleet.sighting(target, name) for name in _named_by(item.function))
    return "; ".join(
        str(sighting.value if sighting.reason is None else sighting.reason) for sighting in found
    )


@cache
def _named_by(test: Callable[..., object]) -> tuple[str, ...]:
    """The observations among a test's parameters."""
    return tuple(name for name in inspect.signature(test).parameters if plan([name]))
