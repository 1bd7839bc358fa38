"""The agent's processes, by their full path."""

import pytest

from qualys_verify.agent.processes import agents_only, parse_processes

HEAD = "    PID    PPID      PIDNS COMMAND\n      1       0 4026531836 /sbin/init\n"
DAEMON = "/usr/local/qualys/cloud-agent/bin/qualys-cloud-agent"


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
    ],
)
def test_agents_beside_each_other_are_counted(rows, state):
    assert parse_processes(HEAD + rows).state == state


def test_the_evidence_keeps_nobody_else_s_command_line():
    assert agents_only(f"{HEAD}  710 1 1 {DAEMON}\n  5 1 1 mysql --password=x\n") == f"  710 1 1 {DAEMON}"


@pytest.mark.parametrize(
    ("listing", "daemons"),
    [
        (f"900 1 4026532999 {DAEMON}\n", ()),  # nobody is seen as process 1
        (f"712 1 - {DAEMON}\n900 1 4026532999 {DAEMON}\n", (712,)),
        (f"712 1 - {DAEMON}.sh status\n", ()),
        (f"x 1 - {DAEMON}\n", ()),
        (f"712 x - {DAEMON}\n", ()),
        (f"712 1 {DAEMON}\n", ()),
    ],
)
def test_lines_that_are_none_of_this_hosts_daemons(listing, daemons):
    assert parse_processes(listing).daemons == daemons


@pytest.mark.parametrize(
    "interpreter",
    ["sh", "bash", "dash", "ksh", "zsh", "ash", "busybox", "python3.11", "perl", "ruby", "qemu-x86_64"],
)
def test_what_an_interpreter_runs_is_its_first_argument(interpreter):
    for args, daemons in ((f"-x {DAEMON}", (712,)), (f"-x /opt/other {DAEMON}", ()), ("", ())):
        assert parse_processes(f"712 1 - /bin/{interpreter} {args}\n").daemons == daemons
