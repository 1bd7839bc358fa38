"""How commands are really carried: processes of this machine, bounded in time and output, and the ssh client."""

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from qualys_verify import backends
from qualys_verify.backends import Deadline, Local
from qualys_verify.reasons import Inconclusive, Interrupted, TimedOut
from qualys_verify.targets import select
from qualys_verify.transport import SshSettings, connect, disconnect

SSH = shutil.which("ssh")


def deadline(seconds=20.0, interrupted=None):
    return Deadline(seconds, interrupted or threading.Event())


@pytest.fixture
def local(tmp_path):
    """Runs commands on this machine as the suite does on `local://`."""

    def run(*commands, **bounds):
        (target,) = select(["local://"]).targets
        return connect(target, SshSettings(tmp_path), deadline(**bounds), 0).run(commands)

    return run


@pytest.fixture(autouse=True)
def nothing_stays_behind():
    """No file descriptor and no child process, dead or alive, outlives a test."""
    before = len(list(Path("/proc/self/fd").iterdir())), children()
    yield
    assert (len(list(Path("/proc/self/fd").iterdir())), children()) == before


def children():
    """The child processes of this one, dead ones included; other tests of the session may have some."""
    return {
        pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
    }


def ends(pid, within=5.0):
    """Whether a process that is nobody's child any more is gone soon."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


class Stopwatch:
    def __enter__(self):
        self._started = time.monotonic()
        return self

    def __exit__(self, *_error):
        self.seconds = time.monotonic() - self._started


def test_this_machine(local):
    first, second = local("echo $((6 * 7)); pwd >&2; exit 4", "cat")
    assert (first.status, first.stdout, first.stderr) == (4, "42\n", f"{Path.cwd()}\n")
    assert (second.status, second.stdout, second.took >= 0) == (0, "", True)


def test_bytes_of_a_path_that_is_no_text_arrive_as_they_are(local):
    (reply,) = local(f"printf %s {os.fsdecode(b'/agent-' + bytes([0xE9]))} | od -An -tx1")
    assert reply.stdout.split()[-1] == "e9"


def test_the_environment_is_a_copy_because_pytest_changes_the_live_one(tmp_path, monkeypatch):
    monkeypatch.setenv("QV_PROBE", "then")
    (target,) = select(["local://"]).targets
    way = connect(target, SshSettings(tmp_path), deadline(), 0)
    monkeypatch.setenv("QV_PROBE", "now")
    (reply,) = way.run(["echo $QV_PROBE"])
    assert reply.stdout == "then\n"


def test_a_deadline_ends_everything_that_was_started(local, tmp_path):
    with Stopwatch() as watch, pytest.raises(TimedOut, match=r"no answer within 0\.5 s"):
        local(f"sleep 60 & echo $! >{tmp_path}/pid; sh -c 'sleep 60; :'; :", seconds=0.5)
    assert watch.seconds < 5
    assert ends(int((tmp_path / "pid").read_text()))


def test_a_command_below_timeout_is_ended_with_it(local, tmp_path):
    """As every command is run where there is `timeout`, which makes a process group of its own."""
    with Stopwatch() as watch, pytest.raises(TimedOut):
        local(f"timeout 60 sh -c 'echo $$ >{tmp_path}/pid; sleep 60; :'", seconds=0.5)
    assert watch.seconds < 5
    assert ends(int((tmp_path / "pid").read_text()))


def test_a_command_that_ignores_signals_is_ended_as_well(local, tmp_path):
    with pytest.raises(TimedOut):
        local(f"trap '' TERM INT HUP; echo $$ >{tmp_path}/pid; while :; do sleep 1; done", seconds=0.5)
    assert ends(int((tmp_path / "pid").read_text()))


def test_a_command_that_closes_its_output_and_goes_on_is_ended_as_well():
    with Stopwatch() as watch, pytest.raises(TimedOut):
        Local().bind(deadline(0.5)).run_bounded("exec sleep 60 >&- 2>&-", "", b"")
    assert watch.seconds < 5


def test_a_background_process_that_holds_the_output_open_does_not_hold_the_run_up(local):
    with Stopwatch() as watch:
        (reply,) = local("sleep 60 & echo $!")
    assert watch.seconds < 5
    assert reply.status == 0
    os.kill(int(reply.stdout), signal.SIGKILL)


def test_a_client_that_does_not_read_its_input():
    result = Local().bind(deadline()).run_bounded("exec 0<&-; exit 3", "x" * 10_000, b"")
    assert result.status == 3


def test_a_client_that_dies_by_a_signal_has_not_run_the_command():
    assert Local().bind(deadline()).run_bounded("kill -9 $$", "", b"").status == -signal.SIGKILL


def test_large_output_is_read_to_its_end(local):
    (reply,) = local("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2")
    assert (len(reply.stdout), reply.stderr) == (3_000_000, "end\n")


@pytest.mark.parametrize("stream", ["1", "2"])
def test_endless_output_is_cut_off(local, monkeypatch, stream):
    monkeypatch.setattr(backends, "OUTPUT_LIMIT", 1 << 20)
    with Stopwatch() as watch, pytest.raises(Inconclusive, match="more than 1 MiB"):
        local(f"yes >&{stream}")
    assert watch.seconds < 10


def test_an_interrupted_run_does_not_wait_for_its_commands(local):
    interrupted = threading.Event()
    timer = threading.Timer(0.3, interrupted.set)
    timer.start()
    with Stopwatch() as watch, pytest.raises(Interrupted):
        local("sleep 60", interrupted=interrupted)
    timer.join()
    assert watch.seconds < 5


@pytest.fixture
def effective(tmp_path, monkeypatch):
    """What the real ssh client would do for a host: `ssh -G` instead of the connection."""
    if SSH is None:
        pytest.skip("needs the OpenSSH client")

    def options(spec, **settings):
        fake = tmp_path / "bin/ssh"
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f'#!/bin/sh\ncat >{tmp_path}/stdin\nexec {SSH} -G "$@"\n')
        fake.chmod(0o700)
        monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
        (target,) = select([spec]).targets
        way = connect(target, SshSettings(tmp_path / "control", **settings), deadline(7), 3)
        result = way._backend.deliver("the script", b"")
        assert result.status == 0, result.stderr
        lines = [line.partition(" ") for line in result.stdout.decode().splitlines()]
        return {name: value for name, _, value in reversed(lines)}  # of several the first, as ssh does

    return options


HOSTILE = """
Host *
    StrictHostKeyChecking no
    BatchMode no
    ForwardAgent yes
    ForwardX11 yes
    LocalForward 127.0.0.1:9 127.0.0.1:9
    PermitLocalCommand yes
    RequestTTY force
    LogLevel QUIET
    ControlMaster no
    ControlPath none
    ControlPersist no
    ConnectTimeout 0
    User nobody
    Port 9
