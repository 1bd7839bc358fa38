"""The hosts are what they pretend to be: separate machines with an init system, a network and an agent."""

import pytest

PROGRAMS = "/usr/local/qualys/cloud-agent/bin"
AGENT = f"{PROGRAMS}/qualys-cloud-agent.sh"
ON_DEMAND = f"{PROGRAMS}/cloudagentctl.sh"
UNIT = "qualys-cloud-agent.service"
HOSTS = pytest.mark.parametrize("name", ["lab1", "lab2", "lab3"])


def test_the_hosts_are_named_in_order(lab):
    assert lab.names == ("lab1", "lab2", "lab3")


@HOSTS
def test_systemd_is_process_one_and_has_booted(lab, name):
    assert lab.says(name, "ps -p 1 -o comm=") == "systemd"
    assert lab.says(name, "systemctl is-system-running") in {"running", "degraded"}


@HOSTS
def test_a_host_knows_its_own_name(lab, name):
    assert lab.says(name, "hostname") == name


@pytest.mark.parametrize(
    "fact",
    [
        "cat /etc/machine-id",
        "cat /etc/ssh/ssh_host_ed25519_key.pub",
        "readlink /proc/self/ns/net",
        "readlink /proc/self/ns/pid",
        "sudo cat /etc/qualys/hostid",
    ],
)
def test_no_two_hosts_share(lab, fact):
    answers = {lab.says(name, fact) for name in lab.names}
    assert len(answers) == len(lab.names)
    assert "" not in answers


@HOSTS
def test_the_agent_runs_and_starts_with_the_host(lab, name):
    assert lab.says(name, f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}") == "active\nenabled"
    assert lab.says(name, f"systemctl show {UNIT} -p NRestarts --value") == "0"


@HOSTS
def test_ops_is_an_ordinary_user_who_may_become_root(lab, name):
    assert lab.says(name, "id -un; sudo -n id -un") == "ops\nroot"
    assert lab.ssh(name, "sudo -n true").returncode == 0


def test_root_can_log_in_too(lab):
    assert lab.ssh("lab1", "id -un", user="root").stdout == "root\n"


@HOSTS
def test_the_agents_files_are_closed_to_all_but_root(lab, name):
    for path in (AGENT, "/etc/qualys/hostid", "/var/log/qualys/qualys-cloud-agent.log"):
        assert "Permission denied" in lab.ssh(name, f"LC_ALL=C stat {path}").stderr
        assert lab.ssh(name, f"sudo -n stat {path}").returncode == 0


def test_the_agents_take_turns_in_what_they_can_do(lab):
    answers = [lab.ssh(name, f"sudo -n {AGENT} status").stdout for name in lab.names]
    assert answers[0].startswith("Last assessment: ")
    assert [answer.strip() for answer in answers[1:]] == ["Error: Invalid key name in status"] * 2
    assert [lab.ssh(name, f"sudo -n test -x {ON_DEMAND}").returncode for name in lab.names] == [1, 1, 0]


@HOSTS
def test_there_is_no_way_out(lab, name):
    assert lab.says(name, "ip route show default") == ""
    assert "unreachable" in lab.ssh(name, "ip route get 192.0.2.1").stderr
    assert "unreachable" in lab.run(["ip", "route", "get", "192.0.2.1"]).stderr


def test_the_hosts_reach_each_other(lab):
    greeting = "timeout 5 bash -c 'head -c 4 < /dev/tcp/198.51.100.2/22'"
    assert lab.says("lab1", greeting) == "SSH-"


def test_a_host_with_another_key_is_refused(lab):
    pretend = ["-o", "HostName=198.51.100.2", "-o", "HostKeyAlias=lab1", "-o", "BatchMode=yes"]
    answer = lab.run(["ssh", "-F", lab.ssh_config, *pretend, "lab1", "true"])
    assert answer.returncode == 255
    assert "Host key verification failed" in answer.stderr


def test_what_is_written_into_its_root_the_host_sees(lab):
    note = lab.root("lab2") / "srv/note"
    note.write_text("from outside", encoding="ascii")
    assert lab.says("lab2", "cat /srv/note") == "from outside"
    assert not (lab.root("lab1") / "srv/note").exists()


def test_the_private_key_is_private(lab):
    assert (lab.state / "id_ed25519").stat().st_mode & 0o777 == 0o600
