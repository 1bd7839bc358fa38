"""The demo's hosts over the real ssh client."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from qualys_verify.standin.demo import Demo, DemoError, plan
from qualys_verify.standin.install import HOME, UNIT, StandinHost

SHOW = "systemctl show qualys-cloud-agent"


@pytest.fixture(scope="module")
def demo():
    with Demo.start(plan("", hosts=None, delay=0.2)) as running:
        yield running


@pytest.fixture
def ssh(demo):
    def run(name, command, given=b"", *options):
        return subprocess.run(
            ["ssh", "-F", demo.ssh_config, *options, name, command],
            input=given,
            capture_output=True,
            timeout=20,
            check=False,
        )

    return run


def until(true, limit=10.0):
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "did not come to pass in time"
        time.sleep(0.02)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def root_of(demo, name):
    return next(host.root for host in demo.hosts if host.name == name)


def test_the_plan_names_the_hosts():
    names = ["demo-runbook", "demo-limited", "demo-vendor", "demo-no-agent", "demo-never-assesses"]
    assert [host.name for host in plan("", None, None)] == names
    assert [host.name for host in plan("healthy", None, None)] == names[:3]
    assert {host.delay for host in plan("", None, 0.5)} == {0.5}
    assert [(host.agent, host.assesses) for host in plan("", None, None)[3:]] == [
        (False, True),
        (True, False),
    ]


def test_the_plan_repeats_its_kinds_to_the_number_asked_for():
    hosts = plan("healthy", 4, None)
    assert [host.name for host in hosts] == [
        "demo-runbook-001",
        "demo-limited-001",
        "demo-vendor-001",
        "demo-runbook-002",
    ]
    assert Counter(host.personality for host in plan("healthy", 99, None)) == dict.fromkeys(
        ("runbook", "limited", "vendor"), 33
    )


@pytest.mark.parametrize(
    ("selection", "hosts", "says"),
    [("sick", None, "no demo 'sick': .* healthy"), ("", 0, "at least one host, not 0")],
)
def test_plans_that_cannot_be(selection, hosts, says):
    with pytest.raises(ValueError, match=says):
        plan(selection, hosts, None)


def test_each_name_reaches_its_own_host(demo, ssh):
    for host in demo.hosts:
        done = ssh(host.name, "hostname; pwd")
        assert done.stdout.decode().splitlines() == [host.name, str(host.root / "home")]
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("status", [0, 1, 3, 127, 254, 255])
def test_exit_statuses_pass(ssh, status):
    assert ssh("demo-vendor", f"exit {status}").returncode == status


def test_death_by_a_signal_is_told_as_sshd_tells_it(ssh):
    assert ssh("demo-vendor", "kill -9 $$").returncode == 255


def test_bytes_pass_both_ways_on_their_own_streams(ssh):
    data = bytes(range(256)) * 8192
    done = ssh("demo-vendor", "tee /dev/stderr", data)
    assert done.stdout == data
    assert done.stderr == data


def test_a_command_need_not_read_its_input(ssh):
    assert ssh("demo-vendor", "exit 7", bytes(1_000_000)).returncode == 7


def test_without_a_command_there_is_a_shell(ssh):
    done = ssh("demo-vendor", "", b"hostname\nexit 5\n", "-T")
    assert (done.stdout, done.returncode) == (b"demo-vendor\n", 5)


def test_commands_see_nothing_of_this_machines_environment(ssh):
    seen = ssh("demo-vendor", "env", b"", "-o", "SetEnv=SECRET=1").stdout.decode()
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert names <= {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}


def test_many_sessions_share_a_connection(demo, ssh, tmp_path):
    options = ["-o", f"ControlPath={tmp_path}/c", "-o", "ControlMaster=auto", "-o", "ControlPersist=20"]
    sessions = [
        subprocess.Popen(
            ["ssh", "-F", demo.ssh_config, *options, "-O", "check", "demo-vendor"], stderr=subprocess.DEVNULL
        )
    ]
    assert sessions[0].wait(10) == 255
    assert ssh("demo-vendor", "true", b"", *options).returncode == 0
    sessions = [
        subprocess.Popen(
            ["ssh", "-F", demo.ssh_config, *options, "demo-vendor", f"echo {number}; exit {number}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        for number in range(30)
    ]
    ended = [(session.communicate(timeout=20)[0], session.returncode) for session in sessions]
    assert ended == [(f"{number}\n".encode(), number) for number in range(30)]
    assert ssh("demo-vendor", "", b"", *options, "-O", "exit").returncode == 0


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "User=root"],
        ["-o", "IdentityFile=none", "-o", "PubkeyAuthentication=no"],
    ],
)
def test_nobody_else_is_let_in(ssh, options):
    done = ssh("demo-vendor", "true", b"", *options)
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_another_hosts_name_for_the_key_is_refused(ssh, tmp_path):
    (tmp_path / "empty").write_text("")
    done = ssh("demo-vendor", "true", b"", "-o", f"UserKnownHostsFile={tmp_path}/empty")
    assert done.returncode == 255
    assert b"Host key verification failed" in done.stderr


def test_nothing_but_sessions_is_served(demo, ssh):
    assert ssh("demo-vendor", "sftp", b"", "-s").returncode != 0
    port = re.search(r"Port (\d+)", demo.ssh_config.read_text())[1]  # the one place known to listen
    assert b"open failed" in ssh("demo-vendor", "", b"", "-W", f"127.0.0.1:{port}").stderr


def test_what_a_command_started_ends_with_its_connection(demo):
    note = root_of(demo, "demo-vendor") / "home/pid"
    client = subprocess.Popen(
        ["ssh", "-F", demo.ssh_config, "demo-vendor", "sleep 300 & echo $! >pid; wait"],
        stdin=subprocess.DEVNULL,
    )
    until(lambda: note.exists() and note.read_text().endswith("\n"))
    pid = int(note.read_text())
    assert is_alive(pid)
    client.kill()
    client.wait()
    until(lambda: not is_alive(pid))


def test_a_request_over_ssh_is_carried_out(demo, ssh):
    root = root_of(demo, "demo-vendor")
    control = f"{root / HOME}/bin/cloudagentctl.sh"
    said = ssh("demo-vendor", f"sudo -n {control} action=demand type=vm").stdout.decode()
    control_id = re.fullmatch(r"On-Demand-Request ControlId: (\d{14}\.\d+)\n", said)[1]
    log = root / "var/log/qualys/qualys-cloud-agent.log"
    until(lambda: f"Scan finished for Manifest Type: VM, Control ID: {control_id}\n" in log.read_text())


def test_systemctl_shows_the_unit_as_systemd_does(demo, ssh):
    executable = f"{root_of(demo, 'demo-vendor') / HOME}/bin/qualys-cloud-agent"
    asked = "--property=Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts,WantedBy,RequiredBy"
    shown = ssh("demo-vendor", f"{SHOW} {asked},LoadError,NoSuch -p MainPID -p ExecStart").stdout.decode()
    values = dict(line.split("=", 1) for line in shown.splitlines())
    assert int(values.pop("MainPID")) > 1
    assert values.pop("ExecStart").startswith(f"{{ path={executable} ; argv[]={executable} ; ")
    assert values == {
        "Id": "qualys-cloud-agent.service",
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
        "NRestarts": "0",
        "WantedBy": "multi-user.target",
        "RequiredBy": "",
    }
    assert b"RequiredBy" not in ssh("demo-vendor", SHOW).stdout
    assert ssh("demo-vendor", f"{SHOW}.service -p SubState --value").stdout == b"running\n"
    assert ssh("demo-vendor", "systemctl --version").stdout.startswith(b"systemd 252 ")


@pytest.mark.parametrize(
    ("host", "command", "answer"),
    [
        ("demo-vendor", "is-active qualys-cloud-agent", (0, "active\n", "")),
        ("demo-vendor", "is-enabled qualys-cloud-agent.service", (0, "enabled\n", "")),
        ("demo-vendor", "is-active --quiet qualys-cloud-agent", (0, "", "")),
        ("demo-vendor", "is-active sshd", (3, "inactive\n", "")),
        ("demo-vendor", "status other.service", (4, "", "Unit other.service could not be found.\n")),
        ("demo-no-agent", "is-active qualys-cloud-agent", (3, "inactive\n", "")),
        ("demo-no-agent", "status qualys-cloud-agent.service", (4, "", f"Unit {UNIT} could not be found.\n")),
        (
            "demo-no-agent",
            f"show -p LoadState,SubState {UNIT}",
            (0, "LoadState=not-found\nSubState=dead\n", ""),
        ),
    ],
)
def test_systemctl_answers_as_systemd_does(ssh, host, command, answer):
    done = ssh(host, f"systemctl {command}")
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == answer


def test_systemctl_changes_nothing_on_a_demo_host(ssh):
    assert ssh("demo-vendor", "systemctl stop qualys-cloud-agent").returncode == 1
    assert ssh("demo-vendor", "systemctl is-active qualys-cloud-agent").returncode == 0


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("sudo -n true", 0, ""),
        ("sudo -nH -u root -- printf '%s|' 'a b' c", 0, "a b|c|"),
        ("sudo -n sh -c 'cat; exit 3'", 3, "given"),
        ("sudo -n NAME=value sh -c 'echo $NAME'", 0, "value\n"),
        ("sudo -v", 0, ""),
        ("sudo -n -l hostname", 0, "shims/hostname\n"),
        ("sudo -n -u nosuchuser true", 1, ""),
        ("sudo -n no-such-command", 1, ""),
    ],
)
def test_sudo_runs_what_it_is_given(ssh, command, status, says):
    done = ssh("demo-vendor", command, b"given")
    assert done.returncode == status
    assert done.stdout.decode().endswith(says)


def test_ps_shows_the_agents_daemon_by_its_path(demo, ssh):
    for host in demo.hosts:
        path = f"{host.root / HOME}/bin/qualys-cloud-agent"
        listing = ssh(host.name, "ps -eo args").stdout.decode().splitlines()
        assert listing.count(path) == (host.name != "demo-no-agent")
    pid = ssh("demo-vendor", f"{SHOW} -p MainPID --value").stdout.decode().strip()
    shown = ssh("demo-vendor", f"ps -o args= -p {pid}").stdout.decode()
    assert shown == f"{root_of(demo, 'demo-vendor') / HOME}/bin/qualys-cloud-agent\n"
    assert ssh("demo-vendor", "ps -p 999999999").returncode == 1


def test_closing_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    demo = Demo.start(plan("healthy", 1, None))
    (directory,) = tmp_path.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    note = demo.hosts[0].root / "home/pid"
    client = subprocess.Popen(
        ["ssh", "-F", demo.ssh_config, "demo-runbook-001", "echo $$ >pid; exec sleep 300"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: note.exists() and note.read_text().endswith("\n"))
    pid = int(note.read_text())
    demo.close()
    demo.close()
    assert client.wait(10) == 255
    assert demo._server.returncode == 0
    until(lambda: not is_alive(pid))
    assert not directory.exists()


def test_a_directory_of_ones_own_stays(tmp_path):
    place = tmp_path / "a demo"
    with Demo.start((StandinHost("demo-one", "vendor"),), place) as demo:
        done = subprocess.run(
            ["ssh", "-F", demo.ssh_config, "demo-one", "hostname"], capture_output=True, check=True
        )
        assert done.stdout == b"demo-one\n"
    assert (place / "hosts/demo-one/etc/qualys/hostid").exists()
    with pytest.raises(DemoError, match=r"did not come up: .*exists"):
        Demo.start((StandinHost("demo-one", "vendor"),), place)


def test_the_hosts_end_when_their_owner_is_killed(tmp_path):
    program = (
        "import sys\nfrom qualys_verify.standin.demo import Demo, plan\n"
        "demo = Demo.start(plan('healthy', 1, None))\n"
        "print(demo._server.pid, demo.ssh_config.parent, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
    ) as owner:
        pid, directory = owner.stdout.readline().decode().split(maxsplit=1)
        assert Path(directory.strip()).exists()
        owner.send_signal(signal.SIGKILL)
    until(lambda: not is_alive(int(pid)))
    assert list(tmp_path.iterdir()) == []


def test_many_hosts_are_up_soon():
    began = time.monotonic()
    with Demo.start(plan("", 100, None)) as demo:
        took = time.monotonic() - began
        assert len({host.root for host in demo.hosts}) == 100
    assert took < 10  # some 0.5 s on an idle machine; the bound is for busy ones
