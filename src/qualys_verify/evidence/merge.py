"""Several runs into one: shards of a fleet, or the jobs of a pipeline."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from qualys_verify.evidence.events import (
    FORMAT,
    AnyEvent,
    Expected,
    Inventory,
    Judged,
    Merged,
    Part,
    Planned,
    Started,
)
from qualys_verify.evidence.journal import Chain, of_kind
from qualys_verify.verdict import Verdict


class Prefer(StrEnum):
    """Which run counts for a host that is in several."""

    FIRST = "first"
    LAST = "last"
    NEWEST = "newest"


@dataclass(frozen=True)
class MissingShard:
    """One part of a fleet that no run speaks for: its `shard`, such as `3/8`, and how many hosts it has."""

    shard: str
    hosts: int

    @property
    def name(self) -> str:
        """What stands in the evidence in the place of its hosts, whose names are not known."""
        return f"shard {self.shard}, {self.hosts} host{'s' if self.hosts != 1 else ''}"

    @property
    def sentence(self) -> str:
        """Why they are inconclusive."""
        return f"{self.name}: not assessed, its run is not among those that were merged: add its evidence, or run it again"


def merge(chains: Sequence[Chain], prefer: Prefer | None, at: datetime | None = None) -> tuple[AnyEvent, ...]:
    """The records of one journal that tells what these tell.

    `at` (UTC) is when it is made: now. Raises ValueError when there is nothing to merge, when one was merged already,
    when a host is in several without `prefer` saying which one counts, and for shards of different inventories.
    """
    starts = [_start(chain) for chain in chains]
    runs = [start.run for start in starts]
    if len(set(runs)) < len(runs):
        raise ValueError(f"the run {max(runs, key=runs.count)} is named twice: name each once")
    _refuse_contradicting_waivers(starts)
    order = {run: start.at for run, start in zip(runs, starts, strict=True)}
    owners = _owners(dict(zip(runs, chains, strict=True)), order, prefer)
    left_out = {
        run: tuple(host for host in _hosts(chain) if owners[host] != run)
        for run, chain in zip(runs, chains, strict=True)
    }
    parts = tuple(Part(run, chain.head, left_out[run]) for run, chain in zip(runs, chains, strict=True))
    whole = Merged(at or datetime.now(UTC), FORMAT, secrets.token_hex(4), parts)
    kept = (
        event for run, chain in zip(runs, chains, strict=True) for event in _without(chain, left_out[run])
    )
    return (whole, *kept, *_of_missing(missing_shards(chains), chains, whole.at))


def missing_shards(chains: Sequence[Chain]) -> tuple[MissingShard, ...]:
    """The shards of which no run is here, though they have hosts.

    Raises ValueError when the shards that are here are not those of one inventory.
    """
    starts = [start for start in map(_start, chains) if start.shard]
    if not starts:
        return ()
    first, *others = starts
    for other in others:
        if _fleet_of(other) != _fleet_of(first):
            raise ValueError(
                f"the runs {first.run} and {other.run} are shards of different inventories ({_told_fleet(first)}, and "
                f"{_told_fleet(other)}): merge shards that were run with the same hosts and the same N"
            )
    count, hosts = _fleet_of(first)[0], _inventory_of(first).hosts
    here = {int(start.shard.partition("/")[0]) for start in starts}
    return tuple(
        MissingShard(f"{number}/{count}", len(range(number, hosts + 1, count)))
        for number in range(1, min(count, hosts) + 1)
        if number not in here
    )


def _fleet_of(start: Started) -> tuple[int, str]:
    """What the shards of one fleet have in common: how many there are, and the inventory."""
    return int(start.shard.partition("/")[2]), _inventory_of(start).digest


def _inventory_of(start: Started) -> Inventory:
    return start.inventory or Inventory("", 0, ())


def _told_fleet(start: Started) -> str:
    inventory = _inventory_of(start)
    return f"shard {start.shard} of {inventory.hosts} hosts, SHA-256 {inventory.digest[:12]}…"


def _of_missing(missing: Sequence[MissingShard], chains: Sequence[Chain], at: datetime) -> Iterator[AnyEvent]:
    """A missing shard stands in the ledger like a host of which nothing was seen: the whole is not silently smaller."""
    tests = tuple(
        {
            check.test: None
            for chain in chains
            for plan in of_kind(chain.events, Planned)
            for check in plan.checks
        }
    )
    for shard in missing:
        yield Planned(at, (), (Expected(shard.name, tests),))
        for test in tests:
            yield Judged(at, shard.name, test, Verdict.INCONCLUSIVE, reason=shard.sentence, assessed=False)


def _refuse_contradicting_waivers(starts: Sequence[Started]) -> None:
    """One id must mean one waiver: the merged evidence would name the wrong approver for what another one covers."""
    seen = {waiver.id: (start.run, waiver) for start in reversed(starts) for waiver in start.waivers}
    for start in starts:
        for waiver in start.waivers:
            run, known = seen[waiver.id]
            if known != waiver:
                raise ValueError(
                    f"the waiver {waiver.id} is not the same in the runs {run} and {start.run}: give each an id of its own"
                )


def _start(chain: Chain) -> Started:
    starts = tuple(of_kind(chain.events, Started))
    if len(starts) != 1:
        raise ValueError("a journal is not that of one run: merge the runs themselves, all at once")
    if starts[0].format.partition(".")[0] != FORMAT.partition(".")[0]:
        raise ValueError(f"a journal is of format {starts[0].format}, and this version merges {FORMAT}")
    return starts[0]


def _hosts(chain: Chain) -> tuple[str, ...]:
    return tuple(item.host for plan in of_kind(chain.events, Planned) for item in plan.expected)


def _owners(
    chains: Mapping[str, Chain], order: Mapping[str, datetime], prefer: Prefer | None
) -> Mapping[str, str]:
    """Which run speaks for each host."""
    holders: dict[str, list[str]] = {}
    for run, chain in chains.items():
        for host in _hosts(chain):
            holders.setdefault(host, []).append(run)
    twice = [host for host, runs in holders.items() if len(runs) > 1]
    if twice and prefer is None:
        more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
        verb = "are" if more else "is"
        raise ValueError(
            f"{twice[0]}{more} {verb} in the runs {' and '.join(holders[twice[0]])}: say which one counts with "
            f"--prefer={'|'.join(Prefer)}"
        )
    match prefer:
        case Prefer.LAST:
            return {host: runs[-1] for host, runs in holders.items()}
        case Prefer.NEWEST:
            return {host: max(runs, key=lambda run: order[run]) for host, runs in holders.items()}
        case _:
            return {host: runs[0] for host, runs in holders.items()}


def _without(chain: Chain, left_out: Sequence[str]) -> Iterator[AnyEvent]:
    """A run's records without those of some hosts."""
    for event in chain.events:
        if isinstance(event, Planned):
            kept = tuple(item for item in event.expected if item.host not in left_out)
            yield msgspec.structs.replace(event, expected=kept)
        elif getattr(event, "host", None) not in left_out:
            yield event
