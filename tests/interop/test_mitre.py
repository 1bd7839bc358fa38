"""MITRE's own npm packages read our Heimdall files: the statuses arrive as they are meant."""

import json
from pathlib import Path

import pytest

from qualys_verify.evidence.hdf import render_hdf
from qualys_verify.verdict import Verdict
from tests.evidence import sample

PROGRAM = Path(__file__).with_name("heimdall.js")
STATUS = {
    Verdict.COMPLIANT: "Passed",
    Verdict.NON_COMPLIANT: "Failed",
    Verdict.INCONCLUSIVE: "Profile Error",
    Verdict.WAIVED: "Not Applicable",
    Verdict.NOT_APPLICABLE: "Not Applicable",
}
CLEAN = "{compliance.min: 100}, {failed.total.max: 0}, {error.total.max: 0}"


def test_heimdalls_parser_gives_each_verdict_its_status(inspecjs, result, hdf_files):
    found = json.loads(inspecjs.node(PROGRAM, *hdf_files).stdout)
    assert [[control["status"] for control in controls] for controls in found] == [
        [STATUS[item.verdict] for item in host.assessments] for host in result.hosts
    ]
    assert [[control["waived"] for control in controls] for controls in found] == [
        [item.verdict is Verdict.WAIVED for item in host.assessments] for host in result.hosts
    ]


def test_nists_controls_and_reasons_arrive(inspecjs, tmp_path):
    result = sample.result()
    file = tmp_path / "host.json"
    file.write_bytes(render_hdf(result, result.hosts[1]))
    ((_, failed, waived, inapplicable, lost),) = json.loads(inspecjs.node(PROGRAM, file).stdout)
    assert failed["nist"] == ["CA-7", "SI-6"]
    assert lost["nist"] == ["CM-4 (2)", "CM-6", "RA-5", "RA-5 (5)", "SI-2"]
    assert "If not: start it." in failed["message"]
    assert "approved by A. Auditor" in waived["message"]
    assert "--read-only" in inapplicable["message"]
    assert "the run ended before this test" in lost["message"]


@pytest.mark.parametrize("missing", ["platform", "profiles", "statistics"])
def test_the_parser_refuses_what_is_no_such_file(inspecjs, tmp_path, missing):
    result = sample.result()
    data = json.loads(render_hdf(result, result.hosts[0]))
    del data[missing]
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(data))
    assert inspecjs.node(PROGRAM, file, check=False).returncode


def saf_says(saf, file, *arguments):
    return saf.node("node_modules/@mitre/saf/bin/run", *arguments, "-i", file, check=False)


def test_saf_counts_each_verdict(saf, tmp_path):
    result = sample.result()
    file = tmp_path / "host.json"
    file.write_bytes(render_hdf(result, result.hosts[1]))
    (summary,) = json.loads(saf_says(saf, file, "view", "summary", "-f", "json").stdout)
    counts = {name: summary[name]["total"] for name in ("passed", "failed", "error", "skipped", "no_impact")}
    assert counts == {"passed": 1, "failed": 1, "error": 1, "skipped": 0, "no_impact": 2}


@pytest.mark.parametrize(("number", "status"), [(0, 0), (1, 1), (2, 1)])
def test_safs_threshold_lets_only_the_healthy_host_through(saf, tmp_path, number, status):
    result = sample.result()
    file = tmp_path / "host.json"
    file.write_bytes(render_hdf(result, result.hosts[number]))
    found = saf_says(saf, file, "validate", "threshold", "-I", CLEAN)
    assert found.returncode == status, found.stderr
