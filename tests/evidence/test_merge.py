"""Several runs into one: nothing is lost, nothing counts twice, and what is in several is asked about."""

from datetime import timedelta

import msgspec
import pytest

from qualys_verify.evidence.events import Ended, Inventory, Source, Started
from qualys_verify.evidence.merge import Prefer, merge, missing_shards
from tests.evidence import sample

ONE = ("ssh://web1", "ssh://web2", "ssh://web3")
TWO = ("ssh://db1", "ssh://db2", "ssh://db3")


def run(name, hosts, hours=0):
    """A run that began so many hours after noon."""
    events = sample.events(hosts, run=name, at=sample.NOON + timedelta(hours=hours))
    return sample.chain(events)


def merged(*chains, prefer=None):
    return sample.result(list(merge(chains, prefer)))


def test_what_was_in_each_is_in_the_whole():
    one, two = run("aaaa", ONE), run("bbbb", TWO, hours=1)
    whole = merged(one, two)
    apart = [sample.result_of(chain) for chain in (one, two)]
    assert whole.hosts == apart[0].hosts + apart[1].hosts
    assert whole.verdicts == {name: 2 * count for name, count in apart[0].verdicts.items()}
    assert [(part.run, part.journal) for part in whole.run.parts] == [("aaaa", one.head), ("bbbb", two.head)]
    assert whole.run.id not in {"aaaa", "bbbb"}
    assert whole.run.started == sample.NOON
    assert whole.run.exit_status == 1


def test_a_host_in_two_runs_is_a_conflict():
    with pytest.raises(ValueError, match=r"ssh://web1 and 2 more are in the runs aaaa and bbbb.*--prefer"):
        merged(run("aaaa", ONE), run("bbbb", ONE))


@pytest.mark.parametrize(
    ("prefer", "winner"), [(Prefer.FIRST, "aaaa"), (Prefer.LAST, "cccc"), (Prefer.NEWEST, "bbbb")]
)
def test_unless_it_is_told_which_counts(prefer, winner):
    chains = [
        run("aaaa", ONE, 1),
        run("bbbb", (*ONE[:2], "ssh://db1"), 2),
        run("cccc", ONE[:2] + TWO[1:2], 0),
    ]
    whole = merged(*chains, prefer=prefer)
    assert sorted(host.id for host in whole.hosts) == ["ssh://db1", "ssh://db2", *ONE]
    losers = [part.run for part in whole.run.parts if "ssh://web1" in part.left_out]
    assert set(losers) == {"aaaa", "bbbb", "cccc"} - {winner}
    assert whole.coverage.expected == 5 * len(sample.TESTS)


def test_the_same_run_counts_once():
    with pytest.raises(ValueError, match="aaaa is named twice"):
        merged(run("aaaa", ONE), run("aaaa", ONE))


def test_what_was_merged_is_not_merged_again():
    whole = sample.chain(list(merge([run("aaaa", ONE), run("bbbb", TWO)], None)))
    with pytest.raises(ValueError, match="not that of one run"):
        merged(whole, run("cccc", ("ssh://x1", "ssh://x2", "ssh://x3")))


def test_another_format_is_refused():
    events = [
        msgspec.structs.replace(item, format="2.0") if isinstance(item, Started) else item
        for item in sample.events()
    ]
    with pytest.raises(ValueError, match=r"is of format 2\.0"):
        merged(sample.chain(events))


def test_the_whole_is_incomplete_when_a_part_is():
    killed = sample.chain([item for item in sample.events(TWO, run="bbbb") if not isinstance(item, Ended)])
    whole = merged(run("aaaa", ONE), killed)
    assert not whole.run.is_complete


def test_an_interrupted_part_stays_interrupted():
    events = [*sample.events(TWO, run="bbbb")[:-1], Ended(sample.at(9), 2, "stopped")]
    whole = merged(run("aaaa", ONE), sample.chain(events))
    assert (whole.run.exit_status, whole.run.interrupted) == (2, "stopped")


