"""What an adversary tried on the client in this process: each was once different from OpenSSH, or could be."""

import asyncio
import getpass
import os
import re
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from qualys_verify.backends import Deadline
from qualys_verify.reasons import Inconclusive, Interrupted, TimedOut
from qualys_verify.ssh.connection import Connector
from qualys_verify.ssh.directives import read_effective
from qualys_verify.ssh.route import Asking, Hop, Known, NeedsOpenSsh, NoWay, find_route
from qualys_verify.targets import select
from qualys_verify.transport import SshSettings, connect
from tests.ssh.conftest import keygen
from tests.ssh.test_both_clients_agree import JUMP, agreed, held, outcome

USER = getpass.getuser()


def public(path):
    return path.read_text().rsplit(" ", 1)[0]


def behind_jump(sshd, config, tmp_path, *, known=True, text=""):
    server, jump = sshd.start(), sshd.start("jump")
    path = config(server, f"ProxyJump jump\n{text}")
    path.write_text(JUMP.format(port=jump.port, user=USER, directory=jump.directory) + path.read_text())
    if known:
        with (tmp_path / "known_hosts").open("a") as more:
            more.write(f"[127.0.0.1]:{jump.port} {jump.host_key}\n")
    return server, jump, path


def test_a_jump_host_is_not_shared_with_those_who_do_not_trust_it(sshd, config, clients, tmp_path):
    _, _, path = behind_jump(sshd, config, tmp_path)
    first = clients("here", path)
    assert outcome(first) == "42\n"
    (tmp_path / "fewer").write_text((tmp_path / "known_hosts").read_text().splitlines()[0] + "\n")
    other = tmp_path / "other_config"
    other.write_text(path.read_text().replace(str(tmp_path / "known_hosts"), str(tmp_path / "fewer")))
    client = first._session._client
    settings = SshSettings(tmp_path / "control-0", config=other, client=client)
    (target,) = select(["ssh://host"]).targets
    second = connect(target, settings, client.deadline, 1)
    assert "cannot be reached" in outcome(second)
    second.close()


def test_a_jump_host_whose_certificate_is_for_another_name_is_known_by_its_key(
    sshd, config, clients, tmp_path
):
    """OpenSSH falls back to the plain key; it is asked, on the way as at its end."""
    _, jump, path = behind_jump(sshd, config, tmp_path, known=False)
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    keygen("-s", tmp_path / "ca", "-I", "it", "-h", "-n", "web2", jump.directory / "host_key.pub")
    again = sshd.serve(jump.directory, HostCertificate=jump.directory / "host_key-cert.pub")
    path.write_text(path.read_text().replace(f"Port {jump.port}\n", f"Port {again.port}\n"))
    with (tmp_path / "known_hosts").open("a") as more:
        more.write(
            f"@cert-authority * {public(tmp_path / 'ca.pub')}\n[127.0.0.1]:{again.port} {jump.host_key}\n"
        )
    said, client = agreed(clients, path)
    assert (said, client[:9]) == ("42\n", "OpenSSH (")


def test_a_login_key_that_is_too_short(sshd, config, clients):
    server = sshd.start()
    for name in ("client_key", "client_key.pub"):
        (server.directory / name).unlink()
    keygen("-t", "rsa", "-b", "2048", "-N", "", "-f", server.directory / "client_key")
    shutil.copy(server.directory / "client_key.pub", server.directory / "authorized_keys")
    assert agreed(clients, config(server, "RequiredRSASize 2048"))[0] == "42\n"
    assert "the login was refused" in agreed(clients, config(server, "RequiredRSASize 3072"))[0]


