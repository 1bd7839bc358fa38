"""`test-result.intoto.json`: an in-toto Statement v1 with the predicate test-result/v0.1, unsigned.

The predicate knows PASSED, WARNED and FAILED. Waived is a warning. Inconclusive is among the failed: the other two lists
are, by the predicate's text, of tests that passed, and a policy on this predicate asks "that all tests were in fact
run, and that all required tests passed". Not applicable is in no list.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from qualys_verify.evidence.result import Result, Run
from qualys_verify.verdict import Verdict

_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
_LISTS = {
    "passedTests": (Verdict.COMPLIANT,),
    "warnedTests": (Verdict.WAIVED,),
    "failedTests": (Verdict.NON_COMPLIANT, Verdict.INCONCLUSIVE),
}


def render_intoto(result: Result, subjects: Iterable[tuple[str, str]]) -> bytes:
    """The statement. `subjects` are the files that it speaks of: name in the bundle, and SHA-256 in hexadecimal.

    Raises ValueError for no subjects: a statement must speak of something.
    """
    files = [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects]
    if not files:
        raise ValueError("an in-toto statement needs a subject: name at least one file of the bundle")
    statement = {
        "_type": _STATEMENT,
        "subject": files,
        "predicateType": _PREDICATE,
        "predicate": {
            "result": _outcome(result),
            "configuration": _configuration(result.run),
            **{
                name: [
                    f"{host.id} {assessment.test}"
                    for host in result.hosts
                    for assessment in host.assessments
                    if assessment.verdict in verdicts
                ]
                for name, verdicts in _LISTS.items()
            },
        },
    }
    return msgspec.json.format(msgspec.json.encode(statement), indent=2) + b"\n"


def _outcome(result: Result) -> str:
    """PASSED only for a run that came to its end, with everything assessed and nothing to say about it."""
    found = {Verdict(name) for name, count in result.verdicts.items() if count}
    whole = result.run.exit_status == 0 and result.coverage.assessed == result.coverage.expected
    if not whole or found & set(_LISTS["failedTests"]) or not found & {Verdict.COMPLIANT, Verdict.WAIVED}:
        return "FAILED"
    return "WARNED" if Verdict.WAIVED in found else "PASSED"


def _configuration(run: Run) -> list[dict[str, Any]]:
    """What was run: the runbook by its digest, and the suite by its version and commit; several of a merged run."""
    runbooks = [
        {"name": "runbook", "digest": {"sha256": digest}}
        for digest in re.findall(r"\b[0-9a-f]{64}\b", run.runbook)
    ]
    commits = [{"gitCommit": commit} for commit in re.findall(r"\b[0-9a-f]{40}\b", run.commit)]
    suite: dict[str, Any] = {
        "name": "qualys-verify",
        "uri": "pkg:pypi/qualys-verify",
        "annotations": {"version": run.version, "commit": run.commit, "run": run.id},
    }
    if len(commits) == 1:
        suite["digest"] = commits[0]
    return [*runbooks, suite]
