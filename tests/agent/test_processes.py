"""The agent's processes, by their full path."""

from pathlib import PurePosixPath

import pytest

from qualys_verify.agent.processes import (
    Origin,
    agents_only,
    find_agent,
    parse_origin,
    parse_processes,
    without_helpers,
)
from qualys_verify.agent.unit import Service

UNIT = "qualys-cloud-agent.service"
HEAD = "    PID    PPID      PIDNS COMMAND\n      1       0 4026531836 /sbin/init\n"
DAEMON = "/usr/local/qualys/cloud-agent/bin/qualys-cloud-agent"


def pids(listing, main=0):
    return tuple(process.pid for process in parse_processes(f"2 0 - [kthreadd]\n{listing}", main).daemons)


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        (f"  710       1 4026531836 {DAEMON}\n", "no second agent"),
        (f"  710       1 4026531836 {DAEMON}\n  800     710 4026531836 {DAEMON} scan\n", "no second agent"),
        ("", "no second agent"),
        (f"  710       1 4026531836 {DAEMON}\n  900     899 4026532999 {DAEMON}\n", "no second agent"),
        (
            f"  710       1 4026531836 {DAEMON}\n  999       1 4026531836 tail -f {DAEMON}\n",
            "no second agent",
        ),
        (
            f"  710       1 4026531836 python3 {DAEMON}\n  720       1 4026531836 /bin/sh -e {DAEMON}\n",
            "2 agents: processes 710, 720",
        ),
        (
            f"  710       1 4026531836 {DAEMON}\n  711       1 4026531836 qualys-cloud-agent-helper\n",
            "no second agent",
        ),
        (
            f"  710       1 4026531836 {DAEMON}\n  720       1 4026531836 /opt/old/bin/qualys-cloud-agent -x\n",
            "2 agents: processes 710, 720",
        ),
        (f"  710       1 - {DAEMON}\n  720       1 - {DAEMON}\n", "2 agents: processes 710, 720"),
        (
            f"  710       1 4 {DAEMON}\n  711     710 4 sh -c scan\n  712     711 4 {DAEMON} scan\n",
            "no second agent",
        ),
    ],
    ids=[
        "alone",
        "with a child",
        "unseen",
        "in a container",
        "as an argument",
        "by interpreters",
        "another program",
        "two",
        "two, namespaces unknown",
        "with a grandchild",
    ],
)
def test_agents_beside_each_other_are_counted(rows, state):
    assert parse_processes(HEAD + rows, 710).state == state


def test_the_evidence_keeps_nobody_else_s_command_line():
    assert agents_only(f"{HEAD}  710 1 1 {DAEMON}\n  5 1 1 mysql --password=x\n") == f"  710 1 1 {DAEMON}"


@pytest.mark.parametrize(
    ("listing", "daemons"),
    [
        (f"900 1 4026532999 {DAEMON}\n", ()),  # nobody is seen as process 1
        (f"900 901 - {DAEMON}\n901 900 - sh\n", (900,)),  # each other's parents, as `ps` may have read them
        (f"900 901 - {DAEMON}\n901 902 - sh\n902 901 - sh\n", (900,)),
        (f"712 1 - {DAEMON}\n900 1 4026532999 {DAEMON}\n", (712,)),
        (f"712 1 - {DAEMON}.sh status\n", ()),
        (f"x 1 - {DAEMON}\n", ()),
        (f"712 x - {DAEMON}\n", ()),
        (f"712 1 {DAEMON}\n", ()),
    ],
)
def test_lines_that_are_none_of_this_hosts_daemons(listing, daemons):
    assert pids(listing) == daemons


@pytest.mark.parametrize(
    "interpreter",
    ["sh", "bash", "dash", "ksh", "zsh", "ash", "busybox", "python3.11", "perl", "ruby", "qemu-x86_64"],
)
def test_what_an_interpreter_runs_is_its_first_argument(interpreter):
    for args, daemons in ((f"-x {DAEMON}", (712,)), (f"-x /opt/other {DAEMON}", ()), ("", ())):
        assert pids(f"712 1 - /bin/{interpreter} {args}\n") == daemons


