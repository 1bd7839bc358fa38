"""The life of the process behind a demo: it serves until its owner closes its input or is gone, and then it ends."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

# How long sessions may take to end, in seconds: a client that was killed leaves some that never do.
_END_LIMIT = 3.0

Serve = Callable[[Path, asyncio.Event], Awaitable[None]]


def run(program: str, description: str | None, serve: Serve, arguments: list[str] | None) -> int:
    """Serve until told to end; return the exit status. `serve` gets the directory, and the event that says so."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--temporary", action="store_true", help="remove DIR at the end")
    given = parser.parse_args(arguments)
    os.umask(0o077)
    asyncio.run(_run(serve, given.directory.absolute(), temporary=given.temporary))
    return 0


async def _run(serve: Serve, directory: Path, *, temporary: bool) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(sys.stdin.fileno())  # which stays readable, and would be told so for ever
        ended.set()

    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_reader(sys.stdin.fileno(), end)  # nothing is ever sent: readable means closed
    await serve(directory, ended)
    sessions = asyncio.all_tasks() - {asyncio.current_task()}
    for session in sessions:
        session.cancel()
    stuck = (await asyncio.wait(sessions, timeout=_END_LIMIT))[1] if sessions else set()
    if temporary:  # otherwise, and when this fails, it is the owner's, who wants to read the log
        shutil.rmtree(directory, ignore_errors=True)
    if stuck:
        os._exit(0)  # asyncio would wait for them without an end
