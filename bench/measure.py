"""`python -m bench.measure RESULT.json SECONDS -- COMMAND …`: what a command costs, with everything that it starts.

A small process of its own: it adopts what the command leaves behind (a shared SSH connection, say), so that its CPU
counts as well, and ends it.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.processes import adopt, descendants, resident

_SAMPLE = 0.5  # seconds between two looks at the memory
_LEAVE = 5.0  # seconds that what is left may take to end


@dataclass(frozen=True)
class Cost:
    """`started` is epoch seconds; `wall` and `cpu` (user and system, of the whole tree) are seconds.

    `peak` is the largest resident size of any one process of the tree in bytes, `peak_tree` that of all of them
    together, as far as a look twice a second sees it. `left` is how many processes outlived the command.
    """

    started: float
    wall: float
    cpu: float
    peak: int
    peak_tree: int
    left: int
    status: int


def measure(argv: list[str], limit: float) -> Cost:
    """Run a command to its end; one that takes longer than `limit` seconds is ended, its status then is negative."""
    adopt()
    started, clock = time.time(), time.monotonic()
    process = subprocess.Popen(argv)
    try:
        peak_tree = _watch(process, clock + limit)
    except BaseException:  # told to end: nothing of the command stays
        _reap(descendants(os.getpid()))
        raise
    wall = time.monotonic() - clock
    _, status, usage = os.wait4(process.pid, 0)
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss
    left = descendants(os.getpid())
    for rest in _reap(left):
        cpu, peak = cpu + rest.cpu, max(peak, rest.peak)
    return Cost(started, wall, cpu, peak * 1024, peak_tree, len(left), os.waitstatus_to_exitcode(status))


def _watch(process: subprocess.Popen[bytes], ends: float) -> int:
    """Wait for its end; returns the largest size of its tree."""
    peak = 0
    handle = os.pidfd_open(process.pid)
    try:
        while not select.select([handle], [], [], _SAMPLE)[0]:
            peak = max(peak, sum(map(resident, descendants(os.getpid()))))
            if time.monotonic() > ends:
                process.kill()
    finally:
        os.close(handle)
    return peak


@dataclass(frozen=True)
class _Rest:
    cpu: float
    peak: int


def _reap(left: list[int]) -> list[_Rest]:
    """End what is left, and count what it has cost; zombies among it have ended already."""
    found = []
    _signal(left, signal.SIGTERM)
    ends = time.monotonic() + _LEAVE
    with suppress(ChildProcessError):  # none is left
        while True:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
            if pid:
                found.append(_Rest(usage.ru_utime + usage.ru_stime, usage.ru_maxrss))
                continue
            if time.monotonic() > ends:
                _signal(descendants(os.getpid()), signal.SIGKILL)
            time.sleep(0.02)
    return found


def _signal(pids: list[int], which: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, which)


def main() -> int:
    """Measure, write the result, and end as the command did."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    target, limit, _, *argv = sys.argv[1:]
    cost = measure(argv, float(limit))
    Path(target).write_text(json.dumps(asdict(cost)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
