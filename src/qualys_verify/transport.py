"""How a command reaches a target: over testinfra's backends, with a deadline and with proof that it ran there.

Several commands travel in one round trip as a script for the target's `/bin/sh`. Around the output of each
stands a nonce of the run with the command's real exit status, on stdout and on stderr: what a banner, a
`.bashrc` or a dead container prints is outside the frame, and without a frame nothing ran.
"""

import itertools
import os
import re
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Protocol

import testinfra.backend.base
import testinfra.backend.local
import testinfra.backend.ssh

from qualys_verify.reasons import Inconclusive, Interrupted, TimedOut, Unreachable
from qualys_verify.targets import Target

# More than any of our commands prints: they read tails, never whole files.
OUTPUT_LIMIT = 8 * 1024 * 1024
# How often a waiting read looks whether the run was interrupted, in seconds.
_TICK = 0.2


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
class Deadline:
    """When to give up on a command: after `seconds`, or as soon as the run is interrupted."""

    seconds: float
    interrupted: Event


@dataclass(frozen=True)
class RawResult:
    """What the local client process ended with."""

    status: int
    stdout: bytes
    stderr: bytes


class Backend(Protocol):
    """What is used of a testinfra backend."""

    def deliver(self, script: str) -> RawResult:
        """Have the target's `/bin/sh` run a script."""


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
        raw = self._backend.deliver(frame.script(commands))
        took = time.monotonic() - clock
        self.host_key = self.host_key or host_key(raw)
        outcomes = frame.outcomes(raw)
        if len(outcomes) < len(commands):
            raise Unreachable(self._why_not(raw, commands, len(outcomes), has_begun=frame.has_begun(raw)))
        return tuple(
            Reply(command, outcome.status, _text(outcome.stdout), _text(outcome.stderr), started, took)
            for command, outcome in zip(commands, outcomes, strict=True)
        )

    def _why_not(self, raw: RawResult, commands: Sequence[str], ended: int, *, has_begun: bool) -> str:
        if has_begun:
            return f"the connection to {self._target.id} was lost while `{commands[ended]}` ran"
        return why_unreachable(self._target, raw)


@dataclass(frozen=True)
class Outcome:
    """What came between the two marks of one command."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Frame:
    """The marks of one round trip.

    The nonce crosses the wire in two halves that only a shell puts together: a target that echoes what it
    is sent proves nothing.
    """

    first: str
    second: str

    @classmethod
    def new(cls) -> "Frame":
        """A frame with a nonce of its own."""
        return cls(secrets.token_hex(8), secrets.token_hex(8))

    @property
    def _mark(self) -> bytes:
        return f"{self.first}{self.second}".encode()

    def script(self, commands: Sequence[str]) -> str:
        """The script for `/bin/sh`: messages in English, the zone of the machine, the system's programs on PATH.

        Each command has a shell of its own, so that `exit` or a variable in it is no end of the frame.
        """
        lines = [
            "LC_ALL=C; LANGUAGE=; export LC_ALL LANGUAGE; unset TZ",
            'PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"; export PATH',
            f"a={self.first}; b={self.second}",
            r"""mark() { printf '\n%s%s %s\n' "$a" "$b" "$1"; printf '\n%s%s %s\n' "$a" "$b" "$1" >&2; }""",
            "mark begin",
        ]
        lines += [f"( {command}\n) </dev/null; mark $?" for command in commands]
        return "\n".join([*lines, "exit 0", ""])

    def has_begun(self, raw: RawResult) -> bool:
        """Whether a shell of the target's ran our script at all."""
        return self._parts(raw.stdout) != []

    def outcomes(self, raw: RawResult) -> list[Outcome]:
        """The commands that ran to their end, in order."""
        stdout, stderr = self._parts(raw.stdout), self._parts(raw.stderr)
        return [
            Outcome(status, out, err)
            for (status, out), (_, err) in zip(stdout[1:], stderr[1:], strict=False)
            if status is not None
        ]

    def _parts(self, stream: bytes) -> list[tuple[int | None, bytes]]:
        """For each mark in a stream, the status in it (None for `begin`) and what came before it."""
        pieces = stream.split(b"\n" + self._mark + b" ")
        parts: list[tuple[int | None, bytes]] = []
        for before, after in itertools.pairwise(pieces):
            word, newline, _ = after.partition(b"\n")
            if newline:
                parts.append(
                    (
                        int(word) if word.isdigit() else None,
                        before if not parts else before.partition(b"\n")[2],
                    )
                )
        return parts


