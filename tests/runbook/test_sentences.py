"""Every sentence of the runbook, on values at which it holds and at which it does not."""

import importlib
import inspect
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path, PurePosixPath

import pytest

from qualys_verify.agent.activity import Activity, Sign
from qualys_verify.agent.assessment import Kind, Reading
from qualys_verify.agent.clock import HostClock
from qualys_verify.agent.configuration import Configuration
from qualys_verify.agent.dialect import Dialect
from qualys_verify.agent.execution import Execution
from qualys_verify.agent.layout import HOME, Installation, Layout, Program
from qualys_verify.agent.log import Entry
from qualys_verify.agent.processes import AgentProcess, Process, Processes
from qualys_verify.agent.request import Answer, Demand, Request, ScanType, Step
from qualys_verify.agent.unit import Service
from tests.runbook.pretend import NOON

RUNBOOK = Path(__file__).parents[2] / "tests_agent"
SENTENCES = {
    name: function
    for file in sorted(RUNBOOK.glob("test_*.py"))
    for name, function in inspect.getmembers(importlib.import_module(f"tests_agent.{file.stem}"), callable)
    if name.startswith("test_")
}

HOUR = timedelta(hours=1)
UUID, ZEROS = "aaaaaaaa-0000-4000-8000-000000000001", "00000000-0000-0000-0000-000000000000"
RUNNING = Service(
    unit="qualys-cloud-agent.service",
    load="loaded",
    state="active (running)",
    startup="enabled",
    result="success",
    restarts=0,
    running_for=HOUR,
    wanted=True,
    executable=HOME / "bin/qualys-cloud-agent",
    main_pid=712,
    control_group="",
)
ABSENT = replace(
    RUNNING, load="not-found", state="inactive (dead)", startup="", running_for=None, wanted=False
)
FAILED = replace(RUNNING, state="failed (failed)", running_for=None)
ACTIVATED = Installation(Layout(), Configuration(UUID, UUID), UUID)
ENTRY = Entry(NOON, "agent", "fatal", "the database is corrupt")
ACTIVE = Activity(HOUR, 2 * HOUR, ENTRY, ENTRY, None, (), 0, (), 50)
STATUS = Reading(HostClock(NOON, (timedelta(0),)), Kind.STAMP, "2026-03-23 11:00:00")
DEMAND = Demand(Step.SCAN, ("scan",), (ScanType.VM,), Dialect.RUNBOOK)
TAKEN, REFUSED = Answer(DEMAND, NOON), Answer(DEMAND, NOON, refusal="not accepted")
EXECUTED = Execution("executed", "the log")
PROGRAM = PurePosixPath("/opt/bin/qualys-cloud-agent")
DAEMON = Process(712, 1, "-", str(PROGRAM))