@pytest.mark.parametrize("named", ["", "CertificateFile {0}/named\nCertificateFile {0}/c-cert.pub"])
@pytest.mark.parametrize("only", ["yes", "no"])
def test_keys_are_offered_in_the_order_of_openssh(sshd, config, clients, agent, tmp_path, named, only):
    server = sshd.start(LogLevel="VERBOSE", MaxAuthTries="30")
    (server.directory / "authorized_keys").write_text("")
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    for name, kind in zip(
        "abcdef", ("ed25519", "rsa", "ecdsa", "ed25519", "ed25519", "ed25519"), strict=True
    ):
        keygen("-t", kind, "-N", "", "-f", tmp_path / name)
    for name in "acd":
        keygen("-s", tmp_path / "ca", "-I", "it", "-n", USER, f"{tmp_path / name}.pub")
    keygen("-s", tmp_path / "ca", "-I", "another", "-n", "more", "-z", "7", f"{tmp_path}/f.pub")
    shutil.copy(f"{tmp_path}/f-cert.pub", tmp_path / "named")
    agent(tmp_path / "e", tmp_path / "d", tmp_path / "b")
    path = config(server, f"IdentitiesOnly {only}\nIdentityAgent SSH_AUTH_SOCK\n{named.format(tmp_path)}")
    files = "".join(f"    IdentityFile {tmp_path}/{name}\n" for name in "abcdf")
    path.write_text(path.read_text().replace(f"    IdentityFile {server.directory}/client_key\n", files))
    offered = []
    for name in ("here", "openssh"):
        before = len((server.directory / "sshd.log").read_text())
        assert "the login was refused" in outcome(clients(name, path))
        time.sleep(0.2)
        log = (server.directory / "sshd.log").read_text()[before:]
        offered.append(re.findall(r"Failed publickey for .* ssh2: (.*)", log))
    assert offered[0] == offered[1]
    assert len(offered[0]) > 5


def asking(tmp_path, text, deadline=None):
    path = tmp_path / "config"
    path.write_text(text)
    deadline = deadline or Deadline(20.0, threading.Event())
    return Asking(("BatchMode=yes",), path, (), dict(os.environ), threading.Semaphore(2), deadline, Known())


def test_jump_hosts_that_lead_to_each_other(tmp_path):
    with pytest.raises(NoWay, match="more than 10 jump hosts"):
        find_route(asking(tmp_path, "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n"), "a")


def test_a_jump_host_with_tokens(tmp_path):
    route = find_route(
        asking(
            tmp_path,
            "Host w\n  HostName real\n  ProxyJump gw-%h-%n:2222\n  User u\nHost gw-*\n  HostName 192.0.2.1\n",
        ),
        "w",
    )
    assert (route[0].asked, route[0].user, route[0].port) == ("gw-real-w", USER, 2222)


def test_home_is_that_of_the_user_and_not_of_the_environment(monkeypatch):
    expected = Path("~/.ssh/id_x").expanduser()
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("LOGNAME", "somebody")
    hop = Hop(
        "h", read_effective("hostname h\nidentityfile ~/.ssh/id_x\nidentityfile %d/%u\nidentityagent ~/a\n")
    )
    assert hop.wanted.files == (expected, expected.parents[1] / USER)
    assert hop.wanted.agent == str(expected.parents[1] / "a")


def test_a_proxy_commands_variables_are_its_shells(tmp_path, monkeypatch):
    monkeypatch.setenv("X", "not this")
    (hop,) = find_route(asking(tmp_path, "ProxyCommand for X in 1; do nc $${X} '${X}' %h; done\n"), "w")
    assert hop.proxy_command == "for X in 1; do nc $${X} '${X}' w; done"


def test_known_hosts_files_that_cannot_be_told_apart(tmp_path):
    hop = Hop("h", read_effective(f"hostname h\nuserknownhostsfile {tmp_path}/known hosts {tmp_path}/more\n"))
    with pytest.raises(NeedsOpenSsh, match="spaces"):
        _ = hop.known_hosts


