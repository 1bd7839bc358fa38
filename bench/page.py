"""docs/performance.md and its plots, made of the results: no figure in them is typed by hand."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench import bars
from bench.bars import SCAN, told
from bench.checks import CHECKS
from bench.outlook import outlook
from bench.plot import Point, Series, plot
from bench.results import READ_ONLY, Part, Sample, read, sizes, spread
from bench.run import RESULTS
from bench.sides import SIDES
from bench.sides.ours import CHECKOUT
from bench.soaked import Soaked, read_soak

PAGE = CHECKOUT / "docs/performance.md"
_TEXT = Path(__file__).with_name("files") / "performance.md"
_MIB = 1 << 20


def render(parts: Mapping[str, Part], soak: Soaked | None) -> dict[str, str]:
    """The files that these results make, by their names below docs/."""
    pictures = dict(_pictures(parts))
    values = {
        "BARS": "\n".join(_bars(parts)),
        "WALL": "\n".join(_table(parts, bars.wall, _seconds)),
        "CPU": "\n".join(_table(parts, bars.cpu, _seconds)),
        "SERVER": "\n".join(_table(parts, lambda sample: sample.server, _seconds)),
        "MEMORY": "\n".join(_table(parts, lambda sample: sample.peak / _MIB, lambda value: f"{value:.0f}")),
        "FIRST": "\n".join(_table(parts, lambda sample: sample.first, _seconds)),
        "WAITING": "\n".join(_waiting(parts)),
        "SIDES": "\n".join(_sides(parts)),
        "CHECKS": "\n".join(
            f"| {check.name} | `{_cell(check.command)}` | `{_cell(check.expected)}` |" for check in CHECKS
        ),
        "MACHINES": "\n".join(_machines(parts)),
        "SKIPPED": "\n".join(
            f"- not measured: {sentence}" for part in parts.values() for sentence in part.skipped
        ),
        "OUTLOOK": outlook(parts),
        "SOAK": soak.told() if soak else "Not run yet.",
        "PICTURES": "\n".join(f"![{name.split('-')[1].partition('.')[0]}]({name})" for name in pictures),
    }
    text = _TEXT.read_text(encoding="utf-8")
    for name, value in values.items():
        nothing = "" if name == "SKIPPED" else "Nothing was measured yet."
        text = text.replace(f"@{name}@", value or nothing)
    return {PAGE.name: text, **pictures}


def write() -> int:
    """Write them; returns the exit status."""
    for name, text in render(read(RESULTS), read_soak(RESULTS)).items():
        (PAGE.parent / name).write_text(text, encoding="utf-8")
    return 0


def check() -> int:
    """1 when a file is not what the results make."""
    made = render(read(RESULTS), read_soak(RESULTS))
    return int(any((PAGE.parent / name).read_text(encoding="utf-8") != text for name, text in made.items()))


def _bars(parts: Mapping[str, Part]) -> Iterator[str]:
    words = {True: "✔ held", False: "✘ **missed**", None: "not measured"}
    for bar in bars.bars(parts):
        yield f"| {bar.figure} | {bar.bar} | {bar.measured or '–'} | {words[bar.holds]} |"


def _table(
    parts: Mapping[str, Part], of: Callable[[Sample], float], show: Callable[[float], str]
) -> Iterator[str]:
    """A row for each side, a column for each size; of all parts together."""
    samples = [sample for part in _sides_parts(parts) for sample in part.samples]
    columns = sizes(samples)
    if not columns:
        return
    yield f"| hosts | {' | '.join(f'{hosts:,}' for hosts in columns)} |"
    yield f"|---|{'---:|' * len(columns)}"
    for side in SIDES:
        cells = [told(spread(samples, side.name, hosts, of), show) or "–" for hosts in columns]
        if set(cells) != {"–"}:
            yield f"| {side.title} | {' | '.join(cells)} |"


def _waiting(parts: Mapping[str, Part]) -> Iterator[str]:
    samples = parts["waiting"].samples if "waiting" in parts else ()
    floors = parts["floors"].samples if "floors" in parts else ()
    for hosts in sizes(samples, SCAN):
        figures = (
            told(spread(samples, "ours", hosts, bars.beyond_the_scan, SCAN), _seconds),
            told(spread(floors, "asyncssh", hosts, bars.wall), _seconds) or "–",
            told(spread(samples, "ours", hosts, bars.cpu, SCAN), _seconds),
            told(
                spread(samples, "ours", hosts, lambda sample: sample.peak / _MIB, SCAN),
                lambda value: f"{value:.0f}",
            ),
        )
        yield f"| {hosts:,} | {' | '.join(figures)} |"


def _sides(parts: Mapping[str, Part]) -> Iterator[str]:
    for side in SIDES:
        part = next((part for part in _sides_parts(parts) if side.name in part.commands), None)
        if part:
            yield f"**{side.title}**: {side.how}. {part.versions[side.name]}.\n\n    {part.commands[side.name]}\n"


def _machines(parts: Mapping[str, Part]) -> Iterator[str]:
    for part in parts.values():
        machine = part.machine
        yield (
            f"| `{part.name}` | {machine.when} | {machine.cores} cores, {machine.memory / (1 << 30):.0f} GiB | {machine.system}, "
            f"Linux {machine.kernel}, Python {machine.python} | {machine.load} |"
        )


def _pictures(parts: Mapping[str, Part]) -> Iterator[tuple[str, str]]:
    samples = [sample for part in _sides_parts(parts) for sample in part.samples]
    for name, title, of in (
        ("performance-wall.svg", "A read-only run, by the clock on the wall", bars.wall),
        ("performance-cpu.svg", "A read-only run, CPU of the controlling side", bars.cpu),
    ):
        series = [Series(side.title.replace("`", ""), _points(samples, side.name, of)) for side in SIDES]
        if any(line.points for line in series):
            yield name, plot(title, "hosts", "seconds", series)
    waiting = parts["waiting"].samples if "waiting" in parts else ()
    ours = _points(waiting, "ours", lambda sample: max(bars.beyond_the_scan(sample), 0.1), SCAN)
    if ours:
        floor = Series("asyncssh floor, read-only", _points(samples, "asyncssh", bars.wall))
        yield (
            "performance-waiting.svg",
            plot(
                "A full run where the agent needs 60 s: what comes on top",
                "hosts",
                "seconds",
                [Series("qualys-verify, wall − 60 s", ours), floor],
            ),
        )


def _points(
    samples: list[Sample] | tuple[Sample, ...],
    side: str,
    of: Callable[[Sample], float],
    kind: str = READ_ONLY,
) -> tuple[Point, ...]:
    found = ((hosts, spread(samples, side, hosts, of, kind)) for hosts in sizes(samples, kind))
    return tuple(Point(hosts, seen.median, *seen.span) for hosts, seen in found if seen)


def _sides_parts(parts: Mapping[str, Part]) -> list[Part]:
    return [parts[name] for name in ("floors", "others") if name in parts]


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004  # three digits are enough


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
