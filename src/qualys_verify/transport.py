"""How a command reaches a target: framed, in one round trip with others, over one of testinfra's backends or a container's shell."""

import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from qualys_verify.agent.container import Container  # noqa: TC001  # as all others here
from qualys_verify.backends import Ansible, Backend, Deadline, Local, OpenSsh, Shell
from qualys_verify.engines import Engine, Plain, Pod
from qualys_verify.frame import Frame, RawResult, text
from qualys_verify.kubectl import Cluster
from qualys_verify.reasons import Gone, Inconclusive, Unreachable
from qualys_verify.targets import CONTAINERS, Target
from qualys_verify.unreachable import why_unreachable

if TYPE_CHECKING:
    from qualys_verify.ssh.client import SshClient, SshSession


@dataclass(frozen=True, slots=True)
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
    """How SSH is spoken; the options keep testinfra's meaning. Without a `client` all goes through OpenSSH."""

    control_directory: Path
    config: Path | None = None
    identity_file: Path | None = None
    persist: int = 60
    client: "SshClient | None" = None


class Transport:
    """The way to one target. Not shared between threads: a host is spoken to by one at a time."""

    def __init__(self, target: Target, backend: Backend) -> None:
        """Nothing is connected until the first `run`."""
        self._target = target
        self._backend = backend
        self.host_key = ""
        self.container: Container | None = None

    def run(self, commands: Sequence[str]) -> tuple[Reply, ...]:
        """Run commands (shell text) one after another, in one round trip; a Reply each.

        Raises Unreachable when the first did not run on the target or the connection was lost, TimedOut when
        they did not end in time, Interrupted when the run was stopped.
        """
        return self.run_within((), commands)

    def run_within(self, guard: Sequence[str], commands: Sequence[str]) -> tuple[Reply, ...]:
        """The same, all of them together by a program that may end them: a Reply for each that had ended by then."""
        frame = Frame.new()
        started, clock = datetime.now(UTC), time.monotonic()
        try:
            raw = self._backend.deliver(frame.script(commands, guard), frame.mark)
        except Inconclusive as reason:
            named = str(reason).startswith(self._target.id)
            raise type(reason)(str(reason) if named else f"{self._target.id}: {reason}") from reason
        took = time.monotonic() - clock
        self.host_key = self.host_key or host_key(raw)
        outcomes = frame.outcomes(raw)
        if len(outcomes) < len(commands) and not (guard and frame.has_ended(raw)):
            raise self._lost(raw, commands, len(outcomes), has_begun=frame.has_begun(raw))
        return tuple(
            Reply(command, outcome.status, text(outcome.stdout), text(outcome.stderr), started, took)
            for command, outcome in zip(commands, outcomes, strict=False)
        )

    @property
    def client(self) -> str:
        """Which program or library spoke SSH with the target, and why; empty where none did."""
        return "OpenSSH" if isinstance(self._backend, OpenSsh) else ""

    def rest(self) -> None:
        """Nothing is asked for a while; what is kept open is kept."""

    def close(self) -> None:
        """Nothing is kept open but what `disconnect` closes."""

    def _lost(self, raw: RawResult, commands: Sequence[str], ended: int, *, has_begun: bool) -> Unreachable:
        """Why not all commands came to their end."""
        if has_begun:
            why = f"the connection to {self._target.id} was lost while `{commands[ended]}` ran"
            return Unreachable(why, text(raw.stderr))
        return Unreachable(why_unreachable(self._target, raw), text(raw.stderr))


class SshTransport(Transport):
    """The way to a host by SSH in this process, and by OpenSSH where only that can go it."""

    def __init__(self, target: Target, session: "SshSession") -> None:
        """Nothing is connected yet."""
        super().__init__(target, session)
        self._session = session

    @property
    def client(self) -> str:
        """See Transport."""
        why = self._session.why_openssh
        return f"OpenSSH ({why})" if why else _asyncssh()

    def run_within(self, guard: Sequence[str], commands: Sequence[str]) -> tuple[Reply, ...]:
        """See Transport."""
        replies = super().run_within(guard, commands)
        self.host_key = self.host_key or self._session.host_key
        return replies

    def rest(self) -> None:
        """See Transport."""
        self._session.rest()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


