"""The client in this process and OpenSSH itself, on the same real sshd: who is let in, who is refused, and why."""

import getpass
import re
import shutil
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from qualys_verify.reasons import Inconclusive, Interrupted, TimedOut
from qualys_verify.ssh import shell
from tests.ssh.conftest import keygen

USER = getpass.getuser()


def outcome(way):
    try:
        (reply,) = way.run(["echo $((6 * 7))"])
    except Inconclusive as reason:
        return re.sub(r"status \d+|port \d+", "", str(reason))
    return reply.stdout


def agreed(clients, path, **more):
    """What both say; fails where they differ."""
    here, openssh = clients("here", path, **more), clients("openssh", path, **more)
    said = outcome(here), outcome(openssh)
    assert said[0] == said[1]
    assert said[0] != "42\n" or here.host_key == openssh.host_key
    return said[0], here.client


def test_a_login_by_key(sshd, config, clients):
    said, client = agreed(clients, config(sshd.start()))
    assert (said, client.split()[0]) == ("42\n", "asyncssh")


def test_several_scripts_one_login(sshd, config, clients):
    server = sshd.start()
    way = clients("here", config(server))
    for number in range(3):
        (first, second) = way.run([f"echo {number}; echo oops >&2; exit {number}", "echo $$"])
        assert (first.status, first.stdout, first.stderr, second.status) == (
            number,
            f"{number}\n",
            "oops\n",
            0,
        )
    assert (server.directory / "sshd.log").read_text().count("Accepted publickey") == 1


@pytest.mark.parametrize(
    "form",
    [
        "[127.0.0.1]:PORT KEY",
        "127.0.0.1 KEY",
        "web9,[127.0.0.1]:PORT KEY",
        "[127.*]:* KEY",
        "[127.0.0.1]:*,!web2 KEY",
        "\t [127.0.0.1]:PORT\tKEY a comment",
        "# a comment\n\nnonsense\n@marker [127.0.0.1]:PORT KEY\n[127.0.0.1]:PORT KEY",
        "HASHED",
        "[127.0.0.1]:PORT ssh-rsa AAAA\n[127.0.0.1]:PORT KEY",
    ],
)  # fmt: skip
def test_known_hosts_that_vouch_for_the_key(sshd, config, clients, tmp_path, form):
    server = sshd.start()
    assert agreed(clients, known(config, server, form, tmp_path))[0] == "42\n"


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("", "is not in known_hosts"),
        ("[127.0.0.1]:1 KEY", "is not in known_hosts"),
        ("127.0.0.0/8 KEY", "is not in known_hosts"),
        ("!HOST,* KEY", "is not in known_hosts"),
        ("@marker [127.0.0.1]:PORT KEY", "is not in known_hosts"),
        ("@cert-authority [127.0.0.1]:PORT KEY", "is not in known_hosts"),
        ("[127.0.0.1]:PORT OTHER", "is not the one in known_hosts"),
        ("[127.0.0.1]:PORT KEY\n@revoked [127.0.0.1]:PORT KEY", "is marked as revoked"),
        ("[127.0.0.1]:PORT KEY\n@revoked * KEY", "is marked as revoked"),
        ("HOST KEY\n@revoked HoSt KEY", "is marked as revoked"),
    ],
)
def test_known_hosts_that_do_not(sshd, config, clients, tmp_path, form, why):
    server = sshd.start()
    alias = "HostKeyAlias host" if "HOST" in form else ""
    path = known(config, server, form.replace("HOST", "host"), tmp_path, alias)
    assert why in agreed(clients, path)[0]


def known(config, server, form, tmp_path, text=""):
    """A configuration with known_hosts of a form."""
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "other")
    other = (tmp_path / "other.pub").read_text().rsplit(" ", 1)[0]
    plain = f"[127.0.0.1]:{server.port} {server.host_key}\n"
    written = form.replace("PORT", str(server.port)).replace("KEY", server.host_key).replace("OTHER", other)
    path = config(server, text, known=plain if form == "HASHED" else f"{written}\n")
    if form == "HASHED":
        keygen("-H", "-f", tmp_path / "known_hosts")
        assert "127.0.0.1" not in (tmp_path / "known_hosts").read_text()
    return path


