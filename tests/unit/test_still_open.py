"""Why a finding may still be open: each reason when it applies, and silence when none does."""

import pytest

from qualys_verify.agent.request import ScanType
from qualys_verify.evidence.still_open import still_open
from qualys_verify.verdict import Finding, Verdict

BOTH = (ScanType.VM, ScanType.PC)
WELL = {
    "test_unit_exists": Verdict.COMPLIANT,
    "test_policy_evaluation_is_accepted": Verdict.COMPLIANT,
    "test_log_shows_upload_or_communication": Verdict.COMPLIANT,
}


def reasons(types=BOTH, why_reboot="", **verdicts):
    findings = [
        Finding(f"tests_agent/t.py::{name}[web1]", "web1", "1", "", "", verdict, "", "", 0.0)
        for name, verdict in {**WELL, **verdicts}.items()
    ]
    return [reason.sentence for reason in still_open(findings, {"web1": why_reboot}, types)]


def test_nothing_to_say_when_all_is_well():
    assert reasons() == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"test_policy_evaluation_is_accepted": Verdict.NOT_APPLICABLE}, "policy evaluation not run"),
        ({"test_log_shows_upload_or_communication": Verdict.INCONCLUSIVE}, "check-in was not seen"),
        ({"why_reboot": "kernel 2 is installed, 1 runs"}, "reboot required (kernel 2 is installed, 1 runs)"),
        ({"types": (ScanType.PC,)}, "asks for no vulnerability scan"),
        ({"types": (ScanType.VM,)}, "asks for no policy evaluation"),
    ],
)
def test_each_reason_is_named(arguments, says):
    (sentence,) = reasons(**arguments)
    assert says in sentence


def test_a_host_without_an_agent_has_other_problems():
    for verdict in (Verdict.NON_COMPLIANT, Verdict.WAIVED):
        assert reasons(test_unit_exists=verdict, types=()) == []
