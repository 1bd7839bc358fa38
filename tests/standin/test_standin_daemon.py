import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qualys_verify.standin import daemon as daemon_module
from qualys_verify.standin.daemon import Daemon, local_time
from qualys_verify.standin.install import CONFIGURATION, HOME, LOGS

NOW = 1_700_000_000.0  # any moment will do: the daemon knows no clock but what it is ticked with
VM, PC = (f"Scan started for Manifest Type: {name}" for name in ("VM", "PC"))


@pytest.fixture
def start(installed):
    """A tree and its started daemon; `new(tree)` are the messages logged since the last call."""

    def make(personality, **settings):
        tree = installed(personality, **settings)
        (tree.root / LOGS / "qualys-cloud-agent.log").write_text("")
        daemon = Daemon(tree.root)
        daemon.start(NOW)
        daemon.tick(NOW)
        return tree, daemon

    return make


def messages(tree):
    log = tree.root / LOGS / "qualys-cloud-agent.log"
    said = [line.split("]:", 3)[3] for line in log.read_text().splitlines()]
    log.write_text("")
    return said


def test_the_start_is_told(start):
    tree, _ = start("vendor")
    first, version, *check_in = messages(tree)
    assert first == "Ini log level: 3"
    assert "stand-in" in version
    assert check_in == ["Start CAPI event", "CAPI event successfully completed"]
    assert (tree.root / "run/qualys-cloud-agent.pid").read_text() == f"{os.getpid()}\n"


def test_a_request_of_the_vendors_tool_is_carried_out_under_its_control_id(start):
    tree, daemon = start("vendor", delay=30)
    messages(tree)
    control_id = tree.call("cloudagentctl.sh", "action=demand", "type=vm")[1].split()[-1]
    daemon.tick(NOW + 1)
    assert tree.requests == []
    assert messages(tree) == [
        f"OnDemand request for Control ID: {control_id} accepted, type vm",
        "Starting Scan for manifest UUID feedface-0000-4000-8000-000000000001",
        VM,
    ]
    daemon.tick(NOW + 30.9)
    assert messages(tree) == []
    daemon.tick(NOW + 31)
    assert messages(tree) == [
        f"Scan finished for Manifest Type: VM, Control ID: {control_id}",
        "Upload done for Manifest Type: VM",
        "Start CAPI event",
        "CAPI event successfully completed",
    ]


def test_one_request_for_both_scans_both(start):
    tree, daemon = start("vendor", delay=5)
    tree.call("cloudagentctl.sh", "action=demand", "type=vmpc")
    daemon.tick(NOW + 1)
    said = messages(tree)
    assert VM in said
    assert PC in said
    daemon.tick(NOW + 6)
    assert len([message for message in messages(tree) if message.startswith("Scan finished")]) == 2


def test_verbs_are_carried_out_and_the_assessment_is_dated_in_the_hosts_time(start):
    tree, daemon = start("runbook", delay=10)
    before = tree.call("qualys-cloud-agent.sh", "status")
    tree.call("qualys-cloud-agent.sh", "scan")
    tree.call("qualys-cloud-agent.sh", "policy_eval")
    daemon.tick(NOW + 1)
    said = messages(tree)
    assert VM in said
    assert PC in said
    assert tree.call("qualys-cloud-agent.sh", "status") == before
    daemon.tick(NOW + 11.7)
    assert "Scan finished for Manifest Type: PC" in messages(tree)
    assert tree.call("qualys-cloud-agent.sh", "status") == (0, f"Last assessment: {local_time(NOW + 11)}\n")


def test_the_limited_versions_log_is_the_only_witness(start):
    tree, daemon = start("limited", delay=0)
    tree.call("qualys-cloud-agent.sh", "scan")
    daemon.tick(NOW + 1)
    assert "Scan finished for Manifest Type: VM" in messages(tree)
    assert tree.note("last-assessment") == ""


def test_an_agent_that_never_assesses_checks_in_and_leaves_requests_alone(start):
    tree, daemon = start("runbook", assesses=False)
    messages(tree)
    before = tree.note("last-assessment")
    tree.call("qualys-cloud-agent.sh", "scan")
    for seconds in range(1, 300):
        daemon.tick(NOW + seconds)
    assert set(messages(tree)) == {"Start CAPI event", "CAPI event successfully completed"}
    assert tree.note("last-assessment") == before
    assert len(tree.requests) == 1


def test_it_checks_in_once_a_minute(start):
    tree, daemon = start("vendor")
    messages(tree)
    for tenth in range(0, 1800, 2):
        daemon.tick(NOW + 1 + tenth / 10)
    assert messages(tree).count("CAPI event successfully completed") == 3


def test_a_log_level_below_information_keeps_the_log_silent(installed):
    tree = installed("vendor")
    configuration = tree.root / CONFIGURATION / "qualys-cloud-agent.conf"
    configuration.write_text(configuration.read_text().replace("LogLevel=3", "LogLevel=1"))
    before = tree.log
    daemon = Daemon(tree.root)
    daemon.start(NOW)
    daemon.tick(NOW)
    assert tree.log == before


def test_rotation_keeps_five_archives_the_newest_as_0(installed):
    tree = installed("vendor")
    logs = tree.root / LOGS
    (logs / "qualys-cloud-agent.log").write_text("")
    daemon = Daemon(tree.root, log_limit=1)  # each entry fills it
    for turn in range(7):
        before = (logs / "qualys-cloud-agent.log").stat().st_ino
        daemon.stop(NOW + turn)
        assert (logs / "qualys-cloud-agent.log").stat().st_ino != before
    archives = {path.name: path.read_text()[:19] for path in logs.iterdir() if path.suffix != ".log"}
    assert archives == {f"qualys-cloud-agent.log.{age}": local_time(NOW + 6 - age) for age in range(5)}
    assert tree.log == ""


def test_the_installed_daemon_runs_by_itself_until_it_is_told_to_end(installed):
    tree = installed("vendor", delay=0.1)
    program = tree.root / HOME / "bin/qualys-cloud-agent"
    with subprocess.Popen([sys.executable, program]) as process:
        try:
            until((tree.root / "run/qualys-cloud-agent.pid").exists)
            until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "qualys-cloud-ag\n")
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            control_id = tree.call("cloudagentctl.sh", "action=demand", "type=pc")[1].split()[-1]
            until(lambda: f"Scan finished for Manifest Type: PC, Control ID: {control_id}\n" in tree.log)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert arguments.split(b"\0")[0] == os.fsencode(program)
    assert tree.log.endswith("Stopping cloud-agent\n")
    assert not (tree.root / "run/qualys-cloud-agent.pid").exists()


def test_hosts_with_python_3_9_and_nothing_else_can_run_it():
    tree = ast.parse(Path(daemon_module.__file__).read_text(), feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names


def until(true, limit=10.0):
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "did not come to pass in time"
        time.sleep(0.02)
