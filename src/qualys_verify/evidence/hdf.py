"""`hdf/<host>.json`: a host's result in the Heimdall Data Format, as InSpec's JSON reporter writes it.

What Heimdall and MITRE's tools make of it: compliant is *Passed*, non-compliant *Failed*, inconclusive *Profile Error*,
not applicable *Not Applicable* (an impact of 0, by InSpec's convention), and waived *Not Applicable* with its waiver,
as InSpec's own waived controls are.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec

from qualys_verify.evidence.controls import NIST, controls_of
from qualys_verify.evidence.plain import looked, said, state_of, utc, waiver_on
from qualys_verify.evidence.result import Assessment, Host, Result, WaiverUse
from qualys_verify.verdict import Verdict

_STATUS = {
    Verdict.COMPLIANT: "passed",
    Verdict.NON_COMPLIANT: "failed",
    Verdict.INCONCLUSIVE: "error",
    Verdict.WAIVED: "skipped",
    Verdict.NOT_APPLICABLE: "skipped",
}
# What InSpec takes for a control that does not say how grave it is; the runbook does not.
_IMPACT = 0.5

# The format is JSON's own shape: tables within tables.
Table = dict[str, Any]


def render_hdf(result: Result, host: Host) -> bytes:
    """One host's file; times are UTC, durations seconds."""
    run = result.run
    controls = [_control(result, host, assessment) for assessment in host.assessments]
    return _encoded(
        {
            "platform": {
                "name": host.identity.get("system") or "unknown",
                "release": host.identity.get("kernel", ""),
                "target_id": host.id,
            },
            "profiles": [
                {
                    "name": "qualys-verify",
                    "title": "Qualys Cloud Agent: operations runbook",
                    "version": run.version,
                    "sha256": run.runbook,
                    "summary": f"Run {run.id}: {state_of(run)}. Valid until {utc(run.expires)}.",
                    "license": "Apache-2.0",
                    "status": "loaded",
                    "supports": [],
                    "attributes": [],
                    "groups": _groups(host),
                    "controls": controls,
                }
            ],
            "statistics": _statistics(host),
            "version": run.version,
            "passthrough": {
                "run": run.id,
                "state": state_of(run),
                "started": utc(run.started),
                "ended": utc(run.ended) if run.ended else None,
                "expires": utc(run.expires),
                "host": host.id,
                "identity": host.identity,
                "transcript": host.transcript,
            },
        }
    )


def _encoded(table: Table) -> bytes:
    return msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n"


def _groups(host: Host) -> list[Table]:
    """The runbook's steps, with their tests."""
    steps: dict[str, list[str]] = {}
    for assessment in host.assessments:
        steps.setdefault(assessment.step, []).append(assessment.test)
    return [
        {"id": f"step {step}", "title": f"Step {step}", "controls": tests} for step, tests in steps.items()
    ]


def _statistics(host: Host) -> Table:
    count = Counter(_STATUS[assessment.verdict] for assessment in host.assessments)
    return {
        "duration": round(sum(assessment.took for assessment in host.assessments), 6),
        "controls": {status: {"total": count[status]} for status in ("passed", "failed", "skipped", "error")},
    }


def _control(result: Result, host: Host, assessment: Assessment) -> Table:
    check = result.check_of[assessment.test]
    use = waiver_on(result.waivers, host, assessment)
    control: Table = {
        "id": assessment.test,
        "title": check.title,
        "desc": _description(check.title, assessment),
        "descriptions": [{"label": "check", "data": check.title}, {"label": "fix", "data": check.remedy}],
        "impact": 0.0 if assessment.verdict is Verdict.NOT_APPLICABLE else _IMPACT,
        "refs": [{"ref": f"Runbook, step {assessment.step}"}],
        "tags": _tags(assessment),
        "code": None,
        "source_location": {"ref": assessment.test},
        "results": [_result(result, host, assessment, use)],
    }
    if use:
        control["waiver_data"] = _waiver_data(use, assessment)
    return control


def _description(title: str, assessment: Assessment) -> str:
    """Of what has no impact Heimdall shows the description in the message's place: the reason has to stand there."""
    if assessment.verdict is Verdict.NOT_APPLICABLE:
        return f"{title}\nNot applicable: {said(assessment)}"
    return title


def _tags(assessment: Assessment) -> Table:
    controls = controls_of(assessment.step)
    return {
        # With a space before an enhancement, as InSpec profiles spell it.
        "nist": [*(each.id.replace("(", " (") for each in controls if each.framework == NIST), "Rev_5"],
        "controls": [str(each) for each in controls],
        "step": assessment.step,
        "verdict": assessment.verdict.value,
        "assessed": assessment.assessed,
    }


def _result(result: Result, host: Host, assessment: Assessment, use: WaiverUse | None) -> Table:
    times = looked(host, assessment)
    took = times[1] - times[0] if times else timedelta(0)
    entry: Table = {
        "status": _STATUS[assessment.verdict],
        "code_desc": result.check_of[assessment.test].title,
        "start_time": utc(times[0] if times else result.run.started),
        "run_time": took.total_seconds(),
    }
    text = said(assessment)
    match assessment.verdict:
        case Verdict.WAIVED:
            entry["skip_message"] = f"{_waived_by(use, assessment)}; found: {text}"
        case Verdict.NOT_APPLICABLE:
            entry["skip_message"] = text
        case Verdict.INCONCLUSIVE:
            entry |= {"message": text, "exception": "Inconclusive"}
        case Verdict.NON_COMPLIANT:
            entry["message"] = f"{text}\nIf not: {result.check_of[assessment.test].remedy}"
        case Verdict.COMPLIANT if text:
            entry["message"] = text
    return entry


def _waiver_data(use: WaiverUse, assessment: Assessment) -> Table:
    """InSpec's five fields. What a waiver covers was looked at all the same: `run` is true.

    `skipped_due_to_waiver` is what Heimdall goes by; it is false for a waiver that is not in force.
    """
    waiver = use.waiver
    applied = bool(assessment.waiver)
    return {
        "run": True,
        "skipped_due_to_waiver": applied,
        "justification": waiver.reason,
        "expiration_date": utc(waiver.expires),
        "message": _waived_by(use, assessment)
        if applied
        else f"The waiver {waiver.id} is {use.state}; the control counts as usual.",
    }


def _waived_by(use: WaiverUse | None, assessment: Assessment) -> str:
    if use is None:
        return f"Waived by {assessment.waiver}"
    waiver = use.waiver
    return (
        f"Waived by {waiver.id}: {waiver.reason} (approved by {waiver.approver}, {waiver.ticket}, risk {waiver.risk}, from "
        f"{utc(waiver.effective)} until {utc(waiver.expires)})"
    )
