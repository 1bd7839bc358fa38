"""A real sshd on loopback, its keys, and both clients."""

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from qualys_verify.backends import Deadline
from qualys_verify.ssh.client import SshClient
from qualys_verify.targets import select
from qualys_verify.transport import SshSettings, connect, disconnect

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Server:
    """A running sshd. `directory` holds `client_key`, `host_key` and whatever a test adds."""

    directory: Path
    port: int
    process: subprocess.Popen

    @property
    def host_key(self):
        return (self.directory / "host_key.pub").read_text().rsplit(" ", 1)[0]


@dataclass
class Sshd:
    """Starts servers, and ends them."""

    base: Path
    running: list = field(default_factory=list)

    def start(self, name="sshd", **directives):
        directory = self.base / name
        directory.mkdir()
        for key in ("host_key", "client_key"):
            keygen("-t", "ed25519", "-N", "", "-f", directory / key)
        shutil.copy(directory / "client_key.pub", directory / "authorized_keys")
        return self.serve(directory, **directives)

    def serve(self, directory, address="127.0.0.1", **directives):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as probe:
            probe.bind((address, 0))
            port = probe.getsockname()[1]
        settings = {
            "ListenAddress": f"[{address}]:{port}",
            "HostKey": directory / "host_key",
            "AuthorizedKeysFile": directory / "authorized_keys",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PermitRootLogin": "yes",
            **directives,
        }
        config = directory / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        with (directory / "sshd.log").open("wb") as log:
            process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stderr=log)
        self.running.append(process)
        for _ in range(200):
            with socket.socket(family) as knock:
                if knock.connect_ex((address, port)) == 0:
                    return Server(directory, port, process)
            assert process.poll() is None, (directory / "sshd.log").read_text()
            time.sleep(0.02)
        raise AssertionError("sshd does not listen")

    def end(self):
        for process in self.running:
            process.terminate()
            process.wait(10)


def keygen(*arguments):
    subprocess.run(["ssh-keygen", "-q", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def sshd(tmp_path):
    if SSHD is None:
        pytest.skip("needs the OpenSSH server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it separates privileges
    servers = Sshd(tmp_path)
    yield servers
    servers.end()


@pytest.fixture
def config(tmp_path):
    """Writes an ssh_config for a server: what a test says comes first, and so before what is usual."""

    def write(server, text="", known=None, name="host"):
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n" if known is None else known)
        path = tmp_path / "ssh_config"
        path.write_text(
            f"Host {name}\n"
            + "".join(f"    {line}\n" for line in text.splitlines())
            + f"    HostName 127.0.0.1\n    Port {server.port}\n    User {getpass.getuser()}\n"
            f"    IdentityFile {server.directory}/client_key\n"
            f"Host *\n    UserKnownHostsFile {known_hosts}\n    GlobalKnownHostsFile /dev/null\n    IdentityAgent none\n"
        )
        return path

    return write


@pytest.fixture
def clients(tmp_path):
    """Both ways to the same host: in this process, and OpenSSH; each says how it ended."""
    ends = []

    def way(name, path, spec="ssh://host", seconds=20.0):
        deadline = Deadline(seconds, threading.Event())
        directory = tmp_path / f"control-{len(ends)}"
        directory.mkdir()
        settings = SshSettings(directory, config=path)
        if name == "here":
            client = SshClient(8, deadline)
            settings = replace(settings, client=client)
            ends.append(client.close)
        (target,) = select([spec]).targets
        found = connect(target, settings, deadline, 0)
        ends.extend((found.close, lambda: disconnect(settings, 0)))
        return found

    yield way
    for end in reversed(ends):
        end()


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """A real ssh-agent; ends with the test."""
    path = tmp_path / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while not path.exists():
        assert process.poll() is None
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield lambda *files: subprocess.run(["ssh-add", "-q", *files], check=True)
    process.terminate()
    process.wait(10)
