"""The agent's processes. Its name has 18 characters and the kernel keeps 15, so the full path is what counts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from qualys_verify.agent.layout import DAEMON

_INTERPRETER = re.compile(r"(?:ba|da|k|z|a)?sh|busybox|python[\d.]*|perl[\d.]*|ruby[\d.]*|qemu-\w+")


@dataclass(frozen=True)
class Processes:
    """The agent's daemons on this host: process ids, without the children that a daemon starts for its scans."""

    daemons: tuple[int, ...]

    @property
    def state(self) -> str:
        """`no second agent`, unless several run beside each other: each thinks that the host is its own.

        None is no finding: the unit may start the agent by another path, and its state is judged by itself.
        """
        if len(self.daemons) > 1:
            return f"{len(self.daemons)} agents: processes {', '.join(map(str, self.daemons))}"
        return "no second agent"

    def __str__(self) -> str:
        """What the report shows as observed."""
        return self.state


def parse_processes(listing: str) -> Processes:
    """Read `ps -eo pid,ppid,pidns,args`. Agents in containers have a pid namespace of their own, and do not count."""
    rows = list(_rows(listing))
    agents = {pid: (parent, space) for pid, parent, space, args in rows if _is_daemon(args)}
    spaces = {pid: space for pid, _, space, _ in rows}
    # Where the kernel or `ps` does not tell the namespace, all are taken to be the host's.
    own = spaces.get(1, "-")
    return Processes(
        tuple(pid for pid, (parent, space) in agents.items() if parent not in agents and space in {own, "-"}),
    )


def agents_only(listing: str) -> str:
    """The listing for the evidence: command lines of other programs may hold secrets."""
    return "\n".join(line for line in listing.splitlines() if DAEMON in line)


def _rows(listing: str) -> Iterator[tuple[int, int, str, str]]:
    for line in listing.splitlines():
        words = line.split(None, 3)
        if len(words) == 4 and words[0].isdecimal() and words[1].isdecimal():  # noqa: PLR2004  # the columns asked for
            yield int(words[0]), int(words[1]), words[2], words[3]


def _is_daemon(args: str) -> bool:
    """Whether the program that runs is the daemon: by its full path, or as the script that an interpreter runs.

    Whoever else has the path among its arguments (`tail`, an editor) is not.
    """
    words = args.split()
    if _INTERPRETER.fullmatch(PurePosixPath(words[0]).name):
        words = [word for word in words[1:] if not word.startswith("-")]
    program = PurePosixPath(words[0]) if words else PurePosixPath()
    return program.name == DAEMON and program.is_absolute()
