"""Stand-in hosts for the benchmark: one real OpenSSH server on many addresses of the loopback, a tree for each.

with Hosts.start(numbered(100)) as hosts:
    subprocess.run(["ssh", "-F", hosts.ssh_config, hosts.members[0].address, "systemctl is-active qualys-cloud-agent"])
"""

import getpass
import json
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.processes import cpu_so_far
from qualys_verify.standin import history, shims
from qualys_verify.standin.faults.base import Door
from qualys_verify.standin.install import (
    CONFIGURATION,
    HOME,
    LOGS,
    NOTES,
    Personality,
    StandinHost,
    install,
    zone_of,
)
from qualys_verify.standin.process import start_server, stop_server, wait_until_ready

# Each command runs in its host's tree: the same path is another file on each host.
SEEN_FROM = Path("/proc/self/cwd")
AGENT_HOME = SEEN_FROM / HOME
AGENT_CONFIG = SEEN_FROM / CONFIGURATION / "qualys-cloud-agent.conf"
AGENT_LOG = SEEN_FROM / LOGS / "qualys-cloud-agent.log"
_FILES = Path(__file__).with_name("files")
_PER_NET = 250
_STALE = 5 * history.HOUR


class Blemish(StrEnum):
    """What is wrong with a host, so that a comparison of results is one."""

    NONE = "none"
    NOT_AT_BOOT = "starts not at boot"
    NOT_ACTIVATED = "never activated"
    NOT_PROVISIONED = "never provisioned"
    STALE = "log is five hours old"


class Trouble(StrEnum):
    """What is wrong with the way to a host, beyond the doors that the demo has."""

    NONE = "none"
    HANGS_AFTER_LOGIN = "hangs after the login"
    DROPS = "drops the connection in the middle of a command"
    DROPS_IN_REQUEST = "drops the connection after the request, before its answer"
    SLOW = "takes its time for each command"


# What the server's dispatcher does before a command, in shell.
_AT_THE_DOOR: Mapping[Trouble, str] = {
    Trouble.HANGS_AFTER_LOGIN: "exec sleep 600\n",
    Trouble.SLOW: "sleep 0.3\n",
}
# What a program does before its work; SESSION is the server's process for this connection.
_HANG_UP = 'kill -9 "$SESSION"; exec sleep 600'
# Each twentieth host or so has a blemish, by its number within 25.
_BLEMISHED = {
    3: Blemish.NOT_AT_BOOT,
    8: Blemish.NOT_ACTIVATED,
    13: Blemish.NOT_PROVISIONED,
    18: Blemish.STALE,
}


class HostsError(RuntimeError):
    """The hosts could not be brought up; the message is one sentence."""


@dataclass(frozen=True)
class Member:
    """One host of the fleet: its address says its number."""

    number: int
    personality: Personality = "runbook"
    blemish: Blemish = Blemish.NONE
    door: Door = Door.OPEN
    trouble: Trouble = Trouble.NONE

    @property
    def address(self) -> str:
        """Of the loopback net, never the usual 127.0.0.1."""
        return f"127.77.{self.number // _PER_NET}.{self.number % _PER_NET + 1}"


def numbered(count: int, *, personalities: tuple[Personality, ...] = ("runbook",)) -> tuple[Member, ...]:
    """So many hosts, some with a blemish; personalities take turns."""
    return tuple(
        Member(
            number,
            personalities[number % len(personalities)],
            _BLEMISHED.get(number % 25, Blemish.NONE),
        )
        for number in range(count)
    )


