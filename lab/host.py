"""One host: what it is called, where it lies, and how it is made ready and started."""

import os
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.machine import LabError, call

if TYPE_CHECKING:
    from qualys_verify.standin.install import Personality

HERE = Path(__file__).resolve().parent
NAMESPACES = Path("/run/netns")
NET = "198.51.100"
"""A documentation range (RFC 5737), used nowhere but inside the lab's namespaces."""
PERSONALITIES: tuple["Personality", ...] = ("runbook", "limited", "vendor")
UNIT = "qualys-cloud-agent.service"
HOST_KEY = Path("etc/ssh/ssh_host_ed25519_key")
OPS = 1000
"""The number of the user `ops`, as `customize` makes it."""


@dataclass(frozen=True)
class Host:
    """A host of the lab; making one changes nothing yet."""

    number: int
    """Counted from 1."""
    lab: str
    """The mark of its lab, which keeps labs with different state directories apart."""
    directory: Path
    """Everything of this host on the machine's side."""
    cgroups: tuple[Path, ...]
    """Its own cgroup in each tree that systemd uses, the unified one first."""

    @property
    def name(self) -> str:
        """What it calls itself, and how ssh_config knows it."""
        return f"lab{self.number}"

    @property
    def machine(self) -> str:
        """Its name among all the machines that nspawn runs here."""
        return f"qv-{self.lab}-{self.name}"

    @property
    def netns(self) -> str:
        """Its network namespace."""
        return self.machine

    @property
    def address(self) -> str:
        """Its address, inside the lab."""
        return f"{NET}.{self.number}"

    @property
    def mac(self) -> str:
        """Its hardware address, the same every time."""
        return f"02:00:c6:33:64:{self.number:02x}"

    @property
    def rootfs(self) -> Path:
        """Its file system, seen from this machine; what is written here the host sees at once."""
        return self.directory / "root"

    @property
    def console(self) -> Path:
        """What it said while booting."""
        return self.directory / "console.log"

    @property
    def personality(self) -> "Personality":
        """Which kind of agent stands in on it, going round."""
        return PERSONALITIES[(self.number - 1) % len(PERSONALITIES)]

    def known_host(self) -> str:
        """Return its line of known_hosts, from its own file system rather than from whoever answers."""
        kind, key, *_ = (self.rootfs / f"{HOST_KEY}.pub").read_text(encoding="ascii").split()
        return f"{self.name},{self.address} {kind} {key}\n"


def prepare(host: Host, below: Path, public_key: str, delay: float) -> None:
    """Lay out a host's file system over the shared one: identity, keys, and the stand-in agent."""
    upper, work = host.directory / "upper", host.directory / "work"
    for directory in (upper, work, host.rootfs):
        directory.mkdir(mode=0o755, parents=True)
    options = f"lowerdir={below},upperdir={upper},workdir={work}"
    call(["mount", "-t", "overlay", "-o", options, host.machine, host.rootfs])
    _identify(host)
    _let_in(host, public_key)
    _install_agent(host, delay)


def start(host: Host) -> subprocess.Popen[bytes]:
    """Boot a host in cgroups of its own and return the process that looks after it; it outlives this one."""
    command = [
        str(HERE / "supervise"),
        host.machine,
        host.name,
        str(host.rootfs),
        str(NAMESPACES / host.netns),
    ]
    with host.console.open("wb") as console:
        watched = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=console, stderr=console, cwd="/", start_new_session=True
        )
    for cgroup in host.cgroups:
        cgroup.mkdir()
        (cgroup / "cgroup.procs").write_text(str(watched.pid), encoding="ascii")
    if watched.stdin:
        watched.stdin.write(b"go\n")
        watched.stdin.close()
    return watched


def _identify(host: Host) -> None:
    etc = host.rootfs / "etc"
    (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
    (etc / "hostname").write_text(f"{host.name}\n", encoding="ascii")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n{host.address} {host.name}\n", encoding="ascii")
    call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", host.rootfs / HOST_KEY])


def _let_in(host: Host, public_key: str) -> None:
    for home, owner in ((host.rootfs / "home/ops", OPS), (host.rootfs / "root", 0)):
        directory = home / ".ssh"
        directory.mkdir(mode=0o700, exist_ok=True)
        keys = directory / "authorized_keys"
        keys.write_text(public_key, encoding="ascii")
        keys.chmod(0o600)
        for path in (directory, keys):
            os.chown(path, owner, owner)


def _install_agent(host: Host, delay: float) -> None:
    # Here and not above: the lab must come down even while the stand-in agent is broken.
    from qualys_verify.standin.install import StandinHost, install  # noqa: PLC0415

    try:
        install(host.rootfs, StandinHost(host.name, host.personality, delay=delay))
    except ValueError as error:
        raise LabError(str(error)) from error
    unit = host.rootfs / "etc/systemd/system" / UNIT
    if not unit.is_file():
        raise LabError(f"the stand-in agent brought no {UNIT}")
    wanted = unit.parent / "multi-user.target.wants" / UNIT
    wanted.parent.mkdir(exist_ok=True)
    if not wanted.is_symlink():
        wanted.symlink_to(f"/etc/systemd/system/{UNIT}")
