"""The one process behind the demo: an SSH server on loopback, and the daemons of all its hosts.

`python -m qualys_verify.standin.server DIR` reads `DIR/hosts.json`, installs each host below `DIR/hosts/`,
generates keys, writes `DIR/ssh_config` and `DIR/known_hosts`, and prints `ready`. It ends when its standard
input does, so never later than the process that started it, or on SIGTERM.

The name of the SSH user decides which host a client reaches; only the generated key is let in. A host's
commands are ordinary processes of the user who started the demo.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

import asyncssh

from qualys_verify.standin import serving, shims
from qualys_verify.standin.brokendoors import broken_doors
from qualys_verify.standin.daemon import TICK_INTERVAL, Daemon
from qualys_verify.standin.faults import FAULTS, Clock, Door, Site, make_faulty
from qualys_verify.standin.install import StandinHost, install

_LOOPBACK = "127.0.0.1"
_NOWHERE = "nowhere..invalid"  # no name at all: it is refused here, and no resolver is asked
_BLOCK = 65536  # bytes; how much is passed on at a time
_REAP_LIMIT = 1.0  # seconds until a killed process is given up
_LOOK_AGAIN = 0.1  # seconds between two looks whether a connection is to be lost
_BACKLOG = 1024  # clients that may knock at once

_CONFIG = """\
Host {name}
    HostName {address}
    Port {port}
    User {name}
    HostKeyAlias {name}
    IdentityFile "{directory}/client_key"
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile "{directory}/known_hosts"
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    PreferredAuthentications publickey
    BatchMode yes
"""


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end; return the exit status."""
    return serving.run(__spec__.name, __doc__, _serve, arguments)


async def _serve(directory: Path, ended: asyncio.Event) -> None:
    """Set everything up, say so, and keep the daemons going until the end."""
    hosts = [
        StandinHost(**host) for host in json.loads((directory / "hosts.json").read_text(encoding="utf-8"))
    ]
    roots = {host.name: directory / "hosts" / host.name for host in hosts}
    agents = [
        agent
        for host in hosts
        if (agent := _make_host(roots[host.name], host, player=f"-m {__spec__.name} {directory}"))
    ]
    doors = {host.name: FAULTS[host.fault].door for host in hosts if host.fault}

    host_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key.write_private_key(str(directory / "client_key"))
    server = await asyncssh.listen(
        _LOOPBACK,
        0,
        backlog=_BACKLOG,
        server_factory=lambda: _OneUserPerHost(roots, doors, client_key),
        server_host_keys=[host_key],
        process_factory=lambda process: _session(process, roots),
        encoding=None,
        line_editor=False,
        allow_pty=False,
        agent_forwarding=False,
    )
    async with broken_doors(server.get_port()) as ports:
        _write_client_files(directory, {name: doors.get(name, Door.OPEN) for name in roots}, ports, host_key)
        print("ready", flush=True)  # noqa: T201  # the line that `Demo.start` waits for
        await _keep_ticking(agents, ended)
    server.close()


@dataclass(frozen=True)
class _Agent:
    """A host's daemon, and by how many seconds its host's clock is ahead of this machine's."""

    daemon: Daemon
    ahead: float

    @property
    def now(self) -> float:
        """What the host's clock shows."""
        return time.time() + self.ahead


def _make_host(root: Path, host: StandinHost, player: str) -> _Agent | None:
    """Install a host, with its fault if it has one, and start its agent if it has one that can be started."""
    for directory in (root, root / "home", root / "run"):
        directory.mkdir(mode=0o700, parents=True)
    install(root, host, prefix_in_scripts=root)
    shims.install_shims(root, host, pid=os.getpid(), player=player)
    if not host.fault:
        return _start(Daemon, root, None, 0) if host.agent else None
    fault = FAULTS[host.fault]
    clock = fault.clock or Clock()
    now = time.time() + clock.ahead
    zone = clock.zone(now) if fault.clock else None
    make_faulty(fault, Site(host.name, root, now, zone))
    return _start(fault.daemon, root, zone, clock.ahead) if fault.agent else None


def _start(kind: type[Daemon], root: Path, zone: tzinfo | None, ahead: float) -> _Agent | None:
    """The agent, started; None where its files are such that it could not run."""
    try:
        agent = _Agent(kind(root), ahead)
        agent.daemon.zone = zone
        agent.daemon.start(agent.now)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201  # goes to the demo's log
        return None
    return agent


def _write_client_files(
    directory: Path, doors: Mapping[str, Door], ports: Mapping[Door, int], key: asyncssh.SSHKey
) -> None:
    """What the client needs: `known_hosts`, and `ssh_config`, in which `%` would begin a token."""
    other = asyncssh.generate_private_key("ssh-ed25519")
    lines = {
        Door.UNKNOWN_KEY: "",
        Door.CHANGED_KEY: f"{{name}} {_public(other)}\n",
        Door.REVOKED_KEY: f"@revoked {{name}} {_public(key)}\n",
    }
    usual = f"{{name}} {_public(key)}\n"
    known_hosts = "".join(lines.get(door, usual).format(name=name) for name, door in doors.items())
    (directory / "known_hosts").write_text(known_hosts, encoding="ascii")
    escaped = str(directory).replace("%", "%%")
    config = (
        _CONFIG.format(
            name=name,
            address=_NOWHERE if door is Door.NAMELESS else _LOOPBACK,
            port=ports.get(door, ports[Door.OPEN]),
            directory=escaped,
        )
        for name, door in doors.items()
    )
    (directory / "ssh_config").write_text("\n".join(config), encoding="utf-8")


