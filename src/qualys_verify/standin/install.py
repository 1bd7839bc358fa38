"""Writing a stand-in agent below a directory: the whole tree of one host, ready to be driven.

The places, modes and formats are those of the known facts of the agent (files, configuration, log). What is
the stand-in's own lies in `var/lib/standin`: `host.json` (what this host is), `invocations.log` (each call of
a script), `requests.log` (each accepted request) and `last-assessment`.
"""

import hashlib
import json
import os
import re
import shlex
import time
from dataclasses import asdict, dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from qualys_verify.standin import daemon, history

Personality = Literal["runbook", "limited", "vendor"]
PERSONALITIES: tuple[Personality, ...] = get_args(Personality)

HOME = Path("usr/local/qualys/cloud-agent")
CONFIGURATION = Path("etc/qualys/cloud-agent")
LOGS = Path("var/log/qualys")
NOTES = Path("var/lib/standin")
UNIT = "qualys-cloud-agent.service"
UNITS = Path("etc/systemd/system")

_FILES = Path(__file__).with_name("files")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True)
class StandinHost:
    """What one pretend host is.

    `agent` False: nothing is installed. `assesses` False: requests are taken and never carried out. `delay`
    is how many seconds a scan takes. `fault` names what is wrong with it (see `standin.faults`), for the demo.
    Raises ValueError for values that no host can have.
    """

    name: str
    personality: Personality
    agent: bool = True
    assesses: bool = True
    delay: float = 2.0
    fault: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that are no host name, unknown personalities and negative delays."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no host name: use a-z, 0-9, dots and dashes")
        if self.personality not in PERSONALITIES:
            raise ValueError(f"there is no personality {self.personality!r}: use {', '.join(PERSONALITIES)}")
        if not self.delay >= 0:
            raise ValueError(f"a scan cannot take {self.delay} seconds")


def install(root: Path, host: StandinHost, *, prefix_in_scripts: Path | None = None) -> None:
    """Write the host's tree below `root`, over one that may be there already.

    `prefix_in_scripts` is where the tree will be seen from when its scripts run; None is "/", when `root` is
    to be a machine's root. Raises OSError where `root` cannot be written.
    """
    prefix = prefix_in_scripts or Path("/")
    now = time.time()
    _private_directories(root, NOTES)
    _write(root / NOTES / "host.json", json.dumps(asdict(host), indent=1) + "\n")
    if not host.agent:
        return
    _private_directories(root, HOME / "bin", HOME / ".on-demand-scan", CONFIGURATION, LOGS)
    _install_programs(root, host, prefix)
    _install_configuration(root, host, prefix)
    zone = zone_of(root if prefix == Path("/") else Path("/"))
    _write(root / LOGS / "qualys-cloud-agent.log", history.healthy_log(now, zone))
    if host.personality == "runbook":
        assessed = daemon.local_time(now - history.LAST_ASSESSMENT_AGE, zone)
        _write(root / NOTES / "last-assessment", f"{assessed}\n")


def render(template: str, prefix: Path, **values: str) -> str:
    """The text of a template in `files/`, its @PLACEHOLDERS@ filled in.

    `@PREFIX@` is `prefix` quoted for the shell and `@ROOT@` the same unquoted, both empty for "/";
    `@COMMON@` and `@KEYS@` are the parts that scripts share.
    """
    root = "" if prefix == Path("/") else str(prefix)
    text = (_FILES / template).read_text(encoding="utf-8")
    for part in ("common", "keys"):
        text = text.replace(f"@{part.upper()}@\n", (_FILES / f"parts/{part}.sh").read_text(encoding="utf-8"))
    for name, value in {"PREFIX": shlex.quote(root), "ROOT": root, **values}.items():
        text = text.replace(f"@{name}@", value)
    return text


def zone_of(root: Path) -> tzinfo:
    """The time zone of the machine whose root directory is `root`.

    It is that of its /etc/localtime, or UTC, as for the C library. Where that is a link to a path that starts
    with "/", it is followed within `root`.
    """
    place = root / "etc/localtime"
    if place.is_symlink() and (target := os.readlink(place)).startswith("/"):  # noqa: PTH115  # Path.readlink folds ".."
        place = root / target.lstrip("/")
    try:
        with place.open("rb") as data:
            return ZoneInfo.from_file(data)
    except (OSError, ValueError):
        return UTC


def _install_programs(root: Path, host: StandinHost, prefix: Path) -> None:
    """The scripts of the host's personality, and the daemon with its unit, enabled."""
    programs = root / HOME / "bin"
    script = render(f"qualys-cloud-agent.{host.personality}.sh", prefix)
    _write(programs / "qualys-cloud-agent.sh", script, mode=0o700)
    if host.personality == "vendor":
        _write(programs / "cloudagentctl.sh", render("cloudagentctl.sh", prefix), mode=0o700)
    source = Path(daemon.__file__).read_text(encoding="utf-8")
    _write(programs / "qualys-cloud-agent", f"#!/usr/bin/python3\n{source}", mode=0o700)

    wants = root / UNITS / "multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    _write(root / UNITS / UNIT, render(UNIT, prefix), mode=0o644)
    (wants / UNIT).unlink(missing_ok=True)
    (wants / UNIT).symlink_to(prefix / UNITS / UNIT)


def _install_configuration(root: Path, host: StandinHost, prefix: Path) -> None:
    for name in ("qualys-cloud-agent.conf", "qagent-log.conf"):
        _write(root / CONFIGURATION / name, render(name, prefix))
    unique = hashlib.sha256(host.name.encode()).hexdigest()[:12]
    _write(root / "etc/qualys/hostid", f"decafbad-0000-4000-8000-{unique}\n")


def _private_directories(root: Path, *directories: Path) -> None:
    """Make directories, mode 0700 from the first that is the agent's own; others stay as they are."""
    for directory in directories:
        for path in (directory, *directory.parents):
            if path.name in {"usr", "local", "etc", "var", "log", "lib", ""}:
                break
            (root / path).mkdir(parents=True, exist_ok=True)
            (root / path).chmod(0o700)


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that nobody may read before its mode is set."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
