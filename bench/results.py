"""What was measured: samples as JSON, and what is made of them (medians, ratios pair by pair, spreads). Pure but for reading and writing."""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

READ_ONLY = "read-only"
PARTS = ("floors", "others", "waiting")


@dataclass(frozen=True)
class Sample:
    """One run of one side on so many hosts; `kind` is `read-only` or `waiting N`, the agent's seconds for a scan.

    Seconds and bytes as in `measure.Cost`; `first` and `last` are how long after the start the first command came
    to the first and to the last host, by the server's side. `server` is the CPU of that side: SSH server, sessions, commands. Runs of one `round` belong together. `sent` and `received`
    are bytes by SSH, where they were counted (0: they were not).
    """

    side: str
    hosts: int
    round: int
    wall: float
    cpu: float
    peak: int
    peak_tree: int
    first: float
    last: float
    server: float = 0.0
    kind: str = READ_ONLY
    sent: int = 0
    received: int = 0


@dataclass(frozen=True)
class Machine:
    """Where it was measured; `load` is the load average of the minute before."""

    when: str
    cores: int
    memory: int
    kernel: str
    system: str
    python: str
    load: float


@dataclass(frozen=True)
class Part:
    """The samples of one call, with all that a reader needs to take them again."""

    name: str
    machine: Machine
    versions: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()

    def write(self, folder: Path) -> Path:
        """Into a file of its own name."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def read(folder: Path) -> dict[str, Part]:
    """All parts that were measured, by name. Raises OSError or ValueError for what is none."""
    paths = (folder / f"{name}.json" for name in PARTS)
    found = (json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists())
    return {
        raw["name"]: Part(
            name=raw["name"],
            machine=Machine(**raw["machine"]),
            versions=raw["versions"],
            commands=raw["commands"],
            skipped=tuple(raw["skipped"]),
            samples=tuple(Sample(**sample) for sample in raw["samples"]),
        )
        for raw in found
    }


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.values)

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and the largest."""
        return min(self.values), max(self.values)


def spread(
    samples: Iterable[Sample], side: str, hosts: int, of: Callable[[Sample], float], kind: str = READ_ONLY
) -> Spread | None:
    """What a side's runs on so many hosts came to; None where there was none."""
    values = tuple(
        of(sample)
        for sample in samples
        if sample.side == side and sample.hosts == hosts and sample.kind == kind
    )
    return Spread(values) if values else None


def ratio(
    samples: Sequence[Sample], above: str, below: str, hosts: int, of: Callable[[Sample], float]
) -> Spread | None:
    """One side's figure divided by another's of the same round, for each round that has both."""
    tops = {s.round: of(s) for s in samples if s.side == above and s.hosts == hosts and s.kind == READ_ONLY}
    bottoms = {
        s.round: of(s) for s in samples if s.side == below and s.hosts == hosts and s.kind == READ_ONLY
    }
    values = tuple(tops[number] / bottoms[number] for number in sorted(tops.keys() & bottoms.keys()))
    return Spread(values) if values else None


def sizes(samples: Iterable[Sample], kind: str = READ_ONLY) -> list[int]:
    """The sizes of fleets that were measured."""
    return sorted({sample.hosts for sample in samples if sample.kind == kind})


def slope(small: tuple[int, float], large: tuple[int, float]) -> float:
    """How much one more host costs, by two sizes."""
    return (large[1] - small[1]) / (large[0] - small[0])