def test_agents_in_containers_are_told_apart():
    found = parse_processes(f"1 0 4 init\n710 1 4 {DAEMON}\n900 899 9 {DAEMON}\n", 0)
    assert [[process.pid for process in group] for group in (found.daemons, found.contained)] == [
        [710],
        [900],
    ]


@pytest.mark.parametrize("listing", ["", "ps: bad -o argument 'pidns'\n", "  PID PPID PIDNS COMMAND\n"])
def test_no_process_at_all_is_no_answer(listing):
    with pytest.raises(ValueError, match="lists no process"):
        parse_processes(listing, 712)


# --- daemons and helpers ---------------------------------------------------------------------------------

GROUP = f"/system.slice/{UNIT}"
OURS, HAND = f"0::{GROUP}", "0::/user.slice/user-0.slice/session-1.scope"


def service(**changes):
    values = {
        "unit": UNIT,
        "load": "loaded",
        "state": "active (running)",
        "startup": "enabled",
        "result": "success",
        "restarts": 0,
        "running_for": None,
        "wanted": True,
        "executable": PurePosixPath(DAEMON),
        "main_pid": 710,
        "control_group": GROUP,
    }
    return Service(**values | changes)


def stat(pid, started, name="qualys-cloud-ag"):
    return f"{pid} ({name}) S 1 {' '.join(map(str, range(5, 22)))} {started} 0 0\n"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        (f"{OURS}\n{stat(710, 500)}", Origin((GROUP,), 500)),
        (f"3:cpuset:/\n1:name=systemd:{GROUP}\n0::/\n{stat(710, 500)}", Origin(("/", GROUP, "/"), 500)),
        (f"{OURS}\n{stat(710, 500, 'a) S 1 (b')}", Origin((GROUP,), 500)),
        ("", None),
        (f"{OURS}\n", None),
        (f"{OURS}\n710 (x) S 1 2 3\n", None),
        (stat(710, "x"), None),
    ],
)
def test_where_a_process_comes_from(text, origin):
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    ("own", "group", "inside"),
    [
        (GROUP, GROUP, True),
        (f"{GROUP}/scan", GROUP, True),
        (f"/machine.slice/web1/payload{GROUP}", GROUP, True),
        (f"{GROUP}2", GROUP, False),
        ("/", GROUP, False),
        (GROUP, "", False),
    ],
)
def test_a_units_processes_are_in_its_control_group(own, group, inside):
    assert Origin(("/", own), 1).is_in(group) == inside


TWO = f"710 1 - {DAEMON}\n930 1 - {DAEMON} --scan\n"


@pytest.mark.parametrize(
    ("told", "daemons"),
    [
        ({710: (OURS, 500), 930: (OURS, 900)}, [710]),  # a helper that has lost its parent
        ({710: (OURS, 500), 930: (f"{OURS}/scan", 500)}, [710]),
        ({710: (OURS, 500), 930: (OURS, 499)}, [710, 930]),  # left from before the unit's last start
        ({710: (OURS, 500), 930: (HAND, 900)}, [710, 930]),
        ({710: (OURS, 500), 930: ("0::/system.slice/old-agent.service", 900)}, [710, 930]),
        ({710: (OURS, 500), 930: None}, [710]),  # it has ended
        ({710: None, 930: (HAND, 900)}, [930]),
        ({710: None, 930: (OURS, 900)}, [930]),
        ({710: None, 930: None}, [710]),  # not even the main one can be seen: other arguments make a helper
    ],
)
def test_a_helper_that_lost_its_parent_is_no_second_agent(told, daemons):
    origins = {pid: seen and parse_origin(f"{seen[0]}\n{stat(pid, seen[1])}") for pid, seen in told.items()}
    found = without_helpers(parse_processes(TWO, 710), service(), origins)
    assert [process.pid for process in found.daemons] == daemons
    assert found.main.pid == 710


