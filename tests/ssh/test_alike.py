"""OpenSSH is asked about two of the hosts that its configuration does not tell apart, and the others' answer is its own."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qualys_verify.backends import Deadline
from qualys_verify.ssh.alike import Alike
from qualys_verify.ssh.directives import BY_KEY, Effective, Support
from qualys_verify.ssh.route import Asking, Known, ask_openssh, find_route

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not installed")


class Openssh:
    """OpenSSH with a configuration; counts what it is asked."""

    def __init__(self, file, *options):
        self.asking = Asking(
            ("BatchMode=yes",),
            file,
            options,
            {},
            threading.Semaphore(2),
            Deadline(20.0, threading.Event()),
            Known(),
        )
        self.asked = []

    def __call__(self, name):
        self.asked.append(name)
        return ask_openssh(self.asking, name)


@pytest.fixture
def openssh(tmp_path):
    def made(text, *options):
        (tmp_path / "config").write_text(text)
        return Openssh(tmp_path / "config", *options)

    return made


def used(effective):
    """What this process goes by."""
    return {
        key: values
        for key, values in effective.values.items()
        if key not in BY_KEY or BY_KEY[key].support is not Support.HARMLESS
    }


def told(openssh, names):
    alike = Alike(openssh.asking.file)
    return {name: used(alike.of(name, openssh)) for name in names}


NAMES = ["web1", "web2", "web3", "web10", "db1", "db2", "db3", "10.0.0.1"]
ALIKE = {
    "nothing": "",
    "patterns": "Host web*\n  User ops\n  Port 2222\nHost *\n  IdentityFile ~/.ssh/%h\n",
    "sockets": "Host *\n  ControlPath ~/.ssh/%r@%h:%p-%C\n  ControlMaster auto\n",
    "match all": "Match all\n  User ops\n",
    "one named": "Host web3\n  User other\nHost *\n  User ops\n",
    "negation": "Host * !web3\n  User ops\n",
    "a name that is filled in later": "Host *\n  HostKeyAlias %n.key\n",
    "a jump host": "Host * !bastion\n  ProxyJump bastion\n",
}
UNLIKE = {
    "match": "Match originalhost web3\n  User other\n",
    "match exec": 'Match exec "test %h = web3"\n  User other\n',
    "a quoted keyword": '"Host" web3\n  User other\n',
    "a quoted match": '"Match" host web3\n  User other\n',
    "what looks like a comment": "Host x#1 web3\n  User other\n",
    "another kind of line's end": "Host x\u2028 web3\n  User other\n",
    "a separator": "Host x\x1cweb web3\n  User other\n",
    "a file by the host's name": "Include conf.d/%n\n",
    "a file by a variable": "Include $NOWHERE/x\n",
    "a file of another user": "Include ~nobody/x\n",
    "another name": "Host *\n  HostName %h.example.net\n",
    "canonical": "CanonicalizeHostname always\nCanonicalizeFallbackLocal yes\nMatch canonical host web3\n  User x\n",
}


@pytest.mark.parametrize("text", [*ALIKE.values(), *UNLIKE.values()], ids=[*ALIKE, *UNLIKE])
def test_it_is_what_openssh_says_of_each(openssh, text):
    client = openssh(text)
    assert told(client, NAMES) == {name: used(client(name)) for name in NAMES}


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE)
def test_hosts_that_are_not_told_apart_cost_two_questions(openssh, text):
    client = openssh(text)
    told(client, [f"db{number}" for number in range(50)])
    assert client.asked == ["db0", "db1"]


@pytest.mark.parametrize("text", UNLIKE.values(), ids=UNLIKE)
def test_each_is_asked_about_where_more_than_the_name_may_differ(openssh, text):
    client = openssh(text)
    told(client, NAMES)
    assert client.asked == NAMES


def test_what_openssh_may_write_in_another_way_is_asked_about(openssh):
    client = openssh("")
    assert told(client, ["web1", "web2", "Web3", "fe80::1%eth0"])["Web3"]["hostname"] == ("web3",)
    assert client.asked == ["web1", "web2", "Web3", "fe80::1%eth0"]


def test_a_host_is_asked_about_once(openssh):
    client = openssh("Host bastion\n  User jump\n")
    told(client, ["bastion"] * 5)
    assert client.asked == ["bastion"]


def test_an_included_file_tells_hosts_apart_as_well(openssh, tmp_path):
    (tmp_path / "more").write_text("Match host web3\n  User other\n")
    client = openssh(f"Include {tmp_path}/more\n")
    assert told(client, NAMES)["web3"]["user"] == ("other",)


def test_an_option_that_names_another_file_is_not_overlooked(openssh, tmp_path):
    other = tmp_path / "other"
    other.write_text("Match host web3\n  User other\nHost *\n  User ops\n")
    client = openssh("", "-F", str(other))
    users = {name: find_route(client.asking, name)[0].user for name in ("10.0.0.1", "10.0.0.2", "10.0.0.3")}
    assert users == dict.fromkeys(users, "ops")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qualys_verify.ssh.route._addresses", lambda _hop: ())
        assert find_route(client.asking, "web3")[0].user == "other"


def test_a_configuration_that_cannot_be_read_is_openssh_s_to_judge(tmp_path):
    asked = []

    def ask(name):
        asked.append(name)
        return Effective({})

    alike = Alike(tmp_path / "none")
    for name in NAMES:
        alike.of(name, ask)
    assert asked == NAMES


def test_a_thousand_threads_ask_twice(openssh):
    client = openssh("")
    alike = Alike(client.asking.file)
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(lambda number: alike.of(f"web{number}", client), range(1000)))
    assert len(client.asked) == 2
    assert [item.values["hostname"] for item in found] == [(f"web{number}",) for number in range(1000)]


PATTERNS = st.lists(
    st.sampled_from(["*", "web*", "!web1", "web?", "web1", "db*", "!*1", "*.1"]), min_size=1, max_size=3
)
SETTINGS = st.sampled_from(
    ["User a", "User b", "Port 7", "HostName 10.9.9.9", "HostKeyAlias k", "ProxyJump j", "IdentitiesOnly yes"]
)
CONFIGURATIONS = st.lists(st.tuples(PATTERNS, st.lists(SETTINGS, min_size=1, max_size=2)), max_size=4)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONFIGURATIONS)
def test_any_lines_with_patterns(openssh, blocks):
    text = "".join(
        f"Host {' '.join(patterns)}\n" + "".join(f"  {line}\n" for line in lines)
        for patterns, lines in blocks
    )
    client = openssh(text)
    assert told(client, NAMES) == {name: used(client(name)) for name in NAMES}
