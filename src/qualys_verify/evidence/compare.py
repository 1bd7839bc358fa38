"""The before and after of a remediation: two runs, sentence by sentence and host by host."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

import msgspec

from qualys_verify.evidence.result import Assessment, Result
from qualys_verify.names import without_pod
from qualys_verify.verdict import Verdict


class Kind(StrEnum):
    """What became of one sentence on one host, the most urgent first."""

    REGRESSED = "regressed"
    STILL_FAILING = "still failing"
    NEWLY_INCONCLUSIVE = "newly inconclusive"
    REMOVED = "no longer assessed"
    ADDED = "newly assessed"
    WAIVED = "newly waived"
    FIXED = "fixed"
    CONFIRMED = "confirmed"
    UNCHANGED = "unchanged"

    @property
    def meaning(self) -> str:
        """In a sentence."""
        return {
            "regressed": "is non-compliant, and was not before",
            "still failing": "was non-compliant, and is",
            "newly inconclusive": "could be seen before, and cannot now: nothing says that it was fixed",
            "no longer assessed": "was assessed before, and is not part of the new run, or does not apply in it",
            "newly assessed": "was not part of the old run, or did not apply in it",
            "newly waived": "is accepted by a waiver now",
            "fixed": "was non-compliant, and is compliant now",
            "confirmed": "could not be seen before, and is compliant now",
            "unchanged": "is as it was",
        }[self]


class Change(msgspec.Struct, frozen=True):
    """One sentence on one host: the verdicts before and after, None where it was not selected.

    `host` is what the new run calls it, where both have it.
    """

    host: str
    test: str
    step: str
    title: str
    kind: Kind
    before: Verdict | None
    after: Verdict | None
    observed_before: str
    observed_after: str


class Comparison(msgspec.Struct, frozen=True):
    """Two runs by their ids, how many changes of each kind there are, and all of them, the most urgent first."""

    old: str
    new: str
    counts: dict[str, int]
    changes: tuple[Change, ...]

    @property
    def exit_status(self) -> int:
        """0: nothing is worse than before; 1: something regressed; 6: something can no longer be seen."""
        if self.counts[Kind.REGRESSED]:
            return 1
        return 6 if self.counts[Kind.NEWLY_INCONCLUSIVE] + self.counts[Kind.REMOVED] else 0


def compare(old: Result, new: Result) -> Comparison:
    """What is fixed, still failing, regressed, newly inconclusive or unchanged."""
    names = _names_now(old, new)
    before = {(names.get(host, host), test): item for (host, test), item in _by_sentence(old).items()}
    after = _by_sentence(new)
    titles = {check.test: check.title for check in (*old.checks, *new.checks)}
    keys = dict.fromkeys((*after, *before))
    changes = [_change(key, before.get(key), after.get(key), titles) for key in keys]
    count = Counter(change.kind for change in changes)
    order = list(Kind)
    return Comparison(
        old=old.run.id,
        new=new.run.id,
        counts={kind.value: count[kind] for kind in Kind},
        changes=tuple(sorted(changes, key=lambda change: (order.index(change.kind), change.step))),
    )


def _names_now(old: Result, new: Result) -> dict[str, str]:
    """What hosts of the old run are called in the new one, where that is something else.

    A node whose pod was replaced is the same host, unless there are several of its pods.
    """
    was, now = ({host.id for host in result.hosts} for result in (old, new))
    gone, come = _one_each(was - now), _one_each(now - was)
    return {name: come[node] for node, name in gone.items() if node in come}


def _one_each(hosts: Collection[str]) -> dict[str, str]:
    """Ids by what of them lasts, without those that have that in common."""
    count = Counter(map(without_pod, hosts))
    return {node: host for host in hosts if count[node := without_pod(host)] == 1}


def _by_sentence(result: Result) -> dict[tuple[str, str], Assessment]:
    return {(host.id, item.test): item for host in result.hosts for item in host.assessments}


def _change(
    key: tuple[str, str], before: Assessment | None, after: Assessment | None, titles: Mapping[str, str]
) -> Change:
    host, test = key
    was, now = (item.verdict if item else None for item in (before, after))
    return Change(
        host=host,
        test=test,
        step=next(item.step for item in (after, before) if item),
        title=titles[test],
        kind=kind_of(was, now),
        before=was,
        after=now,
        observed_before=_seen(before),
        observed_after=_seen(after),
    )


def _seen(item: Assessment | None) -> str:
    return (item.observed or item.reason) if item else ""


_BY_OUTCOME = {
    Verdict.NON_COMPLIANT: Kind.REGRESSED,
    Verdict.INCONCLUSIVE: Kind.NEWLY_INCONCLUSIVE,
    Verdict.WAIVED: Kind.WAIVED,
}
# What was not compliant before, and what its becoming compliant is called.
_OPEN = {
    Verdict.NON_COMPLIANT: Kind.FIXED,
    Verdict.WAIVED: Kind.FIXED,
    Verdict.INCONCLUSIVE: Kind.CONFIRMED,
}


def kind_of(before: Verdict | None, after: Verdict | None) -> Kind:
    """What a change of verdicts means. What cannot be seen any more, or does not apply any more, is never fixed."""
    if before is None or after is None:
        return Kind.ADDED if before is None else Kind.REMOVED
    if before is after:
        return Kind.STILL_FAILING if after is Verdict.NON_COMPLIANT else Kind.UNCHANGED
    if after in _BY_OUTCOME:
        return _BY_OUTCOME[after]
    if after is Verdict.NOT_APPLICABLE:
        return Kind.REMOVED
    return _OPEN.get(before, Kind.ADDED)


def of_note(comparison: Comparison) -> Iterable[Change]:
    """The changes that a reader looks for."""
    return (change for change in comparison.changes if change.kind is not Kind.UNCHANGED)