def test_a_wrapper_that_is_the_main_process_has_one_agent():
    listing = f"700 1 - /opt/site/start\n710 1 - {DAEMON}\n930 1 - {DAEMON}\n940 1 - {DAEMON}\n"
    started = {700: (OURS, 400), 710: (OURS, 600), 930: (OURS, 500), 940: (HAND, 450)}
    origins = {pid: Origin((group,), at) for pid, (group, at) in started.items()}
    for main in (700, 0):
        found = without_helpers(parse_processes(listing, main), service(main_pid=main), origins)
        assert [process.pid for process in found.daemons] == [930, 940]


@pytest.mark.parametrize(
    ("second", "daemons"),
    [
        (f"{DAEMON} --scan", [710]),
        (f"/bin/sh {DAEMON} --scan", [710]),
        (DAEMON, [710, 930]),
        ("/opt/qualys/cloud-agent/bin/qualys-cloud-agent --scan", [710, 930]),
    ],
)
def test_where_nobody_tells_where_processes_come_from_their_arguments_do(second, daemons):
    processes = parse_processes(f"710 1 - {DAEMON}\n930 1 - {second}\n", 710)
    found = without_helpers(processes, service(), {710: None, 930: None})
    assert [process.pid for process in found.daemons] == daemons
    without_main = parse_processes(f"710 1 - {DAEMON}\n930 1 - {second}\n", 0)
    assert len(without_helpers(without_main, service(main_pid=0), {}).daemons) == 2


# --- is there one at all? --------------------------------------------------------------------------------


def judge(listing, name="", **unit):
    seen = service(**unit)
    return find_agent(parse_processes(f"1 0 4 /sbin/init\n{listing}", seen.main_pid), seen, name).state


@pytest.mark.parametrize(
    ("listing", "name"),
    [
        (f"710 1 4 {DAEMON}", ""),
        (f"711 1 4 {DAEMON}", "sleep"),  # not the main process: a wrapper keeps it
        (f"710 1 4 python3 {DAEMON}", ""),
        ("710 1 4 /var/usrlocal/qualys/cloud-agent/bin/qualys-cloud-agent", ""),
        (f"710 1 9 {DAEMON}", ""),  # in a container
        (f"710 1 4 docker run qualys\n900 899 9 {DAEMON}", "docker"),
        ("710 1 4 qagent: main loop", "qualys-cloud-ag"),
        ("710 1 4 /usr/local/qualys/cloud-agent/lib/agent-main --daemon", ""),
        ("710 1 4 /bin/sh -e /usr/local/qualys/cloud-agent/bin/run", ""),
    ],
)
def test_an_agent_runs_under_many_names(listing, name):
    assert judge(listing, name) == "runs"


def test_a_unit_that_keeps_another_program_alive_runs_no_agent():
    assert judge("710 1 4 sleep infinity --password=x", "sleep") == (
        "no agent process: the unit's main process 710 is sleep"
    )
    assert judge("710 1 4 /bin/sh -c x", "sh") == "no agent process: the unit's main process 710 is /bin/sh"


def test_nor_does_one_that_does_not_run():
    assert judge("", state="inactive (dead)", main_pid=0) == (
        "no agent process, and the unit is inactive (dead)"
    )


@pytest.mark.parametrize(
    ("listing", "unit", "why"),
    [
        (
            "710 1 4 /bin/sleep infinity",
            {"executable": PurePosixPath("/bin/sleep")},
            "the unit runs /bin/sleep",
        ),
        ("710 1 4 /bin/sleep infinity", {"executable": None}, "the unit runs nothing that it names"),
        ("711 1 4 sleep infinity", {}, "main process 710 is not listed: .*restarting"),
        ("711 1 4 sleep infinity", {"main_pid": 0}, "main process  is not listed"),
    ],
)
def test_what_may_be_an_agent_is_no_finding(listing, unit, why):
    with pytest.raises(ValueError, match=why):
        judge(listing, **unit)


@pytest.mark.parametrize("executable", ["/usr/bin/qualys-cloud-agent", "/qualys-cloud-agent"])
def test_the_systems_own_folders_are_no_agents_home(executable):
    said = judge("710 1 4 /usr/bin/sleep infinity", executable=PurePosixPath(executable))
    assert said.startswith("no agent process")
