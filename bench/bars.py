"""The bars that the project has set itself, each with what was measured for it. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bench.results import Part, Sample, Spread, ratio, slope, spread

SCAN = "waiting 60"
LONG_SCAN = "waiting 120"
_MIB = 1 << 20
_SCAN_SECONDS = 60.0
_MINUTES_MORE = 1.0  # how much longer the polls of LONG_SCAN go on


@dataclass(frozen=True)
class Bar:
    """One bar: what, how much, what was measured (empty: nothing yet), and whether that holds."""

    figure: str
    bar: str
    measured: str
    holds: bool | None


def wall(sample: Sample) -> float:
    """Seconds by the clock on the wall."""
    return sample.wall


def cpu(sample: Sample) -> float:
    """Seconds of CPU, of the controlling side."""
    return sample.cpu


def bars(parts: Mapping[str, Part]) -> Iterator[Bar]:
    """All of them, in the order of the page."""
    floors = parts["floors"].samples if "floors" in parts else ()
    others = parts["others"].samples if "others" in parts else ()
    waiting = parts["waiting"].samples if "waiting" in parts else ()
    for hosts in (100, 500):
        yield _at_most(
            f"read-only runbook, wall, against the asyncssh floor, {hosts} hosts",
            1.5,
            ratio(floors, "ours", "asyncssh", hosts, wall),
        )
    for hosts in (100, 500):
        yield _at_most(
            f"CPU of the controlling side, against `xargs -P 32 ssh`, {hosts} hosts",
            0.5,
            ratio(floors, "ours", "xargs", hosts, cpu),
        )
    yield _at_least(
        "wall, plain pytest-testinfra against ours, 100 hosts",
        50,
        ratio(others, "testinfra", "ours", 100, wall),
    )
    best = [
        found
        for name in ("testinfra-shared", "ansible", "serverspec")
        if (found := ratio(others, name, "ours", 100, wall))
    ]
    yield _at_least(
        "wall, the best of testinfra with ControlPath, Ansible and Serverspec against ours, 100 hosts",
        5,
        min(best, key=lambda found: found.median, default=None),
    )
    yield _growth(waiting, floors)
    yield _limit(
        "memory of the controlling process, 1,000 hosts × all tests, report included",
        250,
        "MiB",
        spread(waiting, "ours", 1000, lambda sample: sample.peak / _MIB, SCAN),
    )
    yield _limit("polls while waiting: CPU per host and minute", 0.05, "s", polling(waiting))
    yield _limit(
        "from the start to the first command on a host, 1,000 hosts",
        3,
        "s",
        spread(floors, "ours", 1000, lambda sample: sample.first),
    )


def polling(waiting: tuple[Sample, ...]) -> Spread | None:
    """CPU seconds for each host and minute: what the same run costs more when the agent needs a minute longer."""
    for hosts in sorted({sample.hosts for sample in waiting if sample.kind == LONG_SCAN}, reverse=True):
        short, long = (spread(waiting, "ours", hosts, cpu, kind) for kind in (SCAN, LONG_SCAN))
        if short and long:
            return Spread(((long.median - short.median) / hosts / _MINUTES_MORE,))
    return None


def beyond_the_scan(sample: Sample) -> float:
    """How much longer a full run took than the agent."""
    return sample.wall - _SCAN_SECONDS


def _growth(waiting: tuple[Sample, ...], floors: tuple[Sample, ...]) -> Bar:
    what, bar = (
        "wall − 60 s where the agent needs 60 s, from 10 to 1,000 hosts",
        "grows no faster than the floor",
    )
    ends = [spread(waiting, "ours", hosts, beyond_the_scan, SCAN) for hosts in (10, 1000)]
    floor = [spread(floors, "asyncssh", hosts, wall) for hosts in (10, 1000)]
    if not all((*ends, *floor)):
        return Bar(what, bar, "", None)
    ours, theirs = (
        slope((10, low.median), (1000, high.median)) for low, high in (ends, floor) if low and high
    )
    text = f"{1000 * ours:.1f} s for each 1,000 hosts more, the floor {1000 * theirs:.1f} s"
    return Bar(what, bar, text, ours <= theirs)


def _at_most(figure: str, bar: float, found: Spread | None) -> Bar:
    return Bar(figure, f"≤ {bar:g} ×", _times(found), found.median <= bar if found else None)


def _at_least(figure: str, bar: float, found: Spread | None) -> Bar:
    return Bar(figure, f"≥ {bar:g} ×", _times(found), found.median >= bar if found else None)


def _limit(figure: str, bar: float, unit: str, found: Spread | None) -> Bar:
    digits = 0 if bar >= _SCAN_SECONDS else 3 if bar < 1 else 2
    return Bar(
        figure,
        f"≤ {bar:g} {unit}",
        told(found, lambda value: f"{value:.{digits}f}", f" {unit}"),
        found.median <= bar if found else None,
    )


def _times(found: Spread | None) -> str:
    return told(found, lambda value: f"{value:.2f}" if value < 10 else f"{value:.0f}", " ×")  # noqa: PLR2004  # two digits are enough


def told(found: Spread | None, show: Callable[[float], str], unit: str = "") -> str:
    """A median with its spread in brackets; empty where nothing was measured."""
    if found is None:
        return ""
    low, high = found.span
    around = f" ({show(low)} to {show(high)})" if len(found.values) > 1 else ""
    return f"{show(found.median)}{unit}{around}"
