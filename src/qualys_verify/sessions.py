"""Ending everything of a session: what a process started, whatever process groups it has made meanwhile."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
# Whoever is killed cannot start anything more, so a few rounds catch what was started while the list was read.
_ROUNDS = 20
_PAUSE = 0.01


def end_session(leader: int, proc: Path = _PROC) -> None:
    """Kill every process of the session that `leader` began, as far as this user may.

    `leader` must not have been waited for yet: until then nobody else can get its number. `timeout`, for one, makes a
    process group of its own, which a kill of the leader's group does not reach. Where there is no /proc the group
    has to do. Ends after a fraction of a second, whatever is left.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for _ in range(_ROUNDS):
        killed = [_kill(pid, leader, proc) for pid in _members(leader, proc)]
        if not any(killed):
            return
        time.sleep(_PAUSE)


def _members(leader: int, proc: Path) -> Iterator[int]:
    """The living processes of a session."""
    with suppress(OSError):
        for entry in os.scandir(proc):
            if entry.name.isdecimal() and _is_member(int(entry.name), leader, proc):
                yield int(entry.name)


def _is_member(pid: int, leader: int, proc: Path) -> bool:
    """Whether a process is of this session and not dead; `stat` reads: pid (name) state ppid pgrp session."""
    try:
        state, _, _, session = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[:4]
    except (OSError, ValueError):  # gone meanwhile
        return False
    return int(session) == leader and state not in {b"Z", b"X"}


def _kill(pid: int, leader: int, proc: Path) -> bool:
    """Kill a member of a session; whether that was possible.

    A handle is taken first and the number looked at again: were it another process's by now, the signal would go to
    the one that is gone, and to nobody.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # a kernel that has no handles
        return _is_member(pid, leader, proc) and _signal(pid)
    try:
        if not _is_member(pid, leader, proc):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _signal(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False
    return True
