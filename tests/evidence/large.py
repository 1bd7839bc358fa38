"""A fleet as one result: as many hosts as wanted, as much of each as a real run leaves."""

from datetime import timedelta

from qualys_verify.evidence.events import Check, Command
from qualys_verify.evidence.result import (
    Assessment,
    Coverage,
    Host,
    JournalRef,
    Look,
    Observation,
    Result,
    Run,
    Transcript,
    WaiverUse,
    file_name,
)
from qualys_verify.verdict import Verdict, exit_status
from tests.evidence import sample

STEPS = ("1", "2.1", "2.2", "2.3", "2.4", "3", "3.1", "4", "4.1", "5", "5.1", "5.2")
SENTENCES = (
    ('systemd knows the unit; "Unit qualys-cloud-agent.service not found" means not installed.', "installed"),
    ("`systemctl status` shows `Active: active (running)`.", "active (running) for 3 d, starts at boot"),
    ("systemd does not start it again and again.", "active (running) for 3 d, restarted 0 times, stable"),
    (
        "no second agent runs beside this one.",
        "no second agent: /usr/local/qualys/cloud-agent/bin/qualys-cloud-agent",
    ),
    ("the agent carries a customer's and an activation's id.", "activated; [redacted: customer-id]"),
    ("the platform has given the agent an id (`hostid`); results are filed under it.", "provisioned"),
    ("the last entry is recent, by the host's own clock.", "recent: last entry 41 s old, 1998 entries read"),
    (
        "the log shows uploads or check-ins that succeed.",
        "succeeds: CAPI event successfully completed, 62 s ago",
    ),
    (
        "`status` answers; where it cannot, service and log are the authority.",
        "Last assessment: 2026-03-23 09:12:44",
    ),
    (
        "`Last assessment` is later than before step 3, or the log shows the scan done.",
        "executed: before: Last assessment: 2026-03-23 09:12:44; after: Last assessment: 2026-03-23 12:14:31",
    ),
)
CHECKS = tuple(
    Check(
        f"test_sentence_{number:02}",
        STEPS[number * len(STEPS) // 20],
        SENTENCES[number % len(SENTENCES)][0],
        "`sudo systemctl restart qualys-cloud-agent`; `journalctl -u qualys-cloud-agent` says why it ended.",
    )
    for number in range(20)
)
_FIRST = ("identity", "unit", "processes", "program", "installation", "activity", "assessment_before")
_COMMANDS = 30
READINGS = 60


def fleet(hosts: int) -> tuple[Result, tuple[Transcript, ...]]:
    """A result and its transcripts: most hosts are fine, the others fail in the usual ways."""
    names = [
        f"ssh://ops@{'web' if number % 3 else 'database'}{number:04}.dc{number % 4}.example"
        for number in range(hosts)
    ]
    found = tuple(_host(number, name) for number, name in enumerate(names))
    verdicts = [item.verdict for host in found for item in host.assessments]
    result = Result(
        format="1.0",
        run=_run(exit_status(verdicts, 0)),
        verdicts={verdict.value: verdicts.count(verdict) for verdict in Verdict},
        coverage=Coverage(hosts, len(verdicts), len(verdicts)),
        checks=CHECKS,
        hosts=found,
        waivers=(WaiverUse(sample.WAIVER, "applied", tuple(names[13:14])),),
        journal=JournalRef(hosts * 160, "cd" * 32),
    )
    return result, tuple(_transcript(name) for name in names)


def _run(status: int) -> Run:
    start = sample.started()
    return Run(
        id=start.run,
        started=start.at,
        ended=sample.at(1100),
        exit_status=status,
        interrupted="",
        user=start.user,
        controller=start.controller,
        command=start.command,
        version=start.version,
        commit=start.commit,
        runbook=start.runbook,
        options=start.options,
        tools=start.tools,
        expires=start.expires,
        scan_types=start.scan_types,
        read_only=False,
        redacted={"activation-id": 2, "customer-id": 5},
        parts=(),
    )


def _host(number: int, name: str) -> Host:
    return Host(
        id=name,
        identity={
            "host name": name.partition("@")[2],
            "system": "Debian GNU/Linux 12 (bookworm)",
            "kernel": "6.1.0-18-amd64",
            "clock": "2026-03-23 12:00:01 UTC, +0 s to the controller",
            "host key": f"SHA256:{'q' * 43}",
            "machine-id": f"{number:032x}",
            "login": "ops",
            "agent package": "6.1.2-14",
        },
        transcript=f"transcripts/{file_name(name)}.txt",
        assessments=tuple(_assessment(number, name, place, check) for place, check in enumerate(CHECKS)),
        observations=_observations(number),
    )


def _assessment(number: int, name: str, place: int, check: Check) -> Assessment:
    observed, verdict, reason, waiver = SENTENCES[place % len(SENTENCES)][1], Verdict.COMPLIANT, "", ""
    if number % 17 == 5:
        verdict, reason = Verdict.INCONCLUSIVE, f"{name} cannot be reached: the connection was refused"
        observed = reason
    elif number % 11 == 3 and place in {6, 7}:
        verdict, observed = Verdict.NON_COMPLIANT, "stale: last entry 5 h old"
        reason = "assert 'stale' == 'recent'"
    elif number == 13 and place == 8:
        verdict, reason, waiver = Verdict.WAIVED, "waived by W-1", "W-1"
    elif number % 23 == 7 and place > 15:
        verdict, reason = Verdict.NOT_APPLICABLE, "not triggered: this is a --read-only run"
        observed = reason
    rests_on = (*_FIRST[: 1 + place % len(_FIRST)], *(("scan", "scan_execution") if place > 17 else ()))
    return Assessment(check.test, check.step, verdict, observed, reason, rests_on, 0.4, waiver)


def _observations(number: int) -> tuple[Observation, ...]:
    if number % 17 == 5:
        return (Observation("identity", sample.at(1), 0.1, "inconclusive", "refused", (), (1,)),)
    before, after = "Last assessment: 2026-03-23 09:12:44", "Last assessment: 2026-03-23 12:14:31"
    looks = [Look(sample.at(20 + 15 * place), place + 1, before) for place in range(READINGS - 1)]
    looks.append(Look(sample.at(20 + 15 * READINGS), READINGS, after))
    request = "accepted, ControlId 20260323120004.0"
    first = tuple(
        Observation(
            name,
            sample.at(1 + place),
            0.2,
            "seen",
            before if name == _FIRST[-1] else "seen",
            (Look(sample.at(3), 1, before),) if name == _FIRST[-1] else (),
            (2 * place + 1, 2 * place + 2),
        )
        for place, name in enumerate(_FIRST)
    )
    return (
        *first,
        Observation("scan", sample.at(8), 0.2, "seen", f"vm: {request}", (Look(sample.at(8.4), 1, f"vm: {request}"),), (15, 16)),
        Observation("policy_evaluation", sample.at(9), 0.2, "seen", f"pc: {request}", (Look(sample.at(9.4), 1, f"pc: {request}"),), (17, 18)),
        Observation("scan_execution", sample.at(10), 912.0, "seen", f"executed: before: {before}; after: {after}", tuple(looks), tuple(range(19, _COMMANDS))),
        Observation("policy_execution", sample.at(930), 0.2, "seen", "executed: pc 20260323120005.0: done", (Look(sample.at(930), 1, "pc 20260323120005.0: done"),), (_COMMANDS,)),
    )  # fmt: skip


def _transcript(name: str) -> Transcript:
    return Transcript(
        name,
        tuple(
            Command(
                at=sample.NOON + timedelta(seconds=number),
                host=name,
                observation="unit",
                attempt=1,
                command="sudo -n timeout -k 5 30 systemctl show qualys-cloud-agent.service",
                status=0,
                stdout=f"LoadState=loaded\nActiveState=active\nSubState=running\nMainPID={number}\n" * 4,
                stderr="",
                took=0.1,
            )
            for number in range(1, _COMMANDS + 1)
        ),
    )
