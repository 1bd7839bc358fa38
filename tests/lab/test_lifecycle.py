"""The lab comes up whole or not at all, and goes without a trace."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

COMMANDS = Path(__file__).resolve().parents[2] / "lab"
CGROUPS = Path("/sys/fs/cgroup")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
LEDGER = Path("/run/qualys-verify-lab.inotify")
NETNS = Path("/run/netns")
NSPAWN = Path("/run/systemd/nspawn")


def mark(state):
    """What everything of one lab is named after."""
    return (state / "hub").read_text(encoding="ascii").strip().removeprefix("qv-hub-")


def traces(mark, state):
    """All that can be seen of a lab on this machine, but for its processes."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [
        *(line for line in mounts if str(state) in line or mark in line),
        *NETNS.glob(f"qv-*{mark}*"),
        *CGROUPS.glob(f"**/qv-*{mark}*"),
        *NSPAWN.glob(f"propagate/*{mark}*"),
        *([state] if state.exists() else []),
    ]


def processes(mark):
    """The processes in the lab's cgroups."""
    lists = CGROUPS.glob(f"**/qv-lab-{mark}/**/cgroup.procs")
    return {int(pid) for each in lists for pid in each.read_text(encoding="ascii").split()}


def alive(pid):
    """Whether a process still runs; one that only waits to be collected by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition, seconds=20):
    """Wait for something to become true, and fail if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def limit_is_put_back(mark, before):
    """Whether this lab no longer needs the raised limit, and nobody has it for nothing; other labs may be up."""
    needed = LEDGER.read_text(encoding="utf-8") if LEDGER.exists() else ""
    return mark not in needed and (needed or INOTIFY.read_text(encoding="ascii").strip() == before)


def nspawn_locks(state):
    """The files by which nspawn knows that a host's root is in use."""
    roots = [root.stat() for root in state.glob("hosts/*/root")]
    return [NSPAWN / f"locks/inode-{root.st_dev}:{root.st_ino}" for root in roots]


def start(state):
    """Begin to bring a lab up, and return in the middle of it."""
    starting = subprocess.Popen([COMMANDS / "up", "3", "--state", state], stderr=subprocess.PIPE, text=True)
    until(lambda: (state / "hub").exists() and list(NETNS.glob(f"qv-hub-{mark(state)}")))
    return starting


@pytest.fixture
def state(tmp_path, lab_command):
    """A state directory whose lab, if any, is taken down after the test."""
    yield tmp_path / "lab"
    lab_command("down", "--state", tmp_path / "lab")


def test_down_leaves_nothing_behind(state, lab_command):
    lab_command("up", "2", "--state", state)
    name = mark(state)
    visitor = int(
        lab_command("run", "--state", state, "sh", "-c", "sleep 300 >/dev/null 2>&1 & echo $!").stdout
    )
    running = processes(name)
    assert visitor in running
    assert len(running) > 20
    assert int(INOTIFY.read_text(encoding="ascii")) >= 8192
    limit = str(json.loads(LEDGER.read_text(encoding="utf-8"))["before"])
    locks = nspawn_locks(state)
    assert [lock.exists() for lock in locks] == [True, True]

    lab_command("down", "--state", state)

    assert traces(name, state) == []
    assert [pid for pid in running if alive(pid)] == []
    assert [lock.exists() for lock in locks] == [False, False]
    until(lambda: limit_is_put_back(name, limit))
    assert lab_command("down", "--state", state).stderr == ""


def test_a_second_up_is_refused_in_one_line(own_lab, lab_command):
    answer = lab_command("up", "1", "--state", own_lab.state, check=False)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "up already" in answer.stderr
    assert own_lab.ssh("lab1", "true").returncode == 0


def test_an_up_that_fails_cleans_up_after_itself(state, lab_command):
    answer = lab_command("up", "2", "--delay", "-1", "--state", state, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (1, "", 1)
    assert traces(str(state), state) == []


def test_an_up_that_is_ended_cleans_up_after_itself(state):
    starting = start(state)
    starting.send_signal(signal.SIGTERM)
    _, said = starting.communicate(timeout=60)
    assert (starting.returncode, said) == (130, "lab: interrupted\n")
    assert traces(str(state), state) == []


def test_down_clears_away_an_up_that_was_killed(state, lab_command):
    starting = start(state)
    name = mark(state)
    starting.kill()
    starting.communicate(timeout=60)
    running = processes(name)
    assert traces(name, state) != []

    lab_command("down", "--state", state)

    assert traces(name, state) == []
    assert [pid for pid in running if alive(pid)] == []


def test_a_directory_with_something_in_it_is_left_alone(state, lab_command):
    state.mkdir()
    (state / "hub").write_text("mine", encoding="ascii")
    assert "not empty" in lab_command("up", "1", "--state", state, check=False).stderr
    lab_command("down", "--state", state)
    assert (state / "hub").read_text(encoding="ascii") == "mine"


def test_a_rebooted_host_comes_back_as_the_same(own_lab):
    def boot():
        return own_lab.says("lab1", "stat -c %Y /run/systemd/system; cat /etc/machine-id")

    before = boot()
    own_lab.ssh("lab1", "sudo -n systemctl reboot")
    until(lambda: boot().count("\n") == 1 and boot() != before)
    assert boot().splitlines()[1] == before.splitlines()[1]


def test_two_labs_do_not_hear_of_each_other(own_lab, state, lab_command):
    lab_command("up", "1", "--state", state)
    lab_command("down", "--state", state)
    assert own_lab.ssh("lab1", "true").returncode == 0


def test_run_hands_on_what_the_command_says_and_how_it_ends(own_lab):
    answer = own_lab.run(["sh", "-c", "cat; exit 7"], stdin="heard")
    assert (answer.returncode, answer.stdout) == (7, "heard")


def test_the_lab_cannot_be_ended_from_inside(own_lab):
    answer = own_lab.run([COMMANDS / "down", "--state", own_lab.state])
    assert answer.returncode == 1
    assert "from outside" in answer.stderr
