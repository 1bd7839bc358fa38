"""The page's part about a hundred thousand hosts: the calculation of `bench.scale`, fed with what was measured."""

from collections.abc import Callable, Mapping

from bench.bars import SCAN, cpu, polling
from bench.results import READ_ONLY, Part, Sample, sizes, slope, spread
from bench.scale import Assumptions, Measured, Need, Network, need, through_bastion

NETWORKS = (
    Network("one data centre", rtt=0.001, trips=12, host=0.2),
    Network("one continent", rtt=0.03, trips=12, host=0.2),
    Network("round the world", rtt=0.2, trips=12, host=0.2),
)
HOSTS = (1_000, 10_000, 100_000)
_MIB, _GIB = 1 << 20, 1 << 30
# OpenSSH's default: from ten unfinished logins on it refuses some of them.
_MAX_STARTUPS = 10
_LOGIN = 0.2  # seconds


def measured(parts: Mapping[str, Part]) -> Measured | None:
    """What of the results goes into the calculation; None where something of it was not measured."""
    floors = parts["floors"].samples if "floors" in parts else ()
    waiting = parts["waiting"].samples if "waiting" in parts else ()
    time = _per_host(floors, cpu, READ_ONLY)
    memory = _per_host(waiting, lambda sample: float(sample.peak), SCAN)
    polls = polling(waiting)
    traffic = next((sample for sample in waiting if sample.kind == "bytes waiting"), None)
    if time is None or memory is None or polls is None or traffic is None:
        return None
    return Measured(
        cpu=time[0],
        start=time[1],
        poll_cpu=max(polls.median, 0.0),
        memory=memory[0],
        memory_start=memory[1],
        sent=traffic.sent,
        received=traffic.received,
    )


def _per_host(
    samples: tuple[Sample, ...], of: Callable[[Sample], float], kind: str
) -> tuple[float, float] | None:
    """What one host more takes, between the smallest and the largest fleet, and what a run without one would."""
    measured_at = [
        (hosts, found.median)
        for hosts in sizes(samples, kind)
        if (found := spread(samples, "ours", hosts, of, kind))
    ]
    if len(measured_at) < 2:  # noqa: PLR2004  # a line has two ends
        return None
    first, last = measured_at[0], measured_at[-1]
    each = slope(first, last)
    return each, first[1] - each * first[0]


def outlook(parts: Mapping[str, Part]) -> str:
    """The section's text; empty where its figures were not measured."""
    found = measured(parts)
    if found is None:
        return ""
    assumed = Assumptions()
    return "\n".join(
        [
            _inputs(found),
            "",
            _assumptions(assumed),
            "",
            "| hosts | round trip | processes | controllers | looking | whole run | CPU in all | memory of a controller | logins a second | traffic |",
            "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
            *(_row(network, need(found, network, assumed, hosts)) for hosts in HOSTS for network in NETWORKS),
            "",
            _limits(need(found, NETWORKS[0], assumed, assumed.per_process)),
        ]
    )


def _inputs(found: Measured) -> str:
    return (
        f"Measured (all above): {1000 * found.cpu:.0f} ms of CPU for each host more in a read-only run, "
        f"{1000 * found.poll_cpu:.1f} ms for each host and minute of waiting, {found.memory / 1024:.0f} KiB of memory for each "
        f"host on top of {found.memory_start / _MIB:.0f} MiB, {found.sent / 1000:.0f} kB sent and "
        f"{found.received / 1000:.0f} kB received for each host in a full run (SSH's own bytes, without the headers of TCP and "
        "IP)."
    )


def _assumptions(assumed: Assumptions) -> str:
    return (
        f"Assumed: the agents need {assumed.scan / 60:.0f} minutes; a process looks after {assumed.per_process:,} hosts "
        f"(`--shard K/N`) and speaks to {assumed.at_once} of them at a time; it may use {assumed.headroom:.0%} of one core; a "
        f"controller runs {assumed.cores} processes on as many cores; a host takes {NETWORKS[0].host:g} s for all commands and "
        f"{NETWORKS[0].trips} round trips one after another, handshakes included."
    )


def _limits(one: Need) -> str:
    """What stands in the way beside the controllers; `one` is what a single process needs."""
    rate = through_bastion(_MAX_STARTUPS, _LOGIN)
    return (
        "Limits on the way. A host's own `sshd` sees one connection and few channels, whatever the size of the fleet. A "
        f"**jump host** sees all of them: with OpenSSH's default `MaxStartups {_MAX_STARTUPS}:30:100` and a login that takes "
        f"{_LOGIN:g} s it takes {rate:.0f} logins a second before it refuses some, {_minutes(HOSTS[-1] / rate)} for "
        f"{HOSTS[-1]:,} hosts: several jump hosts or a higher limit, and `--at-once` below it. While all wait, polls take "
        f"{one.waiting:.0%} of a core in each process."
    )


def _row(network: Network, found: Need) -> str:
    cells = (
        f"{found.hosts:,}",
        f"{1000 * network.rtt:.0f} ms, {network.name}",
        f"{found.processes:,}",
        f"{found.machines:,}",
        f"{found.looking:.0f} s",
        _minutes(found.whole),
        _minutes(found.cpu),
        f"{found.memory / _GIB:.1f} GiB",
        f"{found.logins:,.0f}",
        f"{found.bytes / 1e9:.1f} GB, {found.bits / 1e6:,.0f} Mbit/s",
    )
    return f"| {' | '.join(cells)} |"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004  # an hour
