"""The commands of a demo host that would otherwise answer for the machine underneath.

A demo host is a directory, not a machine: `systemctl`, `sudo`, `hostname` and `ps` come first on its PATH
and answer as a real host with this agent would, from files in the host's own tree.
"""

import shlex
import time
from pathlib import Path

from qualys_verify.standin.install import HOME, NOTES, UNIT, UNITS, StandinHost, render

DIRECTORY = Path("shims")


def install_shims(root: Path, host: StandinHost, *, pid: int, player: str) -> None:
    """Write the shims and what they answer, for a tree that `install` wrote at `root`.

    `pid` is the process that plays the host's daemon and `player` the part of its command line by which `ps`
    knows it. The unit counts as started now.
    """
    names = ["hostname", "sudo", "systemctl"] + ["ps"] * host.agent
    daemon = str(root / HOME / "bin/qualys-cloud-agent")
    (root / DIRECTORY).mkdir(mode=0o700, exist_ok=True)
    for name in names:
        path = root / DIRECTORY / name
        values = {"NAME": host.name, "PLAYER": shlex.quote(player), "DAEMON": shlex.quote(daemon)}
        path.write_text(render(f"shims/{name}.sh", root, **values), encoding="utf-8")
        path.chmod(0o700)
    unknown = render("no-unit.properties", root)
    (root / NOTES / "no-unit.properties").write_text(unknown, encoding="utf-8")
    known = _running(root, pid, daemon) if host.agent else unknown.replace("@UNIT@", UNIT)
    (root / NOTES / "unit.properties").write_text(known, encoding="utf-8")


def _running(root: Path, pid: int, daemon: str) -> str:
    """What systemd says of the agent's unit when it is enabled and has just been started."""
    return render(
        "unit.properties",
        root,
        UNIT=UNIT,
        PID=str(pid),
        DAEMON=daemon,
        FRAGMENT=str(root / UNITS / UNIT),
        STARTED=time.strftime("%a %Y-%m-%d %H:%M:%S %Z"),
        STARTED_MONOTONIC=str(int(time.monotonic() * 1_000_000)),
    )
