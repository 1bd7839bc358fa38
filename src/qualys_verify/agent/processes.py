"""The agent's processes. Its name has 18 characters and the kernel keeps 15, so the full path is what counts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from qualys_verify.agent.layout import DAEMON, HOME
from qualys_verify.agent.unit import Service

_INTERPRETER = re.compile(r"(?:ba|da|k|z|a)?sh|busybox|python[\d.]*|perl[\d.]*|ruby[\d.]*|qemu-\w+")
# What the kernel keeps of the daemon's name, whatever its command line has been turned into.
_KERNEL_NAME = DAEMON[:15]


@dataclass(frozen=True)
class Process:
    """A line of `ps`. `space` is its pid namespace, `-` where that is not told."""

    pid: int
    parent: int
    space: str
    args: str

    @property
    def program(self) -> PurePosixPath | None:
        """What runs: the first word, or the script that an interpreter runs."""
        words = self.args.split()
        if _INTERPRETER.fullmatch(PurePosixPath(words[0]).name):
            words = [word for word in words[1:] if not word.startswith("-")]
        return PurePosixPath(words[0]) if words else None

    @property
    def is_agent(self) -> bool:
        """Whether the program that runs is the daemon, by its full path.

        Whoever else has the path among its arguments (`tail`, an editor) is not.
        """
        if DAEMON not in self.args:  # of hundreds that run elsewhere no path is made
            return False
        program = self.program
        return program is not None and program.name == DAEMON and program.is_absolute()


@dataclass(frozen=True)
class Processes:
    """The agent's processes on this host.

    `daemons` are those beside each other, without the children that a daemon starts for its scans; `contained` those
    in containers, which have a pid namespace of their own. `main` is the unit's main process.
    """

    daemons: tuple[Process, ...]
    contained: tuple[Process, ...] = ()
    main: Process | None = None

    @property
    def state(self) -> str:
        """`no second agent`, unless several run beside each other: each thinks that the host is its own.

        None is no finding here; see `AgentProcess`.
        """
        if len(self.daemons) > 1:
            return (
                f"{len(self.daemons)} agents: processes {', '.join(str(item.pid) for item in self.daemons)}"
            )
        return "no second agent"

    def __str__(self) -> str:
        """What the report shows as observed."""
        return self.state


def parse_processes(listing: str, main: int) -> Processes:
    """Read `ps -eo pid,ppid,pidns,args`. `main` is the unit's main process as systemd has it, 0 where there is none.

    Raises ValueError when it lists no process at all, which is no answer of `ps`.
    """
    rows = {process.pid: process for process in _rows(listing)}
    if not rows:
        raise ValueError("`ps` lists no process")
    agents = [process for process in rows.values() if process.is_agent]
    # Where the kernel or `ps` does not tell the namespace, all are taken to be the host's.
    own = rows[1].space if 1 in rows else "-"
    here = [process for process in agents if process.space in {own, "-"}]
    return Processes(
        daemons=tuple(
            process for process in here if not any(item.is_agent for item in _above(process, rows))
        ),
        contained=tuple(process for process in agents if process not in here),
        main=rows.get(main),
    )


def agents_only(listing: str) -> str:
    """The listing for the evidence: command lines of other programs may hold secrets."""
    return "\n".join(line for line in listing.splitlines() if DAEMON in line)


def _rows(listing: str) -> Iterator[Process]:
    for line in listing.splitlines():
        words = line.split(None, 3)
        if len(words) == 4 and words[0].isdecimal() and words[1].isdecimal():  # noqa: PLR2004  # the columns asked for
            yield Process(int(words[0]), int(words[1]), words[2], words[3])


def _above(process: Process, rows: Mapping[int, Process]) -> Iterator[Process]:
    """A process's parent, its parent's parent, and so on."""
    seen = {process.pid}
    while process.parent in rows and process.parent not in seen:
        process = rows[process.parent]
        seen.add(process.pid)
        yield process


# --- daemons and helpers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """Where a process comes from: its control groups, and when it was started (in ticks since the host's boot)."""

    groups: tuple[str, ...]
    started: int

    def is_in(self, group: str) -> bool:
        """Whether it belongs to a unit's control group, or to one below."""
        return bool(group) and any(f"{group}/" in f"{own}/" for own in self.groups)


def parse_origin(text: str) -> Origin | None:
    """Read `cat /proc/PID/cgroup /proc/PID/stat`; None where that says nothing: the process has ended."""
    *groups, stat = text.strip().splitlines() or [""]
    numbers = stat.rpartition(")")[2].split()  # from the third field on; the second is a name in brackets
    try:
        started = int(numbers[19])
    except (IndexError, ValueError):
        return None
    return Origin(tuple(group.rpartition(":")[2] for group in groups), started)


def without_helpers(
    processes: Processes, service: Service, origins: Mapping[int, Origin | None]
) -> Processes:
    """The same without helpers of the service's own agent that have lost their parent.

    What the service started stays in its control group; what is there and older than the main process is left from
    an earlier start, and is a second agent. `origins` are those of the daemons and of the main process. Where not
    even the main one's can be seen, a helper is the same program with other arguments.
    """
    first = origins.get(service.main_pid)
    if first is None and not any(origins.values()):
        return Processes(_with_other_program(processes), processes.contained, processes.main)
    there = {pid: origin for pid, origin in origins.items() if origin is not None}
    born = [process for process in processes.daemons if process.pid in there]
    own = [
        process
        for process in born
        if there[process.pid].is_in(service.control_group)
        and (first is None or there[process.pid].started >= first.started)
    ]
    agent = next(
        (process for process in own if process.pid == service.main_pid),
        min(own, key=lambda process: there[process.pid].started, default=None),
    )
    daemons = tuple(process for process in born if process is agent or process not in own)
    return Processes(daemons, processes.contained, processes.main)


def _with_other_program(processes: Processes) -> tuple[Process, ...]:
    """The main process and daemons that are not its program with other arguments."""
    main = processes.main
    if main is None:
        return processes.daemons
    return tuple(
        process
        for process in processes.daemons
        if process.pid == main.pid or process.program != main.program or process.args == main.args
    )


# --- is there one at all? --------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgentProcess:
    """Whether an agent's process runs at all; `state` is `runs`, or what there is instead."""

    state: str

    def __str__(self) -> str:
        """What the report shows as observed."""
        return self.state


def find_agent(processes: Processes, service: Service, kernel_name: str) -> AgentProcess:
    """Judge whether the agent itself runs; `active (running)` is true of any program that the unit keeps.

    `kernel_name` is what the kernel calls the main process (`/proc/PID/comm`), empty where that is not known: a daemon
    may have changed its command line. Raises ValueError with one sentence where it cannot be told.
    """
    main = processes.main
    if processes.daemons or processes.contained or kernel_name == _KERNEL_NAME:
        return AgentProcess("runs")
    if main is not None and _is_below(main.program, service.executable):
        return AgentProcess("runs")
    if service.state != "active (running)":
        return AgentProcess(f"no agent process, and the unit is {service.state}")
    if service.executable is None or service.executable.name != DAEMON:
        raise ValueError(
            f"no process has the agent's name, and the unit runs {service.executable or 'nothing that it names'}, which may "
            "be the agent or not: look at it with `systemctl status`"
        )
    if main is None:
        raise ValueError(
            f"no process has the agent's name, and the unit's main process {service.main_pid or ''} is not listed: the "
            "agent may just be restarting; run again"
        )
    return AgentProcess(f"no agent process: the unit's main process {main.pid} is {main.args.split()[0]}")


def _is_below(program: PurePosixPath | None, executable: PurePosixPath | None) -> bool:
    """Whether a program lies in the agent's home, as the unit names it: `…/qualys/cloud-agent/bin/qualys-cloud-agent`."""
    if program is None or executable is None:
        return False
    home = executable.parent.parent
    return home.parts[-2:] == HOME.parts[-2:] and program.is_relative_to(home)