class ContainerTransport(Transport):
    """The way into a container, by a shell that is kept open. `container` is what was seen of it first."""

    def __init__(self, target: Target, engine: Engine, deadline: Deadline) -> None:
        """Nothing is asked until the first `run`."""
        super().__init__(target, self)
        self._engine, self._deadline = engine, deadline
        self._shell: Shell | None = None

    def deliver(self, script: str, mark: bytes) -> RawResult:
        """See Backend. Before a shell is opened: is the container there and ready, and still the one of before?"""
        if self._shell is None or not self._shell.is_open:
            self.close()
            self._check()
            self._shell = Shell(self._engine.shell(), self._deadline)
        return self._shell.deliver(script, mark)

    def close(self) -> None:
        """Close the shell."""
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.close()

    def _check(self) -> None:
        """Raise Gone where the container is none any more, or another one; Unreachable where it is not ready."""
        lost = "while it was looked at, and what was asked of the agent may be lost: run again"
        try:
            found = self._engine.look()
        except Gone as reason:
            raise (
                Gone(f"{reason}: it was deleted or moved {lost}") if self.container else reason
            ) from reason
        if self.container and found.is_leaving:
            raise Gone(f"{found.trouble}, {lost}")
        if self.container and found.instance != self.container.instance:
            ended = f" ({found.ended})" if found.ended else ""
            raise Gone(f"its container was restarted or replaced{ended} {lost}")
        if found.trouble:
            raise Unreachable(f"{found.trouble}{f'; node {found.node}' if found.node else ''}")
        self.container = found

    def _lost(self, raw: RawResult, commands: Sequence[str], ended: int, *, has_begun: bool) -> Unreachable:
        """The container's own end is the reason, where it has come to one."""
        try:
            self._check()
        except Unreachable as reason:
            return type(reason)(f"{self._target.id}: {reason}", text(raw.stderr))
        if has_begun:
            return super()._lost(raw, commands, ended, has_begun=has_begun)
        return Unreachable(self._engine.why_not(raw), text(raw.stderr))


class Nowhere(Transport):
    """The way to a target of which it is known before that nothing can be seen."""

    def __init__(self, target: Target) -> None:
        """There is no backend."""
        super().__init__(target, self)

    def deliver(self, script: str, mark: bytes) -> RawResult:  # noqa: ARG002  # as Backend has it
        """Raise why."""
        raise Unreachable(self._target.unseen or self._target.absent)


def connect(target: Target, ssh: SshSettings, deadline: Deadline, number: int) -> Transport:
    """The transport for a target. `number` tells the targets' control sockets apart within the run."""
    if target.unseen or target.absent:
        return Nowhere(target)
    if target.is_contained:
        return ContainerTransport(target, _engine(target, deadline), deadline)
    match target.scheme:
        case "local":
            backend = Local()
        case "ansible":
            backend = Ansible(target.name, **dict(target.settings))
        case _ if ssh.client is not None:
            return SshTransport(target, _session(target, ssh, ssh.client, number))
        case _:
            backend = _open_ssh(target, ssh, deadline, number)
    return Transport(target, backend.bind(deadline))


def _session(target: Target, ssh: SshSettings, client: "SshClient", number: int) -> "SshSession":
    from qualys_verify.ssh.client import SshSession  # noqa: PLC0415  # with asyncssh, which takes its time
    from qualys_verify.ssh.route import Asking  # noqa: PLC0415  # the same

    identity = ("-i", str(ssh.identity_file)) if ssh.identity_file else ()
    user = ("-l", target.user) if target.user else ()
    port = ("-p", str(target.port)) if target.port else ()
    asking = Asking(
        strict=_STRICT,
        file=target.ssh_config or ssh.config,
        others=(*target.ssh_args, *identity, *user, *port),
        environment=client.environment,
        turn=client.asked_at_once,
        deadline=client.deadline,
        known=client.known,
    )

    def openssh() -> Backend:
        return _open_ssh(target, ssh, client.deadline, number).bind(client.deadline)

    return SshSession(client, asking, target.name, openssh)


def _engine(target: Target, deadline: Deadline) -> Engine:
    if target.scheme in CONTAINERS:
        return Plain(target, deadline)
    settings = dict(target.settings)
    where = (settings.get(key) for key in ("context", "kubeconfig", "cache"))
    cluster = Cluster(settings["namespace"], *where)
    return Pod(target, cluster, settings.get("container"), settings.get("usual", ""), deadline)


def _open_ssh(target: Target, ssh: SshSettings, deadline: Deadline, number: int) -> OpenSsh:
    return OpenSsh(
        target.netloc,
        ssh_config=_path(target.ssh_config or ssh.config),
        ssh_identity_file=_path(ssh.identity_file),
        timeout=max(1, min(10, int(deadline.seconds))),
        controlpath=str(ssh.control_directory / str(number)),
        controlpersist=ssh.persist,
        ssh_extra_args=shlex.join(
            (*(word for option in _STRICT for word in ("-o", option)), *target.ssh_args)
        ),
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


@cache
def _asyncssh() -> str:
    return f"asyncssh {version('asyncssh')}"


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