def test_a_host_goes_by_its_alias(sshd, config, clients):
    server = sshd.start()
    path = config(server, "HostKeyAlias the-host", known=f"the-host {server.host_key}\n")
    assert agreed(clients, path)[0] == "42\n"


@pytest.mark.parametrize(
    ("principal", "authority", "reached"),
    [
        ("127.0.0.1", "ed25519", True),
        ("127.0.0.1", "ecdsa", True),
        ("127.0.0.1", "rsa", True),
        ("127.0.0.*", "ed25519", False),
        ("web2", "ed25519", False),
    ],
)
def test_a_host_certificate(sshd, config, clients, tmp_path, principal, authority, reached):
    server = sshd.start()
    keygen("-t", authority, "-N", "", "-f", tmp_path / "ca")
    keygen("-s", tmp_path / "ca", "-I", "it", "-h", "-n", principal, server.directory / "host_key.pub")
    again = sshd.serve(server.directory, HostCertificate=server.directory / "host_key-cert.pub")
    authority_key = (tmp_path / "ca.pub").read_text().rsplit(" ", 1)[0]
    said, _ = agreed(clients, config(again, known=f"@cert-authority * {authority_key}\n"))
    assert (said == "42\n") is reached


def test_a_revoked_authority(sshd, config, clients, tmp_path):
    server = sshd.start()
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    keygen("-s", tmp_path / "ca", "-I", "it", "-h", "-n", "127.0.0.1", server.directory / "host_key.pub")
    again = sshd.serve(server.directory, HostCertificate=server.directory / "host_key-cert.pub")
    key = (tmp_path / "ca.pub").read_text().rsplit(" ", 1)[0]
    said, _ = agreed(clients, config(again, known=f"@cert-authority * {key}\n@revoked * {key}\n"))
    assert "cannot be reached" in said


def test_a_login_by_certificate(sshd, config, clients, tmp_path):
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    server = sshd.start(TrustedUserCAKeys=tmp_path / "ca.pub")
    (server.directory / "authorized_keys").write_text("")
    assert "the login was refused" in agreed(clients, config(server))[0]
    keygen("-s", tmp_path / "ca", "-I", "it", "-n", USER, server.directory / "client_key.pub")
    assert agreed(clients, config(server))[0] == "42\n"


def test_an_encrypted_key_is_used_through_the_agent(sshd, config, clients, agent):
    server = sshd.start()
    key = server.directory / "client_key"
    agent(key)
    keygen("-p", "-P", "", "-N", "a secret", "-f", key)
    assert agreed(clients, config(server, "IdentityAgent SSH_AUTH_SOCK"))[0] == "42\n"
    assert "the login was refused" in agreed(clients, config(server))[0]


@pytest.mark.parametrize("only", ["yes", "no"])
def test_identities_only(sshd, config, clients, agent, only):
    server = sshd.start()
    key = server.directory / "client_key"
    agent(key)
    keygen("-t", "ed25519", "-N", "", "-f", server.directory / "another")
    text = f"IdentitiesOnly {only}\nIdentityAgent SSH_AUTH_SOCK"
    path = config(server, text)
    path.write_text(path.read_text().replace("/client_key", "/another"))
    assert (agreed(clients, path)[0] == "42\n") is (only == "no")


def test_a_public_key_names_the_agents(sshd, config, clients, agent):
    server = sshd.start()
    agent(server.directory / "client_key")
    path = config(server, "IdentitiesOnly yes\nIdentityAgent SSH_AUTH_SOCK")
    path.write_text(path.read_text().replace("/client_key", "/client_key.pub"))
    assert agreed(clients, path)[0] == "42\n"


