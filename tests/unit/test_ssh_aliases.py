"""`ssh://web*`: names of an SSH configuration, read as OpenSSH reads it."""

import subprocess
import threading

import pytest

from qualys_verify import ssh_aliases
from qualys_verify.backends import Deadline
from qualys_verify.inventory import look_up
from qualys_verify.targets import TargetError, select

CONFIG = """\
# Host commented
Host web2 web1   # web8
    HostName %h.example.org
HOST = "web10" 'db1'
Host web* !web3
    User ops
Host web3
Host bastion !bastion
Host ?eb9 !web9
Match host web7
    User root
Host web1
"""


@pytest.fixture
def ids(tmp_path):
    """The ids of what a spec stands for, in a configuration."""

    def call(spec, text=CONFIG, **files):
        for name, content in files.items():
            (tmp_path / name).write_text(content.format(folder=tmp_path))
        config = tmp_path / "config"
        config.write_text(text.format(folder=tmp_path) if files else text)
        found = look_up(select([spec]).entries, config, Deadline(20, threading.Event()))
        return [target.id for _, target in found]

    return call


@pytest.mark.parametrize(
    ("spec", "hosts"),
    [
        ("ssh://web*", ["ssh://web1", "ssh://web10", "ssh://web2", "ssh://web3"]),
        ("web*", ["ssh://web1", "ssh://web10", "ssh://web2", "ssh://web3"]),
        ("ssh://web?", ["ssh://web1", "ssh://web2", "ssh://web3"]),
        ("ssh://root@web?/", ["ssh://root@web1", "ssh://root@web2", "ssh://root@web3"]),
        ("ssh://*1:2222", ["ssh://db1:2222", "ssh://web1:2222"]),
        ("ssh://*", ["ssh://db1", "ssh://web1", "ssh://web10", "ssh://web2", "ssh://web3"]),
    ],
)
def test_every_name_that_matches_sorted_and_neither_patterns_nor_negations(ids, spec, hosts):
    assert ids(spec) == hosts


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("ssh://wbe*", "wbe\\* matches no Host of the SSH configuration .*: did you mean web"),
        ("ssh://web???", "matches no Host"),
        ("ssh://WEB*", "matches no Host"),
        ("ssh://web[12]*", "is no host"),
        ("ssh://ops:SECRET@web*", "use a key"),
        ("ssh://-l@web*", "no usable user"),
        ("ssh://-oProxyCommand=*", "is no host"),
        ("ssh://web*:x", "no usable port"),
        ("ssh://web*/path", "more than user, host and port"),
        ("ssh://web1?sudo=true", "more than user, host and port"),
    ],
)
def test_a_pattern_that_nothing_answers_to_or_that_is_none_is_refused_in_one_line(ids, spec, says):
    with pytest.raises(TargetError, match=says) as caught:
        ids(spec)
    assert str(caught.value).isprintable()
    assert "SECRET" not in str(caught.value)


def test_a_name_that_no_spec_can_have_is_not_left_out_without_a_word(ids):
    with pytest.raises(TargetError, match="'web;id', which ssh://web\\* matches, is no host"):
        ids("ssh://web*", "Host web1 web;id\n  HostName %h.example.org\n")


def test_includes_are_read_where_they_stand_and_hold_where_they_would(ids):
    text = "Include {folder}/part*\nHost db*\n  Include {folder}/inner\nInclude {folder}/missing\nHost web4\n"
    files = {"part1": "Host web2\n", "part2": "Host web1\n", "inner": "Host db1 web5\n"}
    assert ids("ssh://*", text, **files) == ["ssh://db1", "ssh://web1", "ssh://web2", "ssh://web4"]


def test_openssh_agrees_about_what_an_include_holds_for(ids, tmp_path):
    """What is named here is what `ssh -G` takes the block of."""
    text = "Host db*\n  Include {folder}/inner\n"
    assert ids("ssh://*", text, inner="Host db1 web5\n  User inner\n") == ["ssh://db1"]
    for name, is_inner in (("db1", True), ("web5", False)):
        said = subprocess.run(
            ["ssh", "-F", tmp_path / "config", "-G", name], capture_output=True, text=True, check=True
        ).stdout
        assert ("user inner" in said.splitlines()) is is_inner


def test_a_configuration_that_includes_itself_is_refused(ids):
    with pytest.raises(TargetError, match="16 files deep"):
        ids("ssh://*", "Include {folder}/again\n", again="Include {folder}/again\n")


@pytest.mark.parametrize("text", ['Host "web1\n', "Host web1 'x\n"])
def test_an_open_quote_is_said(ids, text):
    with pytest.raises(TargetError, match=r"line 1 of the SSH configuration .* has an open quote"):
        ids("ssh://web*", text)


def test_a_machine_with_two_names_in_one_line_is_one_host_by_its_first(ids):
    text = (
        "Host web1.example.org web1\n  HostName 192.0.2.1\n"
        "Host web2 web3\n  HostName 192.0.2.2\n  ProxyCommand connect %n\n"
        "Host web4 web5\n  HostName 10.0.0.%h\n"
    )
    assert ids("ssh://*", text) == [
        "ssh://web1.example.org",
        "ssh://web2",
        "ssh://web3",
        "ssh://web4",
        "ssh://web5",
    ]
    assert ids("ssh://web?", text)[0] == "ssh://web1"


def test_without_a_file_it_is_the_user_s_and_the_system_s(tmp_path, monkeypatch):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Include more\nHost web1\n")
    (tmp_path / ".ssh/more").write_text("Host web2\n")
    (tmp_path / "system").write_text("Host web3\n")
    monkeypatch.setattr(ssh_aliases, "_home", lambda: tmp_path)
    monkeypatch.setattr(ssh_aliases, "_SYSTEM", tmp_path / "system")
    found = look_up(select(["web*"]).entries, None, Deadline(20, threading.Event()))
    assert [target.id for _, target in found] == ["ssh://web1", "ssh://web2", "ssh://web3"]


def test_neither_file_need_be_there(tmp_path, monkeypatch):
    monkeypatch.setattr(ssh_aliases, "_home", lambda: tmp_path)
    monkeypatch.setattr(ssh_aliases, "_SYSTEM", tmp_path / "system")
    with pytest.raises(TargetError, match="matches no Host of your SSH configuration: it names no host"):
        look_up(select(["web*"]).entries, None, Deadline(20, threading.Event()))
