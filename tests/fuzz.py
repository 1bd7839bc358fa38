"""A long hunt with the property tests: `python tests/fuzz.py --minutes 10` gives each subject ten minutes.

Each round is a pytest run of a subject's property tests with another seed and many examples. It ends by
itself; the first counterexample ends it at once and is printed as hypothesis found it.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SUBJECTS = {
    "the log reader": "agent/test_log.py",
    "the frame": "unit/test_frame.py",
    "the host specs": "unit/test_targets.py",
}
_PASSING = re.compile(r"(\d+) passing(?: examples)?, (\d+) failing")


def main() -> int:
    """Hunt, and print a line for each subject."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=10, help="how long each subject is hunted (default: 10)"
    )
    minutes = parser.parse_args().minutes
    return max(hunt(name, HERE / path, minutes * 60) for name, path in SUBJECTS.items())


def hunt(name: str, path: Path, seconds: float) -> int:
    """Hunt one subject; returns 1 for a counterexample."""
    started, rounds, examples = time.monotonic(), 0, 0
    while time.monotonic() - started < seconds:
        rounds += 1
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pytest",
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    "-m",
                    "property",
                    str(path),
                ),
                *("--hypothesis-profile=fuzz", f"--hypothesis-seed={rounds}", "--hypothesis-show-statistics"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=HERE.parent,
        )
        if done.returncode != 0:
            print(done.stdout, done.stderr)
            return 1
        examples += sum(int(passed) for passed, _ in _PASSING.findall(done.stdout))
    print(
        f"{name}: {examples} examples in {rounds} rounds, {time.monotonic() - started:.0f} s, nothing found"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