def test_a_key_that_others_can_read_is_refused(sshd, config, clients):
    server = sshd.start()
    (server.directory / "client_key").chmod(0o644)
    said, _ = agreed(clients, config(server))
    assert "can be read by others" in said or "the login was refused" in said


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_of_other_kinds(sshd, config, clients, kind):
    server = sshd.start()
    for key in ("host_key", "client_key"):
        for name in (key, f"{key}.pub"):
            (server.directory / name).unlink()
        keygen("-t", kind, "-N", "", "-f", server.directory / key)
    shutil.copy(server.directory / "client_key.pub", server.directory / "authorized_keys")
    again = sshd.serve(server.directory)
    assert agreed(clients, config(again))[0] == "42\n"


def test_a_host_key_that_is_too_short(sshd, config, clients):
    server = sshd.start()
    for name in ("host_key", "host_key.pub"):
        (server.directory / name).unlink()
    keygen("-t", "rsa", "-b", "2048", "-N", "", "-f", server.directory / "host_key")
    again = sshd.serve(server.directory)
    assert agreed(clients, config(again))[0] == "42\n"
    assert "cannot be reached" in agreed(clients, config(again, "RequiredRSASize 3072"))[0]


@pytest.mark.parametrize(
    "directive",
    [
        "Ciphers aes128-ctr",
        "MACs hmac-sha2-256",
        "KexAlgorithms ecdh-sha2-nistp256",
        "KexAlgorithms sntrup761x25519-sha512@openssh.com",
        "HostKeyAlgorithms ssh-ed25519",
        "PubkeyAcceptedAlgorithms ssh-ed25519",
        "Compression yes",
        "RekeyLimit 1M",
        "AddressFamily inet",
        "BindAddress 127.0.0.1",
        "ConnectTimeout 3",
        "PreferredAuthentications publickey,password",
        "GSSAPIAuthentication yes",
    ],
)
def test_directives_with_which_the_host_is_reached(sshd, config, clients, directive):
    assert agreed(clients, config(sshd.start(), directive))[0] == "42\n"


@pytest.mark.parametrize(
    "directive",
    [
        "PubkeyAuthentication no",
        "PreferredAuthentications password",
        "PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256",
        "HostKeyAlgorithms ecdsa-sha2-nistp256",
        "User nobody-of-that-name",
        "NotADirective yes",
        "HostName name.invalid",
        "Port 1",
    ],
)
def test_directives_with_which_it_is_not(sshd, config, clients, directive):
    assert "cannot be reached" in agreed(clients, config(sshd.start(), directive))[0]


@pytest.mark.parametrize(
    ("directive", "name"),
    [
        ("CheckHostIP yes", "CheckHostIP"),
        ("VerifyHostKeyDNS yes", "VerifyHostKeyDNS"),
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", "KexAlgorithms"),
        ("HostbasedAuthentication yes", "HostbasedAuthentication"),
    ],
)
def test_what_only_openssh_can_do_goes_through_it_and_the_record_says_so(
    sshd, config, clients, directive, name
):
    said, client = agreed(clients, config(sshd.start(), directive))
    assert (said, client.startswith("OpenSSH ("), name in client) == ("42\n", True, True)


def test_variables_that_are_sent(sshd, config, clients, monkeypatch):
    monkeypatch.setenv("QV_ONE", "1 one")
    path = config(sshd.start(AcceptEnv="QV_*"), "SendEnv QV_*\nSetEnv QV_TWO=2")
    for name in ("here", "openssh"):
        (reply,) = clients(name, path).run(['echo "$QV_ONE/$QV_TWO"'])
        assert reply.stdout == "1 one/2\n"


def test_a_proxy_command(sshd, config, clients):
    server = sshd.start()
    line = f"ProxyCommand ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i {server.directory}/client_key -p {server.port} -W %h:%p 127.0.0.1"
    assert agreed(clients, config(server, line))[0] == "42\n"


def test_a_proxy_command_that_fails(sshd, config, clients):
    said, _ = agreed(
        clients, config(sshd.start(), "ProxyCommand sh -c 'echo no route today >&2; sleep 0.5; exit 1'")
    )
    assert "cannot be reached" in said


JUMP = """
Host jump
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {directory}/client_key
"""


