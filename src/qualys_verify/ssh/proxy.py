"""A running ProxyCommand: a program whose input and output lead to a host."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from qualys_verify.sessions import end_session

_SAID = 1000  # bytes of its errors that are kept


@dataclass(frozen=True)
class Proxy:
    """The program, what it prints about errors, and our end of the socket to it."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    socket: socket.socket

    @classmethod
    def start(cls, line: str, environment: Mapping[str, str]) -> "Proxy":
        """As OpenSSH does: `$SHELL -c 'exec …'`. Raises OSError."""
        ours, theirs = socket.socketpair()
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the program
        with theirs:
            process = subprocess.Popen(
                [environment.get("SHELL") or "/bin/sh", "-c", f"exec {line}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors,
                env=dict(environment),
                start_new_session=True,
            )
        return cls(process, errors, ours)

    def said(self) -> str:
        """The end of what it printed on standard error."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - _SAID))
        return os.fsdecode(self.errors.read()).strip()

    def end(self) -> None:
        """Kill it and everything that it started; again is harmless."""
        if self.process.poll() is None:
            end_session(self.process.pid)
        self.process.wait()
        self.errors.close()
        with suppress(OSError):
            self.socket.close()
