"""`python -m qualys_verify.standin ROOT`: make the tree at ROOT a host with a stand-in agent."""

import argparse
import sys
from pathlib import Path

from qualys_verify.standin.install import PERSONALITIES, StandinHost, install


def main(arguments: list[str] | None = None) -> int:
    """Install below ROOT, which is to be the root directory of a machine; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m qualys_verify.standin", description=__doc__)
    parser.add_argument("root", type=Path, metavar="ROOT", help="the machine's root directory")
    parser.add_argument(
        "--personality", choices=PERSONALITIES, required=True, help="which command line it has"
    )
    parser.add_argument("--name", default="standin", help="from which the agent's id is made")
    parser.add_argument("--delay", type=float, default=2.0, metavar="SECONDS", help="how long a scan takes")
    parser.add_argument("--no-agent", action="store_true", help="a machine without the agent")
    parser.add_argument("--never-assesses", action="store_true", help="take requests, never carry them out")
    given = parser.parse_args(arguments)
    try:
        host = StandinHost(
            given.name,
            given.personality,
            agent=not given.no_agent,
            assesses=not given.never_assesses,
            delay=given.delay,
        )
        install(given.root, host)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
