"""The controls' file: what a step speaks for, always in part."""

import pytest

from qualys_verify.evidence.controls import NIST, controls_of, nist_of

STEPS = ("1", "2.1", "2.2", "2.3", "3", "4", "5")
# The list that was agreed upon; nothing more is claimed.
EXPECTED = {
    ("NIST SP 800-53 r5", each) for each in ("SI-6", "RA-5", "RA-5(5)", "CM-6", "CM-4(2)", "SI-2", "CA-7")
} | {
    ("CIS Controls v8.1", "7.5"),
    ("CIS Controls v8.1", "7.7"),
    ("PCI DSS v4.0.1", "11.3.1"),
    ("PCI DSS v4.0.1", "11.3.1.3"),
    ("ISO/IEC 27001:2022", "A.8.8"),
    ("SOC 2 (TSC)", "CC7.1"),
}


def test_exactly_the_agreed_controls_are_named():
    assert {(control.framework, control.id) for step in STEPS for control in controls_of(step)} == EXPECTED


@pytest.mark.parametrize("step", STEPS)
def test_every_step_speaks_for_one_of_nists_and_for_none_wholly(step):
    controls = controls_of(step)
    assert any(control.framework == NIST for control in controls)
    assert all(control.partial and "(partial)" in str(control) for control in controls)


def test_a_scan_is_evidence_for_scanning_and_a_running_service_is_not():
    assert "RA-5" in {control.id for control in controls_of("3")}
    assert "RA-5" not in {control.id for control in controls_of("1")}
    assert "CM-6" not in {control.id for control in controls_of("3")}


def test_the_results_step_and_unknown_steps_speak_for_nothing():
    assert controls_of("6") == controls_of("") == ()


def test_nists_ids_in_oscals_spelling():
    assert [control.oscal_id for control in nist_of(["3", "5", "3"])] == [
        "ra-5",
        "ra-5.5",
        "cm-6",
        "cm-4.2",
        "si-2",
    ]
