"""A library that CI tools are built on reads our `junit.xml` back."""

import pytest

from qualys_verify.verdict import Verdict
from tests.evidence.whole import render_junit

junitparser = pytest.importorskip("junitparser", reason="junitparser: .[interop]")


def test_what_was_written_is_read_back(result, tmp_path):
    file = tmp_path / "junit.xml"
    file.write_bytes(render_junit(result))
    found = junitparser.JUnitXml.fromfile(str(file))
    kinds = {
        Verdict.NON_COMPLIANT: [junitparser.Failure],
        Verdict.INCONCLUSIVE: [junitparser.Error],
        Verdict.COMPLIANT: [],
    }
    assert [[[type(each) for each in case.result] for case in suite] for suite in found] == [
        [kinds.get(item.verdict, [junitparser.Skipped]) for item in host.assessments] for host in result.hosts
    ]
    written = (found.tests or 0, found.failures or 0, found.errors or 0)
    found.update_statistics()
    assert (found.tests, found.failures, found.errors) == written
