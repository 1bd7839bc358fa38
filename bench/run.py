"""Measuring: the sides take turns on the same hosts, A B C A B C, and must have found the same before a time counts."""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.checks import expected, facts_script
from bench.hosts import Hosts, Member, numbered
from bench.measure import Cost
from bench.relay import Relay
from bench.results import READ_ONLY, Machine, Part, Sample
from bench.sides import BY_NAME, Side
from bench.sides.ours import CHECKOUT, executed_nowhere, runbook
from qualys_verify.standin.install import Personality

RESULTS = Path(__file__).with_name("results")
Say = Callable[[str], None]
_SCAN = 60.0  # seconds that the agent needs
_LONG_SCAN = 120.0  # the same for the run whose polls are counted
# The agent's two dialects are polled differently: `status` here, the log there.
_DIALECTS: tuple[Personality, ...] = ("runbook", "vendor")
_PAUSE = 1.0  # seconds between two runs, in which the server's sessions end
_WAITING_LIMIT = 900.0


class MeasuringError(RuntimeError):
    """A run that gives no figure: it ended badly, or found something else than is there."""


@dataclass(frozen=True)
class Turn:
    """Sides that take turns on so many hosts, so many times."""

    sides: tuple[str, ...]
    hosts: int
    rounds: int


FLOORS = ("ours", "asyncssh", "xargs")
OTHERS = ("testinfra-shared", "ansible", "serverspec", "testinfra")
# Chosen so that all of it ends in 25 minutes on two cores.
PLANS: Mapping[str, tuple[Turn, ...]] = {
    "floors": (
        Turn(FLOORS, 1, 3),
        Turn(FLOORS, 10, 3),
        Turn(FLOORS, 100, 4),
        Turn(FLOORS, 500, 2),
        Turn(FLOORS, 1000, 1),
    ),
    "others": (Turn(("ours", *OTHERS), 10, 1), Turn(("ours", *OTHERS), 100, 1)),
    "waiting": (Turn(("ours",), 10, 1), Turn(("ours",), 100, 1), Turn(("ours",), 1000, 1)),
}


def measure_sides(name: str, plan: Sequence[Turn], say: Say) -> Part:
    """Measure read-only runs as planned. Raises MeasuringError when a side finds something else than is there."""
    machine = describe_machine()
    names = dict.fromkeys(side for turn in plan for side in turn.sides)
    skipped = tuple(BY_NAME[side].missing for side in names if BY_NAME[side].missing)
    usable = {side: BY_NAME[side] for side in names if not BY_NAME[side].missing}
    samples: list[Sample] = []
    commands: dict[str, str] = {}
    with _up(max(turn.hosts for turn in plan), say) as hosts:
        for side in usable.values():  # byte code and disk caches are warm for whoever comes first, too
            _measure_side(side, hosts, 1, 0)
        for turn in plan:
            for number in range(turn.rounds):
                for side in (usable[name] for name in turn.sides if name in usable):
                    sample, commands[side.name] = _measure_side(side, hosts, turn.hosts, number)
                    samples.append(sample)
                    say(_told(sample))
    versions = {side.name: side.versions() for side in usable.values()}
    return Part(name, machine, versions, commands, skipped, tuple(samples))


def _up(count: int, say: Say) -> Hosts:
    began = time.monotonic()
    hosts = Hosts.start(numbered(count))
    say(f"{count} hosts are up after {time.monotonic() - began:.1f} s")
    return hosts


def _measure_side(side: Side, hosts: Hosts, count: int, number: int) -> tuple[Sample, str]:
    """One run; returns it and the command line as a reader may write it."""
    members = hosts.select(count)
    with _folder(hosts) as folder:
        argv = side.command(hosts, members, folder)
        ran = _run(argv, side.limit, folder, hosts)
        try:
            found = side.verdicts(members, folder)
        except (OSError, ValueError) as error:
            raise MeasuringError(
                f"{side.title} on {count} hosts: {error}; it said: {_last_words(folder)}"
            ) from error
        if found != expected(members):
            wrong = {
                address: sorted(found[address] ^ true)
                for address, true in expected(members).items()
                if found[address] != true
            }
            raise MeasuringError(f"{side.title} on {count} hosts does not find what is there: {wrong}")
        return _sample(side.name, hosts, members, ran, number), _readable(argv, hosts, folder)


class _folder:  # noqa: N801  # used like a function
    """A folder for one run, gone after it."""

    def __init__(self, hosts: Hosts) -> None:
        self._path = Path(tempfile.mkdtemp(prefix="run-", dir=hosts.root))

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


@dataclass(frozen=True)
class _Ran:
    """What a run cost here, and the CPU of the hosts' side."""

    cost: Cost
    server: float


def _run(argv: list[str], limit: float, folder: Path, hosts: Hosts) -> _Ran:
    """Run a command under `bench.measure`, which starts and ends with it."""
    target = folder / "cost.json"
    time.sleep(_PAUSE)
    before = hosts.cpu()
    with (folder / "output.txt").open("wb") as output:
        measuring = subprocess.Popen(
            [sys.executable, "-m", "bench.measure", str(target), str(limit), "--", *argv],
            cwd=CHECKOUT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes to it from here, so that it can end what it has started
        )
        try:
            status = measuring.wait()
        finally:
            measuring.terminate()
            measuring.wait()
    if status != 0:
        raise MeasuringError(f"`{argv[0]} …` could not be measured: {_last_words(folder)}")
    time.sleep(_PAUSE)
    return _Ran(Cost(**json.loads(target.read_text(encoding="utf-8"))), hosts.cpu() - before)


