"""What the outcomes of a run mean for its exit status."""

from dataclasses import FrozenInstanceError
from itertools import chain, combinations

import pytest

from qualys_verify.verdict import Finding, Verdict, exit_status, worst

GOOD, BAD, UNSEEN, APART = (
    Verdict.COMPLIANT,
    Verdict.NON_COMPLIANT,
    Verdict.INCONCLUSIVE,
    Verdict.NOT_APPLICABLE,
)


@pytest.mark.parametrize(
    ("verdicts", "own", "status"),
    [
        ([GOOD], 0, 0),
        ([GOOD, APART], 0, 0),
        ([Verdict.WAIVED], 0, 0),
        ([GOOD, Verdict.WAIVED], 0, 0),
        ([APART], 0, 5),
        ([], 0, 5),
        ([BAD], 1, 1),
        ([GOOD, BAD, UNSEEN, APART], 1, 1),
        ([UNSEEN], 1, 6),
        ([GOOD, UNSEEN, APART], 1, 6),
        ([GOOD], 1, 1),  # something else failed, perhaps the end of a test
        ([BAD], 2, 2),
        ([GOOD], 2, 2),
        ([GOOD], 3, 3),
        ([GOOD], 4, 4),
        ([], 5, 5),
        ([BAD], 5, 5),
    ],
)
def test_the_exit_status(verdicts, own, status):
    assert exit_status(verdicts, own) == status


def subsets():
    verdicts = list(Verdict)
    return chain.from_iterable(combinations(verdicts, size) for size in range(len(verdicts) + 1))


@pytest.mark.parametrize("own", range(7))
@pytest.mark.parametrize("verdicts", list(subsets()), ids=lambda found: "+".join(found) or "none")
def test_green_is_only_what_was_assessed_and_is_compliant(verdicts, own):
    if exit_status(verdicts, own) == 0:
        assert own == 0
        assert {GOOD, Verdict.WAIVED} & set(verdicts)
        assert not {BAD, UNSEEN} & set(verdicts)


@pytest.mark.parametrize(
    ("verdicts", "decides"),
    [
        ([GOOD, BAD, UNSEEN, APART], BAD),
        ([GOOD, UNSEEN, APART], UNSEEN),
        ([APART, GOOD], GOOD),
        ([APART], APART),
    ],
)
def test_the_verdict_that_decides_for_several(verdicts, decides):
    assert worst(verdicts) is decides


def test_each_verdict_has_a_sign_of_its_own():
    assert "".join(verdict.symbol for verdict in Verdict) == "✘?~✔-"


def test_a_finding_names_its_test_and_stays_as_it_is():
    finding = Finding(
        nodeid="tests_agent/test_step_1.py::test_unit_exists[ssh://[2001:db8::1]:22]",
        target="ssh://[2001:db8::1]:22",
        step="1",
        title="",
        remedy="",
        verdict=GOOD,
        observed="",
        reason="",
        took=0.0,
    )
    assert finding.test == "test_unit_exists"
    assert finding.assessed
    with pytest.raises(FrozenInstanceError):
        finding.verdict = BAD
