"""How an agent in a container is looked at: no unit, no sudo, its process and its files."""

import importlib
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from qualys_verify.agent.configuration import Configuration
from qualys_verify.agent.container import Absence, ContainedAgent, Container
from qualys_verify.agent.dialect import CommandLine, Dialect
from qualys_verify.agent.layout import HOME, Installation, Layout
from qualys_verify.agent.processes import Processes
from qualys_verify.agent.request import ScanType
from qualys_verify.asked import root
from qualys_verify.host import Alone, Host
from qualys_verify.observation import _DECLARED
from qualys_verify.reasons import Denied, Inconclusive, NotApplicable
from qualys_verify.settings import read_settings
from qualys_verify.targets import Target
from tests.runbook.pretend import MISSING, Script

importlib.import_module("fixtures.service")
importlib.import_module("fixtures.requests")

DAEMON = HOME / "bin/qualys-cloud-agent"
PS = f"1 0 9 5 /sbin/init\n7 1 9 6 {DAEMON}\n8 1 9 5 {DAEMON}\n"
BIN = "total 4\n-rwx------ 1 root root 9 Mar 23 12:00 qualys-cloud-agent\n"
ANSWERS = {
    "readlink /proc/self/ns/mnt": "mnt:[6]",
    "readlink /proc/self/ns/pid": "pid:[9]",
    "ps -eo pid,ppid,pidns,mntns,args": PS,
    "ls -l": BIN,
}
NO_PS = (127, "", "/bin/sh: 1: ps: not found")
CONTAINER = Container(
    "agent", "i", "", 0, timedelta(hours=1), "", "starts at boot", "agent:1", "sha256:ab", "n1", "Running"
)


@pytest.fixture
def host(request):
    def make(answers=None, *, container=CONTAINER, uid="0", target=None, **changes):
        script = Script(ANSWERS | (answers or {}))
        script.answers["id -u"] = uid
        script.container = container
        settings = replace(read_settings(request.config), **changes)
        place = target or Target("kubectl://n1/p", "kubectl", "p", facts=(("DaemonSet", "3 desired"),))
        return Host(place, settings, script, Alone(time.sleep)), script

    return make


def look(name, host, **seen):
    return _DECLARED[name].make(host, seen)


def test_no_unit_is_looked_for_and_the_agents_own_process_counts(host):
    place, script = host()
    seen = look("unit", place, identity=place.identity)
    assert isinstance(seen, ContainedAgent)
    assert (seen.processes.daemons, seen.processes.elsewhere, seen.executable) == ((7,), 1, DAEMON)
    assert (seen.presence, seen.state) == ("installed", "running and ready")
    assert not [command for command in script.commands if "systemctl" in command or "sudo" in command]
    assert look("processes", place, service=seen) is seen.processes


@pytest.mark.parametrize(
    ("listing", "state"), [(PS, "runs"), ("1 0 9 6 nginx\n", "no agent process in the container")]
)
def test_whether_the_agent_itself_runs_is_seen_by_its_process(host, listing, state):
    place, script = host({"ps -eo pid,ppid,pidns,mntns,args": listing})
    seen = look("unit", place, identity=place.identity)
    before = list(script.commands)
    processes = look("processes", place, service=seen)
    assert look("agent_process", place, service=seen, processes=processes).state == state
    assert script.commands == before


def test_the_report_shows_what_is_known_from_outside(host):
    place, _ = host()
    facts = dict(place.identity.facts)
    assert (facts["DaemonSet"], facts["node"], facts["image"], facts["image digest"]) == (
        "3 desired",
        "n1",
        "agent:1",
        "sha256:ab",
    )
    assert (facts["restarts"], facts["phase"]) == ("0", "Running")


def test_without_ps_its_processes_are_found_by_a_walk(host):
    place, script = host({"ps -eo pid,ppid,pidns,mntns,args": NO_PS, "/bin/sh -c": PS})
    assert look("unit", place, identity=place.identity).processes.daemons == (7,)
    assert script.commands[-1].startswith("/bin/sh -c ")


def test_processes_that_cannot_be_listed_are_not_absent(host):
    place, _ = host({"ps -eo pid,ppid,pidns,mntns,args": NO_PS, "/bin/sh -c": (1, "", "denied")})
    with pytest.raises(Inconclusive, match=r"kubectl://n1/p: its processes cannot be listed.*denied"):
        look("unit", place, identity=place.identity)


def test_an_agent_that_may_not_be_told_from_the_nodes_is_no_verdict(host):
    """A login that is not root sees the command line, and not whose mounts it has."""
    hidden = f"7 1 - - {DAEMON}\n"
    place, _ = host({"ps -eo pid,ppid,pidns,mntns,args": hidden}, uid="1000")
    with pytest.raises(Inconclusive, match=r"kubectl://n1/p: an agent runs \(process 7\).*as root"):
        look("unit", place, identity=place.identity)
    place, _ = host({"ps -eo pid,ppid,pidns,mntns,args": f"{hidden}{PS}"})
    assert look("unit", place, identity=place.identity).processes.daemons == (7,)


