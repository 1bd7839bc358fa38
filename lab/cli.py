"""The three commands: up, down and run."""

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from lab import hosts, machine
from lab.machine import LabError

INTERRUPTED = 130


def up(argv: list[str] | None = None) -> int:
    """Bring hosts up and say how to reach them."""
    parser = _parser("lab/up", "Bring up real systemd hosts, lab1 to labN, with a stand-in agent on each.")
    parser.add_argument("count", metavar="N", type=int, nargs="?", help=f"how many, 1 to {hosts.MOST}")
    parser.add_argument(
        "--delay", metavar="SECONDS", type=float, default=2, help="how long an agent takes (2)"
    )
    parser.add_argument(
        "--check", action="store_true", help="only say whether this machine has what it takes"
    )
    options = parser.parse_args(argv)
    if options.count is None and not options.check:
        parser.error("how many hosts?")
    return _guarded(lambda: _up(options.state, options.count, options.delay, check=options.check))


def down(argv: list[str] | None = None) -> int:
    """Take the hosts down, and put the machine back as it was."""
    parser = _parser("lab/down", "End the lab and put the machine back as it was, however far lab/up got.")
    options = parser.parse_args(argv)
    return _guarded(lambda: hosts.down(hosts.lab_at(options.state)))


def run(argv: list[str] | None = None) -> int:
    """Run a command where the hosts can be reached."""
    parser = _parser(
        "lab/run", "Run a command inside the lab's network. It ends with the lab, if not before."
    )
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="and its arguments")
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("which command?")
    return _guarded(lambda: hosts.enter(hosts.lab_at(options.state), command))


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=description, allow_abbrev=False)
    parser.add_argument("--state", metavar="DIR", help="where it keeps its files; tells one lab from another")
    return parser


def _guarded(action: Callable[[], None]) -> int:
    """Do it, as root and with a decent umask; what goes wrong becomes a message and an exit status."""
    os.umask(0o022)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _demand()
        action()
    except (LabError, OSError) as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("lab: interrupted\n")
        return INTERRUPTED
    return 0


def _demand() -> None:
    lacks = machine.missing()
    if lacks:
        raise LabError(f"this machine lacks {', '.join(lacks)}")


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _up(state: str | None, count: int, delay: float, *, check: bool) -> None:
    if check:
        return
    began = time.monotonic()
    lab = hosts.lab_at(state)
    made = hosts.up(lab, count, delay)
    took = time.monotonic() - began
    named = ", ".join(f"{host.name} ({host.personality})" for host in made[:3]) + (", …" if made[3:] else "")
    inside = ["lab/run", *(["--state", str(lab.state)] if state else [])]
    verify = ["pytest", f"--ssh-config={lab.ssh_config}", f"--hosts=@{lab.state / hosts.FLEET}"]
    visit = ["ssh", "-F", str(lab.ssh_config), made[0].name]
    sys.stdout.write(f"{len(made)} up in {took:.1f} s: {named}\n")
    sys.stdout.writelines(f"{shlex.join([*inside, *command])}\n" for command in (verify, visit))
