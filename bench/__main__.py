"""`python -m bench`: hosts to try things on, measuring, and the page that is made of what was measured."""

import argparse
import signal
import sys
from pathlib import Path

from bench import page
from bench.hosts import AGENT_CONFIG, AGENT_HOME, Hosts, HostsError, numbered
from bench.run import PLANS, RESULTS, MeasuringError, Turn, measure_sides, measure_waiting


def main() -> int:
    """Read the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring hosts up until Enter or Ctrl-C")
    up.add_argument("hosts", type=int, nargs="?", default=100)
    up.add_argument("--delay", type=float, default=2.0, help="seconds that a scan takes")
    run = commands.add_parser("run", help="measure (25 minutes on two cores), and write bench/results/")
    run.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PLANS)}; all of them")
    run.add_argument("--sizes", help="other sizes of fleets, as in 1,10: each once")
    run.add_argument("--scan", type=float, default=60.0, help="seconds that the agent needs, for `waiting`")
    run.add_argument("--to", type=Path, default=RESULTS, help="where results go (bench/results)")
    draw = commands.add_parser("render", help="make docs/performance.md and its plots of bench/results/")
    draw.add_argument("--check", action="store_true", help="only say whether they are what they would be")
    given = parser.parse_args()
    try:
        if given.command == "up":
            return _up(given.hosts, given.delay)
        if given.command == "render":
            return page.check() if given.check else page.write()
        return _run(given.parts or list(PLANS), given.sizes, given.scan, given.to)
    except (HostsError, MeasuringError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _up(count: int, delay: float) -> int:
    with Hosts.start(numbered(count), delay=delay, ticking=True) as hosts:
        hosts.select(count)
        print(
            f"{count} hosts are up:\n\n  pytest --hosts=@{hosts.inventory} --ssh-config={hosts.ssh_config} "
            f"--agent-home={AGENT_HOME} --agent-config={AGENT_CONFIG}\n"
        )
        print("Enter ends them.", flush=True)
        sys.stdin.readline()
    return 0


def _run(parts: list[str], sizes: str | None, scan: float, folder: Path) -> int:
    for name in parts:
        if name not in PLANS:
            raise MeasuringError(f"there is no part {name!r}: {', '.join(PLANS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in parts:
        plan = PLANS[name]
        if sizes:
            plan = tuple(Turn(plan[0].sides, int(size), 1) for size in sizes.split(","))
        if name == "waiting":
            part = measure_waiting(plan, _say, scan=scan, long_scan=2 * scan)
        else:
            part = measure_sides(name, plan, _say)
        for sentence in part.skipped:
            _say(f"skipped: {sentence}")
        _say(f"written to {part.write(folder)}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
