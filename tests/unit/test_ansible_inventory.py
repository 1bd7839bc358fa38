"""`ansible://`: what an inventory's variables say of a host; real Ansible is asked in tests/plugin."""

from pathlib import Path

import pytest

from qualys_verify.ansible_inventory import Configuration, read_listing, target_of
from qualys_verify.targets import Target, TargetError, refuse_twins

USUAL = Configuration(
    "ssh", {"ssh_args": "-C -o ControlMaster=auto -o ControlPersist=60s", "ssh_executable": "ssh"}
)


def web1(configuration=USUAL, **variables):
    return target_of("web1", variables, configuration, "/inventory")


def test_a_host_of_which_nothing_is_said_is_named_as_openssh_names_it():
    assert web1() == Target(
        "ansible://web1", "ssh", "web1", ssh_args=("-C",), facts=(("reached as", "ssh://web1"),)
    )


@pytest.mark.parametrize(
    ("variables", "netloc"),
    [
        ({"ansible_host": "192.0.2.1"}, "192.0.2.1"),
        (
            {"ansible_ssh_host": "192.0.2.1", "ansible_ssh_user": "ops", "ansible_ssh_port": "2222"},
            "ops@192.0.2.1:2222",
        ),
        (
            {"ansible_host": "2001:db8::1", "ansible_user": "ops", "ansible_port": 2222},
            "ops@[2001:db8::1]:2222",
        ),
        ({"ansible_user": "ops", "ansible_ssh_user": "ops"}, "ops@web1"),
        ({"ansible_connection": "smart"}, "web1"),
        ({"ansible_connection": "ansible.builtin.ssh"}, "web1"),
        ({"ansible_connection": "paramiko"}, "web1"),
        ({"ansible_become": True, "ansible_become_password": "SECRET"}, "web1"),
    ],
)
def test_address_user_and_port(variables, netloc):
    target = web1(**variables)
    assert (target.scheme, target.id, target.netloc) == ("ssh", "ansible://web1", netloc)
    assert dict(target.facts) == {"reached as": f"ssh://{netloc}"}
    assert not target.has_password


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ansible_ssh_private_key_file": "/keys/a"}, ("-i", "/keys/a", "-C")),
        ({"ansible_private_key_file": "/keys/a b"}, ("-i", "/keys/a b", "-C")),
        (
            {"ansible_ssh_common_args": "-o ProxyJump=ops@bastion:22"},
            ("-C", "-o", "ProxyJump=ops@bastion:22"),
        ),
        (
            {"ansible_ssh_common_args": "-J bastion -o 'ServerAliveInterval 5'"},
            ("-C", "-J", "bastion", "-o", "ServerAliveInterval 5"),
        ),
        (
            {"ansible_ssh_common_args": '-o ProxyCommand="ssh -W %h:%p -q bastion"'},
            ("-C", "-o", "ProxyCommand=ssh -W %h:%p -q bastion"),
        ),
        (
            {"ansible_ssh_args": "-o Ciphers=aes256-ctr", "ansible_ssh_extra_args": "-4"},
            ("-o", "Ciphers=aes256-ctr", "-4"),
        ),
        # What Ansible does with its own connections, and what is never done here.
        ({"ansible_ssh_args": "-o ControlMaster=auto -oControlPath=/x -S /y -tt -vvv -q -A -X -L 1:h:2"}, ()),
        # A host key is always checked.
        ({"ansible_ssh_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"}, ()),
        (
            {"ansible_ssh_args": "-o 'StrictHostKeyChecking no' -oUserKnownHostsFile=\"/keys/known\""},
            ("-o", "UserKnownHostsFile=/keys/known"),
        ),
        ({"ansible_ssh_args": "", "ansible_host_key_checking": False}, ()),
    ],
)
def test_words_for_openssh(variables, words):
    target = web1(**variables)
    assert (target.scheme, target.ssh_args) == ("ssh", words)


def test_a_configuration_file_that_the_words_name():
    target = web1(ansible_ssh_common_args="-F /etc/fleet.conf")
    assert (target.ssh_config, target.ssh_args) == (Path("/etc/fleet.conf"), ("-C",))


def test_what_ansible_cfg_says_holds_where_the_inventory_says_nothing():
    configuration = Configuration(
        "smart",
        {"remote_user": "ops", "port": 2222, "private_key_file": "/keys/a", "ssh_common_args": "-J bastion"},
    )
    target = web1(configuration)
    assert (target.netloc, target.ssh_args) == ("ops@web1:2222", ("-i", "/keys/a", "-J", "bastion"))
    target = web1(configuration, ansible_user="root", ansible_port=22, ansible_ssh_common_args="")
    assert (target.netloc, target.ssh_args) == ("root@web1:22", ("-i", "/keys/a"))


