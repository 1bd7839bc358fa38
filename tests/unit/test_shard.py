import random

import pytest

from qualys_verify.shard import Shard, read_shard
from qualys_verify.targets import Target


def targets(*ids):
    return tuple(Target(name, name.partition("://")[0], name) for name in ids)


FLEET = targets(*(f"ssh://web{number}" for number in range(1, 12)))


@pytest.mark.parametrize(
    ("text", "shard"),
    [
        ("1/1", Shard(1, 1)),
        ("2/8", Shard(2, 8)),
        ("8/8", Shard(8, 8)),
        ("0+1/8", Shard(1, 8)),
        ("7+1/8", Shard(8, 8)),
        (" 2/8 ", Shard(2, 8)),
        ("", None),
    ],
)
def test_it_is_read(text, shard):
    assert read_shard(text) == shard


@pytest.mark.parametrize(
    "text",
    [
        "0/8",
        "9/8",
        "8+1/8",
        "2/0",
        "2",
        "/8",
        "2/",
        "-1/8",
        "2/8/9",
        "a/b",
        "1.5/2",
        "1+2/8",
        "1/10001",
        "٢/8",
    ],
)
def test_what_cannot_be_meant(text):
    with pytest.raises(ValueError, match="is K/N, such as 2/8"):
        read_shard(text)


@pytest.mark.parametrize("count", range(1, 15))
def test_the_parts_are_the_whole_and_equal_to_within_one(count):
    parts = [Shard(number, count).part_of(FLEET) for number in range(1, count + 1)]
    assert sorted(target.id for part in parts for target in part) == sorted(target.id for target in FLEET)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [len(part) for part in parts] == sorted(map(len, parts), reverse=True), "empty ones are the last"


def test_every_shard_computes_the_same_parts_whatever_order_the_inventory_has():
    for seed in range(20):
        other = list(FLEET)
        random.Random(seed).shuffle(other)  # noqa: S311  # an order, no secret
        assert {target.id for target in Shard(2, 3).part_of(other)} == {
            target.id for target in Shard(2, 3).part_of(FLEET)
        }


def test_hosts_stay_in_the_order_in_which_they_are_named():
    part = Shard(1, 2).part_of(FLEET)
    assert list(part) == [target for target in FLEET if target in part]


def test_a_rollout_moves_no_node_to_another_shard():
    before = targets(*(f"kubectl://node{number}/agent-a{9 - number}?namespace=q" for number in range(6)))
    after = targets(*(f"kubectl://node{number}/agent-b{number}?namespace=q" for number in range(6)))
    for number in (1, 2, 3):
        parts = [
            [target.id.split("/")[2] for target in Shard(number, 3).part_of(all_)] for all_ in (before, after)
        ]
        assert parts[0] == parts[1]
