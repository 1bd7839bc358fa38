"""Real containers by podman, where this machine has it: the whole runbook, and what goes wrong in between."""

import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qualys_verify.host import Alone, Host
from qualys_verify.observation import _DECLARED
from qualys_verify.reasons import Gone, Unreachable
from qualys_verify.settings import read_settings
from qualys_verify.targets import select
from qualys_verify.transport import SshSettings, connect
from tests.containers.conftest import deadline
from tests.plugin.conftest import Running

importlib.import_module("fixtures.service")

SOURCE = Path(__file__).resolve().parents[2] / "src"
DAEMON = "/usr/local/qualys/cloud-agent/bin/qualys-cloud-agent"
# Within the limits of a container that itself runs in one: no user namespace, no systemd, runc.
CONFIGURATION = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
pids_limit = 0
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
STORAGE = '[storage]\ndriver = "vfs"\nrunroot = "{0}/run"\ngraphroot = "{0}/storage"\n'
# The stand-in agent in a container with this machine's programs: installed there, and then process 1.
FULL = f"PYTHONPATH={SOURCE} {sys.executable} -m qualys_verify.standin / --personality vendor --delay 0.5 && exec {DAEMON}"
# An agent that is a shell script, in a container with busybox and nothing else.
SMALL = (
    f"mkdir -p {Path(DAEMON).parent} && echo 'while :; do sleep 1; done' >{DAEMON} && exec /bin/sh {DAEMON}"
)


