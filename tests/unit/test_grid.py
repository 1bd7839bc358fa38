"""Findings arranged for a reader."""

from qualys_verify.evidence.grid import grid, problems
from qualys_verify.verdict import Finding, Verdict

GOOD, BAD, UNSEEN, APART = (
    Verdict.COMPLIANT,
    Verdict.NON_COMPLIANT,
    Verdict.INCONCLUSIVE,
    Verdict.NOT_APPLICABLE,
)


def finding(target, step, verdict, observed="", reason=""):
    return Finding(
        nodeid=f"{step} {target}",
        target=target,
        step=step,
        title="it holds",
        remedy="mend it",
        verdict=verdict,
        observed=observed,
        reason=reason,
        took=0.0,
    )


def test_hosts_stand_as_they_were_named_and_steps_in_the_runbook_s_order():
    content = grid(
        [
            finding("web2", "2.1", GOOD),
            finding("web2", "1", GOOD),
            finding("web2", "1", BAD),
            finding("web1", "2.1", UNSEEN),
            finding("web1", "2.1", GOOD),
            finding("web1", "5", APART),
        ],
    )
    assert content.steps == ("1", "2.1", "5")
    assert content.rows == (("web2", (BAD, GOOD, None)), ("web1", (None, UNSEEN, APART)))


def test_nothing_found_is_an_empty_grid():
    assert (grid([]).steps, grid([]).rows, problems([])) == ((), (), ())


def test_what_is_well_is_no_problem():
    assert problems([finding("web1", "1", GOOD)]) == ()


def test_what_does_not_apply_is_told_last_and_with_its_reason():
    found = problems([finding("web1", "2", APART, reason="no agent"), finding("web1", "1", BAD, "dead")])
    assert [(problem.verdict, problem.observed) for problem in found] == [(BAD, "dead"), (APART, "no agent")]


def test_one_problem_of_many_hosts_is_told_once():
    (problem,) = problems(finding(f"web{n}", "1", BAD, f"web{n} is dead") for n in (1, 2, 1))
    assert (problem.step, problem.verdict, problem.hosts) == ("1", BAD, ("web1", "web2"))
    assert (problem.title, problem.remedy, problem.observed) == ("it holds", "mend it", "the host is dead")


def test_different_sights_are_different_problems():
    found = problems(
        [
            finding("web1", "1", BAD, "dead"),
            finding("web2", "1", BAD, "slow"),
            finding("web2", "2", BAD, "slow"),
        ]
    )
    assert [(problem.step, problem.observed) for problem in found] == [
        ("1", "dead"),
        ("1", "slow"),
        ("2", "slow"),
    ]


def test_one_reason_stands_for_all_steps_that_it_kept_from_being_seen():
    steps = ("1", "2.1", "2.1", "5")
    (problem,) = problems(
        finding(host, step, UNSEEN, reason=f"{host} cannot be reached")
        for host in ("web1", "web2")
        for step in steps
    )
    assert (problem.step, problem.hosts) == ("1, 2.1, 5", ("web1", "web2"))
    assert (problem.observed, problem.remedy) == ("the host cannot be reached", "")


def test_a_reason_does_not_begin_with_the_host_that_is_named_beside_it():
    (problem,) = problems([finding("web1", "3", UNSEEN, reason="web1: the log is silent")])
    assert problem.observed == "the log is silent"


def test_a_host_is_not_the_beginning_of_another():
    reason = "ssh://web1 is the same machine as ssh://web10 (ssh://web1.example.org, ssh://web1:22), not ssh://web1."
    (problem,) = problems([finding("ssh://web1", "3", UNSEEN, reason=reason)])
    assert problem.observed == (
        "the host is the same machine as ssh://web10 (ssh://web1.example.org, ssh://web1:22), not the host."
    )


def test_non_compliant_comes_before_inconclusive():
    found = problems([finding("web1", "1", UNSEEN, reason="odd"), finding("web1", "5", BAD, "unchanged")])
    assert [problem.verdict for problem in found] == [BAD, UNSEEN]
