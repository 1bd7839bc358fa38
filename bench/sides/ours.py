"""The runbook itself, at the checkout."""

import csv
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.checks import CHECKS, Verdicts
from bench.hosts import AGENT_CONFIG, AGENT_HOME, AGENT_LOG, Hosts, Member
from bench.sides.base import WITHOUT, Side, packages, says

CHECKOUT = Path(__file__).resolve().parents[2]
_NAMES = {check.test: check.name for check in CHECKS}
_EXECUTED = ("test_vulnerability_scan_was_executed", "test_policy_evaluation_was_executed")


class Ours(Side):
    """`pytest --hosts=@fleet.txt --read-only`, with all evidence."""

    name = "ours"
    title = "qualys-verify"
    how = "the whole read-only runbook, all tests, report and evidence included"

    def versions(self) -> str:
        """Of what does the work."""
        commit = says("git", "-C", str(CHECKOUT), "describe", "--always", "--dirty")
        return (
            f"{packages('qualys-verify')} ({commit}), {packages('pytest', 'asyncssh')}, {says('ssh', '-V')}"
        )

    def command(self, hosts: Hosts, members: Sequence[Member], folder: Path) -> list[str]:  # noqa: ARG002  # the inventory names them
        """As a user calls it; only the agent's places are not the usual ones."""
        return [*runbook(hosts, folder), "--read-only"]

    def verdicts(self, members: Sequence[Member], folder: Path) -> Verdicts:
        """By the table that it leaves."""
        table, found = read_table(folder / "reports/latest"), {}
        for member in members:
            verdicts = {name: table.get(member.address, {}).get(test, "") for test, name in _NAMES.items()}
            if set(verdicts.values()) - {"compliant", "non-compliant"}:
                raise ValueError(f"{member.address} has no verdict for every check: {verdicts}")
            found[member.address] = frozenset(
                name for name, word in verdicts.items() if word == "non-compliant"
            )
        return found


def read_table(report: Path) -> dict[str, dict[str, str]]:
    """The verdicts that a run has left, by address and test."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    with (report / "results.csv").open(encoding="utf-8-sig", newline="") as table:
        for row in csv.DictReader(table):
            found[row["host"].rpartition("/")[2]][row["check"].rpartition("::")[2]] = row["verdict"]
    return found


def executed_nowhere(report: Path, members: Sequence[Member]) -> list[str]:
    """The hosts of which a full run does not say that both requests were carried out."""
    table = read_table(report)
    return [
        member.address
        for member in members
        if {table.get(member.address, {}).get(test) for test in _EXECUTED} != {"compliant"}
    ]


def runbook(hosts: Hosts, folder: Path) -> list[str]:
    """The runbook on all hosts of the inventory, asking the agents for what it asks for."""
    return [
        *(sys.executable, "-m", "pytest", f"--hosts=@{hosts.inventory}", f"--ssh-config={hosts.ssh_config}"),
        *(f"--agent-home={AGENT_HOME}", f"--agent-config={AGENT_CONFIG}", f"--agent-log={AGENT_LOG}"),
        *(
            *WITHOUT,
            f"--report-dir={folder}/reports",
            "-o",
            f"cache_dir={folder}/cache",
            "-q",
            str(CHECKOUT / "tests_agent"),
        ),
    ]
