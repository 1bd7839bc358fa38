"""What is asked for, and which answer is acceptance (facts, section 1)."""

from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.agent.dialect import Dialect
from qualys_verify.agent.layout import Layout
from qualys_verify.agent.request import Request, ScanType, Step, demands, read_answer

SENT = datetime(2026, 3, 23, 12, tzinfo=UTC)
LAYOUT = Layout(home=PurePosixPath("/a"))
ID = "20240228164415.0"
TAKEN = f"On-Demand-Request ControlId: {ID}"
USAGE = "Usage: cloudagentctl.sh action=demand type=<vm|pc>\n"
BOTH = (ScanType.VM, ScanType.PC)


def ask(step, *types, dialect=Dialect.VENDOR, throttle=0):
    return demands(step, types, dialect, LAYOUT, throttle)


def answer(stdout, status=0, stderr="", step=Step.SCAN, dialect=Dialect.VENDOR):
    (demand,) = ask(step, *BOTH, dialect=dialect)
    return read_answer(demand, SENT, status, stdout, stderr)


@pytest.mark.parametrize(
    ("step", "types", "expected"),
    [
        (Step.SCAN, BOTH, ["vm"]),
        (Step.POLICY_EVALUATION, BOTH, ["pc"]),
        (Step.SCAN, (ScanType.INV, ScanType.VM), ["inv", "vm"]),
        (Step.POLICY_EVALUATION, (ScanType.SCA, ScanType.UDC), ["sca", "udc"]),
        (Step.SCAN, (ScanType.VMPC,), ["vmpc"]),
        (Step.POLICY_EVALUATION, (ScanType.VMPC,), ["vmpc"]),
        (Step.SCAN, (ScanType.PC,), []),
    ],
)
def test_the_vendors_tool_is_asked_for_each_type(step, types, expected):
    assert [demand.argv for demand in ask(step, *types, throttle=7)] == [
        ("/a/bin/cloudagentctl.sh", "action=demand", f"type={item}", "cputhrottle=7") for item in expected
    ]


def test_the_runbook_has_one_verb_a_step():
    (scan,) = ask(Step.SCAN, *BOTH, dialect=Dialect.RUNBOOK)
    (policy,) = ask(Step.POLICY_EVALUATION, ScanType.SCA, ScanType.PC, dialect=Dialect.RUNBOOK)
    assert scan.argv == ("/a/bin/qualys-cloud-agent.sh", "scan")
    assert policy.argv == ("/a/bin/qualys-cloud-agent.sh", "policy_eval")
    assert ask(Step.SCAN, ScanType.PC, dialect=Dialect.RUNBOOK) == ()
    with pytest.raises(ValueError, match="no verb"):
        ask(Step.SCAN, ScanType.INV, dialect=Dialect.RUNBOOK)


@pytest.mark.parametrize(
    "stdout",
    [
        TAKEN,
        f"{TAKEN}\n",
        f"  {TAKEN} \r\n",
        f"Checking...\n{TAKEN}\nBye\n",
        f"{TAKEN}\n{TAKEN}\n",
        TAKEN.lower(),
    ],
)
def test_a_control_id_is_acceptance(stdout):
    seen = answer(stdout)
    assert (seen.refusal, seen.control_id) == (None, ID)
    assert str(seen) == f"vm: accepted, ControlId {ID}"


@pytest.mark.parametrize(
    ("stdout", "status", "said"),
    [
        (
            "qualys-cloud-agent Process is not running so cant take on-demand-scan request now.\n",
            0,
            "start the service",
        ),
        (USAGE, 1, "exit status 1"),
        (f"mandatory parameters action,type should be provided.\n{USAGE}", 2, "mandatory parameters"),
        ("Error: Invalid key name in swca\n", 255, "Invalid key name in swca"),
        ("Error: Key or Value missing in [type=]\n", 255, "Key or Value missing"),
        ("Invalid action type provided\nvalid values: demand/ondemand\n", 1, "Invalid action type"),
        (
            "Invalid manifest type provided.\nvalid values: vm|pc|inv|udc|sca|vmpc\n",
            1,
            "Invalid manifest type",
        ),
        ("Invalid input for cpu throttle.\n", 1, "Invalid input"),
        ("Invalid input: cputhrottle value should lie within range from 0 to 1000\n", 1, "within range"),
        ("", 0, "printed nothing"),
        (" \n", 0, "printed nothing"),
        ("done\n", 0, "printed done"),
        ("On-Demand-Request ControlId:\n", 0, "printed On-Demand"),
        ("On-Demand-Request ControlId: 2024.0\n", 0, "printed On-Demand"),
        (f"could not write {TAKEN}\n", 0, "not accepted"),
        (f"Error: {ID} exists\n", 0, "not accepted"),
        (f"{TAKEN}\n{TAKEN[:-1]}1\n", 0, "not accepted"),
        ("Scan request submitted successfully\n", 0, "not accepted"),
        ("Manifest not found for vm\n", 0, "deactivate and reactivate"),
        ("No PC manifest\n", 1, "deactivate and reactivate"),
    ],
)
def test_without_a_control_id_there_is_none_whatever_the_exit_status(stdout, status, said):
    seen = answer(stdout, status)
    assert said in seen.refusal
    assert seen.control_id is None


