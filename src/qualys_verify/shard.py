"""`--shard K/N`: one run's part of the hosts, for whatever already fans out: a CI matrix, an Indexed Job, a zone's runner.

Pure: every shard computes the same parts from the same inventory, in whatever order that has its hosts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qualys_verify.names import without_pod
from qualys_verify.targets import Target

MOST = 10000
_SHARD = re.compile(r"(?P<index>[0-9]{1,5})(?P<from_zero>\+1)?/(?P<count>[0-9]{1,5})")


@dataclass(frozen=True)
class Shard:
    """The part `number` (from 1) of `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        """As evidence shows it: `2/8`."""
        return f"{self.number}/{self.count}"

    def part_of(self, targets: Sequence[Target]) -> tuple[Target, ...]:
        """The targets of this shard, in the order in which they are given.

        Parts are equal to within one. A pod stands for its node: a rollout between two shards moves no node.
        """
        ordered = sorted(targets, key=lambda target: (without_pod(target.id), target.id))
        mine = {target.id for target in ordered[self.number - 1 :: self.count]}
        return tuple(target for target in targets if target.id in mine)


def read_shard(text: str) -> Shard | None:
    """`K/N`, or `I+1/N` where `I` counts from 0; None for an empty text. Raises ValueError for anything else."""
    if not text:
        return None
    match = _SHARD.fullmatch(text.strip())
    number = int(match["index"]) + bool(match["from_zero"]) if match else 0
    if match is None or not 1 <= number <= int(match["count"]) <= MOST:
        raise ValueError(
            f"is K/N, such as 2/8, with K from 1 to N and N up to {MOST} (K+1/N where the count begins at 0, such as 0+1/8)"
        )
    return Shard(number, int(match["count"]))
