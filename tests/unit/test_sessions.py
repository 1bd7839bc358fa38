"""Ending a session: real processes, and only those that belong to it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qualys_verify import sessions
from qualys_verify.sessions import end_session

# A command in a process group of its own, as `timeout` makes one, and one in the leader's.
OWN_GROUP = "timeout 60 sleep 60 & echo $!; sleep 60 & echo $!; echo; wait"


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def gone(pids, within=5.0):
    until = time.monotonic() + within
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.01)
    return not any(map(alive, pids))


@pytest.fixture
def session():
    """A session with processes in two groups: its leader, and the numbers of the others."""
    leader = subprocess.Popen(
        ["/bin/sh", "-c", OWN_GROUP], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    pids = [int(line) for line in iter(leader.stdout.readline, "\n")]
    groups = until_groups_differ(leader.pid, pids)
    assert len(groups) == 2
    yield leader, pids
    for pid in (leader.pid, *pids):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    leader.stdout.close()
    leader.wait()


def until_groups_differ(leader, pids):
    until = time.monotonic() + 5
    while len(groups := {os.getpgid(pid) for pid in (leader, *pids)}) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return groups


@pytest.fixture
def bystander():
    """A process of another session."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_everything_of_the_session_is_ended_whatever_its_group(session, bystander):
    leader, pids = session
    end_session(leader.pid)
    assert gone([leader.pid, *pids])
    assert bystander.poll() is None


def test_a_kernel_without_handles_does_it_by_number(session, bystander, monkeypatch):
    def not_implemented(_pid):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", not_implemented)
    leader, pids = session
    end_session(leader.pid)
    assert gone([leader.pid, *pids])
    assert bystander.poll() is None


def test_without_proc_the_group_has_to_do(session, tmp_path):
    leader, (in_own_group, in_leaders_group) = session
    end_session(leader.pid, tmp_path / "none")
    assert gone([leader.pid, in_leaders_group])
    assert alive(in_own_group)


def test_a_number_that_is_somebody_else_s_by_now_is_left_alone(bystander, monkeypatch):
    """The list says that it is a member; looked at again it is none."""
    monkeypatch.setattr(sessions, "_members", lambda *_: iter([bystander.pid]))
    assert not sessions._kill(bystander.pid, os.getpid(), Path("/proc"))
    end_session(4194303)
    assert bystander.poll() is None


def test_who_goes_on_starting_others_is_caught_up_with():
    breeder = "import os, time\nwhile True:\n    if not os.fork():\n        os.setpgid(0, 0)\n        time.sleep(60)\n    time.sleep(0.002)"
    leader = subprocess.Popen([sys.executable, "-c", breeder], start_new_session=True)
    time.sleep(0.3)
    members = list(sessions._members(leader.pid, Path("/proc")))
    end_session(leader.pid)
    leader.wait()
    assert len(members) > 2
    assert list(sessions._members(leader.pid, Path("/proc"))) == []


@pytest.mark.parametrize(
    "stat", [b"", b"7 (a) S", b"7 (odd ) name) S 1 7 8 0"], ids=["empty", "cut off", "of 8"]
)
def test_what_cannot_be_read_is_no_member(tmp_path, stat):
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_bytes(stat)
    assert list(sessions._members(7, tmp_path)) == []


@pytest.mark.parametrize(("state", "members"), [(b"S", [7]), (b"Z", []), (b"X", [])])
def test_the_dead_are_no_members(tmp_path, state, members):
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_bytes(b"7 (odd ) name) " + state + b" 1 7 8 0 -1")
    assert list(sessions._members(8, tmp_path)) == members


def test_what_may_not_be_ended_does_not_hold_it_up(bystander, monkeypatch):
    """As a process that runs as root beside a login that is not."""
    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    monkeypatch.setattr(os, "killpg", refuse)
    started = time.monotonic()
    end_session(bystander.pid)
    assert time.monotonic() - started < 1
    assert bystander.poll() is None


def refuse(*_arguments):
    raise PermissionError(1, "Operation not permitted")
