"""A small run as its journal tells it: a host that is fine, one that is not, one that nobody could reach, a waiver."""

from datetime import UTC, datetime, timedelta

from qualys_verify.evidence.events import (
    FORMAT,
    AnyEvent,
    Check,
    Command,
    Ended,
    Expected,
    Identified,
    Inventory,
    Judged,
    Observed,
    Planned,
    Reading,
    Source,
    Started,
)
from qualys_verify.evidence.journal import GENESIS, Chain, Line, digest, encode, read_journal
from qualys_verify.evidence.result import Result, result_of
from qualys_verify.verdict import Verdict
from qualys_verify.waivers import Waiver

NOON = datetime(2026, 3, 23, 12, tzinfo=UTC)
RUN = "5eed5eed"
CHECKS = (
    Check("test_unit_exists", "1", "systemd knows the unit.", "install the agent and activate it."),
    Check(
        "test_service_is_active_and_running",
        "1",
        "`systemctl status` shows `Active: active (running)`.",
        "start it.",
    ),
    Check(
        "test_log_shows_recent_activity",
        "2.2",
        "the last entry is recent, by the host's own clock.",
        "restart it.",
    ),
    Check(
        "test_vulnerability_scan_is_accepted", "3", "the agent answers with a ControlId.", "read its answer."
    ),
    Check(
        "test_vulnerability_scan_was_executed",
        "5",
        "`Last assessment` is later than before step 3.",
        "ask again.",
    ),
)
TESTS = tuple(check.test for check in CHECKS)
WAIVER = Waiver(
    id="W-1",
    hosts=("web2",),
    step="",
    check="test_log_shows_recent_activity",
    reason="the log goes to syslog",
    approver="A. Auditor",
    ticket="CHG-17",
    effective=NOON - timedelta(days=10),
    expires=NOON + timedelta(days=20),
    risk="low",
)


def at(seconds: float) -> datetime:
    """So many seconds after the run began."""
    return NOON + timedelta(seconds=seconds)


def started(run: str = RUN, **changes: object) -> Started:
    """The beginning of a run."""
    values = {
        "at": NOON,
        "format": FORMAT,
        "run": run,
        "user": "ops",
        "controller": "bastion",
        "command": ("pytest", "--hosts=ssh://ops@web1,ssh://web2,ssh://web3"),
        "version": "0.1.0",
        "commit": "c0ffee",
        "runbook": "ab" * 32,
        "options": {"scan-type": "vm,pc"},
        "tools": {"pytest": "9.2.0", "OpenSSH": "9.2p1"},
        "expires": NOON + timedelta(days=90),
        "scan_types": ("vm", "pc"),
        "waivers": (WAIVER,),
        "inventory": Inventory("cd" * 32, 3, (Source("@fleet.txt", 2), Source("single names", 1))),
        **changes,
    }
    return Started(**values)


def events(
    hosts: tuple[str, ...] = ("ssh://ops@web1", "ssh://web2", "ssh://web3"), **changes: object
) -> list[AnyEvent]:
    """The records of the run; the first host is fine, the second is not, the third was not reached."""
    good, bad, lost = hosts
    return [
        started(**changes),
        Planned(NOON, CHECKS, tuple(Expected(host, TESTS) for host in hosts)),
        *_of_good(good),
        *_of_bad(bad),
        *_of_lost(lost),
        Ended(at(90), 1),
    ]