def test_only_stdout_accepts_and_stderr_is_shown():
    assert "Permission denied" in answer("", 1, "sh: Permission denied").refusal
    assert answer("", 0, TAKEN).refusal is not None


PHRASES = {
    Step.SCAN: "Scan request submitted successfully",
    Step.POLICY_EVALUATION: "Policy evaluation started",
}


@pytest.mark.parametrize(
    "form", ["{}", "{}.\n", "  {}\r\n", "wait\n{}\n", "[INFO] {}", "2026-03-23 12:00:00 INFO: {}", "OK: {}"]
)
@pytest.mark.parametrize("step", Step)
def test_the_runbooks_phrase_is_acceptance(step, form):
    for phrase in (PHRASES[step], PHRASES[step].upper()):
        assert answer(form.format(phrase), step=step, dialect=Dialect.RUNBOOK).refusal is None


@pytest.mark.parametrize(
    ("form", "status"),
    [("{}", 1), ("no {}", 0), ("Error: {}", 0), ("would print: {}", 0), ("not {}", 0), ("", 0), (TAKEN, 0)],
)
@pytest.mark.parametrize("step", Step)
def test_nothing_else_is(step, form, status):
    seen = answer(form.format(PHRASES[step]), status, step=step, dialect=Dialect.RUNBOOK)
    assert seen.refusal.startswith("not accepted")


def test_each_step_has_its_own_phrase():
    for step, other in (list(Step), list(Step)[::-1]):
        assert answer(PHRASES[other], step=step, dialect=Dialect.RUNBOOK).refusal is not None


def test_a_step_is_accepted_when_all_of_it_is():
    taken, refused = answer(TAKEN), answer("")
    assert Request((taken, taken), 0).state == "accepted"
    both = Request((taken, refused), 0)
    assert both.accepted == (taken,)
    assert both.state == "vm: not accepted: exit status 0, printed nothing"
    assert str(both) == f"vm: accepted, ControlId {ID}; {both.state}"


@given(st.text(), st.integers(0, 255), st.text(), st.sampled_from(Dialect), st.sampled_from(Step))
def test_any_answer_is_read_and_none_is_acceptance(stdout, status, stderr, dialect, step):
    assert answer(stdout, status, stderr, step, dialect).refusal


@given(st.from_regex(r"[0-9]{14}\.[0-9]{1,9}", fullmatch=True))
def test_what_is_written_is_read_back(control_id):
    assert answer(f"On-Demand-Request ControlId: {control_id}\n").control_id == control_id


@pytest.mark.parametrize(
    "piece",
    ["On-Demand-Request ", "On-Demand-Request ControlId: 1", " ", "\n", "no ", "manifest ", "[ ", "OK", "1"],
)
def test_an_enormous_answer_takes_no_time(piece):
    stdout = piece * ((1 << 18) // len(piece))
    assert answer(stdout).refusal
    assert answer(stdout, dialect=Dialect.RUNBOOK).refusal


def test_a_long_answer_is_shown_by_its_beginning():
    assert answer("x" * 999).refusal.endswith(f"printed {'x' * 300}")
    assert not answer("x" * 999).refusal.endswith("x" * 301)


@pytest.mark.parametrize(
    "word",
    [
        "Mon",
        "Tue",
        "Wed",
        "Thu",
        "Fri",
        "Sat",
        "Sun",
        "Jan",
        "Feb",
        "Mar",
        "Apr",
        "May",
        "Jun",
        "Jul",
        "Aug",
        "Sep",
        "Oct",
        "Nov",
        "Dec",
        "AM",
        "PM",
        "UTC",
        "GMT",
        "CET",
        "CEST",
        "EST",
        "PDT",
        "INFO",
        "INFORMATION",
        "NOTICE",
        "OK",
        "SUCCESS",
        "qualys-cloud-agent",
        "qualys-cloud-agent.sh",
    ],
)
def test_a_time_a_level_or_a_name_may_stand_before_the_phrase(word):
    assert answer(f"{word}: {PHRASES[Step.SCAN]}", dialect=Dialect.RUNBOOK).refusal is None


@pytest.mark.parametrize(
    "said",
    [
        "The manifest is missing",
        "Manifest not found",
        "Manifest not available",
        "manifest not present",
        "Manifest not downloaded",
        "Manifest does not exist",
        "There is no PC manifest",
    ],
)
def test_a_missing_manifest_is_said_in_several_ways(said):
    assert "the manifest is missing" in answer(said).refusal
    assert "deactivate and reactivate" in answer("", stderr=said).refusal
