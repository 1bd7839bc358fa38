"""Inventories that stand for many hosts: real Ansible, real OpenSSH, and what evidence says of them."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from qualys_verify.backends import Deadline
from qualys_verify.inventory import look_up
from qualys_verify.reasons import Unreachable
from qualys_verify.ssh.client import SshClient
from qualys_verify.targets import TargetError, select
from qualys_verify.transport import SshSettings, connect, disconnect

INVENTORY = """\
ungrouped:
  hosts:
    plain:
web:
  hosts:
    web3: {ansible_host: 192.0.2.3}
    web1: {ansible_host: 192.0.2.1, ansible_user: "{{ 'ops' }}"}
    web2: {ansible_connection: local}
db:
  hosts:
    db[1:2]:
prod:
  children: {web: , db: }
  vars: {ansible_port: 2222}
"""


@pytest.fixture
def inventory(tmp_path, monkeypatch):
    """An inventory, for a user whose environment is activated and who has no configuration of Ansible."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    if shutil.which("ansible-inventory") is None:
        pytest.skip("ansible is not installed: pip install -e '.[test]' brings it")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    file = tmp_path / "hosts.yml"
    file.write_text(INVENTORY)
    return file


def looked_up(*specs, seconds=60):
    return [
        target for _, target in look_up(select(specs).entries, None, Deadline(seconds, threading.Event()))
    ]


PATTERNS = {
    "": "db1 db2 plain web1 web2 web3",
    "all": "db1 db2 plain web1 web2 web3",
    "prod": "db1 db2 web1 web2 web3",
    "web1": "web1",
    "prod:!web3": "db1 db2 web1 web2",
    "prod:&web": "web1 web2 web3",
    "web:db": "db1 db2 web1 web2 web3",
    "web?": "web1 web2 web3",
    "*1": "db1 web1",
    "db[0:0]": "db1",
    r"~(web|db)\d": "db1 db2 web1 web2 web3",
}


def test_a_pattern_is_what_ansible_takes_it_for_sorted(inventory):
    specs = [f"ansible://{pattern}?ansible_inventory={inventory}" for pattern in PATTERNS]
    found = [target.id.removeprefix("ansible://") for target in looked_up(*specs)]
    assert found == [name for hosts in PATTERNS.values() for name in hosts.split()]


