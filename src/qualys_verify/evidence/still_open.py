"""Why a finding may still be open in the Qualys UI after a remediation: the runbook's reasons, checked on each host."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qualys_verify.agent.request import Step
from qualys_verify.verdict import Finding, Verdict

_NAMES = {Step.SCAN: "vulnerability scan", Step.POLICY_EVALUATION: "policy evaluation"}
_INSTALLED = "test_unit_exists"
_EVALUATED = "test_policy_evaluation_is_accepted"
_COMMUNICATES = "test_log_shows_upload_or_communication"


@dataclass(frozen=True)
class OpenReason:
    """One reason, and the hosts that have it."""

    sentence: str
    hosts: tuple[str, ...]


def still_open(
    findings: Iterable[Finding],
    reboots: Mapping[str, str],
    types: Sequence[str],
) -> tuple[OpenReason, ...]:
    """The reasons that apply, for hosts that have an agent.

    `reboots` says why a host waits for a reboot, by its id; `types` what the run asked for.
    """
    verdicts: dict[str, dict[str, Verdict]] = {}
    for finding in findings:
        verdicts.setdefault(finding.target, {})[finding.test] = finding.verdict
    found: dict[str, list[str]] = {}
    for host, tests in verdicts.items():
        if tests.get(_INSTALLED) not in {Verdict.NON_COMPLIANT, Verdict.WAIVED}:
            for sentence in _reasons(tests, reboots.get(host, ""), types):
                found.setdefault(sentence, []).append(host)
    return tuple(OpenReason(sentence, tuple(hosts)) for sentence, hosts in found.items())


def _reasons(tests: Mapping[str, Verdict], why_reboot: str, types: Sequence[str]) -> Iterable[str]:
    if tests.get(_EVALUATED) is not Verdict.COMPLIANT:
        yield "policy evaluation not run: CIS findings do not update without it"
    if tests.get(_COMMUNICATES, Verdict.COMPLIANT) is not Verdict.COMPLIANT:
        yield "the agent's check-in was not seen: results do not reach the platform"
    if why_reboot:
        yield f"reboot required ({why_reboot}): a fixed package may be found until then"
    for step in Step:
        if not set(types) & set(step.types):
            yield f"wrong scan type: --scan-type={','.join(types)} asks for no {_NAMES[step]}"
