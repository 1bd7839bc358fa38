"""All the hosts of one lab: up, down, and what is written for those who use them."""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lab import machine, network
from lab.host import NAMESPACES, UNIT, Host, prepare, start
from lab.machine import LabError
from lab.rootfs import shared_root

MOST = 250
NSPAWN = Path("/run/systemd/nspawn")
KEY, KNOWN_HOSTS, SSH_CONFIG, FLEET, HUB = "id_ed25519", "known_hosts", "ssh_config", "fleet.txt", "hub"
BOOT_TIMEOUT, BOOT_TIMEOUT_EACH = 30.0, 1.0
"""Seconds for the hosts to come up: so many, and so many more for each of them."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Lab:
    """A lab is told by its state directory alone, so that it can be taken down whatever is left of it."""

    state: Path

    @property
    def mark(self) -> str:
        """What its namespaces and cgroups are named after."""
        return hashlib.sha256(bytes(self.state)).hexdigest()[:8]

    @property
    def hub(self) -> str:
        """The namespace that all hosts are wired to, and from which they are reached."""
        return f"qv-hub-{self.mark}"

    @property
    def ssh_config(self) -> Path:
        """How to reach the hosts, from inside the hub."""
        return self.state / SSH_CONFIG

    @property
    def hosts_directory(self) -> Path:
        """Where the hosts' file systems lie, in memory."""
        return self.state / "hosts"

    @property
    def cgroups(self) -> tuple[Path, ...]:
        """Its own cgroup in each tree that systemd uses, the unified one first."""
        return tuple(mount / f"qv-lab-{self.mark}" for mount in machine.cgroup_mounts())

    @property
    def visitors(self) -> Path:
        """The cgroup of the commands that lab/run starts, so that they end with the lab."""
        return self.cgroups[0] / "visitors"

    def host(self, number: int) -> Host:
        """Return one of its hosts."""
        name = f"lab{number}"
        return Host(number, self.mark, self.hosts_directory / name, tuple(c / name for c in self.cgroups))

    def namespaces(self) -> list[str]:
        """Name those of its network namespaces that exist."""
        ours = re.compile(rf"qv-(hub-{self.mark}|{self.mark}-lab\d+)")
        return [path.name for path in NAMESPACES.glob("qv-*") if ours.fullmatch(path.name)]

    def leftovers(self) -> list[str]:
        """Name what there is of it on this machine: nothing when it is down."""
        mounts = machine.mounts_below(self.hosts_directory)
        cgroups = [cgroup for cgroup in self.cgroups if cgroup.exists()]
        return [*self.namespaces(), *map(str, mounts), *map(str, cgroups)]


def lab_at(state: str | None) -> Lab:
    """Return the lab of a state directory, by default of this user's run-time directory."""
    default = Path(os.environ.get("XDG_RUNTIME_DIR") or "/run") / "qualys-verify-lab"
    path = Path(state or default).resolve()
    if not re.fullmatch(r"[\w./@+-]+", str(path), re.ASCII):
        raise LabError(f"{path}: only letters, digits and ./@+-_ may be in the state directory's name")
    return Lab(path)


def up(lab: Lab, count: int, delay: float) -> list[Host]:
    """Bring up that many hosts and return them once they can be used; on failure nothing is left behind."""
    if not 1 <= count <= MOST:
        raise LabError(f"{count} hosts: it can be 1 to {MOST}")
    with _at_work(lab):
        if lab.leftovers() or _is_state_of(lab):
            raise LabError(f"the lab in {lab.state} is up already, or half of it: lab/down comes first")
        if any(lab.state.iterdir()):
            raise LabError(f"{lab.state} is not empty, and what is in it is not a lab's")
        hosts = [lab.host(number) for number in range(1, count + 1)]
        try:
            _raise(lab, hosts, delay)
        except BaseException:
            _take_down(lab)
            raise
    return hosts


def down(lab: Lab) -> None:
    """Take down whatever there is of a lab; nothing at all is fine too."""
    if _inside(lab):
        raise LabError("this was started by lab/run and would end itself: run lab/down from outside the lab")
    if lab.state.exists() or lab.leftovers():
        with _at_work(lab):
            _take_down(lab)


def enter(lab: Lab, command: Sequence[str]) -> None:
    """Become a command inside the hub; it belongs to the lab from then on and ends with it, if not before."""
    if lab.hub not in lab.namespaces():
        raise LabError(f"the lab in {lab.state} is not up")
    (lab.visitors / "cgroup.procs").write_text("0", encoding="ascii")
    words = [*network.inside(lab.hub), *command]
    os.execvp(words[0], words)  # noqa: S606 - nothing here is for a shell