Host alias
    HostName 203.0.113.7
    ProxyJump jump.example.org
"""


def test_no_configuration_makes_ssh_less_strict(effective, tmp_path):
    config = tmp_path / "ssh config"
    config.write_text(HOSTILE)
    (tmp_path / "a key").touch()
    options = effective("ssh://ops@alias:2222", config=config, identity_file=tmp_path / "a key")
    expected = {
        "stricthostkeychecking": "true",
        "batchmode": "yes",
        "forwardagent": "no",
        "forwardx11": "no",
        "clearallforwardings": "yes",
        "permitlocalcommand": "no",
        "requesttty": "false",
        "loglevel": "INFO",
        "controlmaster": "auto",
        "controlpath": str(tmp_path / "control/3"),
        "controlpersist": "60",
        "connecttimeout": "7",
        "user": "ops",
        "port": "2222",
        "hostname": "203.0.113.7",
        "proxyjump": "jump.example.org",
        "identityfile": str(tmp_path / "a key"),
    }
    assert {name: options.get(name) for name in expected} == expected
    assert "localforward" not in options
    assert (tmp_path / "stdin").read_text() == "the script"


@pytest.mark.parametrize(
    ("spec", "user", "name"),
    [
        (r"ssh://DOMAIN\ops@web1", r"DOMAIN\ops", "web1"),
        ("ssh://ops@example.org@web1", "ops@example.org", "web1"),
        ("ssh://machine$@web1", "machine$", "web1"),
        ("ssh://ops@[fe80::1%eth0]", "ops", "fe80::1%eth0"),
    ],
)
def test_ssh_is_told_the_user_and_the_host_that_were_meant(effective, spec, user, name):
    options = effective(spec)
    assert (options["user"], options["hostname"]) == (user, name)


def test_no_ssh_client_is_an_unreachable_host(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (target,) = select(["web1"]).targets
    with pytest.raises(
        Inconclusive, match=r"ssh://web1 cannot be reached: the client program is not installed .*not found"
    ):
        connect(target, SshSettings(tmp_path), deadline(), 0).run(["true"])


def test_only_a_shared_connection_that_exists_is_closed(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: calls.append(argv))
    (tmp_path / "1").touch()
    for number in (0, 1):
        disconnect(SshSettings(tmp_path), number)
    assert [argv[4] for argv in calls] == [f"ControlPath={tmp_path}/1"]


def test_a_shared_connection_that_does_not_close_is_left(tmp_path, monkeypatch):
    def hang(argv, **_):
        raise subprocess.TimeoutExpired(argv, 10)

    monkeypatch.setattr(subprocess, "run", hang)
    (tmp_path / "0").touch()
    disconnect(SshSettings(tmp_path), 0)
