"""testinfra's backends and the shells of containers, with a deadline for their local client processes and bounded output."""

import json
import math
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

import testinfra.backend.ansible
import testinfra.backend.base
import testinfra.backend.local
import testinfra.backend.ssh

from qualys_verify.frame import RawResult
from qualys_verify.reasons import Inconclusive, Interrupted, TimedOut
from qualys_verify.sessions import end_session

# More than any of our commands prints: they read tails, never whole files.
OUTPUT_LIMIT = 8 * 1024 * 1024
# How often a waiting read looks whether the run was interrupted, in seconds.
_TICK = 0.2
# What the way there and back may take on top of a command's own time, which the target enforces itself: a
# fifth of it, and not more than so many seconds.
_GRACE = 5.0
# How long a client may take to end by itself when its shell's input ends, in seconds.
_GOODBYE = 1.0
# The shell's status for a program that it does not find.
NOT_INSTALLED = 127


@dataclass(frozen=True)
class Deadline:
    """When to give up: `seconds` after the last command that ended, or as soon as the run is interrupted.

    `ends` is when there is no more time for anything, by the monotonic clock.
    """

    seconds: float
    interrupted: Event
    ends: float = math.inf

    @property
    def left(self) -> float:
        """How many seconds there are for everything."""
        return max(0.0, self.ends - time.monotonic())


class Backend(Protocol):
    """What is used of a testinfra backend."""

    def deliver(self, script: str, mark: bytes) -> RawResult:
        """Have the target's `/bin/sh` run a script; each `mark` that it prints is another command that ended."""


class _Bounded(testinfra.backend.base.BaseBackend):  # type: ignore[misc]  # testinfra ships no types
    """A testinfra backend whose local client process has a deadline, an own session and bounded output."""

    deadline: Deadline
    environment: Mapping[str, str]
    _mark = b""

    def bind(self, deadline: Deadline) -> "_Bounded":
        """Set the deadline; the environment is a copy, because pytest changes the live one around every test."""
        self.deadline = deadline
        self.environment = dict(os.environ)
        return self

    def deliver(self, script: str, mark: bytes) -> RawResult:
        """See Backend; here by testinfra's own `run`, which quotes the script for the client's `/bin/sh -c`."""
        self._mark = mark
        result = self.run(script)
        return RawResult(result.rc, result.stdout_bytes, result.stderr_bytes)

    def run_local(self, command: str, *args: str) -> testinfra.backend.base.CommandResult:
        """Start a client process where testinfra would, bounded."""
        line = self.quote(command, *args)
        raw = self.run_bounded(line, "", self._mark)
        return self.result(raw.status, self.encode(line), raw.stdout, raw.stderr)

    def encode(self, data: str) -> bytes:
        """Bytes as the system takes them; testinfra would ask the target for its encoding first."""
        return os.fsencode(data)

    def run_bounded(self, command: str, script: str, mark: bytes) -> RawResult:
        """Run a local command line, feeding it the script; TimedOut or Interrupted after killing all it started."""
        process = subprocess.Popen(  # noqa: S602  # testinfra builds a quoted command line, not a vector
            os.fsencode(command),
            shell=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,
        )
        with process:
            try:
                return _communicate(process, os.fsencode(script), self.deadline, mark)
            finally:
                _end(process)


class OpenSsh(_Bounded, testinfra.backend.ssh.SshBackend):  # type: ignore[misc]  # testinfra ships no types
    """testinfra's OpenSSH backend. The script goes in by stdin: no login shell (fish, csh) has to quote it."""

    def deliver(self, script: str, mark: bytes) -> RawResult:
        """See Backend."""
        command, arguments = self._build_ssh_command("exec /bin/sh")
        return self.run_bounded(self.quote(" ".join(command), *arguments), script, mark)


