"""The runbook against real systemd hosts: over SSH, as a user who is not root, with sudo."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

UNIT = "qualys-cloud-agent.service"


def row(text: str, host: str) -> list[str]:
    """A host's line in the terminal's grid."""
    (line,) = re.findall(rf"^ssh://{host} .*$", text, re.MULTILINE)
    return line.split()[1:]


def test_three_personalities_at_once_end_green(suite, requests) -> None:
    before = {name: len(requests(name)) for name in ("lab1", "lab2", "lab3")}
    done = suite(hosts="lab1,lab2,lab3")
    assert done.returncode == 0, done.stdout
    for name in ("lab1", "lab2", "lab3"):
        assert row(done.stdout, name) == ["✔"] * 7
    assert [line for line in requests("lab1")[before["lab1"] :] if not line.endswith(" status")] == [
        "qualys-cloud-agent.sh scan",
        "qualys-cloud-agent.sh policy_eval",
    ]
    assert requests("lab3")[before["lab3"] :] == [
        "cloudagentctl.sh action=demand type=vm cputhrottle=0",
        "cloudagentctl.sh action=demand type=pc cputhrottle=0",
    ]


def test_read_only_triggers_nothing(suite, requests) -> None:
    before = requests("lab1")
    done = suite("--read-only")
    assert done.returncode == 0, done.stdout
    assert row(done.stdout, "lab1") == ["✔", "✔", "✔", "✔", "-", "-", "-"]
    assert set(requests("lab1")[len(before) :]) == {"qualys-cloud-agent.sh status"}


def test_stopped_service_fails_steps_1_and_2_1(suite, broken) -> None:
    with broken("lab1", f"systemctl stop {UNIT}", "true"):
        done = suite("--read-only")
    assert done.returncode == 1, done.stdout
    assert row(done.stdout, "lab1")[:2] == ["✘", "✘"]
    assert "inactive (dead)" in done.stdout


def test_vendor_tool_without_its_daemon_exits_0_and_is_not_believed(suite, broken) -> None:
    with broken("lab3", f"systemctl stop {UNIT}", "true"):
        done = suite(hosts="lab3")
    assert done.returncode == 1, done.stdout
    assert row(done.stdout, "lab3")[-3:] == ["✘", "✘", "-"]
    assert "process is not running" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("how", "mend", "said"),
    [
        (f"systemctl disable {UNIT}", f"systemctl enable {UNIT}", "disabled"),
        (
            f"systemctl stop {UNIT}; mv /etc/systemd/system/{UNIT} /root/; systemctl mask {UNIT}",
            f"systemctl unmask {UNIT}; mv /root/{UNIT} /etc/systemd/system/; systemctl daemon-reload",
            "masked",
        ),
        (
            (
                f"mkdir -p /run/systemd/system/{UNIT}.d; printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' "
                f">/run/systemd/system/{UNIT}.d/x.conf; systemctl daemon-reload; systemctl restart {UNIT}; sleep 1"
            ),
            f"rm -r /run/systemd/system/{UNIT}.d; systemctl daemon-reload",
            "activating (auto-restart)",
        ),
    ],
    ids=["disabled", "masked", "crash loop"],
)
def test_broken_unit_fails_step_1_and_is_named(suite, broken, how, mend, said) -> None:
    with broken("lab1", how, mend):
        done = suite("-k", "step_1")
    assert done.returncode == 1, done.stdout
    assert said in done.stdout


def test_host_without_the_unit_stops_at_step_1(suite, broken) -> None:
    hide = f"systemctl stop {UNIT}; mv /etc/systemd/system/{UNIT} /root/; systemctl daemon-reload"
    with broken("lab1", hide, f"mv /root/{UNIT} /etc/systemd/system/; systemctl daemon-reload"):
        done = suite()
    assert done.returncode == 1, done.stdout
    assert row(done.stdout, "lab1") == ["✘", "-", "-", "-", "-", "-", "-"]
    assert f"Unit {UNIT} not found" in done.stdout


def test_login_without_sudo_is_inconclusive_never_not_there(suite, as_root) -> None:
    as_root("lab1", "mv /etc/sudoers.d /root/sudoers.d")
    try:
        done = suite("--read-only")
    finally:
        as_root("lab1", "mv /root/sudoers.d /etc/sudoers.d")
    assert done.returncode == 6, done.stdout
    assert row(done.stdout, "lab1")[2:4] == ["?", "?"]
    assert "refused by sudo" in " ".join(done.stdout.split())


def test_odd_login_shell_changes_nothing(suite, as_root) -> None:
    noise = "echo 'exit 255'; echo noise >&2"
    as_root("lab1", f"printf '%s\\n' \"{noise}\" >/home/ops/.bashrc; usermod -s /bin/bash ops")
    try:
        done = suite("--read-only")
    finally:
        as_root("lab1", "rm /home/ops/.bashrc")
    assert done.returncode == 0, done.stdout


def test_unknown_and_changed_host_keys_are_told_apart(suite, lab, tmp_path) -> None:
    empty, changed = tmp_path / "empty", tmp_path / "changed"
    empty.touch()
    known = (lab.state / "known_hosts").read_text().splitlines()
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in known}
    first, second = list(lines)[:2]
    changed.write_text(f"{first} {lines[second]}\n{second} {lines[first]}\n")
    for file, sentence in ((empty, "is not in known_hosts"), (changed, "is not the one in known_hosts")):
        config = tmp_path / f"config-{file.name}"
        text = lab.ssh_config.read_text()
        config.write_text(re.sub(r"UserKnownHostsFile .*", f"UserKnownHostsFile {file}", text))
        done = suite(f"--ssh-config={config}")
        assert done.returncode == 6, done.stdout
        assert sentence in " ".join(done.stdout.split()), done.stdout


def test_names_that_do_not_resolve_and_dead_hosts_are_inconclusive_at_once(suite) -> None:
    done = suite("--read-only", hosts="lab1,198.51.100.250,no-such-host.invalid")
    assert done.returncode == 6, done.stdout
    assert row(done.stdout, "lab1")[:4] == ["✔"] * 4
    assert row(done.stdout, "198.51.100.250") == ["?"] * 7
    assert row(done.stdout, "no-such-host.invalid") == ["?"] * 7


@pytest.fixture(params=["lab1", "lab2", "lab3"])
def allow_listed(request, as_root) -> Iterator[str]:
    """A host whose login may do what `qualys-verify sudoers` prints, and nothing else."""
    name = request.param
    done = subprocess.run(
        [sys.executable, "-m", "qualys_verify.cli", "sudoers", "--user", "ops", "--command-timeout=10"],
        capture_output=True,
        text=True,
        check=True,
    )
    rules = done.stdout.replace("'", "'\\''")
    as_root(
        name,
        f"mkdir -p /root/sudoers && mv /etc/sudoers.d/* /root/sudoers/ && printf '%s' '{rules}' >/etc/sudoers.d/allow"
        " && chmod 0440 /etc/sudoers.d/allow && visudo -c",
    )
    yield name
    as_root(name, "rm /etc/sudoers.d/allow; mv /root/sudoers/* /etc/sudoers.d/")


def test_allow_list_suffices_for_the_whole_runbook(suite, lab, allow_listed) -> None:
    assert lab.ssh(allow_listed, "sudo -n true").returncode != 0
    assert lab.ssh(allow_listed, "sudo -n head -c 262144 /etc/shadow").returncode != 0
    for options in (["--read-only"], []):
        done = suite(*options, hosts=allow_listed)
        assert done.returncode == 0, done.stdout