# Sentence: values at which it holds, values at which it does not.
VALUES = {
    "test_unit_exists": ([RUNNING, FAILED, replace(RUNNING, load="masked")], [ABSENT]),
    "test_service_is_active_and_running": (
        [RUNNING],
        [
            FAILED,
            replace(RUNNING, state="active (exited)"),
            replace(RUNNING, state="activating (auto-restart)"),
        ],
    ),
    "test_service_is_not_in_a_crash_loop": (
        [RUNNING, FAILED],
        [
            replace(RUNNING, state="activating (auto-restart)"),
            replace(RUNNING, restarts=3, running_for=HOUR / 60),
        ],
    ),
    "test_agent_process_runs": ([AgentProcess("runs")], [AgentProcess("no agent process")]),
    "test_no_second_agent_runs": ([Processes((DAEMON,)), Processes(())], [Processes((DAEMON, DAEMON))]),
    "test_agent_program_is_in_place": (
        [Program(PROGRAM, "-rwx 1 root root 9 qualys-cloud-agent\n")],
        [Program(PROGRAM, ""), Program(PROGRAM, "-rwx 1 root root 9 qualys-cloud-agent.sh\n")],
    ),
    "test_service_is_enabled_at_boot": (
        [RUNNING, replace(RUNNING, startup="static")],
        [replace(RUNNING, startup="disabled"), replace(RUNNING, startup="static", wanted=False)],
    ),
    "test_service_runs_so_scans_execute": ([RUNNING], [FAILED]),
    "test_agent_is_activated": (
        [ACTIVATED, replace(ACTIVATED, hostid=None)],
        [
            replace(ACTIVATED, configuration=Configuration(UUID, ZEROS)),
            Installation(Layout(), Configuration(), UUID),
        ],
    ),
    "test_agent_is_provisioned": (
        [ACTIVATED],
        [replace(ACTIVATED, hostid=""), replace(ACTIVATED, hostid=None), replace(ACTIVATED, hostid=ZEROS)],
    ),
    "test_log_shows_recent_activity": (
        [ACTIVE, replace(ACTIVE, age=2 * HOUR)],
        [replace(ACTIVE, age=3 * HOUR), replace(ACTIVE, age=None)],
    ),
    "test_log_shows_assessment_activity": ([Sign("shown", ENTRY)], [Sign("disabled", ENTRY)]),
    "test_log_shows_upload_or_communication": (
        [Sign("succeeds", ENTRY)],
        [Sign(replace(ACTIVE, attempts=2, failures=(ENTRY, ENTRY)).communication_state, ENTRY)],
    ),
    "test_log_shows_no_repeated_fatal_errors": (
        [ACTIVE, replace(ACTIVE, fatal=(ENTRY,))],
        [replace(ACTIVE, fatal=(ENTRY, ENTRY))],
    ),
    "test_status_shows_the_last_assessment_or_has_the_known_limitation": (
        [STATUS, replace(STATUS, kind=Kind.NEVER), replace(STATUS, kind=Kind.LIMITED)],
        [
            replace(STATUS, kind=Kind.UNEXPECTED, said="Segmentation fault"),
            replace(STATUS, kind=Kind.UNREADABLE),
        ],
    ),
    "test_vulnerability_scan_is_accepted": (
        [Request((TAKEN,), 0), Request((TAKEN, TAKEN), 0)],
        [Request((REFUSED,), 0), Request((TAKEN, REFUSED), 0)],
    ),
    "test_policy_evaluation_is_accepted": ([Request((TAKEN,), 0)], [Request((REFUSED,), 0)]),
    "test_vulnerability_scan_was_executed": ([EXECUTED], [replace(EXECUTED, state="unchanged")]),
    "test_policy_evaluation_was_executed": ([EXECUTED], [replace(EXECUTED, state="failed")]),
}


def cases(which):
    return [
        pytest.param(name, value, id=f"{name}-{number}")
        for name, values in VALUES.items()
        for number, value in enumerate(values[which])
    ]


@pytest.mark.parametrize(("name", "value"), cases(0))
def test_it_holds(name, value):
    SENTENCES[name](value)


@pytest.mark.parametrize(("name", "value"), cases(1))
def test_it_does_not_hold(name, value):
    with pytest.raises(AssertionError):
        SENTENCES[name](value)


def test_each_sentence_of_the_runbook_is_proven_here():
    assert SENTENCES.keys() == VALUES.keys()
    assert all(holds and fails for holds, fails in VALUES.values())


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_each_sentence_names_its_step_and_what_to_do(sentence):
    said = inspect.getdoc(sentence)
    assert re.match(r"Step (?:1|2\.[123]|3|4|5): \S.*\.\n\nIf not: \S", said)
    file = inspect.getsourcefile(sentence)
    step = said.removeprefix("Step ").split(":")[0]
    assert f"test_step_{step.replace('.', '_')}_" in file


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_each_sentence_judges_one_observation(sentence):
    (parameter,) = inspect.signature(sentence).parameters.values()
    assert parameter.default is parameter.empty
