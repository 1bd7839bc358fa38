"""How a command reaches a target: framed, in one round trip with others, over one of testinfra's backends."""

import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from qualys_verify.backends import Ansible, Backend, Deadline, Docker, Kubectl, Local, OpenSsh, Podman
from qualys_verify.frame import Frame, RawResult, text
from qualys_verify.reasons import Inconclusive, Unreachable
from qualys_verify.targets import Target
from qualys_verify.unreachable import why_unreachable


@dataclass(frozen=True)
class Reply:
    """What one command did on the target.

    `command` is as it was run, sudo included. `started` is UTC by the controller's clock, `took` in seconds.
    """

    command: str
    status: int
    stdout: str
    stderr: str
    started: datetime
    took: float

    def __str__(self) -> str:
        """A transcript of it."""
        head = f"$ {self.command}\n# {self.started:%Y-%m-%dT%H:%M:%SZ}, exit status {self.status}, {self.took:.2f} s"
        return "\n".join(part for part in (head, self.stdout.rstrip("\n"), self.stderr.rstrip("\n")) if part)


@dataclass(frozen=True)
class SshSettings:
    """How OpenSSH is called; the options keep testinfra's meaning."""

    control_directory: Path
    config: Path | None = None
    identity_file: Path | None = None
    persist: int = 60


class Transport:
    """The way to one target. Not shared between threads: a host is spoken to by one at a time."""

    def __init__(self, target: Target, backend: Backend) -> None:
        """Nothing is connected until the first `run`."""
        self._target = target
        self._backend = backend
        self.host_key = ""

    def run(self, commands: Sequence[str]) -> tuple[Reply, ...]:
        """Run commands (shell text) one after another, in one round trip; a Reply each.

        Raises Unreachable when the first did not run on the target or the connection was lost, TimedOut when
        they did not end in time, Interrupted when the run was stopped.
        """
        frame = Frame.new()
        started, clock = datetime.now(UTC), time.monotonic()
        try:
            raw = self._backend.deliver(frame.script(commands), frame.mark)
        except Inconclusive as reason:
            raise type(reason)(f"{self._target.id}: {reason}") from reason
        took = time.monotonic() - clock
        self.host_key = self.host_key or host_key(raw)
        outcomes = frame.outcomes(raw)
        if len(outcomes) < len(commands):
            why = self._why_not(raw, commands, len(outcomes), has_begun=frame.has_begun(raw))
            raise Unreachable(why, text(raw.stderr))
        return tuple(
            Reply(command, outcome.status, text(outcome.stdout), text(outcome.stderr), started, took)
            for command, outcome in zip(commands, outcomes, strict=True)
        )

    def _why_not(self, raw: RawResult, commands: Sequence[str], ended: int, *, has_begun: bool) -> str:
        if has_begun:
            return f"the connection to {self._target.id} was lost while `{commands[ended]}` ran"
        return why_unreachable(self._target, raw)


def connect(target: Target, ssh: SshSettings, deadline: Deadline, number: int) -> Transport:
    """The transport for a target. `number` tells the targets' control sockets apart within the run."""
    settings = dict(target.settings)
    match target.scheme:
        case "local":
            backend = Local()
        case "docker":
            backend = Docker(target.netloc)
        case "podman":
            backend = Podman(target.netloc)
        case "kubectl":
            backend = Kubectl(target.name, **settings)
        case "ansible":
            backend = Ansible(target.name, **settings)
        case _:
            backend = _open_ssh(target, ssh, deadline, number)
    return Transport(target, backend.bind(deadline))


def _open_ssh(target: Target, ssh: SshSettings, deadline: Deadline, number: int) -> OpenSsh:
    return OpenSsh(
        target.netloc,
        ssh_config=_path(target.ssh_config or ssh.config),
        ssh_identity_file=_path(ssh.identity_file),
        timeout=max(1, min(10, int(deadline.seconds))),
        controlpath=str(ssh.control_directory / str(number)),
        controlpersist=ssh.persist,
        ssh_extra_args=" ".join(f"-o {option}" for option in _STRICT),
    )


# Given first, and so before anything that a configuration file says. `VisualHostKey` has the client name the
# fingerprint of the key that it verified; the forwardings would give the target a way to the operator.
_STRICT = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "LogLevel=INFO",
    "VisualHostKey=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
)


def disconnect(ssh: SshSettings, number: int) -> None:
    """Close the target's shared connection, if there is one."""
    socket = ssh.control_directory / str(number)
    if not socket.exists():
        return
    with suppress(subprocess.TimeoutExpired):  # one that does not listen ends by itself, see `persist`
        subprocess.run(
            ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "closing"],  # noqa: S607  # the ssh of PATH, as testinfra's
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=10,
            check=False,
        )


def host_key(raw: RawResult) -> str:
    """The fingerprint of the key that the SSH client verified when it connected; empty where it did not say."""
    match = re.search(rb"^Host key fingerprint is (SHA256:[A-Za-z0-9+/=]+)\r?$", raw.stderr, re.MULTILINE)
    return match[1].decode() if match else ""


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
