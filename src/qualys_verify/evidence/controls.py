"""Which controls a step of the runbook gives evidence for (`controls.toml`): ids and short titles, always in part."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

NIST = "NIST SP 800-53 r5"


@dataclass(frozen=True)
class Control:
    """One control; `partial` says that a step shows only some of what the control asks for."""

    framework: str
    id: str
    title: str
    partial: bool

    def __str__(self) -> str:
        """As a page or a table names it."""
        extent = " (partial)" if self.partial else ""
        return f"{self.framework} {self.id}{extent}"

    @property
    def oscal_id(self) -> str:
        """The id as NIST's own catalogue in OSCAL spells it: `ra-5.5` of `RA-5(5)`."""
        return self.id.lower().replace("(", ".").replace(")", "")


@cache
def controls_of(step: str) -> tuple[Control, ...]:
    """The controls that this step gives evidence for, in the file's order; none for a step that it does not name."""
    return tuple(control for control, steps in _table() if step in steps)


def nist_of(steps: Iterable[str]) -> tuple[Control, ...]:
    """NIST's controls of several steps, each once, in the file's order."""
    wanted = set(steps)
    return tuple(control for control, named in _table() if control.framework == NIST and wanted & named)


@cache
def _table() -> tuple[tuple[Control, frozenset[str]], ...]:
    text = resources.files("qualys_verify.evidence").joinpath("controls.toml").read_text("utf-8")
    return tuple(
        (
            Control(entry["framework"], entry["id"], entry["title"], entry["partial"]),
            frozenset(entry["steps"]),
        )
        for entry in tomllib.loads(text)["control"]
    )
