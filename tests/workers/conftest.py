"""Runs with workers, and what their agents were asked for."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from qualys_verify.evidence.run_json import read_result
from tests.plugin.conftest import run, start, until  # noqa: F401  # fixtures

REQUESTS = "tmp/qualys-verify-demo-*/hosts/*/var/lib/standin/requests.log"


@dataclass
class Asked:
    """The demo's agents of a run: their own notes of what they were asked for, kept beyond the demo's end."""

    folder: Path

    def keep(self):
        """Hold on to the notes that are there; what is written to them later counts, too."""
        (self.folder / "kept").mkdir(exist_ok=True)
        for path in self.folder.glob(REQUESTS):
            kept = self.folder / "kept" / path.parents[3].name
            if not kept.exists():
                os.link(path, kept)
        return self

    @property
    def hosts(self):
        return {f"demo://{path.name}" for path in (self.folder / "kept").iterdir()}

    def types(self, host):
        lines = (self.folder / "kept" / host.removeprefix("demo://")).read_text().splitlines()
        return Counter(line.split()[2].removeprefix("type=") for line in lines)

    @property
    def each_once(self):
        """Whether no agent was asked for the same thing twice, and each for something."""
        return all(set(self.types(host).values()) == {1} for host in self.hosts)


@pytest.fixture
def asked():
    return lambda running: Asked(running.folder)


def left_behind(ran):
    """What outlived a run, but for the folder that pytest has for xdist's workers and keeps for three runs."""
    return [name for name in ran.left_behind if "/pytest-of-" not in name]


def result_of(ran):
    (path,) = ran.folder.glob("reports/2*/run.json")
    return read_result(path)


def journal_of(ran):
    (path,) = ran.folder.glob("reports/2*/journal.jsonl")
    return [msgspec.json.decode(line)["record"] for line in path.read_bytes().splitlines()]


def children_of(pid):
    """The processes that a process has started and that live, its workers among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        if int(rest.split()[1]) == pid:
            found.append(int(name.split()[0]))
    return found


def workers_of(running):
    """The process ids of a run's workers."""
    return [
        pid
        for pid in children_of(running._process.pid)
        if b"exec(eval(" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
