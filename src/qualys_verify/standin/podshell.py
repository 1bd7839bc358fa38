"""A command in a stand-in pod: a process of this machine that sees the pod's files where a pod has them.

A pod is a directory. What goes in has the agent's paths turned into those below it, and what comes out turned
back, so that a client sees `/etc/qualys/hostid` and neither root nor namespaces are needed.
"""

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from qualys_verify.standin.channels import STDERR, STDOUT
from qualys_verify.standin.install import StandinHost
from qualys_verify.standin.shims import DIRECTORY, install_shims

Sink = Callable[[int, bytes], Awaitable[None]]
_OURS = re.compile(rb"(?<![\w./-])(?=/(?:usr/local|etc|etc/opt|var/log|var/opt|opt)/qualys\b)")
_BLOCK = 65536
# What no pod of the agent's has; that it was asked for is noted, because nothing should ask.
_ABSENT = ("systemctl", "sudo", "dpkg-query", "rpm")


def make_pod(root: Path, host: StandinHost, player: str) -> None:
    """Give a host's tree the programs of a pod: root's, and no unit, package or sudo."""
    install_shims(root, host, pid=os.getpid(), player=player)
    texts = {
        name: f'echo "$0 $*" >>{root}/asked-for\necho "/bin/sh: 1: {name}: not found" >&2\nexit 127'
        for name in _ABSENT
    }
    texts["id"] = 'case "$*" in -u) echo 0 ;; -un) echo root ;; *) echo "uid=0(root)" ;; esac'
    for name, text in texts.items():
        shim = root / DIRECTORY / name
        shim.unlink(missing_ok=True)
        shim.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        shim.chmod(0o700)


class PodShell:
    """One process in a pod, with what it started."""

    def __init__(self, root: Path, process: asyncio.subprocess.Process) -> None:
        """Made by `start`."""
        self._root = os.fsencode(root)
        self._process = process
        self._typed = b""

    @classmethod
    async def start(cls, root: Path, command: Sequence[str]) -> "PodShell":
        """Start a command. Raises OSError where there is no such program."""
        (root / "root").mkdir(exist_ok=True)
        real = [os.fsdecode(_OURS.sub(os.fsencode(root), os.fsencode(word))) for word in command]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *real,
            cwd=root / "root",
            env={
                "PATH": f"{root / DIRECTORY}:/usr/bin:/bin:/usr/sbin:/sbin",
                "HOME": str(root / "root"),
                "KUBERNETES_SERVICE_HOST": "192.0.2.1",
            },
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        return cls(root, process)

    async def type(self, data: bytes) -> None:
        """Pass on what the client types, by whole lines."""
        self._typed += data
        lines, newline, self._typed = self._typed.rpartition(b"\n")
        await self._write(lines + newline)

    async def end_of_input(self) -> None:
        """Pass on that the client types no more."""
        await self._write(self._typed)
        if self._process.stdin:
            self._process.stdin.close()

    async def _write(self, data: bytes) -> None:
        if self._process.stdin and data:
            with suppress(OSError):
                self._process.stdin.write(_OURS.sub(self._root, data))
                await self._process.stdin.drain()

    async def run(self, sink: Sink) -> int:
        """Pass on what it prints; returns its exit status when it has ended and all is out."""
        assert self._process.stdout and self._process.stderr  # noqa: PT018, S101  # pipes, see start
        await asyncio.gather(
            self._pass_on(self._process.stdout, STDOUT, sink),
            self._pass_on(self._process.stderr, STDERR, sink),
        )
        return await self._process.wait()

    async def _pass_on(self, source: asyncio.StreamReader, stream: int, sink: Sink) -> None:
        held = b""
        while block := await source.read(_BLOCK):
            data = (held + block).replace(self._root, b"")
            keep = next(
                (
                    size
                    for size in range(min(len(self._root), len(data)), 0, -1)
                    if data.endswith(self._root[:size])
                ),
                0,
            )
            held, data = data[len(data) - keep :], data[: len(data) - keep]
            if data:
                await sink(stream, data)
        if held:
            await sink(stream, held)

    async def kill(self) -> None:
        """End it, and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 1.0)
        self._process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001  # only so are its pipes let go