def _of_good(host: str) -> list[AnyEvent]:
    before, after = "Last assessment: 2026-03-23 09:12:44", "Last assessment: 2026-03-23 12:00:31"
    return [
        Command(at(1), host, "identity", 1, "id -u", 0, "1000\n", "", 0.2),
        Identified(at(1.2), host, {"host name": "web1.example", "kernel": "6.1.0", "host key": "SHA256:abc"}),
        Observed(at(1), host, "identity", "seen", "host name web1.example; kernel 6.1.0", 0.3),
        Command(
            at(2),
            host,
            "unit",
            1,
            "systemctl show qualys-cloud-agent.service",
            0,
            "LoadState=loaded\n",
            "",
            0.1,
        ),
        Observed(at(2), host, "unit", "seen", "active (running) for 3 d, starts at boot", 0.1),
        Command(
            at(3),
            host,
            "assessment_before",
            1,
            "sudo -n qualys-cloud-agent.sh status",
            0,
            f"{before}\n",
            "",
            0.1,
        ),
        Reading(at(3), host, "assessment_before", 1, before),
        Observed(at(3), host, "assessment_before", "seen", before, 0.1),
        Command(
            at(4),
            host,
            "scan",
            1,
            "sudo -n cloudagentctl.sh action=demand type=vm",
            0,
            "On-Demand-Request ControlId: 20260323120004.0\n",
            "",
            0.1,
        ),
        Reading(at(4), host, "scan", 1, "vm: accepted, ControlId 20260323120004.0"),
        Observed(at(4), host, "scan", "seen", "vm: accepted, ControlId 20260323120004.0", 0.1),
        Command(
            at(20),
            host,
            "scan_execution",
            1,
            "sudo -n qualys-cloud-agent.sh status",
            0,
            f"{before}\n",
            "",
            0.1,
        ),
        Reading(at(20), host, "scan_execution", 1, before),
        Command(
            at(35),
            host,
            "scan_execution",
            2,
            "sudo -n qualys-cloud-agent.sh status",
            0,
            f"{after}\n",
            "",
            0.1,
        ),
        Reading(at(35), host, "scan_execution", 2, after),
        Observed(at(5), host, "scan_execution", "seen", f"executed: before: {before}; after: {after}", 30.1),
        *(
            Judged(
                at(60),
                host,
                test,
                Verdict.COMPLIANT,
                "active (running)",
                rests_on=("identity", "unit"),
                took=0.4,
            )
            for test in TESTS
        ),
    ]


def _of_bad(host: str) -> list[AnyEvent]:
    return [
        Command(
            at(1),
            host,
            "unit",
            1,
            "systemctl show qualys-cloud-agent.service",
            0,
            "LoadState=loaded\n",
            "",
            0.1,
        ),
        Observed(at(1), host, "unit", "seen", "failed (failed), starts at boot", 0.1),
        Judged(at(61), host, TESTS[0], Verdict.COMPLIANT, "installed", rests_on=("unit",)),
        Judged(
            at(61),
            host,
            TESTS[1],
            Verdict.NON_COMPLIANT,
            "failed (failed)",
            "assert 'failed (failed)' == 'active (running)'",
            ("unit",),
        ),
        Judged(
            at(61),
            host,
            TESTS[2],
            Verdict.WAIVED,
            "last entry 5 h ago",
            "waived by W-1",
            ("activity",),
            waiver="W-1",
        ),
        Judged(
            at(61), host, TESTS[3], Verdict.NOT_APPLICABLE, "", "not triggered: this is a --read-only run"
        ),
    ]


def _of_lost(host: str) -> list[AnyEvent]:
    reason = f"{host} cannot be reached: the connection was refused"
    return [
        Observed(at(1), host, "identity", "inconclusive", reason, 0.1),
        *(Judged(at(62), host, test, Verdict.INCONCLUSIVE, "", reason, ("identity",)) for test in TESTS),
    ]


def journal(records: list[AnyEvent]) -> bytes:
    """The records as the file of a journal."""
    lines, previous = [], GENESIS
    for number, event in enumerate(records):
        line = encode(Line(number, previous, event))
        lines.append(line + b"\n")
        previous = digest(line)
    return b"".join(lines)


def chain(records: list[AnyEvent] | None = None) -> Chain:
    """The same as it is read back."""
    return read_journal(journal(events() if records is None else records))


def result(records: list[AnyEvent] | None = None) -> Result:
    """The result that they tell."""
    return result_of(chain(records))
