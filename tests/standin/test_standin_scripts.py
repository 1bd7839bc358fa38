"""The command lines, row by row as the known facts of the agent tell them."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

CONTROL = "cloudagentctl.sh"
AGENT = "qualys-cloud-agent.sh"
PENDING = "etc/qualys/cloud-agent/qualys-cloud-agent.properties"
CONFIGURATION = "etc/qualys/cloud-agent/qualys-cloud-agent.conf"
TYPES = "valid values: vm|pc|inv|udc|sca|vmpc\n"


@pytest.fixture
def vendor(installed):
    tree = installed("vendor")
    tree.seem_running()
    return tree


@pytest.mark.parametrize("scan_type", ["vm", "pc", "sca", "udc", "inv", "vmpc"])
@pytest.mark.parametrize("action", ["demand", "ondemand"])
def test_a_request_is_taken(vendor, action, scan_type):
    status, said = vendor.call(CONTROL, f"action={action}", f"type={scan_type}", "cputhrottle=1000")
    assert status == 0
    control_id = re.fullmatch(r"On-Demand-Request ControlId: (\d{14}\.\d+)\n", said)[1]
    (request,) = vendor.requests
    assert request.name == f"on-demand-scan_{control_id}.conf"
    assert f"Type={scan_type}\n" in request.read_text()
    assert f"type={scan_type} cputhrottle=1000 controlid={control_id}\n" in vendor.note("requests.log")


def test_arguments_are_lower_cased(vendor):
    status, said = vendor.call(CONTROL, "ACTION=Demand", "Type=VM")
    assert (status, said[:17]) == (0, "On-Demand-Request")
    assert "type=vm cputhrottle=0 " in vendor.note("requests.log")


def test_a_daemon_that_does_not_run_is_told_with_exit_status_0(installed):
    tree = installed("vendor")
    status, said = tree.call(CONTROL, "action=demand", "type=vm")
    assert status == 0
    assert said == "qualys-cloud-agent Process is not running so cant take on-demand-scan request now.\n"
    assert (tree.requests, tree.note("requests.log")) == ([], "")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 1, r"Usage: .*"),
        (["action=demand"], 2, r"mandatory parameters action,type should be provided\.\nUsage: .*"),
        (["type=vm"], 2, r"mandatory parameters action,type should be provided\.\nUsage: .*"),
        (["colour=red"], 255, r"Error: Invalid key name in colour=red\n"),
        (["status"], 255, r"Error: Invalid key name in status\n"),
        (["action=demand", "type="], 255, r"Error: Key or Value missing in \[type=\]\n"),
        (["action=scan", "type=vm"], 1, r"Invalid action type provided\nvalid values: demand/ondemand\n"),
        (["action=demand", "type=av"], 1, r"Invalid manifest type provided\.\n" + re.escape(TYPES)),
        (["action=demand", "type=swca"], 1, r"Invalid manifest type provided\.\n" + re.escape(TYPES)),
        (["action=demand", "type=vm", "cputhrottle=half"], 1, r"Invalid input for cpu throttle\.\n"),
        (["action=demand", "type=vm", "cputhrottle=1001"], 1, r"Invalid input: .* from 0 to 1000\n"),
        (["action=demand", "type=vm", "cputhrottle=-1"], 1, r"Invalid input: .* from 0 to 1000\n"),
        (["action=demand", "type=vm", f"cputhrottle={'9' * 30}"], 1, r"Invalid input: .* from 0 to 1000\n"),
        (["show", "type"], 0, r"supported types: vm\|pc\|inv\|udc\|sca\|vmpc\n"),
    ],
)
def test_nothing_else_is_a_request(vendor, arguments, status, says):
    answered, said = vendor.call(CONTROL, *arguments)
    assert answered == status
    assert re.fullmatch(says, said, re.DOTALL)
    assert (vendor.requests, vendor.note("requests.log")) == ([], "")


def test_requests_in_the_same_second_get_ids_of_their_own(vendor):
    def ask(_):
        said = vendor.call(CONTROL, "action=demand", "type=vm")[1]
        for request in vendor.requests:
            if request.suffix == ".conf":
                request.unlink(missing_ok=True)  # as the daemon does, at any moment
        return said

    assert len({ask(turn) for turn in range(5)}) == 5


def test_requests_at_the_same_time_are_all_kept(vendor):
    with ThreadPoolExecutor(8) as pool:
        said = set(pool.map(lambda _: vendor.call(CONTROL, "action=demand", "type=vm")[1], range(16)))
    assert len(said) == len(vendor.requests) == len(vendor.note("requests.log").splitlines()) == 16


@pytest.mark.parametrize("word", ["status", "scan", "policy_eval", "LogLevel"])
def test_the_vendors_script_knows_no_verbs_and_loses_pending_changes(vendor, word):
    pending = vendor.root / PENDING
    pending.write_text("LogLevel=5\n")
    assert vendor.call(AGENT, word) == (255, f"Error: Invalid key name in {word}\n")
    assert not pending.exists()


def test_the_vendors_script_without_arguments_touches_nothing(vendor):
    pending = vendor.root / PENDING
    pending.write_text("LogLevel=5\n")
    status, said = vendor.call(AGENT)
    assert (status, said[:7]) == (0, "Usage: ")
    assert pending.read_text() == "LogLevel=5\n"


@pytest.mark.parametrize("personality", ["runbook", "limited", "vendor"])
def test_a_valid_key_rewrites_the_configuration_and_restarts_the_agent(
    installed, personality, tmp_path, monkeypatch
):
    tree = installed(personality)
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\n')
    (tmp_path / "systemctl").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert tree.call(AGENT, "LogLevel=5") == (0, "")
    assert (tree.root / CONFIGURATION).read_text().count("LogLevel=") == 1
    assert "LogLevel=5\n" in (tree.root / CONFIGURATION).read_text()
    assert not (tree.root / PENDING).exists()
    assert (tmp_path / "asked").read_text() == "restart qualys-cloud-agent.service\n"


@pytest.mark.parametrize("personality", ["runbook", "limited"])
@pytest.mark.parametrize(
    ("verb", "says", "scan_type"),
    [
        ("scan", "Scan request submitted successfully\n", "vm"),
        ("policy_eval", "Policy evaluation started\n", "pc"),
    ],
)
def test_the_runbooks_verbs_submit_requests(installed, personality, verb, says, scan_type):
    tree = installed(personality)
    assert tree.call(AGENT, verb) == (0, says)
    assert len(tree.requests) == 1
    assert f"{AGENT} type={scan_type} " in tree.note("requests.log")


def test_status_of_the_runbook_tells_the_last_assessment(installed):
    status, said = installed("runbook").call(AGENT, "status")
    assert status == 0
    assert re.fullmatch(r"Last assessment: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n", said)


def test_status_of_the_limited_version_is_refused_and_nothing_else_tells(installed):
    tree = installed("limited")
    assert tree.call(AGENT, "status") == (255, "Error: Invalid key name in status\n")
    assert tree.note("last-assessment") == ""


def test_each_call_is_noted_in_one_line(vendor):
    vendor.call(AGENT, "LogLevel")
    vendor.call(CONTROL, "action=demand", "type=av")
    agent, control = vendor.note("invocations.log").splitlines()
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ {re.escape(AGENT)} LogLevel", agent)
    assert control.endswith(f" {CONTROL} action=demand type=av")
