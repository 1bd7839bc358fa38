"""What a test's outcome means, and what the run's outcomes mean for its exit status."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import pytest

INCONCLUSIVE_STATUS = 6


class Verdict(StrEnum):
    """The verdict on one sentence of the runbook for one host."""

    NON_COMPLIANT = "non-compliant"
    INCONCLUSIVE = "inconclusive"
    WAIVED = "waived"
    COMPLIANT = "compliant"
    NOT_APPLICABLE = "not applicable"

    @property
    def symbol(self) -> str:
        """One character for a grid; readable without colour."""
        return {
            "waived": "~",
            "compliant": "✔",
            "non-compliant": "✘",
            "inconclusive": "?",
            "not applicable": "-",
        }[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one test of one host.

    `step` is the runbook's number, `title` its sentence, `remedy` what to do. `observed` is what was seen,
    `reason` why the verdict is not compliant; `took` how long the looking took, in seconds; `rests_on` the
    observations that it was about. `waiver` is the id of the waiver that covers it. `assessed` is false for what was
    expected and never came to a verdict.
    """

    nodeid: str
    target: str
    step: str
    title: str
    remedy: str
    verdict: Verdict
    observed: str
    reason: str
    took: float
    rests_on: tuple[str, ...] = ()
    waiver: str = ""
    assessed: bool = True

    @property
    def test(self) -> str:
        """The test function's name."""
        return self.nodeid.split("[")[0].rpartition("::")[2]


def exit_status(verdicts: Iterable[Verdict], status: int) -> int:
    """The exit status of a run from its verdicts and pytest's own status.

    0: everything was assessed and is compliant; 1: something is non-compliant; 6: nothing is non-compliant,
    and something is inconclusive; 5: nothing was assessed. Pytest's own 2, 3 and 4, and its 5 for an empty
    selection, stay as they are.
    """
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return status
    count = Counter(verdicts)
    if count[Verdict.NON_COMPLIANT]:
        return int(pytest.ExitCode.TESTS_FAILED)
    if count[Verdict.INCONCLUSIVE]:
        return INCONCLUSIVE_STATUS
    if not count[Verdict.COMPLIANT] + count[Verdict.WAIVED]:
        return int(pytest.ExitCode.NO_TESTS_COLLECTED)
    return status


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that decides for several: non-compliant, else inconclusive, else compliant, else not applicable."""
    found = set(verdicts)
    return next(verdict for verdict in Verdict if verdict in found)
