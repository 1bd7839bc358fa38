"""Real pytest runs of the runbook, in processes of their own, and hosts to run it on."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from qualys_verify.standin.demo import Demo
from qualys_verify.standin.install import CONFIGURATION, HOME, NOTES, StandinHost

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 90
# Set by the pytest that runs these tests, or by a CI around it, and no business of the one that is tested.
_NOT_PASSED_ON = ("PYTEST", "_PYTEST", "GIT_", "CI", "COV_")


@dataclass(frozen=True)
class Ran:
    """A pytest run that has ended; everything it left lies below `folder`."""

    status: int
    out: str
    err: str
    folder: Path

    root = ROOT

    @property
    def report(self) -> Path:
        return self.folder / "reports/latest/pytest.html"

    @property
    def rows(self) -> dict[str, str]:
        """Outcome by test, as JUnit has it: passed, failure, error or skipped."""
        cases = ET.parse(self.folder / "junit.xml").iter("testcase")  # noqa: S314  # of our own making
        return {case.attrib["name"]: case[0].tag if len(case) else "passed" for case in cases}

    @property
    def outcomes(self) -> dict[str, int]:
        return dict(Counter(self.rows.values()))

    @property
    def left_behind(self) -> list[str]:
        """Temporary files, and processes (by their environment) that outlived the run."""
        files = [str(path) for path in (self.folder / "tmp").iterdir()]
        return files + [f"process {pid}" for pid in _processes_of(self.folder)]


class Running:
    """A pytest run under way."""

    def __init__(self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.folder = folder
        (folder / "tmp").mkdir()
        passed_on = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_PASSED_ON)}
        self._process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "pytest", "-o", f"cache_dir={folder}/cache"),
                *(f"--report-dir={folder}/reports", f"--junitxml={folder}/junit.xml"),
                *arguments,
            ],
            cwd=ROOT,
            env={**passed_on, "TMPDIR": str(folder / "tmp"), "COLUMNS": "120", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def interrupt(self, by: signal.Signals = signal.SIGINT) -> None:
        """Ctrl-C, or another signal."""
        self._process.send_signal(by)

    def kill(self) -> None:
        """SIGKILL: nobody is asked. What it had started ends by itself when its pipes are closed."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    @property
    def is_under_way(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def left_behind(self) -> list[str]:
        """The command lines of processes that outlived the run."""
        return [_command_line(pid) for pid in _processes_of(self.folder)]

    def end(self) -> Ran:
        """Wait for the end; a run that hangs is killed, and that fails the test."""
        try:
            out, err = self._process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            raise
        return Ran(self._process.returncode, out, err, self.folder)


def _processes_of(folder: Path) -> list[int]:
    mark = os.fsencode(folder / "tmp")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if mark in told:
            found.append(int(entry.name))
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Start pytest in the checkout."""

    def call(*arguments, **environment):
        return Running(tmp_path_factory.mktemp("run"), arguments, environment)

    return call


@pytest.fixture(scope="session")
def run(start):
    """Run pytest in the checkout to its end."""
    return lambda *arguments, **environment: start(*arguments, **environment).end()


@dataclass(frozen=True)
class Standin:
    """One stand-in host that is up, and how to name it to pytest."""

    name: str
    root: Path
    ssh_config: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        return (f"--hosts=ssh://{self.name}", *self.places)

    @property
    def places(self) -> tuple[str, ...]:
        return (
            f"--ssh-config={self.ssh_config}",
            f"--agent-home={self.root / HOME}",
            f"--agent-config={self.root / CONFIGURATION / 'qualys-cloud-agent.conf'}",
            "--poll-interval=0.3",
            "--poll-timeout=5",
        )

    @property
    def requests(self) -> Counter[str]:
        """How many requests its agent has received, by type."""
        return Counter(line.split()[2].removeprefix("type=") for line in self._note("requests.log"))

    @property
    def calls(self) -> Counter[str]:
        """How its scripts have been called."""
        return Counter(" ".join(line.split()[1:]) for line in self._note("invocations.log"))

    def forget(self) -> None:
        """Begin to count anew."""
        for name in ("requests.log", "invocations.log"):
            (self.root / NOTES / name).write_text("")

    def _note(self, name: str) -> list[str]:
        path = self.root / NOTES / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="session")
def standins(tmp_path_factory):
    """A stand-in host of each kind, by name."""
    hosts = (
        StandinHost("runbook", "runbook", delay=0.3),
        StandinHost("vendor", "vendor", delay=0.3),
        StandinHost("stuck", "runbook", assesses=False),
        StandinHost("bare", "runbook", agent=False),
    )
    with Demo.start(hosts, tmp_path_factory.mktemp("standins") / "demo") as demo:
        yield {host.name: Standin(host.name, host.root, demo.ssh_config) for host in demo.hosts}


@pytest.fixture
def standin(standins):
    """One of the hosts, which has received nothing yet."""

    def choose(name):
        standins[name].forget()
        return standins[name]

    return choose


@dataclass(frozen=True)
class Canary:
    """A host that leaves a trace as soon as anything is about to speak to it."""

    arguments: tuple[str, ...]
    trace: Path

    @property
    def was_touched(self) -> bool:
        return self.trace.exists()


@pytest.fixture
def canary(tmp_path):
    trace = tmp_path / "touched"
    config = tmp_path / "ssh_config"
    config.write_text(f"Host *\n    ProxyCommand touch {trace}\n")
    return Canary((f"--ssh-config={config}",), trace)


@pytest.fixture(scope="session")
def until():
    """Wait for something that another process does."""

    def wait(true, limit=30.0):
        end = time.monotonic() + limit
        while not true():
            assert time.monotonic() < end, "did not come to pass in time"
            time.sleep(0.05)

    return wait
