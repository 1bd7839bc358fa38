"""Several runs into one: shards of a fleet, or the jobs of a pipeline."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from qualys_verify.evidence.events import FORMAT, AnyEvent, Merged, Part, Planned, Started
from qualys_verify.evidence.journal import Chain, of_kind


class Prefer(StrEnum):
    """Which run counts for a host that is in several."""

    FIRST = "first"
    LAST = "last"
    NEWEST = "newest"


def merge(chains: Sequence[Chain], prefer: Prefer | None, at: datetime | None = None) -> tuple[AnyEvent, ...]:
    """The records of one journal that tells what these tell.

    `at` (UTC) is when it is made: now. Raises ValueError when there is nothing to merge, when one was merged already,
    and when a host is in several without `prefer` saying which one counts.
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
    return (whole, *kept)


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
