"""The floors: one connection and one command for each host, which prints the same facts."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.checks import Verdicts, facts_script, read_facts
from bench.hosts import Hosts, Member
from bench.sides.base import Side, packages, says


class _Floor(Side):
    def verdicts(self, members: Sequence[Member], folder: Path) -> Verdicts:
        """A file for each host holds what it printed."""
        return {
            member.address: read_facts(
                (folder / member.address).read_text(encoding="utf-8", errors="replace")
            )
            for member in members
        }


class Asyncssh(_Floor):
    """One process, one event loop."""

    name = "asyncssh"
    title = "asyncssh floor"
    how = "one process with asyncssh, one connection and one command for each host that prints the same facts"

    def versions(self) -> str:
        """Of asyncssh."""
        return packages("asyncssh")

    def command(self, hosts: Hosts, members: Sequence[Member], folder: Path) -> list[str]:  # noqa: ARG002  # the inventory names them
        """See `bench.sides.asyncssh_floor`."""
        (folder / "facts.sh").write_text(facts_script(), encoding="utf-8")
        return [sys.executable, "-m", "bench.sides.asyncssh_floor", str(hosts.root), str(folder)]


class Xargs(_Floor):
    """OpenSSH's own client, 32 at a time."""

    name = "xargs"
    title = "`xargs -P 32 ssh`"
    needs = ("xargs", "ssh")
    how = "OpenSSH's own client, one login and one command for each host that prints the same facts, 32 at a time"

    def versions(self) -> str:
        """Of the client."""
        return says("ssh", "-V")

    def command(self, hosts: Hosts, members: Sequence[Member], folder: Path) -> list[str]:  # noqa: ARG002  # the inventory names them
        """A shell for each host keeps the outputs apart, and is replaced by the client."""
        line = f'exec ssh -n -F {hosts.ssh_config} "$1" "$2" >{folder}/"$1"'
        return [
            *("xargs", "-a", str(hosts.inventory), "-P", "32", "-I", "{}"),
            *("sh", "-c", line, "-", "{}", facts_script().replace("{}", "")),
        ]