class Local(_Bounded, testinfra.backend.local.LocalBackend):  # type: ignore[misc]  # testinfra ships no types
    """This machine, only when it is asked for as `local://`."""

    def deliver(self, script: str, mark: bytes) -> RawResult:
        """See Backend."""
        return self.run_bounded("exec /bin/sh", script, mark)


class Shell:
    """One shell in a container, by `docker exec`, `podman exec` or `kubectl exec`, kept open for all that is run there.

    Each opening is a process here, and in a cluster an entry of its audit log. A script that was cut short is
    not run at all: a shell reads `( … )` to its end first.
    """

    def __init__(self, argv: Sequence[str], deadline: Deadline) -> None:
        """`argv` is the client's command line; nothing is started yet. The environment is a copy, as above."""
        self._argv = tuple(argv)
        self._deadline = deadline
        self._environment = dict(os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a shell that still runs."""
        return self._process is not None and self._process.poll() is None

    def deliver(self, script: str, mark: bytes) -> RawResult:
        """See Backend. What ends the client in the middle ends the shell; the next script gets another one."""
        if not self.is_open:
            self.close()
            try:
                self._process = _start(self._argv, self._environment)
            except OSError as error:
                return _not_started(self._argv, error)
        assert self._process and self._process.stdin  # noqa: S101,PT018  # just started, with pipes
        last = b"\n" + mark + b" end\n"
        try:
            with suppress(BrokenPipeError):
                self._process.stdin.write(os.fsencode(f"(\n{script}\n)\n"))
                self._process.stdin.flush()
            raw, is_whole = _read_until(self._process, self._deadline, mark, last)
        except BaseException:
            self.close()
            raise
        if not is_whole:
            self.close()
        return raw

    def close(self) -> None:
        """End the shell, and its client if it does not listen; again is harmless."""
        process, self._process = self._process, None
        if process is None:
            return
        with process:  # closes the pipes
            with suppress(BrokenPipeError):
                process.stdin.close() if process.stdin else None
            with suppress(subprocess.TimeoutExpired):
                process.wait(0 if self._deadline.interrupted.is_set() else _GOODBYE)
            _end(process)


def ask(argv: Sequence[str], deadline: Deadline, limit: int = 0) -> RawResult:
    """Run a client program here, such as `docker inspect`; TimedOut or Interrupted after killing all it started."""
    try:
        process = _start(argv, dict(os.environ))
    except OSError as error:
        return _not_started(argv, error)
    with process:
        try:
            return _communicate(process, b"", deadline, b"", limit)
        finally:
            _end(process)


def find_program(name: str) -> str:
    """Where a program is: on PATH, or beside this Python, whose environment need not be activated; else its name alone."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent)) or name


def _start(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        list(argv), stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
    )


def _not_started(argv: Sequence[str], error: OSError) -> RawResult:
    """What a shell says of a program that it does not find."""
    return RawResult(NOT_INSTALLED, b"", os.fsencode(f"{argv[0]}: {error.strerror}"))


class Ansible(_Bounded, testinfra.backend.ansible.AnsibleBackend):  # type: ignore[misc]  # testinfra ships no types
    """Ansible's own connection to a host of an inventory, whatever that is.

    Privileges are not left to the inventory (`ansible_become`): sudo stands before single commands only.
    """

    def deliver(self, script: str, mark: bytes) -> RawResult:
        """See Backend."""
        with tempfile.TemporaryDirectory(prefix="qv-") as tree:
            arguments = json.dumps({"cmd": f"{{% raw %}}{script}{{% endraw %}}", "executable": "/bin/sh"})
            line = "%s -i %s %s -e ansible_become=false -m ansible.builtin.shell -a %s --tree %s"
            if self.ansible_inventory is None:
                line = line.replace("-i %s ", "", 1)
            words = [
                word
                for word in (find_program("ansible"), self.ansible_inventory, self.host, arguments, tree)
                if word is not None
            ]
            raw = self.run_bounded(self.quote(line, *words), "", mark)
            return _ansible_result(Path(tree) / self.host, raw)


def _ansible_result(answer: Path, raw: RawResult) -> RawResult:
    """What the module answered; where it did not, what the client said."""
    try:
        told = json.loads(answer.read_text("utf-8"))
        return RawResult(int(told["rc"]), os.fsencode(told["stdout"]), os.fsencode(told["stderr"]))
    except (OSError, ValueError, KeyError, TypeError):
        return raw


def _communicate(
    process: subprocess.Popen[bytes],
    script: bytes,
    deadline: Deadline,
    mark: bytes,
    limit: int = 0,
) -> RawResult:
    """Feed a script (small enough for a pipe's buffer) and read until the process has ended."""
    assert process.stdin  # noqa: S101  # the caller made pipes
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write(script)
    return _read_until(process, deadline, mark, b"", limit)[0]


def _read_until(
    process: subprocess.Popen[bytes],
    deadline: Deadline,
    mark: bytes,
    last: bytes,
    limit: int = 0,
) -> tuple[RawResult, bool]:
    """Read until the process has ended or, where `last` is not empty, has printed it on both streams.

    Returns what was read, and whether `last` came. The end of the process is the end, not that of its pipes:
    OpenSSH's shared connection may inherit them.
    """
    assert process.stdout and process.stderr  # noqa: S101,PT018  # the caller made pipes
    streams = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    started, printed = time.monotonic(), streams[process.stdout.fileno()]

    def give_up() -> float:
        ended = printed.count(mark) if mark else 0
        return started + give_up_after(ended, deadline.seconds)

    def result(status: int) -> RawResult:
        stdout, stderr = streams.values()
        return RawResult(status, bytes(stdout), bytes(stderr))

    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            has_ended = process.poll() is not None  # asked first: what it wrote before its end is then there
            ready = selector.select(0 if has_ended else _TICK)
            for key, _ in ready:
                if not _read(key.fd, streams[key.fd], limit):
                    selector.unregister(key.fd)
            if last and all(last in kept for kept in streams.values()):
                return result(0), True
            if has_ended and not ready:
                break
            _check(deadline, give_up())
    while process.poll() is None:  # it has closed its pipes and still runs
        _check(deadline, give_up())
        time.sleep(_TICK)
    return result(process.returncode), False


def _read(stream: int, kept: bytearray, limit: int) -> bool:
    """Take what a pipe holds; False at its end. Inconclusive when it is more than `limit`, or any command of ours, prints."""
    limit = limit or OUTPUT_LIMIT
    chunk = os.read(stream, 1 << 16)
    kept += chunk
    if len(kept) > limit:
        raise too_much(limit)
    return bool(chunk)


def give_up_after(ended: int, seconds: float) -> float:
    """When a script of which so many commands have ended is given up, in seconds after its start.

    Each command that has ended gives the next one its time.
    """
    return seconds * max(1, ended) + min(_GRACE, seconds / 5)


def too_much(limit: int = OUTPUT_LIMIT) -> Inconclusive:
    """The sentence for a target that prints more than any command of ours does."""
    return Inconclusive(f"the target printed more than {limit >> 20} MiB to one command; it was cut off")


def no_answer(seconds: float) -> TimedOut:
    """The sentence for commands that did not end in time."""
    return TimedOut(
        f"no answer within {seconds:g} s: is the host overloaded, or --command-timeout too short?"
    )


def cut_short() -> Interrupted:
    """The sentence for a command that Ctrl-C, a signal or --deadline cut short."""
    return Interrupted("the run was interrupted while a command was running")


def _check(deadline: Deadline, give_up: float) -> None:
    if deadline.interrupted.is_set():
        raise cut_short()
    if not deadline.left:
        raise TimedOut("the run's time (--deadline) is over")
    if time.monotonic() > give_up:
        raise no_answer(deadline.seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a client process and everything that it started."""
    if process.poll() is None:
        end_session(process.pid)
