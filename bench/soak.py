"""`python -m bench.soak`: many runs in one process over a fleet of which a third fails on the way, in every way.

Every verdict must be right, each trigger sent exactly once, and nothing may be left behind: no process, open file,
thread or temporary file; and memory stays flat.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench.hosts import Hosts, Member, Trouble
from bench.run import RESULTS
from bench.sides.ours import CHECKOUT, read_table, runbook
from bench.soaked import After, Soaked
from qualys_verify.standin.faults.base import Door

# Every way to fail: a door that is not open, or trouble behind one that is.
WAYS: tuple[Door | Trouble, ...] = (
    Door.REFUSED,
    Door.CLOSED,
    Door.SILENT,
    Door.NOT_SSH,
    Door.NAMELESS,
    Door.UNKNOWN_KEY,
    Door.CHANGED_KEY,
    Door.REVOKED_KEY,
    Door.NO_LOGIN,
    Trouble.HANGS_AFTER_LOGIN,
    Trouble.DROPS,
    Trouble.DROPS_IN_REQUEST,
    Trouble.SLOW,
)
_FAILING = 0.3
_SETTINGS = ("--command-timeout=10", "--poll-interval=2", "--poll-timeout=90")
_OK = "compliant"
_UNSEEN = "inconclusive"
_SCAN, _POLICY = "vm", "pc"
# What a host shows whose connection is lost when it is asked for the scan: all but the scan, which is not sent twice.
_ASKED_IN_VAIN = ("test_vulnerability_scan_is_accepted", "test_vulnerability_scan_was_executed")


def fleet(count: int, seed: int) -> tuple[Member, ...]:
    """So many hosts, 30 % of them failing in ways that the seed chooses; each way comes at least once if there is room."""
    chance = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
    failing = round(count * _FAILING)
    ways = [WAYS[number % len(WAYS)] for number in range(failing)]
    ways += [Trouble.NONE] * (count - failing)
    chance.shuffle(ways)
    return tuple(_member(number, way) for number, way in enumerate(ways))


def _member(number: int, way: Door | Trouble) -> Member:
    # The drop in the request is written into the script of the runbook's dialect.
    speaks_vendor = number % 2 == 1 and way is not Trouble.DROPS_IN_REQUEST
    usual = Member(number, "vendor" if speaks_vendor else "runbook")
    return replace(usual, door=way) if isinstance(way, Door) else replace(usual, trouble=way)


def way_of(member: Member) -> str:
    """How a host fails; empty for one that does not."""
    if member.door is not Door.OPEN:
        return member.door.name.lower().replace("_", " ")
    return "" if member.trouble is Trouble.NONE else str(member.trouble)


def wrong_verdicts(members: Sequence[Member], table: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """A sentence for each host that did not get the verdicts that it should get."""
    for member in members:
        seen = table.get(member.address, {})
        if not seen:
            yield f"{member.address} ({way_of(member)}) has no verdict at all"
            continue
        odd = {test: verdict for test, verdict in seen.items() if verdict not in _right(member, test)}
        if odd:
            yield f"{member.address} ({way_of(member)}): {odd}"


def _right(member: Member, test: str) -> set[str]:
    """What may be said of a host in a test."""
    if member.trouble is Trouble.DROPS_IN_REQUEST:
        return {_UNSEEN} if test in _ASKED_IN_VAIN else {_OK}
    lost = member.door is not Door.OPEN or member.trouble in {Trouble.HANGS_AFTER_LOGIN, Trouble.DROPS}
    return {_UNSEEN} if lost else {_OK}


def wrong_requests(members: Sequence[Member], asked: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A sentence for each host whose agent was not asked exactly once for each thing, or at all where it cannot be seen."""
    for member in members:
        reached = _OK in _right(member, "")
        right = [_POLICY, _SCAN] if reached else []
        if sorted(asked[member.address]) != right:
            yield f"{member.address} ({way_of(member)}) was asked for {asked[member.address]}, not {right}"


def soak(count: int, runs: int, seed: int, delay: float) -> Soaked:
    """Bring the fleet up and run the runbook on it again and again, in one process that outlives the runs."""
    members = fleet(count, seed)
    with (
        Hosts.start(members, delay=delay, ticking=True) as hosts,
        tempfile.TemporaryDirectory(prefix="qv-soak-") as place,
    ):
        hosts.select(count)
        folder = Path(place)
        argv = [*runbook(hosts, folder)[3:], *_SETTINGS]
        driver = _start(argv, folder)
        try:
            after = tuple(_run(driver, number + 1, hosts, members, folder) for number in range(runs))
        finally:
            driver.communicate()
    words = (
        " ".join(argv)
        .replace(str(folder), "RUN")
        .replace(str(hosts.root), "HOSTS")
        .replace(f"{CHECKOUT}/", "")
    )
    return Soaked(
        when=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        hosts=count,
        failing=dict(Counter(filter(None, map(way_of, members)))),
        command=f"pytest {words}",
        runs=after,
    )


def _start(argv: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """The process that runs pytest each time it is told to; see `bench.soak_driver`."""
    (folder / "tmp").mkdir()
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "bench.soak_driver", str(folder), *argv],
            cwd=CHECKOUT,
            env={**_environment(), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )


def _environment() -> dict[str, str]:
    """Nothing that a pytest around this one has set."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "PYTEST", "_PYTEST", "COV_"))
    }


def _run(
    driver: subprocess.Popen[str], number: int, hosts: Hosts, members: Sequence[Member], folder: Path
) -> After:
    assert driver.stdin and driver.stdout  # noqa: PT018, S101  # pipes
    hosts.forget()
    driver.stdin.write("run\n")
    driver.stdin.flush()
    line = driver.stdout.readline()
    if not line:
        words = (folder / "output.txt").read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"run {number} ended the process: {words}")
    table = read_table(folder / "reports/latest")
    asked = {member.address: hosts.requests(member) for member in members}
    return After(
        number=number,
        **json.loads(line),
        wrong=tuple(wrong_verdicts(members, table)),
        asked=tuple(wrong_requests(members, asked)),
    )


def main() -> int:
    """Soak, write what came of it, and end with 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delay", type=float, default=5.0, help="seconds that a scan takes")
    parser.add_argument("--to", type=Path, default=RESULTS, help="where the result goes (bench/results)")
    given = parser.parse_args()
    done = soak(given.hosts, given.runs, given.seed, given.delay)
    print(done.told())
    print(f"written to {done.write(given.to)}")
    return int(bool(done.problems))


if __name__ == "__main__":
    sys.exit(main())
