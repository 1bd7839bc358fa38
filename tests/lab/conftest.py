"""Three real hosts for the tests in this directory, or one reason why this machine cannot have them."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT = "qualys-cloud-agent.service"
COMMANDS = Path(__file__).resolve().parents[2] / "lab"
UP_TIMEOUT = 1200  # the first time ever the root file system is built

Suite = Callable[..., "subprocess.CompletedProcess[str]"]
LabCommand = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Lab:
    """A lab that is up."""

    state: Path
    names: tuple[str, ...]
    hub: str

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh_config"

    def root(self, name: str) -> Path:
        """The host's file system, seen from this machine (without what lies in its /run and /tmp)."""
        return self.state / "hosts" / name / "root"

    def cgroups(self, name: str) -> list[Path]:
        """The host's cgroups, where the kernel can be asked to freeze it."""
        mark = self.hub.rpartition("-")[2]
        return [path.parent for path in Path("/sys/fs/cgroup").glob(f"**/*{mark}*/{name}/cgroup.freeze")]

    def run(
        self, argv: Sequence[str | Path], *, timeout: float = 60, stdin: str = "", check: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command inside the hub, from where the hosts can be reached."""
        words = [sys.executable, COMMANDS / "run", "--state", self.state, "--", *argv]
        return subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=timeout, check=check
        )

    def ssh(self, name: str, script: str, *, user: str = "ops") -> "subprocess.CompletedProcess[str]":
        """Run a line of shell on a host, over a connection that is kept and ends with the lab."""
        settings = ["BatchMode=yes", "ConnectTimeout=5", "ControlMaster=auto", "ControlPersist=60"]
        settings.append(f"ControlPath={self.state}/hosts/%n-%r")
        options = [word for setting in settings for word in ("-o", setting)]
        return self.run(["ssh", "-F", self.ssh_config, *options, "-l", user, name, script])

    def says(self, name: str, script: str) -> str:
        """What a line of shell prints on a host, whatever its exit status."""
        return self.ssh(name, script).stdout.strip()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: needs the lab's real hosts (lab/README.md)")


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def lab_command() -> LabCommand:
    """Run one of the lab's commands as a person would: `lab_command("up", "3")`."""

    def run(name: str, *arguments: str | Path, check: bool = True) -> "subprocess.CompletedProcess[str]":
        words = [COMMANDS / name, *arguments]
        done = subprocess.run(words, capture_output=True, text=True, timeout=UP_TIMEOUT, check=False)
        if check and done.returncode:
            pytest.fail(f"lab/{name} failed: {done.stderr}")
        return done

    return run


@pytest.fixture(scope="session", autouse=True)
def able_machine(lab_command: LabCommand) -> None:
    """Skip everything here where there can be no lab, for one reason that names all that is missing."""
    answer = lab_command("up", "--check", check=False)
    if answer.returncode:
        pytest.skip(answer.stderr.strip())


@pytest.fixture(scope="session")
def lab(lab_command: LabCommand) -> Iterator[Lab]:
    """Three hosts, lab1 (runbook), lab2 (limited) and lab3 (vendor), for all tests of the session."""
    with _raised(lab_command, 3) as raised:
        yield raised


@pytest.fixture
def own_lab(lab_command: LabCommand) -> Iterator[Lab]:
    """One host for one test, which may do with it what it likes."""
    with _raised(lab_command, 1) as raised:
        yield raised


@contextlib.contextmanager
def _raised(lab_command: LabCommand, count: int) -> Iterator[Lab]:
    state = Path(tempfile.mkdtemp(prefix="qv-lab-"))
    try:
        lab_command("up", str(count), "--delay", "2", "--state", state)
        names = tuple((state / "fleet.txt").read_text(encoding="ascii").split())
        yield Lab(state, names, (state / "hub").read_text(encoding="ascii").strip())
    finally:
        lab_command("down", "--state", state)


@pytest.fixture
def suite(lab, tmp_path) -> Suite:
    """Run the real suite from inside the hub; polls are short, because the stand-in's scans are."""

    def run(*options: str, hosts: str = "lab1", lab: Lab = lab) -> "subprocess.CompletedProcess[str]":
        places = [
            f"--report-dir={tmp_path}",
            f"--ssh-config={lab.ssh_config}",
            "-o",
            f"cache_dir={tmp_path}/cache",
        ]
        polls = ["--poll-interval=0.5", "--poll-timeout=20", "--command-timeout=10"]
        command = [
            sys.executable,
            "-m",
            "pytest",
            f"--rootdir={REPOSITORY}",
            "-c",
            f"{REPOSITORY}/pyproject.toml",
        ]
        return lab.run(
            [*command, *places, *polls, f"--hosts={hosts}", *options, f"{REPOSITORY}/tests_agent"],
            timeout=180,
        )

    return run


@pytest.fixture
def requests(lab) -> Callable[[str], list[str]]:
    """What a host's agent was asked for, since the lab was started."""

    def read(name: str) -> list[str]:
        log = lab.root(name) / "var/lib/standin/invocations.log"
        return [line.split(" ", 1)[1] for line in log.read_text().splitlines()] if log.exists() else []

    return read


@pytest.fixture
def as_root(lab) -> Callable[[str, str], None]:
    def run(name: str, script: str) -> None:
        done = lab.ssh(name, script, user="root")
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture
def broken(as_root) -> Callable[..., "contextlib.AbstractContextManager[None]"]:
    """Break a host's unit for the time of a `with`."""

    @contextlib.contextmanager
    def breaking(name: str, how: str, mend: str) -> Iterator[None]:
        as_root(name, how)
        try:
            yield
        finally:
            # stopped first: a start would wait for the pending automatic restart, a minute
            as_root(
                name,
                f"systemctl stop {UNIT}; {mend}; systemctl reset-failed {UNIT}; systemctl enable --now {UNIT}",
            )

    return breaking