def test_a_jump_host(sshd, config, clients, tmp_path):
    """Configured for itself, checked as strictly, and logged in on once for all hosts behind it."""
    server, jump = sshd.start(), sshd.start("jump")
    path = config(server, "ProxyJump jump")
    path.write_text(JUMP.format(port=jump.port, user=USER, directory=jump.directory) + path.read_text())
    with (tmp_path / "known_hosts").open("a") as more:
        more.write(f"[127.0.0.1]:{jump.port} {jump.host_key}\n")
    assert agreed(clients, path)[0] == "42\n"
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    assert "cannot be reached" in outcome(clients("here", path))


def test_patterns_match_and_include(sshd, config, clients, tmp_path):
    server = sshd.start()
    path = config(server)
    (tmp_path / "more").write_text(path.read_text())
    path.write_text(f"Match exec true host other\n    Port 1\nHost *\nInclude {tmp_path}/more\n")
    assert agreed(clients, path)[0] == "42\n"


@pytest.mark.parametrize("keeps", [True, False])
def test_who_waits_keeps_its_connection_where_there_is_room(sshd, config, clients, keeps):
    server = sshd.start()
    way = clients("here", config(server))
    way._session._client.keeps_connections = keeps
    for _ in range(2):
        way.run(["true"])
        way.rest()
    logins = (server.directory / "sshd.log").read_text().count("Accepted publickey")
    assert logins == (1 if keeps else 2)


def test_a_login_that_is_lost_is_made_anew(sshd, config, clients):
    way = clients("here", config(sshd.start()))
    with pytest.raises(Inconclusive, match="was lost while"):
        way.run(["sleep 0.5; kill -9 $PPID; sleep 5"])
    (reply,) = way.run(["echo again"])
    assert reply.stdout == "again\n"


def test_a_script_that_hangs_ends_with_its_time_and_the_next_one_runs(sshd, config, clients):
    way = clients("here", config(sshd.start()), seconds=3.0)
    with pytest.raises(TimedOut, match=r"no answer within 3 s"):
        way.run(["sleep 7"])
    (reply,) = way.run(["echo again"])
    assert reply.stdout == "again\n"


def test_an_interrupted_run_does_not_wait(sshd, config, clients):
    way = clients("here", config(sshd.start()))
    way.run(["true"])
    interrupted = way._session._client.deadline.interrupted
    timer = threading.Timer(0.5, interrupted.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Interrupted):
        way.run(["sleep 30"])
    timer.join()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("stream", ["1", "2"])
def test_endless_output_is_cut_off(sshd, config, clients, monkeypatch, stream):
    monkeypatch.setattr(shell, "OUTPUT_LIMIT", 1 << 20)
    with pytest.raises(Inconclusive, match="printed more than"):
        clients("here", config(sshd.start())).run([f"yes >&{stream}"])


def test_a_server_that_is_full_is_asked_again(sshd, config, clients):
    """MaxStartups: the connections that it does not take are closed before it says what it is."""
    server = sshd.start(MaxStartups="1:100:1", LoginGraceTime="2")
    with holding_the_only_place(server.port):
        assert outcome(clients("here", config(server))) == "42\n"


@contextmanager
def holding_the_only_place(port):
    """A connection that does not log in, until the server throws it out."""
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", port)) as other:
            if other.recv(4) == b"SSH-":
                yield
                return
        time.sleep(0.05)
    raise AssertionError("the place is never free")


PIPE = """
import os, socket, sys, threading
there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def forth():
    while data := os.read(0, 65536): there.sendall(data)
threading.Thread(target=forth, daemon=True).start()
while data := there.recv(65536): os.write(1, data)
"""


def test_nothing_stays_behind(sshd, config, clients, tmp_path):
    server = sshd.start()
    (tmp_path / "pipe.py").write_text(PIPE)
    before = held()
    way = clients("here", config(server, f"ProxyCommand {sys.executable} {tmp_path}/pipe.py %p"))
    way.run(["true"])
    way.close()
    way._session._client.close()
    assert held() == before


def held():
    """Descriptors and threads of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