class _Bounded(testinfra.backend.base.BaseBackend):  # type: ignore[misc]  # testinfra ships no types
    """A testinfra backend whose local client process has a deadline, an own process group and bounded output."""

    deadline: Deadline
    environment: Mapping[str, str]

    def bind(self, deadline: Deadline) -> "_Bounded":
        """Set the deadline; the environment is a copy, because pytest changes the live one around every test."""
        self.deadline = deadline
        self.environment = dict(os.environ)
        return self

    def run_bounded(self, command: str, script: str) -> RawResult:
        """Run a local command line, feeding it the script; TimedOut or Interrupted after killing all it started."""
        process = subprocess.Popen(  # noqa: S602  # testinfra builds a quoted command line, not a vector
            command,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,
        )
        with process:
            try:
                return _communicate(process, os.fsencode(script), self.deadline)
            finally:
                _end(process)


class OpenSsh(_Bounded, testinfra.backend.ssh.SshBackend):  # type: ignore[misc]  # testinfra ships no types
    """testinfra's OpenSSH backend. The script goes in by stdin: no login shell (fish, csh) has to quote it."""

    def deliver(self, script: str) -> RawResult:
        """See Backend."""
        command, arguments = self._build_ssh_command("exec /bin/sh")
        return self.run_bounded(self.quote(" ".join(command), *arguments), script)


class Local(_Bounded, testinfra.backend.local.LocalBackend):  # type: ignore[misc]  # testinfra ships no types
    """This machine, only when it is asked for as `local://`."""

    def deliver(self, script: str) -> RawResult:
        """See Backend."""
        return self.run_bounded("exec /bin/sh", script)


def connect(target: Target, ssh: SshSettings, deadline: Deadline, number: int) -> Transport:
    """The transport for a target. `number` tells the targets' control sockets apart within the run."""
    if target.scheme == "local":
        return Transport(target, Local().bind(deadline))
    backend = OpenSsh(
        target.netloc,
        ssh_config=_path(target.ssh_config or ssh.config),
        ssh_identity_file=_path(ssh.identity_file),
        timeout=max(1, min(10, int(deadline.seconds))),
        controlpath=str(ssh.control_directory / str(number)),
        controlpersist=ssh.persist,
        ssh_extra_args=" ".join(f"-o {option}" for option in _STRICT),
    )
    return Transport(target, backend.bind(deadline))


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


def disconnect(target: Target, ssh: SshSettings, number: int) -> None:
    """Close the target's shared connection, if there is one."""
    socket = ssh.control_directory / str(number)
    if target.scheme == "local" or not socket.exists():
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