@pytest.mark.parametrize(
    "variables",
    [
        {"ansible_connection": "local"},
        {"ansible_connection": "community.docker.docker"},
        {"ansible_connection": "winrm"},
        {"ansible_connection": "ansible.netcommon.network_cli"},
        {"ansible_connection": "{{ how }}"},
        {"ansible_host": "{{ address }}"},
        {"ansible_host": "web1; id"},
        {"ansible_host": "-oProxyCommand=id"},
        {"ansible_host": ["192.0.2.1"]},
        {"ansible_user": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n00\n"}},
        {"ansible_user": "ops", "ansible_ssh_user": "root"},
        {"ansible_user": "o ps"},
        {"ansible_port": 65536},
        {"ansible_port": True},
        {"ansible_ssh_private_key_file": "{% raw %}/keys/a{% endraw %}"},
        {"ansible_ssh_executable": "/opt/tsh"},
        {"ansible_ssh_pkcs11_provider": "/lib/token.so"},
        {"ansible_ssh_private_key": "-----BEGIN"},
        {"ansible_paramiko_proxy_command": "connect"},
        {"ansible_ssh_common_args": "-o Port=2222"},
        {"ansible_ssh_common_args": "-o User=root"},
        {"ansible_ssh_common_args": "-o 'HostName other'"},
        {"ansible_ssh_common_args": "-o nonsense"},
        {"ansible_ssh_common_args": "-l root"},
        {"ansible_ssh_common_args": "-W host:22"},
        {"ansible_ssh_common_args": "-N"},
        {"ansible_ssh_common_args": "-K"},
        {"ansible_ssh_common_args": "-E /tmp/log"},
        {"ansible_ssh_common_args": "other-host"},
        {"ansible_ssh_common_args": "-o 'open"},
        {"ansible_ssh_common_args": "-o 'ProxyCommand=ssh -o ControlPath=/x -W %h:%p bastion'"},
    ],
)
def test_what_only_ansible_understands_is_left_to_it(variables):
    assert web1(**variables) == Target(
        "ansible://web1", "ansible", "web1", settings=(("ansible_inventory", "/inventory"),)
    )


def test_nothing_is_guessed_where_ansible_does_not_tell_its_configuration():
    assert web1(None).scheme == "ansible"


@pytest.mark.parametrize("name", ["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"])
@pytest.mark.parametrize("value", ["SECRET", {"__ansible_vault": "SECRET"}, "{{ SECRET }}"])
def test_a_password_is_never_taken_along(name, value):
    target = web1(**{name: value})
    assert target.scheme == "ssh"
    assert target.has_password
    assert "never used" in dict(target.facts)["password in the inventory"]
    assert "SECRET" not in repr(target)


def test_hosts_of_a_group_are_those_of_its_children_too():
    listing = read_listing(
        {
            "_meta": {"hostvars": {"b": {"x": 1}}},
            "all": {"children": ["ungrouped", "prod"]},
            "prod": {"children": ["web", "prod"]},
            "web": {"hosts": ["b", "a"]},
            "ungrouped": {"hosts": ["c"]},
        }
    )
    assert listing.groups["prod"] == {"a", "b"}
    assert listing.hosts == {"a", "b", "c"}


def test_one_address_behind_two_jump_hosts_is_two_hosts_and_behind_one_it_is_one():
    one = web1(ansible_host="10.0.0.1", ansible_ssh_common_args="-J a")
    refuse_twins(
        [one, target_of("web2", {"ansible_host": "10.0.0.1", "ansible_ssh_common_args": "-J b"}, USUAL, None)]
    )
    again = target_of(
        "web2",
        {"ansible_host": "10.0.0.1", "ansible_ssh_common_args": "-J a", "ansible_user": "x"},
        USUAL,
        None,
    )
    with pytest.raises(
        TargetError, match=r"named as ansible://web1 and ansible://web2: .*ansible://all:!web2"
    ):
        refuse_twins([one, again])


def test_patterns_that_overlap_are_to_be_one():
    with pytest.raises(TargetError, match="the host ansible://web1 is named twice: join the patterns"):
        refuse_twins([web1(), web1()])


def test_one_name_in_two_inventories_is_refused():
    other = target_of("web1", {"ansible_host": "192.0.2.9"}, USUAL, None)
    with pytest.raises(TargetError, match="ansible://web1 is another host in each of two inventories"):
        refuse_twins([web1(), other])
