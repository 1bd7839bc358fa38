"""`test-result.intoto.json`: PASSED means that everything was looked at and is compliant, and nothing less."""

import json

import pytest

from qualys_verify.evidence.events import Ended, Expected, Judged, Planned
from qualys_verify.evidence.intoto import render_intoto
from qualys_verify.verdict import Verdict
from tests.evidence import odd, sample

SUBJECTS = [("run.json", "ab" * 32), ("hdf/web1.json", "cd" * 32)]


def predicate(result):
    return json.loads(render_intoto(result, SUBJECTS))["predicate"]


def test_it_is_a_statement_about_the_bundles_files():
    statement = json.loads(render_intoto(sample.result(), SUBJECTS))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert statement["subject"] == [
        {"name": "run.json", "digest": {"sha256": "ab" * 32}},
        {"name": "hdf/web1.json", "digest": {"sha256": "cd" * 32}},
    ]


def test_without_files_there_is_nothing_to_state():
    with pytest.raises(ValueError, match="subject"):
        render_intoto(sample.result(), [])


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (odd.clean(), "PASSED"),
        (odd.clean(Verdict.WAIVED), "WARNED"),
        (odd.clean(Verdict.NON_COMPLIANT, 1), "FAILED"),
        (odd.clean(Verdict.INCONCLUSIVE, 6), "FAILED"),
        (odd.clean(Verdict.NOT_APPLICABLE, 5), "FAILED"),
        # Whatever an exit status may say.
        (odd.clean(Verdict.INCONCLUSIVE), "FAILED"),
        (odd.clean(Verdict.NOT_APPLICABLE), "FAILED"),
        (odd.clean(status=2), "FAILED"),
        (odd.clean(status=3), "FAILED"),
        (odd.empty(), "FAILED"),
        (odd.killed(), "FAILED"),
    ],
)
def test_the_outcome(result, expected):
    assert predicate(result)["result"] == expected


@pytest.mark.parametrize(("assessed", "expected"), [(True, "PASSED"), (False, "FAILED")])
def test_a_run_with_something_left_out_has_not_passed(assessed, expected):
    host, check = "ssh://web1", sample.CHECKS[0]
    events = [
        sample.started(),
        Planned(sample.NOON, (check,), (Expected(host, (check.test,)),)),
        Judged(sample.at(1), host, check.test, Verdict.COMPLIANT, assessed=assessed),
        Ended(sample.at(2), 0),
    ]
    assert predicate(sample.result(events))["result"] == expected


def test_every_sentence_but_what_does_not_apply_is_in_one_list():
    found = predicate(sample.result())
    assert found["warnedTests"] == ["ssh://web2 test_log_shows_recent_activity"]
    assert "ssh://web2 test_unit_exists" in found["passedTests"]
    assert "ssh://web2 test_service_is_active_and_running" in found["failedTests"]
    assert "ssh://web3 test_unit_exists" in found["failedTests"], "inconclusive"
    assert len(found["passedTests"] + found["warnedTests"] + found["failedTests"]) == 14


def test_the_configuration_names_the_runbook_and_the_suite():
    runbook, suite = predicate(sample.result())["configuration"]
    assert runbook == {"name": "runbook", "digest": {"sha256": "ab" * 32}}
    assert suite["annotations"] == {"version": "0.1.0", "commit": "c0ffee", "run": sample.RUN}
    assert "digest" not in suite


def test_a_commit_that_is_one_is_a_digest():
    result = sample.result(sample.events(commit="0123456789" * 4))
    assert predicate(result)["configuration"][1]["digest"] == {"gitCommit": "0123456789" * 4}


def test_a_merged_run_has_several_runbooks():
    result = sample.result(sample.events(runbook=f"{'ab' * 32}, {'cd' * 32}"))
    digests = [each["digest"]["sha256"] for each in predicate(result)["configuration"][:-1]]
    assert digests == ["ab" * 32, "cd" * 32]


@pytest.mark.parametrize("text", odd.HOSTILE, ids=range(len(odd.HOSTILE)))
def test_hostile_texts(text):
    found = predicate(odd.hostile(text))
    assert found["result"] == "FAILED"
    assert found["passedTests"] == [f"{text} test_3"]