_REASONS = (
    (
        b"REMOTE HOST IDENTIFICATION HAS CHANGED",
        (
            "its host key is not the one in known_hosts: somebody may be in between; if the host was rebuilt, check the "
            "new key's fingerprint with its owner and replace it (`ssh-keygen -R`)"
        ),
    ),
    (
        b"marked as revoked",
        "its host key is marked as revoked in known_hosts: do not connect, ask the host's owner",
    ),
    (
        b"Host key verification failed",
        "its host key is not in known_hosts: log in once by hand (`ssh HOST`), compare the fingerprint, and run again",
    ),
    (b"No matching host key", "no host key algorithm in common: see `ssh -vv HOST`"),
    (
        b"Permission denied",
        "the login was refused: check the user and that the key is loaded (`ssh -o BatchMode=yes HOST true`)",
    ),
    (
        b"Too many authentication failures",
        "the login was refused after too many keys: name the right one with --ssh-identity-file",
    ),
    (b"Could not resolve hostname", "its name does not resolve: check the spelling, DNS and ~/.ssh/config"),
    (b"Connection refused", "the connection was refused: is sshd running there, and on this port?"),
    (b"No route to host", "there is no route to it: check the network and the firewall"),
    (b"Network is unreachable", "the network is unreachable: check the route and the VPN"),
    (b"timed out", "the connection timed out: is the host up, and does a firewall let this machine in?"),
    (
        b"Connection closed",
        "the connection was closed before a command ran: see sshd's log on the host (MaxStartups, AllowUsers)",
    ),
    (b"Connection reset", "the connection was reset before a command ran: see sshd's log on the host"),
    (b"currently not available", "the login shell runs no commands: use an account with a shell"),
    (b"UNPROTECTED PRIVATE KEY", "the key file can be read by others, and ssh refuses it: `chmod 600` it"),
)


def why_unreachable(target: Target, raw: RawResult) -> str:
    """One sentence: why no command ran on the target, and what to do."""
    said = raw.stderr + raw.stdout
    for phrase, sentence in _REASONS:
        if phrase.lower() in said.lower():
            return f"{target.id} cannot be reached: {sentence}"
    lines = [line for line in _text(said).splitlines() if line.strip() and line[0] not in "+|"]
    last = f" and said: {lines[-1].strip()[:160]}" if lines else ""
    return f"{target.id} cannot be reached: no command ran there; the client ended with status {raw.status}{last}"


def host_key(raw: RawResult) -> str:
    """The fingerprint of the key that the SSH client verified when it connected; empty where it did not say."""
    match = re.search(rb"^Host key fingerprint is (SHA256:[A-Za-z0-9+/=]+)\r?$", raw.stderr, re.MULTILINE)
    return match[1].decode() if match else ""


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _text(data: bytes) -> str:
    """Text for parsers and transcripts; bytes that are no UTF-8 stay visible."""
    return data.decode("utf-8", "backslashreplace")


def _communicate(process: subprocess.Popen[bytes], script: bytes, deadline: Deadline) -> RawResult:
    """Feed a script (small enough for a pipe's buffer) and read until the process has ended.

    The end of the process is the end, not that of its pipes: OpenSSH's shared connection may inherit them.
    """
    assert process.stdin and process.stdout and process.stderr  # noqa: S101,PT018  # the caller made pipes
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write(script)
    streams = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    give_up = time.monotonic() + deadline.seconds
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(_TICK)
            for key, _ in ready:
                if not _read(key.fd, streams[key.fd]):
                    selector.unregister(key.fd)
            if not ready and process.poll() is not None:
                break
            _check(deadline, give_up)
    while process.poll() is None:  # it has closed its pipes and still runs
        _check(deadline, give_up)
        time.sleep(_TICK)
    stdout, stderr = streams.values()
    return RawResult(process.returncode, bytes(stdout), bytes(stderr))


def _read(stream: int, kept: bytearray) -> bool:
    """Take what a pipe holds; False at its end. Inconclusive when it is more than any command of ours prints."""
    chunk = os.read(stream, 1 << 16)
    kept += chunk
    if len(kept) > OUTPUT_LIMIT:
        raise Inconclusive(
            f"the target printed more than {OUTPUT_LIMIT >> 20} MiB to one command; it was cut off"
        )
    return bool(chunk)


def _check(deadline: Deadline, give_up: float) -> None:
    if deadline.interrupted.is_set():
        raise Interrupted("the run was interrupted while a command was running")
    if time.monotonic() > give_up:
        raise TimedOut(
            f"no answer within {deadline.seconds:g} s: is the host overloaded, or --command-timeout too short?"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a client process and everything that it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