def test_one_waiver_id_for_two_waivers_is_a_conflict():
    other = msgspec.structs.replace(sample.WAIVER, approver="Somebody Else")
    with pytest.raises(ValueError, match=r"waiver W-1 is not the same in the runs \w+ and \w+"):
        merge(
            [
                sample.chain(sample.events()),
                sample.chain(sample.events(("ssh://a", "ssh://b", "ssh://c"), run="0ther", waivers=(other,))),
            ],
            None,
        )


def shard(number, count, hosts, *, inventory="ab" * 32, of=9):
    """A run of one shard."""
    events = [
        msgspec.structs.replace(
            item, shard=f"{number}/{count}", inventory=Inventory(inventory, of, (Source("fleet", of),))
        )
        if isinstance(item, Started)
        else item
        for item in sample.events(hosts, run=f"{number:04}")
    ]
    return sample.chain(events)


def test_shards_that_are_all_there_are_the_whole():
    chains = [shard(1, 3, ONE), shard(2, 3, TWO), shard(3, 3, ("ssh://x1", "ssh://x2", "ssh://x3"))]
    assert missing_shards(chains) == ()
    whole = merged(*chains)
    assert whole.coverage.hosts == 9
    assert (whole.run.shard, [item.hosts for item in whole.run.inventories]) == ("1/3, 2/3, 3/3", [9])


def test_a_missing_shard_is_in_the_ledger_and_nothing_of_it_was_assessed():
    whole = merged(shard(3, 3, ONE), shard(1, 3, TWO))
    (missing,) = [host for host in whole.hosts if host.id == "shard 2/3, 3 hosts"]
    assert [item.test for item in missing.assessments] == [check.test for check in whole.checks]
    assert {(item.verdict, item.assessed) for item in missing.assessments} == {("inconclusive", False)}
    assert "its run is not among those that were merged" in missing.assessments[0].reason
    assert whole.coverage.expected - whole.coverage.assessed >= len(whole.checks)


@pytest.mark.parametrize(
    ("count", "of", "here", "missing"),
    [
        (3, 9, (1,), [("2/3", 3), ("3/3", 3)]),
        (3, 10, (2, 3), [("1/3", 4)]),
        (4, 2, (1, 2), []),  # the others have no host
        (4, 2, (2,), [("1/4", 1)]),
        (1, 3, (1,), []),
    ],
)
def test_which_shards_are_missing_and_how_many_hosts_they_have(count, of, here, missing):
    chains = [
        shard(number, count, (f"ssh://a{number}", f"ssh://b{number}", f"ssh://c{number}"), of=of)
        for number in here
    ]
    assert [(item.shard, item.hosts) for item in missing_shards(chains)] == missing


def test_runs_that_are_no_shards_miss_none():
    assert missing_shards([run("aaaa", ONE), run("bbbb", TWO)]) == ()


@pytest.mark.parametrize("other", [{"inventory": "cd" * 32}, {"count": 4}], ids=str)
def test_shards_of_another_inventory_or_number_are_refused(other):
    two = shard(**{"number": 2, "count": 3, "hosts": TWO, **other})
    with pytest.raises(
        ValueError, match=r"0001 and 0002 are shards of different inventories \(shard 1/3 of 9"
    ):
        merged(shard(1, 3, ONE), two)


def test_shards_of_one_inventory_have_one_and_others_keep_theirs():
    other = Inventory("ef" * 32, 1, (Source("single names", 1),))
    shards = [sample.chain(sample.events(hosts, run=name)) for name, hosts in (("aaaa", ONE), ("bbbb", TWO))]
    assert len(merged(*shards).run.inventories) == 1
    apart = [shards[0], sample.chain(sample.events(TWO, run="bbbb", inventory=other))]
    assert [item.hosts for item in merged(*apart).run.inventories] == [3, 1]


def test_a_run_of_an_earlier_minor_format_can_be_merged():
    earlier = sample.chain(sample.events(ONE, run="aaaa", inventory=None, format="1.0"))
    assert merged(earlier, run("bbbb", TWO)).coverage.hosts == 6