@pytest.mark.parametrize(
    "said",
    [
        "timeout: failed to run command 'ls': No such file or directory",
        "timeout: can't execute 'ls': No such file or directory",
    ],
)
def test_a_program_that_the_container_lacks_is_not_a_file_that_it_lacks(host, said):
    place, _ = host({"ps -eo pid,ppid,pidns,mntns,args": "1 0 9 6 nginx\n", "ls -l": (127, "", said)})
    with pytest.raises(Inconclusive, match="ended with status 127"):
        look("unit", place, identity=place.identity)


def test_a_container_of_something_else_has_no_agent_and_the_runbook_stops(host):
    place, _ = host(
        {
            "ps -eo pid,ppid,pidns,mntns,args": "1 0 9 6 nginx\n",
            "ls -l": (2, "", "ls: cannot access: No such file or directory"),
        }
    )
    seen = look("unit", place, identity=place.identity)
    assert seen.presence == "no agent in this container"
    with pytest.raises(NotApplicable, match="stop here"):
        look("service", place, unit=seen)


def test_a_program_that_may_not_be_listed_is_not_absent(host):
    place, _ = host({"ls -l": (2, "", "ls: cannot open directory: Permission denied")}, uid="1000")
    with pytest.raises(Denied, match="run a pod's as root"):
        look("unit", place, identity=place.identity)


def test_a_user_that_is_not_root_reads_as_it_is_and_never_asks_for_sudo(host):
    place, script = host({"head -c 262144": MISSING}, uid="1000")
    look("identity", place)
    assert "head -c 262144 /etc/qualys/hostid" in script.commands
    assert not [command for command in script.commands if "sudo" in command]
    place, script = host({"true": ""}, uid="1000", sudo=True)
    place.run(root("true"))
    assert script.commands[-1] == "sudo -n true"


def test_a_container_that_is_a_machine_is_judged_by_its_unit(host):
    show = "LoadState=loaded\nActiveState=active\nSubState=running\n"
    place, _ = host({"systemctl": show}, container=replace(CONTAINER, is_machine=True))
    assert look("unit", place, identity=place.identity).state == "active (running)"


def test_an_agent_that_is_expected_and_missing_is_a_verdict_and_touches_nothing(host):
    place, script = host(
        target=Target("kubectl://n2/no-pod", "kubectl", "n2/", absent="no agent pod on node n2")
    )
    seen = look("identity", place)
    assert seen == Absence("no agent pod on node n2")
    assert look("unit", place, identity=seen).presence == "no agent pod on node n2"
    with pytest.raises(Inconclusive, match="kubectl://n2/no-pod: no agent pod on node n2"):
        look("service", place, unit=seen)
    assert script.commands == []


@pytest.mark.parametrize(
    ("boot", "inconclusive"), [("starts at boot", False), ("does not start at boot: x", False), (None, True)]
)
def test_what_starts_a_container_at_boot_may_not_be_seen(host, boot, inconclusive):
    place, _ = host()
    agent = ContainedAgent(replace(CONTAINER, boot=boot), Processes((7,)), has_program=True)
    if inconclusive:
        with pytest.raises(Inconclusive, match=r"what starts this container after a reboot"):
            look("startup", place, service=agent)
    else:
        assert look("startup", place, service=agent).boot == boot


@pytest.mark.parametrize(
    ("dialect", "arguments", "asked"),
    [
        (Dialect.VENDOR, {}, ["type=vm", "type=inv"]),
        (Dialect.VENDOR, {"container_scan_types": (ScanType.PC,)}, []),
        (Dialect.RUNBOOK, {}, ["scan"]),
    ],
)
def test_agents_in_containers_are_asked_for_what_the_vendor_supports_there(host, dialect, arguments, asked):
    accepted = [f"On-Demand-Request ControlId: 2026032312000{n}.0" for n in (1, 2)]
    answers = {
        str(HOME / "bin/cloudagentctl.sh"): accepted,
        str(HOME / "bin/qualys-cloud-agent.sh"): "Scan request submitted successfully",
    }
    place, script = host(answers, **arguments)
    seen = {
        "installation": Installation(Layout(), Configuration(), None),
        "command_line": CommandLine(dialect, frozenset()),
        "assessment_before": None,
    }
    if asked:
        assert look("scan", place, **seen).state == "accepted"
    else:
        with pytest.raises(NotApplicable, match="--scan-type=pc has none of vm"):
            look("scan", place, **seen)
    sent = [command for command in script.commands if "cloud-agent/bin" in command and "ls -l" not in command]
    assert [command.split()[-2 if dialect is Dialect.VENDOR else -1] for command in sent] == asked
