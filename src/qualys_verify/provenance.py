"""Where a result comes from: who ran which version of the suite, where, and with which tools."""

import getpass
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("pytest", "pytest-testinfra", "pytest-html", "tenacity", "msgspec")
_SECONDS = 10


@dataclass(frozen=True)
class Provenance:
    """Who ran it, on which machine, and what of: the checkout's commit, the runbook's digest, the tools' versions."""

    user: str
    controller: str
    commit: str
    runbook: str
    tools: Mapping[str, str]


def provenance_of(runbook: Path) -> Provenance:
    """That of a run, now; `runbook` is the folder of its tests and fixtures. Programs are asked for it, which takes a while."""
    return Provenance(user(), controller(), commit(runbook), runbook_digest(runbook), tools())


def user() -> str:
    """The login that started the run, empty where the system does not know it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's uid without a name; KeyError until Python 3.12
        return ""


def controller() -> str:
    """The name of the machine that the run was started on."""
    return platform.node()


def runbook_digest(runbook: Path) -> str:
    """SHA-256 over what `sha256sum` prints of the runbook's files, by name: which sentences were checked, and how."""
    files = sorted(_runbook_files(runbook), key=lambda path: path.as_posix())
    listing = "".join(
        f"{sha256((runbook / path).read_bytes()).hexdigest()}  {path.as_posix()}\n" for path in files
    )
    return sha256(listing.encode()).hexdigest()


def _runbook_files(runbook: Path) -> Iterable[Path]:
    yield Path("conftest.py")
    for folder in ("fixtures", "tests_agent"):
        yield from (path.relative_to(runbook) for path in (runbook / folder).glob("*.py"))


def commit(checkout: Path) -> str:
    """The commit of a checkout, with `-dirty` where something was changed since; empty where it is none."""
    if not (checkout / ".git").exists():
        return ""
    return _said("git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def tools() -> dict[str, str]:
    """The versions of what had a part in the result."""
    found = {"Python": platform.python_version(), "system": platform.platform(terse=True)}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["OpenSSH"] = _said("ssh", "-V").partition(",")[0]
    return {name: text for name, text in found.items() if text}


def _said(*argv: str) -> str:
    """What a program printed in a line; empty where it is not there or fails."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return (done.stdout or done.stderr).strip()
