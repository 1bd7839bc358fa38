"""Before and after: what cannot be seen any more is never fixed."""

import json

import msgspec
import pytest

from qualys_verify.evidence.compare import Kind, compare, kind_of
from qualys_verify.evidence.comparison_text import as_json, as_page, as_text
from qualys_verify.evidence.events import Judged
from qualys_verify.verdict import Verdict
from tests.evidence import sample

C, N, I, W, X = (  # noqa: E741  # as the table below reads
    Verdict.COMPLIANT,
    Verdict.NON_COMPLIANT,
    Verdict.INCONCLUSIVE,
    Verdict.WAIVED,
    Verdict.NOT_APPLICABLE,
)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (N, C, Kind.FIXED),
        (W, C, Kind.FIXED),
        (N, N, Kind.STILL_FAILING),
        (C, N, Kind.REGRESSED),
        (W, N, Kind.REGRESSED),
        (X, N, Kind.REGRESSED),
        (I, N, Kind.REGRESSED),
        (N, I, Kind.NEWLY_INCONCLUSIVE),
        (C, I, Kind.NEWLY_INCONCLUSIVE),
        (X, I, Kind.NEWLY_INCONCLUSIVE),
        (I, C, Kind.CONFIRMED),
        (N, W, Kind.WAIVED),
        (C, C, Kind.UNCHANGED),
        (I, I, Kind.UNCHANGED),
        (X, X, Kind.UNCHANGED),
        (C, X, Kind.REMOVED),
        (W, X, Kind.REMOVED),
        (X, C, Kind.ADDED),
        (N, X, Kind.REMOVED),
        (I, X, Kind.REMOVED),
        (N, None, Kind.REMOVED),
        (C, None, Kind.REMOVED),
        (None, N, Kind.ADDED),
        (None, C, Kind.ADDED),
    ],
)
def test_what_a_change_is_called(before, after, kind):
    assert kind_of(before, after) is kind


def judged(host, test, verdict):
    """The sample's result with another verdict."""
    events = [
        msgspec.structs.replace(item, verdict=verdict)
        if isinstance(item, Judged) and (item.host, item.test) == (host, test)
        else item
        for item in sample.events()
    ]
    return sample.result(events)


OLD = sample.result()
BETTER = judged("ssh://web2", sample.TESTS[1], C)
WORSE = judged("ssh://ops@web1", sample.TESTS[0], N)
BLIND = judged("ssh://web2", sample.TESTS[1], I)


@pytest.mark.parametrize(
    ("new", "status", "first"),
    [
        (OLD, 0, Kind.STILL_FAILING),
        (BETTER, 0, Kind.FIXED),
        (WORSE, 1, Kind.REGRESSED),
        (BLIND, 6, Kind.NEWLY_INCONCLUSIVE),
    ],
    ids=["same", "better", "worse", "blind"],
)
def test_what_is_worse_than_before_decides_the_exit_status(new, status, first):
    comparison = compare(OLD, new)
    assert comparison.exit_status == status
    assert comparison.changes[0].kind is first
    assert sum(comparison.counts.values()) == len(comparison.changes) == 15


def test_a_host_that_is_not_looked_at_any_more_is_not_fixed():
    hosts = ("ssh://ops@web1", "ssh://db1", "ssh://web3")
    comparison = compare(OLD, sample.result(sample.events(hosts)))
    gone = [change for change in comparison.changes if change.host == "ssh://web2"]
    assert {change.kind for change in gone} == {Kind.REMOVED}
    assert comparison.exit_status == 6


def on(*pods):
    """The sample's result, of pods: the first is fine, the second is not, the third is out of reach."""
    return sample.result(sample.events(tuple(f"kubectl://{pod}?namespace=q&context=c" for pod in pods)))


def test_a_node_whose_pod_was_replaced_is_the_same_host():
    """A rollout gives every node another pod; what regressed there must not read as newly assessed."""
    before = on("n1/a", "n2/b", "n3/no-pod")
    after = on("n2/b-2", "n1/a-2", "n3/c")
    comparison = compare(before, after)
    assert len(comparison.changes) == 15
    assert all(change.before and change.after for change in comparison.changes)
    assert {change.host for change in comparison.changes if change.kind is Kind.REGRESSED} == {
        "kubectl://n1/a-2?namespace=q&context=c"
    }
    assert comparison.exit_status == 1


def test_other_clusters_and_several_pods_of_one_node_are_not_guessed():
    before = on("n1/a", "n2/b", "n3/c")
    assert compare(before, on("n1/a", "n2/b", "n4/c")).counts[Kind.REMOVED] == 5
    assert compare(before, on("n1/a", "n2/x", "n2/y")).counts[Kind.REMOVED] == 10
    elsewhere = sample.result(
        sample.events(tuple(f"kubectl://n{n}/x?namespace=q&context=d" for n in (1, 2, 3)))
    )
    assert compare(before, elsewhere).counts[Kind.REMOVED] == 15
    unknown = on("no-node-yet/a", "unknown-node-1/no-pod", "n1/a")
    assert compare(unknown, on("no-node-yet/b", "unknown-node-1/no-pod", "n1/a")).counts[Kind.REMOVED] == 5


def test_the_text_names_what_changed_and_what_that_means():
    text = as_text(compare(OLD, BETTER), width=200, colour=False)
    assert "fixed (1): was non-compliant, and is compliant now" in text
    assert (
        "ssh://web2  step 1 `systemctl status` shows `Active: active (running)`. (non-compliant -> compliant)"
        in text
    )
    assert "\x1b[" not in text


def test_the_page_has_all_of_it_without_a_script_and_escapes_it():
    host = "<svg/onload=alert(1)>"
    page = as_page(
        compare(OLD, sample.result(sample.events(("ssh://ops@web1", host, "ssh://web3"))))
    ).decode()
    assert "<svg" not in page
    assert "&lt;svg/onload=alert(1)&gt;" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "<script" not in page


def test_the_json_is_for_programs():
    told = json.loads(as_json(compare(OLD, WORSE)))
    assert told["counts"]["regressed"] == 1
    assert told["changes"][0]["after"] == "non-compliant"