def _public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


async def _keep_ticking(agents: list[_Agent], ended: asyncio.Event) -> None:
    while not ended.is_set():
        for agent in agents:
            try:
                agent.daemon.tick(agent.now)
            except (OSError, ValueError) as error:  # one host's broken tree is not the others' end
                print(error, file=sys.stderr, flush=True)  # noqa: T201  # goes to the demo's log
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), TICK_INTERVAL)


class _OneUserPerHost(asyncssh.SSHServer):
    """Lets in who has the key and names a host. asyncssh refuses all but sessions unasked."""

    def __init__(self, roots: dict[str, Path], doors: Mapping[str, Door], key: asyncssh.SSHKey) -> None:
        self._roots = roots
        self._doors = doors
        self._key = key.public_data

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        welcome = self._doors.get(username) is not Door.NO_LOGIN
        return welcome and username in self._roots and key.public_data == self._key


async def _session(process: asyncssh.SSHServerProcess[bytes], roots: dict[str, Path]) -> None:
    """Run one command (or, without one, a shell) on the host that the user name stands for.

    Everything it started goes when the channel does; the exit status follows the last byte of output.
    """
    name: str = process.get_extra_info("username")
    root = roots[name]
    command = [] if process.command is None else ["-c", process.command]
    loop = asyncio.get_running_loop()
    # As asyncio.create_subprocess_exec does it, but the transport stays at hand: only closing it lets go of
    # the pipes of a command that was ended in the middle of its output.
    transport, protocol = await loop.subprocess_exec(
        lambda: asyncio.subprocess.SubprocessStreamProtocol(limit=_BLOCK, loop=loop),
        _shell_of(root),
        *command,
        cwd=root / "home",
        env=_environment(name, root),
        start_new_session=True,
    )
    child = asyncio.subprocess.Process(transport, protocol, loop)
    relay = asyncio.create_task(_relay(process, child))
    closed = asyncio.create_task(process.wait_closed())
    dropped = asyncio.create_task(_dropped(root))
    try:
        await asyncio.wait({relay, closed, dropped}, return_when=asyncio.FIRST_COMPLETED)
        if relay.done():
            _report(process, relay.result())
        elif dropped.done():
            process.get_extra_info("connection").abort()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        relay.cancel()
        closed.cancel()
        dropped.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), _REAP_LIMIT)
        transport.close()


def _shell_of(root: Path) -> str:
    """The login shell: a host may have one of its own, with a fault."""
    own = root / shims.DIRECTORY / "login-shell"
    return str(own) if own.exists() else "/bin/sh"


async def _dropped(root: Path) -> None:
    """Wait until a command asks for its connection to be lost, as those of some faults do."""
    wish = root / "run/hang-up"
    while not wish.exists():  # noqa: ASYNC110  # another process says it, by a file
        await asyncio.sleep(_LOOK_AGAIN)
    wish.unlink(missing_ok=True)


async def _relay(process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process) -> int:
    """Pass on, byte by byte, what goes in and comes out; return how the command ended when all is out."""
    assert child.stdin and child.stdout and child.stderr  # noqa: PT018, S101  # pipes, see _session
    feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
    try:
        await asyncio.gather(
            _drain_into(process.stdout, child.stdout), _drain_into(process.stderr, child.stderr)
        )
        return await child.wait()
    finally:
        feeding.cancel()


def _report(process: asyncssh.SSHServerProcess[bytes], returncode: int) -> None:
    """Pass on how the command ended; death by a signal is told as such, as sshd does."""
    if returncode < 0:
        process.exit_with_signal(signal.Signals(-returncode).name.removeprefix("SIG"))
    else:
        process.exit(returncode)


def _environment(name: str, root: Path) -> dict[str, str]:
    """All that a command sees of an environment: nothing of the machine's own."""
    path = f"{root / shims.DIRECTORY}:/usr/bin:/bin:/usr/sbin:/sbin"
    home = str(root / "home")
    return {"PATH": path, "HOME": home, "USER": name, "LOGNAME": name, "SHELL": "/bin/sh", "LANG": "C.UTF-8"}


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    """Pass the client's input on until it ends or the command no longer wants it."""
    with suppress(OSError, asyncssh.Error):
        while block := await source.read(_BLOCK):
            sink.write(block)
            await sink.drain()
    sink.close()


async def _drain_into(sink: asyncssh.SSHWriter[bytes], source: asyncio.StreamReader) -> None:
    """Pass the command's output on until it ends or the client has gone."""
    with suppress(OSError, asyncssh.Error):
        while block := await source.read(_BLOCK):
            sink.write(block)
            await sink.drain()


if __name__ == "__main__":
    sys.exit(main())
