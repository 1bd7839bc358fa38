"""OpenSSH's configuration: what `ssh -G` says of a corpus of files, what becomes of it here, and which directives there are."""

import getpass
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from qualys_verify.backends import Deadline
from qualys_verify.ssh.directives import BY_KEY, DIRECTIVES, Support, read_effective, why_openssh
from qualys_verify.ssh.route import Asking, Known, NeedsOpenSsh, NoWay, find_route
from qualys_verify.ssh.table import PAGE, page

USER = getpass.getuser()
STRICT = ("BatchMode=yes", "StrictHostKeyChecking=yes")


@pytest.fixture
def asking(tmp_path):
    def made(text, *others, **environment):
        path = tmp_path / "config"
        path.write_text(text)
        return Asking(
            STRICT,
            path,
            others,
            {**os.environ, **environment},
            threading.Semaphore(2),
            Deadline(20.0, threading.Event()),
            Known(),
        )

    return made


def values(hop):
    return hop.host, hop.port, hop.user


def test_every_directive_that_openssh_prints_is_in_the_table():
    done = subprocess.run(
        ["ssh", "-G", "-F", "none", "host"],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert set(read_effective(done.stdout).values) - set(BY_KEY) == set()


def test_every_directive_of_the_manual_is_in_the_table():
    """`ssh -Q` has no list of them, so the client is asked about each: it knows no other than those."""
    for item in DIRECTIVES:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", item.name)
    assert len(BY_KEY) == len(DIRECTIVES)


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page()


CORPUS = {
    "Host web1\n  HostName 192.0.2.1\n  Port 2222\n  User ops\n": ("192.0.2.1", 2222, "ops"),
    "Host web?\n  Port 3\nHost *\n  Port 4\n  HostName 192.0.2.2\n": ("192.0.2.2", 3, USER),
    "Host * !web1\n  Port 3\nHost *\n  HostName 192.0.2.%%\n  Port 4\n": (None, None, None),
    "Host web1\n  HostName %h.invalid\n": (None, None, None),
    "Match host web1 user ops\n  Port 9\nMatch all\n  Port 5\n  HostName 192.0.2.3\n": ("192.0.2.3", 5, USER),
    "Match exec false\n  Port 9\nMatch !exec false\n  Port 7\n  HostName 192.0.2.4\n": ("192.0.2.4", 7, USER),
    'HostName=192.0.2.5\nport  =  "77"\n': ("192.0.2.5", 77, USER),
    "Match originalhost web1\n  HostName 192.0.2.6\nMatch host 192.0.2.6\n  Port 8\n": ("192.0.2.6", 8, USER),
}  # fmt: skip


@pytest.mark.parametrize("text", CORPUS)
def test_where_a_host_is_is_what_openssh_says(asking, text):
    told = asking(text)
    done = subprocess.run(
        ["ssh", "-G", *told.arguments, "web1"],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    said = dict(line.split(" ", 1) for line in reversed(done.stdout.splitlines()) if " " in line)
    expected = CORPUS[text]
    if expected[0] is None:
        with pytest.raises(NoWay, match="Could not resolve hostname"):
            find_route(told, "web1")
        return
    (hop,) = find_route(told, "web1")
    assert values(hop) == expected == (said["hostname"], int(said["port"]), said["user"])
    assert hop.addresses[0][1][:2] == expected[:2]


def test_an_included_file(asking, tmp_path):
    (tmp_path / "more").write_text("Host web1\n  HostName 192.0.2.1\n")
    (hop,) = find_route(asking(f"Include {tmp_path}/mo*\n"), "web1")
    assert hop.host == "192.0.2.1"


def test_words_of_the_command_line_come_first(asking):
    (hop,) = find_route(asking("HostName 192.0.2.1\nPort 9\nUser x\n", "-p", "22", "-l", "ops"), "web1")
    assert values(hop) == ("192.0.2.1", 22, "ops")


def test_what_is_insisted_on_is_not_undone_by_a_file_or_by_words(asking):
    (hop,) = find_route(
        asking("HostName 192.0.2.1\nStrictHostKeyChecking no\n", "-o", "StrictHostKeyChecking=no"), "web1"
    )
    assert hop.effective.is_on("stricthostkeychecking")


def test_keys_and_their_tokens(asking, tmp_path):
    text = (
        f"HostName 192.0.2.1\nUser ops\nIdentityFile {tmp_path}/%r-%h-%n-%p-%%\nIdentityFile ~/k\n"
        f"CertificateFile {tmp_path}/${{QV_CERT}}\nIdentitiesOnly yes\nIdentityAgent {tmp_path}/agent\n"
    )
    os.environ["QV_CERT"] = "cert"
    try:
        (hop,) = find_route(asking(text, QV_CERT="cert"), "web1")
        wanted = hop.wanted
    finally:
        del os.environ["QV_CERT"]
    assert wanted.files == (tmp_path / "ops-192.0.2.1-web1-22-%", Path("~/k").expanduser())
    assert wanted.certificates == (tmp_path / "cert",)
    assert (wanted.only_files, wanted.agent) == (True, str(tmp_path / "agent"))


@pytest.mark.parametrize(
    ("text", "agent"), [("IdentityAgent none", ""), ("IdentityAgent $QV_AGENT", "/a"), ("", "/usual")]
)
def test_the_agent(asking, monkeypatch, text, agent):
    monkeypatch.setenv("QV_AGENT", "/a")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/usual")
    (hop,) = find_route(asking(f"HostName 192.0.2.1\n{text}\n"), "web1")
    assert hop.wanted.agent == agent


def test_known_hosts_with_a_space_in_a_name(asking, tmp_path):
    there = tmp_path / "known hosts"
    there.touch()
    (hop,) = find_route(
        asking(f'HostName 192.0.2.1\nUserKnownHostsFile "{there}"\nGlobalKnownHostsFile /a /b\n'), "w"
    )
    assert hop.known_hosts == (there, Path("/a"), Path("/b"))


def test_jump_hosts_are_configured_for_themselves(asking):
    text = (
        "Host one\n  HostName 192.0.2.1\n  User first\nHost two\n  HostName 192.0.2.2\n  Port 9\n"
        "Host web1\n  HostName web1.internal\n  ProxyJump one,ops@two:2222\n"
    )
    route = find_route(asking(text, "-l", "me"), "web1")
    assert [values(hop) for hop in route] == [
        ("192.0.2.1", 22, "first"),
        ("192.0.2.2", 2222, "ops"),
        ("web1.internal", 22, "me"),
    ]
    assert all(hop.effective.is_on("stricthostkeychecking") for hop in route)
    assert route[-1].addresses == ()


def test_a_jump_host_that_needs_openssh_sends_all_through_it(asking):
    with pytest.raises(NeedsOpenSsh, match="CheckHostIP"):
        find_route(asking("Host web1\n  ProxyJump one\nHost one\n  CheckHostIP yes\n"), "web1")


def test_a_proxy_command_has_its_tokens(asking):
    (hop,) = find_route(asking("ProxyCommand connect %h %p %r %%\nUser ops\n"), "web1")
    assert (hop.proxy_command, hop.addresses) == ("connect web1 22 ops %", ())


def test_a_file_that_openssh_does_not_understand(asking):
    with pytest.raises(NoWay, match="Bad configuration option"):
        find_route(asking("Nonsense yes\n"), "web1")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("checkhostip yes", "CheckHostIP yes"),
        ("verifyhostkeydns ask", "VerifyHostKeyDNS ask"),
        ("revokedhostkeys /krl", "RevokedHostKeys /krl"),
        ("knownhostscommand /bin/x", "KnownHostsCommand /bin/x"),
        ("hostbasedauthentication yes", "HostbasedAuthentication yes"),
        ("pkcs11provider /lib/x.so", "PKCS11Provider /lib/x.so"),
        ("gssapikeyexchange yes", "GSSAPIKeyExchange yes"),
        ("sessiontype none", "SessionType none"),
        ("somethingnew yes", "somethingnew is not known here"),
        ("preferredauthentications gssapi-with-mic", "PreferredAuthentications gssapi-with-mic"),
    ],
)
def test_what_only_openssh_can_do(line, why):
    assert why_openssh(read_effective(f"pubkeyauthentication true\n{line}\n")) == why


def test_nothing_of_what_openssh_has_by_itself_needs_it():
    for support in (Support.HONOURED, Support.HARMLESS, Support.UNSUPPORTED):
        assert any(item.support is support for item in DIRECTIVES)
    done = subprocess.run(
        ["ssh", "-G", "-F", "none", "host"],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert why_openssh(read_effective(done.stdout)) == ""


def test_no_key_authentication_at_all():
    assert why_openssh(read_effective("pubkeyauthentication no")) == "PubkeyAuthentication no"
