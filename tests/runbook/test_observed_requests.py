"""Steps 3 and 4: what is asked of the agent, and that it is asked once."""

import time

import pytest

from qualys_verify.agent.configuration import Configuration
from qualys_verify.agent.dialect import VERBS, CommandLine, Dialect
from qualys_verify.agent.layout import Installation, Layout
from qualys_verify.agent.request import ScanType
from qualys_verify.reasons import Denied, Inconclusive, NotApplicable, Unreachable
from tests.runbook.pretend import CONTROL, NOON, REFUSED, SCRIPT

TAKEN = {
    f"{SCRIPT} scan": "Scan request submitted successfully",
    f"{SCRIPT} policy_eval": "Policy evaluation started",
    f"{CONTROL} action=demand type=vm ": "On-Demand-Request ControlId: 20260323120000.1",
    f"{CONTROL} action=demand type=pc ": "On-Demand-Request ControlId: 20260323120000.2",
    f"{CONTROL} action=demand type=vmpc ": "On-Demand-Request ControlId: 20260323120000.3",
}
RUNBOOK = CommandLine(Dialect.RUNBOOK, frozenset(VERBS))
VENDOR = CommandLine(Dialect.VENDOR, frozenset())
STEPS = ("scan", "policy_evaluation")


@pytest.fixture
def ask(look):
    def make(step, host, command_line=RUNBOOK):
        installation = Installation(Layout(), Configuration(), "")
        return look(step, host, installation=installation, command_line=command_line, assessment_before=None)

    return make


@pytest.mark.parametrize(
    ("step", "command_line", "command"),
    [
        ("scan", RUNBOOK, f"{SCRIPT} scan"),
        ("policy_evaluation", RUNBOOK, f"{SCRIPT} policy_eval"),
        ("scan", VENDOR, f"{CONTROL} action=demand type=vm cputhrottle=7"),
        ("policy_evaluation", VENDOR, f"{CONTROL} action=demand type=pc cputhrottle=7"),
    ],
)
def test_each_step_asks_in_the_agents_dialect(stage, ask, step, command_line, command):
    host, script = stage(TAKEN, throttle=7)
    seen = ask(step, host, command_line)
    (answer,) = seen.accepted
    assert script.asked == [f"sudo -n {command}"]
    assert (seen.state, answer.sent, bool(answer.control_id)) == ("accepted", NOON, command_line is VENDOR)
    assert seen.asked == time.monotonic()
    (reading,) = host.record.readings
    assert reading.endswith(f"  {answer}")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((1, "Scan request submitted successfully", ""), "exit status 1"),
        ((0, "", "Scan request submitted successfully"), "exit status 0"),
        ((2, "", "disk full"), "exit status 2, printed disk full"),
    ],
)
def test_what_the_agent_answers_is_kept(stage, ask, answer, said):
    host, _ = stage({str(SCRIPT): answer})
    seen = ask("scan", host)
    assert said in seen.state
    assert seen.accepted == ()
    assert said in host.record.readings[0]


@pytest.mark.parametrize("command_line", [RUNBOOK, VENDOR])
@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_triggered_in_a_read_only_run(stage, ask, step, command_line):
    host, script = stage(read_only=True)
    with pytest.raises(NotApplicable, match="--read-only"):
        ask(step, host, command_line)
    assert script.commands == []


@pytest.mark.parametrize(
    ("step", "wanted", "types"),
    [
        ("scan", (ScanType.PC, ScanType.SCA), "pc,sca has none of vm, inv, vmpc"),
        ("policy_evaluation", (ScanType.VM,), "vm has none of pc, sca, udc, vmpc"),
    ],
)
def test_what_is_not_asked_for_does_not_apply(stage, ask, step, wanted, types):
    host, script = stage(scan_types=wanted)
    with pytest.raises(NotApplicable, match=rf"--scan-type={types}"):
        ask(step, host)
    assert script.asked == []


def test_an_inventory_cannot_be_asked_for_in_the_runbooks_dialect(stage, ask):
    host, script = stage(scan_types=(ScanType.INV,))
    with pytest.raises(Inconclusive, match=r"^ssh://web1: --scan-type=inv"):
        ask("scan", host)
    assert script.asked == []


def test_a_request_for_both_steps_is_sent_once(stage, ask):
    host, script = stage(TAKEN, scan_types=(ScanType.VMPC,))
    scan, policy = (ask(step, host, VENDOR) for step in STEPS)
    assert scan.accepted[0].control_id == policy.accepted[0].control_id
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("answer", "reason"), [(REFUSED, Denied), (Unreachable("lost"), Unreachable)], ids=["denied", "lost"]
)
def test_an_answer_that_was_lost_is_no_answer(stage, ask, answer, reason):
    host, script = stage({str(SCRIPT): answer})
    with pytest.raises(reason):
        ask("scan", host)
    with pytest.raises(Inconclusive, match="not sent twice"):
        ask("scan", host)
    assert len(script.asked) == 1


def test_the_second_of_two_requests_may_be_refused(stage, ask):
    answers = TAKEN | {f"{CONTROL} action=demand type=inv ": "Invalid manifest type provided."}
    host, script = stage(answers, scan_types=(ScanType.VM, ScanType.INV))
    seen = ask("scan", host, VENDOR)
    assert seen.state.startswith("inv: not accepted")
    assert len(seen.accepted) == 1
    assert len(script.asked) == len(host.record.readings) == 2
