"""What a side is."""

import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench.checks import Verdicts
from bench.hosts import Hosts, Member

# What only the suite's own tests need, and what a user's environment does not have: it is loaded for nothing.
WITHOUT = ("-p", "no:hypothesispytest")


class Side(ABC):
    """One way to check a fleet. `name` stands in results, `title` in tables.

    `folder` is where one run of it keeps what it needs and what it found: empty before, gone after.
    """

    name: str
    title: str
    needs: tuple[str, ...] = ()  # programs
    how: str = ""  # what is said of it beside the table
    # A run that takes longer is no figure; in seconds.
    limit = 900.0

    @property
    def missing(self) -> str:
        """One sentence about what is not installed here; empty when it can run."""
        absent = [program for program in self.needs if program_path(program) is None]
        return f"{self.title}: {', '.join(absent)} is missing" if absent else ""

    @abstractmethod
    def versions(self) -> str:
        """Which versions of what."""

    @abstractmethod
    def command(self, hosts: Hosts, members: Sequence[Member], folder: Path) -> list[str]:
        """The command line, after everything that it needs was written into the folder."""

    @abstractmethod
    def verdicts(self, members: Sequence[Member], folder: Path) -> Verdicts:
        """What it found. Raises ValueError or OSError when it did not look at every host."""


def program_path(name: str) -> str | None:
    """Where a program is: beside this Python, or on PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def packages(*names: str) -> str:
    """The versions of Python packages."""
    return ", ".join(f"{name} {version(name)}" for name in names)


def says(*argv: str) -> str:
    """The first line that a program says of its version."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]
