"""`python -m bench.soak_driver FOLDER ARGUMENT …`: runs pytest in this very process, once for each line of its input.

After each run it prints, as a line of JSON, what the process holds then.
"""

import gc
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.processes import adopt, descendants, resident


def main() -> int:
    """Until the input ends."""
    folder, *arguments = sys.argv[1:]
    adopt()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what pytest prints is not an answer
    for _ in sys.stdin:
        began, before = time.monotonic(), _cpu()
        pytest.main(list(arguments))
        told = {"wall": time.monotonic() - began, "cpu": _cpu() - before, **_held(Path(folder))}
        answers.write(json.dumps(told) + "\n")
        answers.flush()
    return 0


def _held(folder: Path) -> dict[str, int]:
    """What is left of a run; what it has kept from being looked through is garbage like any other now."""
    gc.unfreeze()
    gc.collect()
    _reap()
    pid = os.getpid()
    return {
        "resident": resident(pid),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "processes": len(descendants(pid)),
        "temporary": len(list((folder / "tmp").iterdir())),
    }


def _reap() -> None:
    """Take note of adopted processes that have ended; those that have not are what is counted."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _cpu() -> float:
    own, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime


if __name__ == "__main__":
    sys.exit(main())