def _environment() -> dict[str, str]:
    """As a user has it: with byte code that is kept, and without what a pytest around this one has set."""
    own = ("PYTHON", "PYTEST", "_PYTEST", "ANSIBLE", "GIT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "PYTHONPATH": str(CHECKOUT)}


def _sample(side: str, hosts: Hosts, members: Sequence[Member], ran: _Ran, number: int) -> Sample:
    cost = ran.cost
    first, last = hosts.first_contact(members)
    return Sample(
        side=side,
        hosts=len(members),
        round=number,
        wall=round(cost.wall, 3),
        cpu=round(cost.cpu, 3),
        peak=cost.peak,
        peak_tree=cost.peak_tree,
        first=round(first - cost.started, 3),
        last=round(last - cost.started, 3),
        server=round(ran.server, 2),
    )


def _last_words(folder: Path) -> str:
    return " ".join((folder / "output.txt").read_text(encoding="utf-8", errors="replace").split())[-800:]


def _readable(argv: Sequence[str], hosts: Hosts, folder: Path) -> str:
    """Without the places of this one run."""
    places = {
        str(folder): "RUN",
        str(hosts.root): "HOSTS",
        f"{CHECKOUT}/": "",
        str(Path(sys.executable).parent) + "/": "",
    }
    text = shlex.join("FACTS" if word == facts_script() else word for word in argv)
    for place, name in places.items():
        text = text.replace(place, name)
    head, mark, tail = text.partition("--hosts=ssh://")  # a list of all of them
    return f"{head}{mark}…,… {tail.partition(' ')[2]}" if mark else text


def _told(sample: Sample) -> str:
    """A line for whoever waits."""
    return (
        f"{sample.kind:12} {sample.hosts:5} hosts  {sample.side:17} {sample.wall:8.2f} s  CPU {sample.cpu:7.2f} s  (server {sample.server:.1f} s)  "
        f"{sample.peak >> 20:4} MiB  first command after {sample.first:.2f} s"
    )


# --- runs that wait for the agent ------------------------------------------------------------------------


def measure_waiting(
    plan: Sequence[Turn], say: Say, *, scan: float = _SCAN, long_scan: float = _LONG_SCAN
) -> Part:
    """Measure full runs in which the agent needs `scan` seconds, and what polling costs.

    The last but one size runs again with an agent that needs `long_scan`: what that costs more is polling. Then one
    host is looked at through a relay that counts the bytes.
    """
    machine = describe_machine()
    samples: list[Sample] = []
    commands: dict[str, str] = {}
    for seconds, turns in ((scan, plan), (long_scan, plan[-2:-1] or plan[-1:])):
        kind = f"waiting {seconds:g}"
        with Hosts.start(
            numbered(max(turn.hosts for turn in turns), personalities=_DIALECTS), delay=seconds, ticking=True
        ) as hosts:
            for turn in turns:
                for number in range(turn.rounds):
                    sample, commands["ours"] = _measure_waiting(hosts, turn.hosts, number)
                    samples.append(replace(sample, kind=kind))
                    say(_told(samples[-1]))
            if seconds == scan:
                samples += _traffic(hosts)
    return Part("waiting", machine, {"ours": BY_NAME["ours"].versions()}, commands, (), tuple(samples))


def _measure_waiting(hosts: Hosts, count: int, number: int) -> tuple[Sample, str]:
    """One full run. Every healthy host must have been asked once for each thing, or it is no figure."""
    members = hosts.select(count)
    with _folder(hosts) as folder:
        argv = runbook(hosts, folder)
        ran = _run(argv, _WAITING_LIMIT, folder, hosts)
        asked = {member.address: sorted(hosts.requests(member)) for member in members}
        wrong = {address: types for address, types in asked.items() if types != ["pc", "vm"]}
        if wrong:
            raise MeasuringError(f"not every agent was asked once: {wrong}; it said: {_last_words(folder)}")
        if idle := executed_nowhere(folder / "reports/latest", members):
            raise MeasuringError(f"not seen as executed: {idle}; it said: {_last_words(folder)}")
        return _sample("ours", hosts, members, ran, number), _readable(argv, hosts, folder)


def _traffic(hosts: Hosts) -> Iterator[Sample]:
    """One host through a relay, looked at only and then in a full run."""
    for kind, arguments in ((READ_ONLY, ["--read-only"]), ("waiting", [])):
        members = hosts.select(1)
        with _folder(hosts) as folder, Relay(hosts, members[0]) as relay:
            argv = [relay.through(word) for word in runbook(hosts, folder)]
            ran = _run([*argv, *arguments], _WAITING_LIMIT, folder, hosts)
            sample = _sample("relay", hosts, members, ran, 0)
            yield replace(sample, kind=f"bytes {kind}", sent=relay.sent, received=relay.received)


# --- the machine -----------------------------------------------------------------------------------------


def describe_machine() -> Machine:
    """This one, now."""
    release = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
        if "=" in line
    )
    return Machine(
        when=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        cores=os.cpu_count() or 1,
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release().partition("-")[0],
        system=release.get("PRETTY_NAME", "").strip('"'),
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
    )
