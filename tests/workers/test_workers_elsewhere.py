"""`--tx ssh=…`: a worker behind a real SSH server, in a checkout of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from qualys_verify.standin.demo import Demo
from qualys_verify.standin.install import StandinHost
from tests.plugin.conftest import ROOT, Standin
from tests.workers.conftest import journal_of, result_of

SSHD = "/usr/sbin/sshd"
NOWHERE = "ssh://127.0.0.1:1"


@dataclass(frozen=True)
class Elsewhere:
    """A machine to work on: this one, by SSH, with a checkout of its own in `folder`."""

    folder: Path
    config: Path

    @property
    def tx(self):
        return f"--tx=ssh=elsewhere//ssh_config={self.config}//chdir={self.folder}//python={sys.executable}"


@pytest.fixture
def elsewhere(tmp_path):
    if not Path(SSHD).exists():
        pytest.skip("openssh-server is not installed")
    if os.getuid() != 0:
        pytest.skip("only root can start an SSH server that logs in")
    Path("/run/sshd").mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # one of its own: these tests share the processors
        port = probe.getsockname()[1]
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile none\nAuthorizedKeysFile {tmp_path}/user.pub\n"
        "PasswordAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"
    )
    config = tmp_path / "worker_config"
    config.write_text(
        f"Host elsewhere\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {tmp_path}/user\n  BatchMode yes\n"
        f"  UserKnownHostsFile {tmp_path}/known\n  StrictHostKeyChecking accept-new\n"
    )
    server = subprocess.Popen([SSHD, "-f", tmp_path / "sshd_config", "-D", "-e"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(50):
            if (
                subprocess.run(
                    ["ssh", "-F", config, "elsewhere", "true"], check=False, capture_output=True
                ).returncode
                == 0
            ):
                break
            time.sleep(0.1)
        else:
            pytest.fail("the SSH server did not come up")
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        for name in ("conftest.py", "pyproject.toml", "tests_agent", "fixtures"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, checkout / name)
        yield Elsewhere(checkout, config)
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def host(tmp_path):
    with Demo.start((StandinHost("one", "runbook", delay=0.3),), tmp_path / "demo") as demo:
        yield Standin("one", demo.hosts[0].root, demo.ssh_config)


def test_a_worker_elsewhere_and_one_here_leave_one_evidence(run, elsewhere, host):
    """The first host is the first worker's, which is elsewhere."""
    ran = run(f"--hosts=ssh://one,{NOWHERE}", *host.places, elsewhere.tx, "--tx=popen")
    assert ran.status == 6, ran.out + ran.err
    assert host.requests == {"vm": 1, "pc": 1}
    here, there = result_of(ran).hosts
    assert {item.verdict for item in here.assessments} == {"compliant"}
    assert {item.verdict for item in there.assessments} == {"inconclusive"}
    assert here.identity["looked at from"] == "elsewhere"
    assert any(record["kind"] == "command" for record in journal_of(ran))
    assert not list(elsewhere.folder.glob("reports*")), "the evidence is here alone"


def test_another_suite_elsewhere_does_not_judge(run, elsewhere, host):
    with (elsewhere.folder / "tests_agent/test_step_2_1_service.py").open("a") as file:
        file.write("# changed\n")
    ran = run("--hosts=ssh://one", *host.places, elsewhere.tx)
    assert ran.status == 4
    assert "the worker gw0 did not begin: its suite is" in ran.err
    assert host.requests == {}


def test_the_demo_is_not_shown_to_another_machine(run):
    ran = run("--hosts=demo://healthy", "--tx=ssh=nobody@nowhere.invalid")
    assert ran.status == 4
    assert "demo:// lives on this machine" in ran.err


def test_a_path_of_here_is_not_looked_for_elsewhere(run):
    ran = run(
        "--hosts=web1", "--tx=ssh=nobody@nowhere.invalid", "tests_agent/test_step_2_1_service.py::test_x"
    )
    assert ran.status == 4
    assert "call pytest in a checkout, without paths" in ran.err
    assert "Traceback" not in ran.err


def test_a_machine_that_is_not_there_is_one_sentence(run):
    ran = run("--hosts=web1", "--tx=ssh=nobody@nowhere.invalid")
    assert ran.status == 4
    assert "no worker can be started there (--tx): nobody@nowhere.invalid" in ran.err
    assert "Traceback" not in ran.out + ran.err