class Hosts:
    """Hosts that are up. Made by `start`, ended by `close` or by leaving its `with`."""

    def __init__(self, root: Path, members: tuple[Member, ...], server: subprocess.Popen[bytes]) -> None:
        """Take over a server that is ready; for `start` only."""
        self.root = root
        self.members = members
        self.ssh_config = root / "ssh_config"
        self.inventory = root / "fleet.txt"
        self.known_hosts = root / "known_hosts"
        self._server = server

    @classmethod
    def start(cls, members: Iterable[Member], *, delay: float = 0, ticking: bool = False) -> Self:
        """Bring them up; returns when the SSH server answers.

        `delay` is how many seconds a scan takes; `ticking` keeps the agents going, for runs that ask them for
        something. Raises HostsError where a program is missing or the server does not come up.
        """
        chosen = tuple(members)
        for program in ("sshd", "ssh-keygen", "setpriv"):
            if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
                raise HostsError(f"{program} is missing: install openssh-server and util-linux")
        root = Path(tempfile.mkdtemp(prefix="qv-bench-"))
        root.chmod(0o755)  # the server's unprivileged half reads nothing in it, but passes through
        try:
            _write_all(root, chosen, delay, ticking=ticking)
            server = start_server("bench.ground", root, temporary=False)
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
        hosts = cls(root, chosen, server)
        try:
            wait_until_ready(server, root / "server.log")
            hosts._finish()
        except BaseException:
            hosts.close()
            raise
        return hosts

    def _finish(self) -> None:
        """Which port each door has is known only now."""
        ports = json.loads((self.root / "ports.json").read_text(encoding="utf-8"))
        _write_client_files(self.root, self.members, ports)

    def select(self, count: int) -> tuple[Member, ...]:
        """The first so many, which the inventory names from now on; nobody has spoken to them yet."""
        chosen = self.members[:count]
        self.inventory.write_text("".join(f"{member.address}\n" for member in chosen), encoding="ascii")
        self.forget()
        return chosen

    def tree(self, member: Member) -> Path:
        """A host's root directory."""
        return self.root / "hosts" / member.address

    def forget(self) -> None:
        """Begin to count anew: first contacts, requests and calls."""
        for member in self.members:
            for name in ("run/first", NOTES / "requests.log", NOTES / "invocations.log"):
                (self.tree(member) / name).unlink(missing_ok=True)

    def first_contact(self, members: Iterable[Member]) -> tuple[float, float]:
        """When the first and the last of these hosts ran their first command (epoch seconds, by the server's side)."""
        times = [
            path.stat().st_mtime for member in members if (path := self.tree(member) / "run/first").exists()
        ]
        if not times:
            raise HostsError("no host was spoken to")
        return min(times), max(times)

    def cpu(self) -> float:
        """Seconds of CPU that the server, its sessions and their commands have taken, as far as they have ended."""
        server = cpu_so_far(int((self.root / "sshd.pid").read_text(encoding="ascii")))
        _, orphans = cpu_so_far(self._server.pid)  # what a session left running when it ended
        return sum(server) + orphans

    def requests(self, member: Member) -> tuple[str, ...]:
        """The types of the requests that its agent has taken, in order."""
        path = self.tree(member) / NOTES / "requests.log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return tuple(line.split()[2].removeprefix("type=") for line in lines)

    def close(self) -> None:
        """End the server and all that runs behind it, and remove the trees; again is harmless."""
        stop_server(self._server)
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Self:
        """The hosts, which are up."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


# --- the trees -------------------------------------------------------------------------------------------


def _write_all(root: Path, members: tuple[Member, ...], delay: float, *, ticking: bool) -> None:
    for key in ("host", "client", "other"):
        _make_key(root / f"{key}_key_ed25519", "ed25519")
    _make_key(root / "host_key_ecdsa", "ecdsa")  # these two for clients that know no Ed25519
    _make_key(root / "client_key_rsa", "rsa")
    authorized = [(root / f"client_key_{kind}.pub").read_text() for kind in ("ed25519", "rsa")]
    (root / "authorized_keys").write_text("".join(authorized))
    values = {
        "HOSTS": str(root / "hosts"),
        "ROOT": str(root),
        "USER": getpass.getuser(),
        "PORT": str(_free_port()),
    }
    for name in ("dispatch.sh", "sshd_config", "ssh_config"):
        (root / name).write_text(_filled(name, values), encoding="utf-8")
    listing = _listing()
    for member in members:
        _install(root / "hosts" / member.address, member, delay, listing)
    (root / "ground.json").write_text(
        json.dumps(
            {
                "port": int(values["PORT"]),
                "agents": [str(root / "hosts" / member.address) for member in members] if ticking else [],
            }
        )
    )


def _install(root: Path, member: Member, delay: float, listing: str) -> None:
    """One host's tree: the stand-in agent, and the machine's own programs that would tell of this machine instead."""
    host = StandinHost(f"host-{member.number:04d}", member.personality, delay=delay)
    for directory in ("home", "run", "shims"):
        (root / directory).mkdir(parents=True)
    install(root, host, prefix_in_scripts=SEEN_FROM)
    shims.install_shims(root, host, pid=1, player="")
    properties = (root / NOTES / "unit.properties").read_text(encoding="utf-8")
    properties = properties.replace(str(root), str(SEEN_FROM))
    _soil(root, member.blemish)
    enabled = "disabled" if member.blemish is Blemish.NOT_AT_BOOT else "enabled"
    if member.blemish is Blemish.NOT_AT_BOOT:
        properties = properties.replace("=enabled\n", "=disabled\n", 1).replace(
            "WantedBy=multi-user.target", "WantedBy="
        )
    programs = {
        "systemctl": _filled(
            "systemctl.sh",
            {"STATE": "active", "ENABLED": enabled, "PROPERTIES": shlex.join(properties.splitlines())},
        ),
        "ps": _say(listing),
        "hostname": _say(host.name),
        "dpkg-query": _say("6.1.2-28"),
    }
    if member.trouble is Trouble.DROPS:
        programs["systemctl"] = f"#!/bin/sh\n{_HANG_UP}\n"
    for name, text in programs.items():
        path = root / shims.DIRECTORY / name
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o700)
    (root / shims.DIRECTORY / "sudo").unlink(missing_ok=True)
    if member.trouble is Trouble.DROPS_IN_REQUEST:
        script = root / HOME / "bin/qualys-cloud-agent.sh"
        text = script.read_text(encoding="utf-8")
        script.write_text(
            text.replace("echo 'Scan request submitted successfully'", _HANG_UP), encoding="utf-8"
        )
    if at_the_door := _AT_THE_DOOR.get(member.trouble):
        (root / "door").write_text(at_the_door, encoding="ascii")


def _soil(root: Path, blemish: Blemish) -> None:
    """Change what is wrong with it in its files."""
    configuration = root / CONFIGURATION / "qualys-cloud-agent.conf"
    if blemish is Blemish.NOT_ACTIVATED:
        text = configuration.read_text(encoding="utf-8")
        nothing = "00000000-0000-0000-0000-000000000000"
        lines = [
            f"{line.partition('=')[0]}={nothing}" if line.startswith(("ActivationId", "CustomerId")) else line
            for line in text.splitlines()
        ]
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif blemish is Blemish.NOT_PROVISIONED:
        (root / "etc/qualys/hostid").write_text("")
    elif blemish is Blemish.STALE:
        log = history.healthy_log(time.time() - _STALE, zone_of(Path("/")) or UTC)
        (root / LOGS / "qualys-cloud-agent.log").write_text(log, encoding="utf-8")


def _listing() -> str:
    """What `ps -eo pid,ppid,pidns,args` prints on a server: some kernel threads, some services, the agent."""
    space = "4026531836"
    rows = [f"      1       0 {space} /sbin/init"]
    rows += [
        f"{number:7d}       2 {space} [kworker/{number % 8}:{number % 3}-events]" for number in range(2, 70)
    ]
    rows += [
        f"{number:7d}       1 {space} /usr/sbin/service-{number} --foreground" for number in range(400, 430)
    ]
    rows.append(f"    712       1 {space} {SEEN_FROM / HOME}/bin/qualys-cloud-agent")
    return "    PID    PPID      PIDNS COMMAND\n" + "\n".join(rows)


def _say(text: str) -> str:
    return _filled("say.sh", {"TEXT": shlex.quote(text)})


def _filled(name: str, values: Mapping[str, str]) -> str:
    text = (_FILES / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def _make_key(path: Path, kind: str) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-m", "PEM", "-N", "", "-C", "bench", "-f", str(path)],  # noqa: S607  # found on PATH
        check=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- what clients need -----------------------------------------------------------------------------------


def _write_client_files(root: Path, members: tuple[Member, ...], ports: Mapping[str, int]) -> None:
    """known_hosts with a line for each host, as a fleet has it, and an exception for each odd door."""
    usual = ports[Door.OPEN.name]
    keys = [_public(root / f"host_key_{kind}") for kind in ("ed25519", "ecdsa")]
    other = [_public(root / "other_key_ed25519")]
    lines, exceptions = [], []
    for member in members:
        name = f"[{member.address}]:{usual}"
        known = {Door.UNKNOWN_KEY: [], Door.CHANGED_KEY: other}.get(member.door, keys)
        lines += [f"{name} {key}" for key in known]
        lines += [f"@revoked {name} {key}" for key in keys if member.door is Door.REVOKED_KEY]
        exceptions += _exception(member, ports)
    (root / "known_hosts").write_text("\n".join(lines) + "\n", encoding="ascii")
    config = root / "ssh_config"
    config.write_text("".join(exceptions) + config.read_text(encoding="utf-8"), encoding="utf-8")


def _exception(member: Member, ports: Mapping[str, int]) -> list[str]:
    """What of the client's configuration is another for this host."""
    if member.door is Door.NO_LOGIN:
        return [f"Host {member.address}\n    User nobody-here\n"]
    if member.door is Door.NAMELESS:
        return [f"Host {member.address}\n    HostName nowhere..invalid\n"]
    port = ports.get(member.door.name)
    if port is None or member.door is Door.OPEN:
        return []
    return [f"Host {member.address}\n    HostName 127.0.0.1\n    Port {port}\n"]


def _public(path: Path) -> str:
    return " ".join(path.with_name(f"{path.name}.pub").read_text(encoding="ascii").split()[:2])
