"""Asking the agent for a scan or an evaluation, and what it answered (runbook steps 3 and 4; facts, section 1)."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from qualys_verify.agent.dialect import Dialect
from qualys_verify.agent.layout import Layout

THROTTLE_RANGE = range(1001)

# Only this line is acceptance, whatever the exit status says.
_CONTROL_ID = re.compile(
    r"^[ \t]*On-?Demand-?Request[ \t]+ControlId[ \t]*:[ \t]*(\d{14}\.\d++)[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)
_MISSING_MANIFEST = re.compile(
    r"^(?=.*manifest).*\b(?:missing|not (?:found|available|present|downloaded)|does not exist|no (?:\w+ ){0,3}manifest)",
    re.IGNORECASE | re.MULTILINE,
)
_NOT_RUNNING = re.compile(r"process is not running", re.IGNORECASE)

MANIFEST_REMEDY = (
    "check that the agent is activated for this application; then deactivate and reactivate the application in the "
    "agent's page of the Qualys UI, which forces the manifest download; then ask vendor support"
)


class ScanType(StrEnum):
    """What `cloudagentctl.sh` can be asked for ([doc] facts, section 1)."""

    VM = "vm"
    PC = "pc"
    SCA = "sca"
    UDC = "udc"
    INV = "inv"
    VMPC = "vmpc"


# What the vendor's page on containers (AWS Bottlerocket) shows: `type=inv` in its steps, `vm` in its example [doc].
CONTAINER_TYPES = (ScanType.VM, ScanType.INV)


class Step(StrEnum):
    """The runbook's two requests, by the verb that makes them in its dialect."""

    SCAN = "scan"
    POLICY_EVALUATION = "policy_eval"

    @property
    def types(self) -> tuple[ScanType, ...]:
        """The scan types that this step asks for; `vmpc` belongs to both, and is asked for once."""
        if self is Step.SCAN:
            return ScanType.VM, ScanType.INV, ScanType.VMPC
        return ScanType.PC, ScanType.SCA, ScanType.UDC, ScanType.VMPC


# A wrapper may put a time, a level or a name before the phrase, but no word that could turn it round.
_TIME_WORDS = r"(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|[ap]m|utc|gmt|ces?t|[ecmp][sd]t)\b"
_LEAD = rf"^(?>(?:\x1b|\\x1b)\[[\d;]*m|{_TIME_WORDS}|[ \t\d\[\](){{}}<>:.,+*=/TZ-]|INFO(?:RMATION)?|NOTICE|OK|SUCCESS|qualys-cloud-agent(?:\.sh)?){{0,60}}"
_RUNBOOK_PHRASES = {
    Step.SCAN: re.compile(rf"{_LEAD}Scan request submitted successfully\b", re.IGNORECASE | re.MULTILINE),
    Step.POLICY_EVALUATION: re.compile(rf"{_LEAD}Policy evaluation started\b", re.IGNORECASE | re.MULTILINE),
}


@dataclass(frozen=True)
class Demand:
    """One request to be made: the argument vector (to be run as root), and which applications it covers."""

    step: Step
    argv: tuple[str, ...]
    types: tuple[ScanType, ...]
    dialect: Dialect


@dataclass(frozen=True)
class Answer:
    """What the agent answered to a demand.

    `sent` is the UTC instant, by the target's clock, just before it was sent. `control_id` is an opaque
    token that only the vendor's dialect gives. `refusal` is one sentence, None when the request was taken.
    """

    demand: Demand
    sent: datetime
    control_id: str | None = None
    refusal: str | None = None

    @property
    def label(self) -> str:
        """What was asked for, as the user wrote it: `vm`, `vm+inv`."""
        return "+".join(self.demand.types)

    def __str__(self) -> str:
        """What the report shows as observed."""
        if self.refusal:
            return f"{self.label}: {self.refusal}"
        return (
            f"{self.label}: accepted, ControlId {self.control_id}"
            if self.control_id
            else f"{self.label}: accepted"
        )


@dataclass(frozen=True)
class Request:
    """Everything that one step asked for. `asked` is when, in seconds of the controller's monotonic clock.

    `ambiguous` are ControlIds that more than one request of the run got.
    """

    answers: tuple[Answer, ...]
    asked: float
    ambiguous: frozenset[str] = frozenset()

    def beside(self, other: "Request | None") -> "Request":
        """The same request, knowing which ControlIds it shares with the other step's, or has twice itself."""
        answers = (*self.accepted, *(other.accepted if other else ()))
        count = Counter(answer.control_id for answer in answers if answer.control_id)
        return replace(self, ambiguous=frozenset(name for name, times in count.items() if times > 1))

    @property
    def state(self) -> str:
        """`accepted` when each of the step's requests was taken, else what was answered instead."""
        refused = [str(answer) for answer in self.answers if answer.refusal is not None]
        return "; ".join(refused) or "accepted"

    @property
    def accepted(self) -> tuple[Answer, ...]:
        """The answers to requests that were taken: those to be followed."""
        return tuple(answer for answer in self.answers if answer.refusal is None)

    def __str__(self) -> str:
        """What the report shows as observed."""
        return "; ".join(map(str, self.answers))


def demands(
    step: Step,
    types: Iterable[ScanType],
    dialect: Dialect,
    layout: Layout,
    throttle: int,
) -> tuple[Demand, ...]:
    """The requests that one step makes for the scan types that belong to it; empty when none of them does.

    The runbook's dialect has one verb a step; the vendor's has a request for each type. `throttle` is 0 (full
    speed) to 1000. Raises ValueError for an inventory in the runbook's dialect, which has no verb for it.
    """
    wanted = tuple(item for item in types if item in step.types)
    if dialect is Dialect.RUNBOOK:
        if ScanType.INV in wanted:
            raise ValueError(
                "--scan-type=inv cannot be asked for in the runbook's dialect, which has no verb for it"
            )
        return (Demand(step, (str(layout.script), step.value), wanted, dialect),) if wanted else ()
    command = (str(layout.control), "action=demand")
    return tuple(
        Demand(step, (*command, f"type={item}", f"cputhrottle={throttle}"), (item,), dialect)
        for item in wanted
    )


def read_answer(demand: Demand, sent: datetime, status: int, stdout: str, stderr: str) -> Answer:
    """Judge what the agent printed. Acceptance is the documented phrase on stdout; exit status 0 is not."""
    if demand.dialect is Dialect.VENDOR:
        ids = set(_CONTROL_ID.findall(stdout))
        if len(ids) == 1:
            return Answer(demand, sent, control_id=ids.pop())
    elif _RUNBOOK_PHRASES[demand.step].search(stdout) and status == 0:
        return Answer(demand, sent)
    return Answer(demand, sent, refusal=_refusal(status, stdout, stderr))


def _refusal(status: int, stdout: str, stderr: str) -> str:
    said = " ".join((stdout.strip() or stderr).split())[:300]
    if _MISSING_MANIFEST.search(stdout + stderr):
        return f"not accepted, the manifest is missing ({said}): {MANIFEST_REMEDY}"
    if _NOT_RUNNING.search(stdout + stderr):
        return f"not accepted, the agent's process is not running ({said}): start the service and ask again"
    return f"not accepted: exit status {status}, printed {said or 'nothing'}"