def test_a_host_is_spoken_to_by_ssh_where_ansible_would_and_nothing_is_unclear(inventory):
    found = {target.name: target for target in looked_up(f"ansible://prod?ansible_inventory={inventory}")}
    assert found["192.0.2.3"].netloc == "192.0.2.3:2222"
    assert {name for name, target in found.items() if target.scheme == "ansible"} == {"web1", "web2"}


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("wbe", "(wbe): did you mean web"),
        ("web:!dbb", "(dbb): did you mean db"),
        ("web:&db", "matches no host"),
        ("nothing-like-it", "its groups are db, prod, web"),
        ("localhost", "matches no host"),
        ("--help", "matches no host"),
        ("-i", "matches no host"),
    ],
)
def test_a_pattern_that_matches_nothing_in_whole_or_in_part_is_refused(inventory, pattern, says):
    with pytest.raises(TargetError) as caught:
        looked_up(f"ansible://{pattern}?ansible_inventory={inventory}")
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_what_ansible_cfg_and_its_environment_say_is_kept(inventory, tmp_path, monkeypatch):
    (tmp_path / "ansible.cfg").write_text(
        f"[defaults]\ninventory={inventory}\nremote_user=ops\nprivate_key_file=/keys/a\nverbosity=2\n"
        "[ssh_connection]\nssh_args=-o ProxyJump=bastion\n"
    )
    monkeypatch.setenv("ANSIBLE_SSH_EXTRA_ARGS", "-4")
    monkeypatch.setenv("ANSIBLE_FORCE_COLOR", "1")
    (target,) = looked_up("ansible://db1")
    assert target.netloc == "ops@db1:2222"
    assert target.ssh_args == ("-i", "/keys/a", "-o", "ProxyJump=bastion", "-4")
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\ninventory={inventory}\ntransport=local\n")
    assert looked_up("ansible://db1")[0].scheme == "ansible"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("web: [", "ansible-inventory ended with status"),
        ("#!/bin/sh\nexit 3\n", "ansible-inventory ended with status"),
        ("#!/bin/sh\nsleep 60\n", "did not answer within 3 s"),
        ("", "matches no host of the inventory"),
    ],
)
def test_an_inventory_that_cannot_be_read_is_said(inventory, content, says):
    inventory.write_text(content)
    inventory.chmod(0o755)
    with pytest.raises(TargetError) as caught:
        looked_up(f"ansible://web?ansible_inventory={inventory}", seconds=3 if "sleep" in content else 60)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_part_of_an_inventory_that_cannot_be_read_is_no_warning(inventory, tmp_path, monkeypatch):
    folder = tmp_path / "inventories"
    folder.mkdir()
    inventory.rename(folder / "a.yml")
    (folder / "b.yml").write_text("web: [")
    spec = f"ansible://web?ansible_inventory={folder}"
    with pytest.raises(TargetError, match=r"b\.yml"):
        looked_up(spec)
    monkeypatch.setenv("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "false")  # the user's own word
    assert len(looked_up(spec)) == 3


def test_no_ansible(inventory, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    if shutil.which("ansible-inventory"):
        pytest.skip("this system has Ansible itself")
    with pytest.raises(TargetError, match="ansible-inventory is not installed here"):
        looked_up(f"ansible://web?ansible_inventory={inventory}")


def test_an_environment_need_not_be_activated(inventory, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)
    assert len(looked_up(f"ansible://web?ansible_inventory={inventory}")) == 3


def test_the_order_is_that_of_the_specs_and_sorted_within_one(inventory, tmp_path):
    (tmp_path / "fleet").write_text(f"zeta\nansible://web:!web2?ansible_inventory={inventory}\nalpha\n")
    found = look_up(select([f"last,@{tmp_path}/fleet"]).entries, None, Deadline(60, threading.Event()))
    assert [(source, target.id) for source, target in found] == [
        ("single names", "ssh://last"),
        (f"@{tmp_path}/fleet", "ssh://zeta"),
        (f"@{tmp_path}/fleet", "ansible://web1"),
        (f"@{tmp_path}/fleet", "ansible://web3"),
        (f"@{tmp_path}/fleet", "ssh://alpha"),
    ]


@dataclass(frozen=True)
class Sshd:
    """A real sshd of this user's, on loopback."""

    name: str
    address: str
    port: int
    log: Path


@pytest.fixture
def sshds(tmp_path, until):
    """A host and the jump host before it, with keys that are known in `<folder>/ssh_config`."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or (os.getuid() == 0 and not Path("/run/sshd").is_dir()):
        pytest.skip("there is no sshd that can be started here: install openssh-server")
    for name in ("host_key", "client_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    public = (tmp_path / "host_key.pub").read_text()
    running, found, known = [], {}, []
    for name, address in (("bastion", "127.0.0.2"), ("inner", "127.0.0.3")):
        with socket.socket() as free:
            free.bind((address, 0))
            port = free.getsockname()[1]
        host = found[name] = Sshd(name, address, port, tmp_path / f"{name}.log")
        known.append(f"[{address}]:{port} {public}")
        settings = (
            f"ListenAddress={address}",
            f"Port={port}",
            f"HostKey={tmp_path}/host_key",
            f"AuthorizedKeysFile={tmp_path}/client_key.pub",
            "StrictModes=no",
            "PidFile=none",
            "UsePAM=no",
            "PermitRootLogin=prohibit-password",
        )
        options = [word for setting in settings for word in ("-o", setting)]
        running.append(
            subprocess.Popen(
                [program, "-D", "-f", "/dev/null", "-E", host.log, *options], stdin=subprocess.DEVNULL
            )
        )
        until(lambda host=host: host.log.exists() and "listening" in host.log.read_text())
    (tmp_path / "known_hosts").write_text("".join(known))
    (tmp_path / "ssh_config").write_text(
        f"Host bastion\n  HostName 127.0.0.2\n  Port {found['bastion'].port}\n  IdentityFile {tmp_path}/client_key\n"
        f"Host *\n  UserKnownHostsFile {tmp_path}/known_hosts\n  IdentityAgent none\n"
    )
    yield found
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.fixture(params=["in this process", "openssh"])
def say(request, tmp_path, inventory):
    """What a command prints on the only host of an inventory, by each of the SSH clients."""
    control = tmp_path / "c"
    control.mkdir()
    deadline = Deadline(30, threading.Event())
    client = SshClient(4, deadline) if request.param == "in this process" else None

    def call(variables, command="echo $SSH_CONNECTION", config=None):
        inventory.write_text(json.dumps({"all": {"hosts": {"web1": variables}}}))
        (target,) = looked_up(f"ansible://web1?ansible_inventory={inventory}")
        assert target.scheme == "ssh"
        settings = SshSettings(control, config, client=client)
        way = connect(target, settings, deadline, 0)
        try:
            (reply,) = way.run([command])
        finally:
            way.close()
            disconnect(settings, 0)
        assert way.client.startswith("asyncssh" if client else "OpenSSH")
        return reply.stdout

    yield call
    if client:
        client.close()


def test_a_host_as_ansible_knows_it_behind_a_jump_host(sshds, say, tmp_path):
    inner, bastion = sshds["inner"], sshds["bastion"]
    variables = {
        "ansible_host": inner.address,
        "ansible_port": inner.port,
        "ansible_user": getpass.getuser(),
        "ansible_ssh_private_key_file": f"{tmp_path}/client_key",
        "ansible_ssh_common_args": "-o ProxyJump=bastion",
    }
    assert say(variables, config=tmp_path / "ssh_config").split()[2:] == [inner.address, str(inner.port)]
    assert "Accepted publickey" in bastion.log.read_text()


def test_a_proxy_command_and_a_configuration_of_the_inventory_s_own(sshds, say, tmp_path):
    inner, bastion = sshds["inner"], sshds["bastion"]
    variables = {
        "ansible_host": inner.address,
        "ansible_port": str(inner.port),
        "ansible_ssh_private_key_file": f"{tmp_path}/client_key",
        "ansible_ssh_common_args": f'-F {tmp_path}/ssh_config -o ProxyCommand="ssh -F {tmp_path}/ssh_config -W %h:%p bastion"',
    }
    assert say(variables).split()[2:] == [inner.address, str(inner.port)]
    assert "Accepted publickey" in bastion.log.read_text()


def test_no_inventory_takes_the_strictness_away(sshds, say, tmp_path):
    """Each of these has Ansible connect to whoever answers."""
    inner = sshds["inner"]
    (tmp_path / "known_hosts").write_text("")
    variables = {
        "ansible_host": inner.address,
        "ansible_port": inner.port,
        "ansible_ssh_private_key_file": f"{tmp_path}/client_key",
        "ansible_host_key_checking": False,
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
    }
    with pytest.raises(Unreachable, match="its host key is not in known_hosts"):
        say(variables, config=tmp_path / "ssh_config")
    assert "Accepted" not in inner.log.read_text()


def test_a_password_is_never_used_and_the_refusal_says_so(sshds, say, tmp_path):
    variables = {
        "ansible_host": sshds["inner"].address,
        "ansible_port": sshds["inner"].port,
        "ansible_password": "SECRET",
    }
    with pytest.raises(
        Unreachable, match="the inventory has a password for it, and passwords are never used"
    ) as caught:
        say(variables, config=tmp_path / "ssh_config")
    assert "SECRET" not in str(caught.value) + caught.value.said


def told(ran):
    return json.loads((ran.folder / "reports/latest/run.json").read_text())


def test_a_run_over_an_ansible_inventory_records_it(run, standin, inventory):
    host, other = standin("runbook"), standin("vendor")
    inventory.write_text(
        f"web:\n  hosts:\n    web2: {{ansible_host: {host.name}}}\n    web1: {{ansible_host: {other.name}, ansible_password: SECRET}}\n"
    )
    spec = f"ansible://web?ansible_inventory={inventory}"
    ran = run(f"--hosts={spec}", *host.places, "-k", "unit_exists")
    assert (ran.status, list(ran.rows)) == (
        0,
        ["test_unit_exists[ansible://web1]", "test_unit_exists[ansible://web2]"],
    )
    (recorded,) = told(ran)["run"]["inventories"]
    assert recorded["digest"] == sha256(b"ansible://web1\nansible://web2\n").hexdigest()
    assert (recorded["hosts"], recorded["sources"]) == (2, [{"text": spec, "hosts": 2}])
    identity = {item["id"]: item["identity"] for item in told(ran)["hosts"]}
    assert identity["ansible://web2"]["reached as"] == f"ssh://{host.name}"
    page = (ran.folder / "reports/latest/report.html").read_text()
    assert recorded["digest"] in page
    left = "".join(path.read_text() for path in (ran.folder / "reports/latest").rglob("*") if path.is_file())
    assert "SECRET" not in ran.out + ran.err + left
    assert ran.left_behind == []


def test_a_run_over_names_of_the_ssh_configuration_records_them(run, standin, tmp_path):
    host = standin("runbook")
    (tmp_path / "fleet").write_text("ssh://b* # bare\n")
    ran = run(f"--hosts=ssh://run*,@{tmp_path}/fleet,vendor", *host.places, "-k", "unit_exists")
    assert list(ran.rows) == [f"test_unit_exists[ssh://{name}]" for name in ("runbook", "bare", "vendor")]
    (recorded,) = told(ran)["run"]["inventories"]
    assert recorded["digest"] == sha256(b"ssh://bare\nssh://runbook\nssh://vendor\n").hexdigest()
    assert [(item["text"], item["hosts"]) for item in recorded["sources"]] == [
        ("ssh://run*", 1),
        (f"@{tmp_path}/fleet", 1),
        ("single names", 1),
    ]


def test_a_name_and_a_pattern_that_holds_it_are_twins(run, standin):
    ran = run("--hosts=runbook,run*", *standin("runbook").places)
    assert ran.status == 4
    assert "the host runbook is named twice" in ran.err


def test_the_digest_does_not_confirm_what_was_taken_out(run):
    ran = run("--hosts=127.0.0.1:1,127.0.0.2:1", "--redact-addresses", "-k", "unit_exists")
    (recorded,) = told(ran)["run"]["inventories"]
    shown = [item["id"].partition(" (")[0] for item in told(ran)["hosts"]]
    assert "127.0.0" not in "".join(shown)
    assert recorded["digest"] == sha256("".join(f"{name}\n" for name in sorted(shown)).encode()).hexdigest()
