"""Starting and ending the one process behind a demo's hosts or clusters."""

import os
import select
import subprocess
import sys
from pathlib import Path

_START_LIMIT = 60.0  # seconds until all hosts must be up; a hundred take about two
_STOP_LIMIT = 5.0  # seconds that the server may take to end by itself


class DemoError(RuntimeError):
    """The demo's hosts could not be started; the message is one sentence."""


def start_server(module: str, directory: Path, *, temporary: bool) -> subprocess.Popen[bytes]:
    """Start the process behind the hosts: a module of this package, told its directory.

    It has a session of its own, so that Ctrl-C in the terminal leaves the hosts up until their owner is done
    with them, and an environment of its own: what a host knows of this machine is not decided by a variable
    that happens to be set, such as TZ.
    """
    options = ["--temporary"] if temporary else []
    modules = os.pathsep.join(map(os.path.abspath, sys.path))
    environment = {"PATH": os.defpath, "PYTHONPATH": modules, "LANG": "C.UTF-8"}
    with (directory / "server.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, str(directory), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )


def wait_until_ready(server: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server says that it is; DemoError when it ends or stays silent."""
    assert server.stdout is not None  # noqa: S101  # a pipe, see _start_server
    readable, _, _ = select.select([server.stdout], [], [], _START_LIMIT)
    if not readable:
        raise DemoError(f"the demo's hosts did not come up within {_START_LIMIT:.0f} s")
    if not server.stdout.readline():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        reason = lines[-1] if lines else "no reason given"
        raise DemoError(f"the demo's hosts did not come up: {reason}")


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """End the server: by closing its input, and by force when it does not listen."""
    for pipe in (server.stdin, server.stdout):
        if pipe is not None:
            pipe.close()
    try:
        server.wait(_STOP_LIMIT)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
