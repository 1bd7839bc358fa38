"""`junit.xml`: what CI systems make of a verdict, and that nothing in it breaks them."""

from xml.etree import ElementTree as ET

import pytest

from qualys_verify.verdict import Verdict
from tests.evidence import odd, sample
from tests.evidence.whole import render_junit

# The shape of the common schema (junit-10): which element holds which, with which attributes; `!` for needed ones.
SHAPE = {
    "testsuites": ({"testsuite"}, {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"properties", "testcase", "system-out", "system-err"},
        {
            "name!",
            "tests!",
            "failures!",
            "errors!",
            "skipped",
            "time",
            "timestamp",
            "hostname",
            "id",
            "package",
        },
    ),
    "properties": ({"property"}, set()),
    "property": (set(), {"name!", "value!"}),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name!", "classname", "time", "group"},
    ),
    "failure": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "skipped": (set(), {"type", "message"}),
    "system-out": (set(), set()),
}


def parsed(result):
    return ET.fromstring(render_junit(result))  # noqa: S314  # our own


def assert_in_shape(element):
    children, attributes = SHAPE[element.tag]
    assert {child.tag for child in element} <= children
    assert set(element.keys()) <= {name.rstrip("!") for name in attributes}
    assert {name[:-1] for name in attributes if name.endswith("!")} <= set(element.keys())
    for child in element:
        assert_in_shape(child)


def tags(root):
    return [
        [next((c.tag for c in case if c.tag != "system-out"), "") for case in suite.iter("testcase")]
        for suite in root
    ]


def test_each_verdict_has_its_own_place():
    assert tags(parsed(sample.result())) == [
        [""] * 5,
        ["", "failure", "skipped", "skipped", "error"],
        ["error"] * 5,
    ]


def test_counts_are_those_of_the_cases():
    root = parsed(sample.result())
    for suite in root:
        cases = list(suite.iter("testcase"))
        assert int(suite.get("tests")) == len(cases)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(name)) == sum(case.find(tag) is not None for case in cases)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("15", "1", "6")


def test_a_waiver_is_shown_with_its_approver_and_its_end():
    case = parsed(sample.result())[1].findall("testcase")[2]
    message = case.find("skipped").get("message")
    assert "W-1" in message
    assert "A. Auditor" in message
    assert "2026-04-12" in message
    assert "last entry 5 h ago" in message


def test_an_expired_waiver_counts_again_and_is_named():
    root = parsed(odd.expired())
    failure = root[1].findall("testcase")[2].find("failure")
    assert "W-1 (expired)" in failure.text
    assert "A. Auditor" in failure.text


def test_a_failure_says_what_to_do_and_an_error_why():
    _, bad, lost = parsed(sample.result())
    assert "If not: start it." in bad.find(".//failure").text
    assert "connection was refused" in lost.find(".//error").get("message")
    assert "If not" not in lost.find(".//error").text


def test_host_run_step_and_verdict_are_named():
    suite = parsed(sample.result())[1]
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["host"] == "ssh://web2"
    assert properties["run"] == sample.RUN
    case = suite.findall("testcase")[1]
    assert case.get("classname") == "ssh://web2.step 1"
    assert "step: 1\nverdict: non-compliant\nrun: 5eed5eed\n" in case.find("system-out").text


def test_times_are_utc():
    assert {suite.get("timestamp") for suite in parsed(sample.result())} == {"2026-03-23T12:00:00Z"}


@pytest.mark.parametrize("text", odd.HOSTILE, ids=range(len(odd.HOSTILE)))
def test_hostile_texts_leave_it_well_formed_and_in_shape(text):
    root = parsed(odd.hostile(text))
    assert_in_shape(root)
    assert tags(root) == [
        [
            {"non-compliant": "failure", "inconclusive": "error", "compliant": ""}.get(v, "skipped")
            for v in Verdict
        ]
    ]
    assert len(render_junit(odd.hostile(text))) < 1_000_000


def test_what_does_not_fit_the_shape_is_found():
    root = parsed(sample.result())
    ET.SubElement(root[0][1], "properties")
    with pytest.raises(AssertionError):
        assert_in_shape(root)


def test_an_empty_and_a_killed_run():
    assert parsed(odd.empty()).get("tests") == "0"
    killed = parsed(odd.killed())
    assert_in_shape(killed)
    assert killed.get("errors") == "15"
    assert "incomplete" in next(e.get("value") for e in killed.iter("property") if e.get("name") == "state")