@pytest.mark.parametrize(
    ("form", "reached"),
    [
        ("@cert-authority\t[127.0.0.1]:PORT CA", False),
        ("@cert-authority\t[127.0.0.1]:PORT\tCATAB", True),
        ("@cert-authority [127.0.0.1]:PORT CA\n@revoked * HOSTKEY", False),
        ("@cert-authority 127.0.0.1 CA", True),
        ("[127.0.0.1]:PORT CA\n@cert-authority 127.0.0.1 CA", True),
        ("@cert-authority * CA\n[127.0.0.1]:PORT HOSTKEY", True),
    ],
)
def test_authorities_in_known_hosts(sshd, config, clients, tmp_path, form, reached):
    server = sshd.start()
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    keygen("-s", tmp_path / "ca", "-I", "it", "-h", "-n", "127.0.0.1", server.directory / "host_key.pub")
    again = sshd.serve(server.directory, HostCertificate=server.directory / "host_key-cert.pub")
    authority = public(tmp_path / "ca.pub")
    text = form.replace("PORT", str(again.port)).replace("HOSTKEY", server.host_key)
    text = text.replace("CATAB", authority.replace(" ", "\t")).replace("CA", authority)
    said, _ = agreed(clients, config(again, known=f"{text}\n"))
    assert (said == "42\n") is reached


@pytest.mark.parametrize(
    ("options", "alias", "reached"),
    [
        (("-h", "-n", "127.0.0.1", "-V", "20200101:20210101"), "", False),
        (("-h", "-n", "127.0.0.1", "-V", "20400101:20410101"), "", False),
        (("-h", "-n", "127.0.0.1", "-O", "critical:x=y"), "", False),
        (("-h",), "", True),
        (("-h", "-n", "web1"), "Web1", True),
        (("-h", "-n", "Web1"), "Web1", False),
    ],
)
def test_certificates_of_hosts(sshd, config, clients, tmp_path, options, alias, reached):
    server = sshd.start()
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    keygen("-s", tmp_path / "ca", "-I", "it", *options, server.directory / "host_key.pub")
    again = sshd.serve(server.directory, HostCertificate=server.directory / "host_key-cert.pub")
    text = f"HostKeyAlias {alias}" if alias else ""
    said, _ = agreed(clients, config(again, text, known=f"@cert-authority * {public(tmp_path / 'ca.pub')}\n"))
    assert (said == "42\n") is reached


def test_another_login_where_the_server_has_no_place_for_a_second_shell(sshd, config, clients):
    way = clients("here", config(sshd.start(MaxSessions="1")), seconds=2.0)
    with pytest.raises(TimedOut):
        way.run(["sleep 9"])
    (reply,) = way.run(["echo again"])
    assert reply.stdout == "again\n"


def test_who_spoke_is_told_even_if_the_server_gave_no_reason(config, clients, sshd):
    way = clients("here", config(sshd.start()))
    way._session._go_through_openssh("")
    assert outcome(way) == "42\n"
    assert way.client.startswith("OpenSSH (")


def test_a_match_exec_that_hangs_is_cut_short_and_leaves_nothing(tmp_path):
    interrupted = threading.Event()
    timer = threading.Timer(0.5, interrupted.set)
    timer.start()
    began = time.monotonic()
    text = f'Match exec "echo $$ > {tmp_path}/pid; sleep 60; true"\n  Port 9\n'
    with pytest.raises(Interrupted):
        find_route(asking(tmp_path, text, Deadline(20.0, interrupted)), "w")
    assert time.monotonic() - began < 3
    timer.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.usefixtures("agent")
def test_one_connection_to_the_agent():
    before = held()

    async def both():
        connector = Connector(8, 20.0, os.environ)
        await asyncio.gather(*(connector._agent_keys(os.environ["SSH_AUTH_SOCK"]) for _ in range(5)))
        await connector.close()
        await asyncio.sleep(0.1)

    asyncio.run(both())
    assert held() == before


@pytest.mark.parametrize(
    ("wish", "cipher"),
    [
        ("", "aes128-gcm@openssh.com"),
        (
            "Ciphers chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes128-ctr",
            "chacha20-poly1305@openssh.com",
        ),
        ("Ciphers aes256-ctr,aes128-gcm@openssh.com", "aes256-ctr"),
    ],
)
def test_ciphers_come_in_the_order_that_was_wished_for(sshd, config, wish, cipher):
    deadline = Deadline(20.0, threading.Event())
    told = Asking(
        (), config(sshd.start(), wish), (), dict(os.environ), threading.Semaphore(2), deadline, Known()
    )

    async def used():
        connector = Connector(8, 20.0, os.environ)
        connection = await connector.connect(find_route(told, "host"))
        await connection.close()
        return connection.ssh.get_extra_info("send_cipher")

    assert asyncio.run(used()) == cipher