class Podman:
    """Containers with a storage of their own."""

    def __init__(self, environment, busybox):
        self.environment = environment
        self._busybox = busybox
        self.names = []

    def __call__(self, *words, check=True):
        return subprocess.run(
            ["podman", *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=check,
            env=os.environ | self.environment,
        ).stdout

    def start(self, name, command, *options, small=False):
        rootfs = str(self._busybox) if small else "/:O"
        self.names.append(name)
        # Options that a test gives count before the usual ones.
        restart = () if any(option.startswith("--restart") for option in options) else ("--restart=always",)
        self(
            "run",
            "-d",
            f"--name={name}",
            "--network=none",
            *restart,
            *options,
            "--rootfs",
            rootfs,
            "/bin/sh",
            "-c",
            command,
        )
        until = time.monotonic() + 30
        while DAEMON not in self(
            "exec", name, "/bin/sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", check=False
        ):
            assert time.monotonic() < until, self("logs", name, check=False)
            time.sleep(0.1)

    def remove(self):
        while self.names:
            self("rm", "--force", "--time=0", self.names.pop(), check=False)


def _busybox(folder):
    """A root file system with busybox, or None where there is none that is linked statically."""
    found = shutil.which("busybox")
    if found is None:
        return None
    for name in ("bin", "proc", "sys", "dev", "tmp", "etc", "run"):
        (folder / name).mkdir(parents=True)
    shutil.copy(found, folder / "bin/busybox")
    applets = subprocess.run([found, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in set(applets) - {"busybox"}:
        (folder / "bin" / name).symlink_to("busybox")
    return folder


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """Podman with everything of its own, or a skip that says why not."""
    if shutil.which("podman") is None or shutil.which("runc") is None:
        pytest.skip("podman and runc are not installed: apt-get install podman runc")
    if os.geteuid() != 0:
        pytest.skip("containers with this machine's root file system need root")
    folder = tmp_path_factory.mktemp("podman")
    (folder / "containers.conf").write_text(CONFIGURATION)
    (folder / "storage.conf").write_text(STORAGE.format(folder))
    environment = {
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
    }
    podman = Podman(environment, _busybox(folder / "busybox"))
    try:
        podman("run", "--rm", "--network=none", "--rootfs", "/:O", "/bin/true")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"podman starts no container here: {error.stderr.strip().splitlines()[-1]}")
    return podman


@pytest.fixture
def podman(engine, monkeypatch):
    for key, value in engine.environment.items():
        monkeypatch.setenv(key, value)
    yield engine
    engine.remove()


@pytest.fixture
def enter(podman, tmp_path, request):  # noqa: ARG001  # removed after what is connected to them
    """A Host of a container."""
    ways = []

    def make(spec, seconds=20.0):
        (target,) = select([spec]).targets
        ways.append(connect(target, SshSettings(tmp_path), deadline(seconds), 0))
        return Host(target, read_settings(request.config), ways[-1], Alone(time.sleep))

    yield make
    for way in ways:
        way.close()


@pytest.fixture
def run(podman, tmp_path):
    return lambda *arguments: Running(tmp_path, arguments, podman.environment).end()


def look(name, host, **seen):
    return _DECLARED[name].make(host, seen)


def agent_in(host):
    return look("unit", host, identity=host.identity)


def test_the_whole_runbook_in_a_real_container_ends_green(podman, run):
    podman.start("agent", FULL)
    ran = run("--hosts=podman://agent", "--poll-interval=0.5", "--poll-timeout=15")
    assert ran.status == 0, ran.out
    assert ran.outcomes == {"passed": 17, "skipped": 2}
    requests = podman("exec", "agent", "cat", "/var/lib/standin/requests.log")
    assert [line.split()[2] for line in requests.splitlines()] == ["type=vm", "type=inv"]
    assert ran.left_behind == []


def test_an_agent_that_has_ended_in_a_running_container_is_non_compliant(podman, enter):
    podman.start("agent", FULL.replace("exec ", "") + "; exec sleep 600")
    podman(
        "exec",
        "agent",
        "/bin/sh",
        "-c",
        "until p=$(cat /run/qualys-cloud-agent.pid) && kill $p; do sleep 0.1; done; while kill $p; do sleep 0.1; done",
    )
    found = agent_in(enter("podman://agent"))
    assert (found.presence, found.state) == ("installed", "running and ready, without the agent's process")


def test_a_container_without_ps_is_looked_at_all_the_same(podman, enter):
    podman.start("agent", SMALL, small=True)
    found = agent_in(enter("podman://agent"))
    assert (found.state, str(found.executable), found.processes.daemons) == (
        "running and ready",
        DAEMON,
        (1,),
    )


@pytest.mark.parametrize("small", [False, True], ids=["ps", "walk"])
def test_with_the_hosts_processes_in_sight_each_container_has_its_own_agent(podman, enter, small):
    for name in ("one", "two"):
        podman.start(name, SMALL if small else FULL, "--pid=host", small=small)
    first, second = (agent_in(enter(f"podman://{name}")) for name in ("one", "two"))
    assert first.state == second.state == "running and ready"
    assert len(first.processes.daemons) == len(second.processes.daemons) == 1
    assert first.processes.daemons != second.processes.daemons
    assert first.processes.elsewhere >= 1


def test_the_image_restarts_and_what_starts_it_at_boot_are_seen(podman, enter):
    podman.start("agent", SMALL, "--restart=no", small=True)
    found = agent_in(enter("podman://agent"))
    assert found.boot is None
    assert found.container.restarts == 0


def test_a_container_that_is_paused_or_stopped_is_not_entered(podman, enter):
    podman.start("agent", SMALL, small=True)
    podman("stop", "--time=0", "agent")
    with pytest.raises(
        Unreachable, match=r"podman://agent: the container does not run, it is exited \(exit status 137\)"
    ):
        _ = enter("podman://agent").identity
    with pytest.raises(Unreachable, match=r"podman://nobody.*there is no such container"):
        _ = enter("podman://nobody").identity


def test_a_container_that_is_restarted_in_between_is_named_as_such(podman, enter):
    podman.start("agent", SMALL, small=True)
    host = enter("podman://agent")
    assert host.identity.uid == 0
    podman("restart", "--time=0", "agent")
    with pytest.raises(Gone, match="restarted or replaced"):
        host.clock()


def test_a_container_that_is_removed_in_between_is_named_as_such(podman, enter):
    podman.start("agent", SMALL, small=True)
    host = enter("podman://agent")
    assert host.identity.uid == 0
    podman.remove()
    with pytest.raises(Gone, match="deleted or moved while it was looked at"):
        host.clock()


def test_another_user_is_whoever_the_spec_names(podman, enter):
    podman.start("agent", FULL)
    assert enter("podman://nobody@agent").identity.user == "nobody"


# --- the suite itself in a container, as deploy/ has it ---------------------------------------------------

SITE = Path(pytest.__file__).resolve().parents[1]
CHECKOUT = SOURCE.parent
SHELLS = ("sh", "dash", "bash", "rbash", "busybox", "zsh", "ksh")
CALL = "import sys; from qualys_verify.cli import main; sys.exit(main())"


def as_deployed(podman, reports, *words):
    """Run this machine's Python as deploy/job.yaml runs the image's: nobody, nothing writable but the volume, no shell."""
    found = {
        place.resolve()
        for name in SHELLS
        for place in (Path("/bin", name), Path("/usr/bin", name))
        if place.exists()
    }
    masks = [f"--volume=/dev/null:{place}:ro" for place in sorted(found)]
    environment = {"PYTHONPATH": f"{SOURCE}:{SITE}", "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108  # in the container
    return subprocess.run(
        [
            *(
                "podman",
                "run",
                "--rm",
                "--network=host",
                "--read-only",
                "--read-only-tmpfs=false",
                "--tmpfs=/tmp:notmpcopyup",
                "--cap-drop=all",
            ),
            *("--security-opt=no-new-privileges", "--user=65532:65532", "--workdir=/reports"),
            *(f"--env={key}={value}" for key, value in environment.items()),
            *masks,
            f"--volume={reports}:/reports",
            *("--rootfs", "/:O", "/usr/bin/python3", *words),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | podman.environment,
    )


def test_the_suite_runs_as_nobody_with_a_read_only_file_system_and_without_a_shell(podman, standin, tmp_path):
    reports = tmp_path / "reports"
    reports.mkdir()
    reports.chmod(0o777)
    tried = as_deployed(
        podman,
        reports,
        "-c",
        "import qualys_verify.cli, msgspec, subprocess; subprocess.run(['kubectl', 'version', '--client'], check=True)",
    )
    if tried.returncode:
        pytest.skip(
            f"nobody may not use this machine's Python, checkout or kubectl: {tried.stderr.strip().splitlines()[-1]}"
        )
    shell = as_deployed(podman, reports, "-c", "import subprocess; subprocess.run('true', shell=True)")
    assert "PermissionError" in shell.stderr
    c = standin(2)
    shutil.copy(c.kubeconfig, reports / "kubeconfig")
    (reports / "kubeconfig").chmod(0o644)
    ran = as_deployed(
        podman,
        reports,
        *(
            "-c",
            CALL,
            "run",
            "--hosts=kubectl://*",
            "--kubeconfig=/reports/kubeconfig",
            "--report-dir=/reports",
        ),
        *("--poll-interval=0.5", "--poll-timeout=15"),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (reports / "latest/run.json").is_file()
    assert len(c.asked("create", "pods/exec")) == 2