def _raise(lab: Lab, hosts: list[Host], delay: float) -> None:
    (lab.state / HUB).write_text(f"{lab.hub}\n", encoding="ascii")  # the first to come and the last to go
    shared = shared_root()
    machine.raise_inotify(lab.mark)
    lab.hosts_directory.mkdir()
    machine.call(["mount", "-t", "tmpfs", "-o", "mode=0700", "qualys-verify-lab", lab.hosts_directory])
    for cgroup in [*lab.cgroups, lab.visitors]:
        cgroup.mkdir()
    network.make(lab.hub, hosts)
    machine.call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", lab.hub, "-f", lab.state / KEY])
    public_key = (lab.state / f"{KEY}.pub").read_text(encoding="ascii")

    def boot(host: Host) -> subprocess.Popen[bytes]:
        prepare(host, shared, public_key, delay)
        return start(host)

    # A host that is being laid out is waited for even if another fails: it must not be mounted after the end.
    watched = _each(boot, hosts, finish=True)
    _write_state(lab, hosts)
    deadline = time.monotonic() + BOOT_TIMEOUT + BOOT_TIMEOUT_EACH * len(hosts)
    pairs = list(zip(hosts, watched, strict=True))
    _each(lambda pair: _wait(lab, pair[0], pair[1], deadline), pairs, finish=False)


def _each(work: Callable[[T], R], items: Sequence[T], *, finish: bool) -> list[R]:
    """Do the same for all, some at a time; a failure ends it, if wanted when what was begun is finished."""
    pool = ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1))
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(wait=finish, cancel_futures=True)


def _write_state(lab: Lab, hosts: list[Host]) -> None:
    """Write what a user of the lab needs: how ssh reaches the hosts and knows them, and their names."""
    (lab.state / KNOWN_HOSTS).write_text("".join(host.known_host() for host in hosts), encoding="ascii")
    (lab.state / FLEET).write_text("".join(f"{host.name}\n" for host in hosts), encoding="ascii")
    entries = (
        f"Host {host.name}\n"
        f"    HostName {host.address}\n"
        "    User ops\n"
        f"    IdentityFile {lab.state / KEY}\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {lab.state / KNOWN_HOSTS}\n"
        "    StrictHostKeyChecking yes\n"
        for host in hosts
    )
    lab.ssh_config.write_text("".join(entries), encoding="ascii")


def _wait(lab: Lab, host: Host, watched: subprocess.Popen[bytes], deadline: float) -> None:
    """Wait until a host has booted, lets `ops` in and runs the agent; or say what it said last."""
    ssh = ["ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", host.name]
    booted = f"systemctl is-system-running --wait; systemctl is-active {UNIT}"
    said = "nothing"
    while watched.poll() is None:
        left = deadline - time.monotonic()
        try:
            if left <= 0:
                break
            machine.call([*network.inside(lab.hub), *ssh, booted], timeout=left)
        except LabError as error:
            said = str(error)
        else:
            return
        time.sleep(0.1)
    console = host.console.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
    raise LabError("\n".join([f"{host.name} did not come up: {said}", "the end of its console:", *console]))


def _take_down(lab: Lab) -> None:
    """Undo everything that `up` does, in the reverse order; what fails does not keep the rest from it."""
    impatient = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, signal.SIG_IGN)
    failures: list[str] = []
    for undo in (_end_processes, _forget_nspawn, _unmount, _unwire, _restore_limit, _forget):
        try:
            undo(lab)
        except (LabError, OSError) as error:
            failures.append(str(error))
    signal.signal(signal.SIGINT, impatient[0])
    signal.signal(signal.SIGTERM, impatient[1])
    if failures:
        raise LabError("\n".join(["the lab is not wholly down:", *failures]))


def _end_processes(lab: Lab) -> None:
    unified, *_ = lab.cgroups
    machine.kill_cgroup(unified)
    for cgroup in lab.cgroups:
        machine.remove_cgroup(cgroup)


def _forget_nspawn(lab: Lab) -> None:
    """Remove what nspawn notes down of a machine, and does not remove itself when it is killed."""
    for directory in NSPAWN.glob(f"propagate/qv-{lab.mark}-lab*"):
        directory.rmdir()
    for root in lab.hosts_directory.glob("lab*/root"):
        about = root.stat()
        (NSPAWN / f"locks/inode-{about.st_dev}:{about.st_ino}").unlink(missing_ok=True)


def _unmount(lab: Lab) -> None:
    for mount in machine.mounts_below(lab.hosts_directory):
        machine.unmount(mount)
    if lab.hosts_directory.exists():
        lab.hosts_directory.rmdir()


def _unwire(lab: Lab) -> None:
    network.remove(lab.namespaces())


def _restore_limit(lab: Lab) -> None:
    machine.restore_inotify(lab.mark)


def _forget(lab: Lab) -> None:
    """Remove what was written for users; whatever else lies in the directory is theirs, and stays."""
    if _is_state_of(lab):
        for name in (SSH_CONFIG, FLEET, KNOWN_HOSTS, f"{KEY}.pub", KEY, HUB):
            (lab.state / name).unlink(missing_ok=True)
    if not any(lab.state.iterdir()):
        lab.state.rmdir()


def _is_state_of(lab: Lab) -> bool:
    hub = lab.state / HUB
    return hub.is_file() and hub.read_text(encoding="ascii").strip() == lab.hub


def _inside(lab: Lab) -> bool:
    """Whether this process belongs to the lab itself."""
    members = lab.visitors / "cgroup.procs"
    return members.exists() and str(os.getpid()) in members.read_text(encoding="ascii").split()


@contextlib.contextmanager
def _at_work(lab: Lab) -> Iterator[None]:
    """Make sure that nobody else brings this lab up or takes it down at the same time."""
    lab.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with machine.locked(lab.state, busy=f"the lab in {lab.state} is just being brought up or taken down"):
        yield
