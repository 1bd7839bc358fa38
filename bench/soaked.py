"""What a soak came to: written by `bench.soak`, read by the page. Pure but for reading and writing."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

_NAME = "soak.json"
_MIB = 1 << 20


@dataclass(frozen=True)
class After:
    """One run, and what the process held after it: bytes of memory, open files, threads, processes, temporary files.

    `wrong` are sentences about verdicts that are not right, `asked` about agents that were not asked as often as they
    should have been. `peak` is the largest size of the process so far, in bytes.
    """

    number: int
    wall: float
    cpu: float
    resident: int
    peak: int
    files: int
    threads: int
    processes: int
    temporary: int
    wrong: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True)
class Soaked:
    """All runs of one soak, in one process. `failing` is how many hosts failed in which way."""

    when: str
    hosts: int
    failing: dict[str, int]
    command: str
    runs: tuple[After, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each thing that is not as it should be; empty is good."""
        found = [text for run in self.runs for text in (*run.wrong, *run.asked)]
        first = self.runs[0]
        for run in self.runs:
            found += [f"run {run.number} left {run.processes} processes behind"] * (run.processes > 0)
            found += [f"run {run.number} left {run.temporary} temporary files behind"] * (run.temporary > 0)
            found += [f"run {run.number} left {run.threads - 1} threads behind"] * (run.threads > 1)
            found += [f"{run.files} files are open after run {run.number}, {first.files} after the first"] * (
                run.files > first.files
            )
        if len(self.runs) > 2 and not self.is_flat:  # noqa: PLR2004  # the first run loads what all need
            found.append(f"memory grows: {', '.join(f'{run.resident / _MIB:.0f}' for run in self.runs)} MiB")
        return tuple(found)

    @property
    def is_flat(self) -> bool:
        """Whether the last runs hold no more memory than those before them, within what the allocator moves by."""
        half = len(self.runs) // 2
        before = max(run.resident for run in self.runs[:half] or self.runs[:1])
        return self.runs[-1].resident <= before * 1.1 + 4 * _MIB

    def write(self, folder: Path) -> Path:
        """Beside the results."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _NAME
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def told(self) -> str:
        """For the page."""
        ways = ", ".join(f"{count} {way}" for way, count in sorted(self.failing.items()))
        head = (
            f"{self.when}: {len(self.runs)} runs over {self.hosts} hosts in one process, {sum(self.failing.values())} of which failed on the "
            f"way: {ways}."
        )
        lines = [
            head,
            "",
            f"    {self.command}",
            "",
            "| run | wall, s | CPU, s | memory after it, MiB | largest, MiB | open files | threads | processes left | temporary files left | wrong verdicts | agents not asked right |",
            "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *(
                f"| {run.number} | {run.wall:.0f} | {run.cpu:.0f} | {run.resident / _MIB:.0f} | {run.peak / _MIB:.0f} | {run.files} | "
                f"{run.threads} | {run.processes} | {run.temporary} | {len(run.wrong)} | {len(run.asked)} |"
                for run in self.runs
            ),
            "",
            *(f"- {problem}" for problem in self.problems[:20]),
        ]
        if not self.problems:
            lines.append(
                "Every verdict was right, each agent was asked exactly once for each thing, and nothing was left behind."
            )
        return "\n".join(lines)


def read_soak(folder: Path) -> Soaked | None:
    """The last soak; None where there was none."""
    path = folder / _NAME
    if not path.exists():
        return None
    raw = json.loads(path.read_text(encoding="utf-8"))
    runs = tuple(
        After(**{**run, "wrong": tuple(run["wrong"]), "asked": tuple(run["asked"])})
        for run in raw.pop("runs")
    )
    return Soaked(**raw, runs=runs)
