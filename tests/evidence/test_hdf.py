"""`hdf/<host>.json`: what MITRE's tools make of a verdict (with the tools themselves: tests/interop)."""

import json

import pytest

from qualys_verify.evidence.hdf import render_hdf
from qualys_verify.verdict import Verdict
from tests.evidence import odd, sample


def parsed(result, number=0):
    return json.loads(render_hdf(result, result.hosts[number]))


def controls(result, number=0):
    return {control["id"]: control for control in parsed(result, number)["profiles"][0]["controls"]}


def heimdall(control):
    """The status that Heimdall computes, by the rules of its own code."""
    statuses = {each["status"] for each in control["results"]}
    if "error" in statuses:
        return "Profile Error"
    if control.get("waiver_data", {}).get("skipped_due_to_waiver") or control["impact"] == 0:
        return "Not Applicable"
    if "failed" in statuses:
        return "Failed"
    return "Passed" if "passed" in statuses else "Not Reviewed"


def test_each_verdict_has_its_status():
    assert [heimdall(control) for control in controls(sample.result(), 1).values()] == [
        "Passed",
        "Failed",
        "Not Applicable",
        "Not Applicable",
        "Profile Error",
    ]


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.COMPLIANT])
def test_only_what_is_compliant_passes(verdict):
    (control,) = controls(odd.clean(verdict)).values()
    assert control["results"][0]["status"] != "passed"
    assert heimdall(control) != "Passed"


def test_a_waiver_is_carried_in_inspecs_five_fields():
    control = controls(sample.result(), 1)["test_log_shows_recent_activity"]
    assert control["waiver_data"] == {
        "run": True,
        "skipped_due_to_waiver": True,
        "justification": "the log goes to syslog",
        "expiration_date": "2026-04-12T12:00:00Z",
        "message": "Waived by W-1: the log goes to syslog (approved by A. Auditor, CHG-17, risk low, from "
        "2026-03-13T12:00:00Z until 2026-04-12T12:00:00Z)",
    }
    assert control["impact"] > 0
    assert "last entry 5 h ago" in control["results"][0]["skip_message"]


def test_an_expired_waiver_is_carried_and_the_control_fails():
    control = controls(odd.expired(), 1)["test_log_shows_recent_activity"]
    assert heimdall(control) == "Failed"
    assert not control["waiver_data"]["skipped_due_to_waiver"]
    assert "expired" in control["waiver_data"]["message"]


def test_what_has_no_waiver_has_no_waiver_data():
    waived = [name for name, control in controls(sample.result(), 1).items() if "waiver_data" in control]
    assert waived == ["test_log_shows_recent_activity"]


def test_nists_tags_are_spelled_as_inspec_spells_them():
    control = controls(sample.result())["test_vulnerability_scan_is_accepted"]
    assert control["tags"]["nist"] == ["RA-5", "RA-5 (5)", "Rev_5"]
    assert "PCI DSS v4.0.1 11.3.1 (partial)" in control["tags"]["controls"]


def test_the_reason_of_what_does_not_apply_stands_where_heimdall_looks_for_it():
    control = controls(sample.result(), 1)["test_vulnerability_scan_is_accepted"]
    assert "--read-only" in control["desc"]
    assert "--read-only" in control["results"][0]["skip_message"]


def test_it_says_whose_it_is_and_from_when():
    data = parsed(sample.result())
    assert data["platform"]["target_id"] == data["passthrough"]["host"] == "ssh://ops@web1"
    assert data["passthrough"]["identity"]["host key"] == "SHA256:abc"
    result = data["profiles"][0]["controls"][0]["results"][0]
    assert result["start_time"] == "2026-03-23T12:00:01Z"
    assert result["run_time"] == pytest.approx(1.1)


def test_statistics_and_groups_are_those_of_the_controls():
    data = parsed(sample.result(), 1)
    totals = {name: each["total"] for name, each in data["statistics"]["controls"].items()}
    assert totals == {"passed": 1, "failed": 1, "skipped": 2, "error": 1}
    groups = [name for group in data["profiles"][0]["groups"] for name in group["controls"]]
    assert groups == [control["id"] for control in data["profiles"][0]["controls"]]


def test_a_killed_run_passes_nothing_and_says_why():
    data = parsed(odd.killed())
    assert {heimdall(control) for control in data["profiles"][0]["controls"]} == {"Profile Error"}
    assert "incomplete" in data["profiles"][0]["summary"]
    assert data["passthrough"]["ended"] is None


@pytest.mark.parametrize("text", odd.HOSTILE, ids=range(len(odd.HOSTILE)))
def test_hostile_texts_are_carried_as_they_are(text):
    data = parsed(odd.hostile(text))
    assert data["platform"]["target_id"] == text
    assert len(data["profiles"][0]["controls"]) == len(Verdict)
