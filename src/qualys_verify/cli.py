"""The command `qualys-verify`: the same suite outside a checkout."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).resolve().parent


def runbook() -> Path:
    """Where `conftest.py`, `tests_agent/` and `fixtures/` are: inside the installed package, or in the checkout."""
    installed = _PACKAGE / "runbook"
    return installed if installed.is_dir() else _PACKAGE.parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="qualys-verify", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "run",
        help="verify hosts: takes pytest's options, such as --hosts=ssh://ops@web1 (all of them: qualys-verify run --help)",
        add_help=False,
        prefix_chars="\0",  # everything after `run` is pytest's
    ).add_argument("options", nargs=argparse.REMAINDER)
    parsed = parser.parse_args(arguments)
    return run(parsed.options)


def run(options: Sequence[str]) -> int:
    """Run the runbook with pytest's options; reports and cache go below the current directory."""
    here, home = Path.cwd(), runbook()
    settings = [
        f"--rootdir={home}",
        "-o",
        f"cache_dir={here / '.pytest_cache'}",
        f"--report-dir={here / 'reports'}",
    ]
    return int(pytest.main([*settings, *options, str(home / "tests_agent")]))


if __name__ == "__main__":
    sys.exit(main())
