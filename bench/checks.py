"""What every side checks on every host, and what it must find: the verdicts are compared before any time is.

A check is one small command on the host and a pattern for what it prints, which is the cheapest way to ask for it with
pytest-testinfra, Ansible and Serverspec (testinfra's own `host.service(…)` takes ten connections for the first two).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from bench.hosts import AGENT_CONFIG, AGENT_HOME, SEEN_FROM, Blemish, Member

_UNIT = "qualys-cloud-agent.service"
_LOG = SEEN_FROM / "var/log/qualys/qualys-cloud-agent.log"
_HOSTID = SEEN_FROM / "etc/qualys/hostid"
_DAEMON = AGENT_HOME / "bin/qualys-cloud-agent"
_SCRIPT = AGENT_HOME / "bin/qualys-cloud-agent.sh"
_AGE = f'$(( $(date +%s) - $(date -d "$(tail -n 1 {_LOG} | cut -c 1-19)" +%s) ))'


@dataclass(frozen=True)
class Check:
    """`test` is the sentence of our runbook; `command` is run on the host; `expected` is searched in what it prints."""

    name: str
    test: str
    command: str
    expected: str

    def holds(self, printed: str) -> bool:
        """Whether what was printed is as it should be."""
        return re.search(self.expected, printed.strip()) is not None


CHECKS = (
    Check(
        "unit exists",
        "test_unit_exists",
        f"systemctl show {_UNIT} --property=LoadState",
        "^LoadState=loaded$",
    ),
    Check("runs", "test_service_is_active_and_running", f"systemctl is-active {_UNIT}", "^active$"),
    Check(
        "no crash loop",
        "test_service_is_not_in_a_crash_loop",
        f"systemctl show {_UNIT} --property=NRestarts",
        "^NRestarts=[0-2]$",
    ),
    Check("starts at boot", "test_service_is_enabled_at_boot", f"systemctl is-enabled {_UNIT}", "^enabled$"),
    Check(
        "process", "test_agent_process_runs", f"ps -eo pid,ppid,pidns,args | grep -c ' {_DAEMON}$'", "^[1-9]"
    ),
    Check("program", "test_agent_program_is_in_place", f"test -f {_DAEMON} && echo there", "^there$"),
    Check(
        "activated",
        "test_agent_is_activated",
        f"grep -E '^(ActivationId|CustomerId)=' {AGENT_CONFIG} | grep -vc '=[0-]*$'",
        "^2$",
    ),
    Check("provisioned", "test_agent_is_provisioned", f"grep -c . {_HOSTID}", "^1$"),
    Check(
        "log is recent", "test_log_shows_recent_activity", f"[ {_AGE} -lt 7200 ] && echo recent", "^recent$"
    ),
    Check(
        "check-ins succeed",
        "test_log_shows_upload_or_communication",
        f"tail -c 131072 {_LOG} | grep -c 'CAPI event successfully completed'",
        "^[1-9]",
    ),
    Check(
        "status answers",
        "test_status_shows_the_last_assessment_or_has_the_known_limitation",
        f"{_SCRIPT} status",
        r"^Last assessment: \d{4}-",
    ),
)
_FAILS = {
    Blemish.NOT_AT_BOOT: "starts at boot",
    Blemish.NOT_ACTIVATED: "activated",
    Blemish.NOT_PROVISIONED: "provisioned",
    Blemish.STALE: "log is recent",
}

# The names of the checks that do not hold, by the host's address.
Verdicts = Mapping[str, frozenset[str]]


def expected(members: Iterable[Member]) -> Verdicts:
    """What is true of these hosts."""
    return {
        member.address: frozenset({_FAILS[member.blemish]} if member.blemish in _FAILS else ())
        for member in members
    }


# --- the floors ------------------------------------------------------------------------------------------

# All that the runbook reads of a host in a read-only run, and what its report shows beside it.
_FACTS = (
    "id -u; id -un; hostname; hostname -f; uname -r; date '+%s %z'; cat /proc/uptime /etc/os-release",
    "cat /etc/machine-id /proc/sys/kernel/random/boot_id",
    "dpkg-query -W -f='${Version}\\n' qualys-cloud-agent",
    "ls -1d /boot/vmlinuz-* /lib/modules/*/vmlinuz /run/reboot-required 2>/dev/null",
    f"systemctl show {_UNIT}",
    "ps -eo pid,ppid,pidns,args",
    f"ls -l {_DAEMON.parent}",
    f"cat {AGENT_CONFIG} {_HOSTID}",
    f"cat {_SCRIPT}",
    f"tail -c 131072 {_LOG}",
)
_MARK = "== "


@cache
def facts_script() -> str:
    """One command that prints all facts: what the runbook reads, and a line for each check."""
    lines = ["export LC_ALL=C", *_FACTS]
    for check in CHECKS:
        lines += [f"echo '{_MARK}{check.name}'", check.command]
    return "\n".join([*lines, "exit 0"])


def read_facts(printed: str) -> frozenset[str]:
    """The checks that do not hold, by what the command printed."""
    parts = {
        name: text
        for name, _, text in (part.partition("\n") for part in f"\n{printed}".split(f"\n{_MARK}")[1:])
    }
    return frozenset(check.name for check in CHECKS if not check.holds(parts.get(check.name, "")))