@pytest.fixture
def silent():
    """A server that says something and then nothing more, for ever."""
    servers, kept = [], []

    def made(words):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                connection.sendall(words)

        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    yield made
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
    for one in (*servers, *kept):
        one.close()


@pytest.mark.parametrize("words", [b"", b"hello\r\n", b"SSH-2.0-x\r\n", b"SSH-2.0-x\r\n\x00\x00"])
def test_a_server_that_never_goes_on(silent, clients, tmp_path, words):
    path = tmp_path / "config"
    path.write_text(
        f"Host host\n  HostName 127.0.0.1\n  Port {silent(words)}\n  ConnectTimeout 2\n  IdentityAgent none\n"
    )
    began = time.monotonic()
    with pytest.raises(Inconclusive):
        clients("here", path, seconds=2.0).run(["true"])
    assert time.monotonic() - began < 6


def test_a_command_that_is_forced_and_never_ends(sshd, config, clients):
    way = clients("here", config(sshd.start(ForceCommand="sleep 30")), seconds=2.0)
    began = time.monotonic()
    with pytest.raises(Inconclusive):
        way.run(["true"])
    assert time.monotonic() - began < 6


@pytest.mark.parametrize(
    "settings",
    [
        {"AuthenticationMethods": "publickey,publickey"},
        {"ForceCommand": "sleep 1; cat > /dev/null; echo no"},
        {"ForceCommand": 'all=$(cat); echo hello; printf %s "$all" | /bin/sh'},
        {"ForceCommand": "sleep 7; exec /bin/sh"},
        {"Banner": "/etc/passwd"},
        {"KexAlgorithms": "sntrup761x25519-sha512@openssh.com"},
        {"MACs": "hmac-sha1", "Ciphers": "aes128-ctr", "KexAlgorithms": "diffie-hellman-group14-sha256"},
        {"PermitOpen": "none", "DisableForwarding": "yes"},
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
def test_odd_servers(sshd, config, clients, settings):
    server = sshd.start(**settings)
    keygen("-t", "ed25519", "-N", "", "-f", server.directory / "second")
    with (server.directory / "authorized_keys").open("a") as more:
        more.write((server.directory / "second.pub").read_text())
    agreed(clients, config(server, f"IdentityFile {server.directory}/second"))


@pytest.mark.parametrize("form", ["PEM", "PKCS8", "RFC4716"])
@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
@pytest.mark.parametrize("secret", ["", "secret"])
def test_forms_of_keys(sshd, config, clients, agent, form, kind, secret):
    server = sshd.start()
    key = server.directory / "client_key"
    for name in (key, Path(f"{key}.pub")):
        name.unlink()
    keygen("-t", kind, "-m", form, "-N", "", "-f", key)
    shutil.copy(f"{key}.pub", server.directory / "authorized_keys")
    if secret:
        agent(key)
        keygen("-p", "-m", form, "-P", "", "-N", secret, "-f", key)
        Path(f"{key}.pub").unlink()
    assert agreed(clients, config(server, "IdentityAgent SSH_AUTH_SOCK"))[0] == "42\n"


def test_a_key_of_the_agent_for_this_host_only(sshd, config, clients, agent, tmp_path):
    """The agent signs with it only for those who tell it which host they speak to."""
    server = sshd.start()
    path = config(server, "IdentityAgent SSH_AUTH_SOCK")
    known = tmp_path / "known_hosts"
    known.write_text(known.read_text() + f"that {server.host_key}\n")
    agent("-H", known, "-h", "that", server.directory / "client_key")
    keygen("-p", "-P", "", "-N", "a secret", "-f", server.directory / "client_key")
    said, client = agreed(clients, path)
    assert (said, client[:9]) == ("42\n", "OpenSSH (")


def test_a_host_of_ipv6(sshd, config, clients):
    server = sshd.start()
    again = sshd.serve(server.directory, address="::1")
    path = config(again, known=f"[::1]:{again.port} {server.host_key}\n")
    path.write_text(path.read_text().replace("127.0.0.1", "::1"))
    assert agreed(clients, path)[0] == "42\n"
