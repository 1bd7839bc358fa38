"""Faults and oddities that need a real kernel, a real init system or a real login: never green, never a hang."""

import contextlib
import re
import time
from collections.abc import Iterator

import pytest

UNIT = "qualys-cloud-agent.service"
LOG = "/var/log/qualys/qualys-cloud-agent.log"
ODD = "/var/log/qualys/odd.log"
BIN = "/usr/local/qualys/cloud-agent/bin"


@contextlib.contextmanager
def changed(as_root, how: str, back: str, name: str = "lab1") -> Iterator[None]:
    as_root(name, how)
    try:
        yield
    finally:
        as_root(name, back)


def row(text: str, host: str) -> list[str]:
    """A host's line in the terminal's grid."""
    (line,) = re.findall(rf"^ssh://{host} .*$", text, re.MULTILINE)
    return line.split()[1:]


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("shell", ["/usr/bin/fish", "/usr/bin/tcsh", "/bin/dash"])
def test_odd_login_shells_change_nothing(suite, as_root, shell) -> None:
    with changed(as_root, f"chsh -s {shell} ops", "chsh -s /bin/bash ops"):
        done = suite("--read-only")
    assert done.returncode == 0, done.stdout


def test_login_shell_that_runs_nothing_is_unreachable(suite, as_root) -> None:
    with changed(as_root, "chsh -s /usr/sbin/nologin ops", "chsh -s /bin/bash ops"):
        done = suite("--read-only")
    assert done.returncode == 6, done.stdout
    assert "the login shell runs no commands" in words(done.stdout)


def test_frozen_host_costs_its_time_and_is_inconclusive(suite, lab) -> None:
    cgroups = [path for path in lab.cgroups("lab1") if (path / "cgroup.freeze").exists()]
    assert cgroups
    try:
        for path in cgroups:
            (path / "cgroup.freeze").write_text("1")
        started = time.monotonic()
        done = suite("--read-only", "--command-timeout=3")
        assert time.monotonic() - started < 30
    finally:
        for path in cgroups:
            (path / "cgroup.freeze").write_text("0")
    assert done.returncode == 6, done.stdout
    assert row(done.stdout, "lab1") == ["?"] * 7


def test_hung_command_is_ended_on_the_host_too(suite, lab, as_root) -> None:
    with changed(as_root, f"mkfifo {ODD}", f"rm {ODD}"):
        done = suite("--read-only", "--command-timeout=3", f"--agent-log={ODD}")
        left = lab.ssh("lab1", f"pgrep -f 'tail -c [0-9]+ {ODD}$'", user="root").stdout
    assert done.returncode == 6, done.stdout
    assert row(done.stdout, "lab1")[:4] == ["✔", "✔", "?", "✔"]
    assert left == ""


@pytest.mark.parametrize(
    "content",
    [
        "truncate -s 1G ODD; tail -n 100 LOG >>ODD",
        "head -c 90000 /dev/zero | tr '\\0' x >ODD; echo >>ODD; tail -n 100 LOG >>ODD",
        "(printf '\\000\\377\\033[31m\\n'; cat LOG) >ODD",
    ],
    ids=["1 GiB", "one endless line", "bytes that are no text"],
)
def test_odd_logs_are_read_in_bounded_time_and_memory(suite, as_root, content) -> None:
    with changed(as_root, content.replace("LOG", LOG).replace("ODD", ODD), f"rm {ODD}"):
        started = time.monotonic()
        done = suite("--read-only", f"--agent-log={ODD}")
    assert done.returncode == 0, done.stdout
    assert time.monotonic() - started < 30


def test_log_of_noise_that_never_ends_is_inconclusive_in_bounded_time(suite, as_root) -> None:
    flood = f"systemd-run --unit=flood sh -c 'timeout 20 yes noise >>{ODD}'; sleep 1"
    with changed(as_root, flood, f"systemctl stop flood; rm {ODD}"):
        started = time.monotonic()
        done = suite("--read-only", f"--agent-log={ODD}")
    assert done.returncode == 6, done.stdout
    assert time.monotonic() - started < 40


def test_second_agent_is_found(suite, as_root) -> None:
    other = "mkdir -p /opt/other/bin; cp /bin/sleep /opt/other/bin/qualys-cloud-agent"
    run = "systemd-run --unit=other /opt/other/bin/qualys-cloud-agent 300"
    with changed(as_root, f"{other}; {run}", "systemctl stop other"):
        done = suite("--read-only", "-k", "step_1")
    assert done.returncode == 1, done.stdout
    assert "2 agents" in done.stdout


def test_helper_that_lost_its_parent_is_no_second_agent(suite, broken) -> None:
    start = f"""mkdir -p /opt/other/bin /run/systemd/system/{UNIT}.d; cp /bin/sleep /opt/other/bin/qualys-cloud-agent
        echo "[Service]
        ExecStartPost=/bin/sh -c 'setsid /opt/other/bin/qualys-cloud-agent 300 & exit 0'" >/run/systemd/system/{UNIT}.d/x.conf
        systemctl daemon-reload; systemctl restart {UNIT}; sleep 1; pgrep -f -- '^/opt/other'"""
    with broken("lab1", start, f"rm -r /run/systemd/system/{UNIT}.d; systemctl daemon-reload"):
        done = suite("--read-only", "-k", "step_1")
    assert done.returncode == 0, done.stdout


def test_unit_that_keeps_another_program_alive_is_found(suite, broken) -> None:
    program = f"{BIN}/qualys-cloud-agent"
    swap = (
        f"mv {program} {program}.x; printf '#!/bin/sh\nexec sleep infinity\n' >{program}; chmod 700 {program}"
    )
    with broken("lab1", f"{swap}; systemctl restart {UNIT}; sleep 1", f"mv {program}.x {program}"):
        done = suite("--read-only", "-k", "step_1")
    assert done.returncode == 1, done.stdout
    assert row(done.stdout, "lab1")[:1] == ["✘"]
    assert "no agent process: the unit's main process" in words(done.stdout)


def test_program_removed_under_the_running_process_is_found(suite, as_root) -> None:
    with changed(as_root, f"mv {BIN}/qualys-cloud-agent {BIN}/x", f"mv {BIN}/x {BIN}/qualys-cloud-agent"):
        done = suite("--read-only", "-k", "step_1")
    assert done.returncode == 1, done.stdout
    assert "is missing" in done.stdout


def test_agent_that_restarts_during_the_poll_is_waited_for(suite, as_root) -> None:
    asked = "cat /var/lib/standin/requests.log 2>/dev/null | wc -l"  # a line for each request
    wait = f"for i in $(seq 600); do [ $({asked}) -ge $((before + 2)) ] && break; sleep 0.1; done"
    restart = f"systemd-run --quiet sh -c 'before=$({asked}); {wait}; systemctl restart {UNIT}'"
    pid = f"systemctl show --property=MainPID --value {UNIT}"
    with changed(as_root, f"{pid} >/run/before; {restart}", f'[ "$({pid})" != "$(cat /run/before)" ]'):
        done = suite()
    assert done.returncode in {0, 1, 6}, done.stdout
    assert row(done.stdout, "lab1")[:6] == ["✔"] * 6


def test_host_that_waits_for_a_reboot_is_named(suite, as_root) -> None:
    with changed(as_root, "touch /run/reboot-required", "rm /run/reboot-required"):
        done = suite("--read-only")
    assert done.returncode == 0, done.stdout
    assert "reboot required" in words(done.stdout)


def test_newer_kernel_than_the_running_one_is_named(suite, as_root) -> None:
    files = "/boot/vmlinuz-$(uname -r) /boot/vmlinuz-$(uname -r | sed 's/[0-9][0-9]*/99/')"
    with changed(as_root, f"mkdir -p /boot; touch {files}", f"rm {files}"):
        done = suite("--read-only")
    assert done.returncode == 0, done.stdout
    assert "reboot required" in words(done.stdout)
    assert "is installed" in words(done.stdout)


def test_failed_unit_is_named(suite, broken) -> None:
    fail = (
        f"mkdir -p /run/systemd/system/{UNIT}.d; "
        f"printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestart=no\\n' >/run/systemd/system/{UNIT}.d/x.conf; "
        f"systemctl daemon-reload; systemctl restart {UNIT}; sleep 1"
    )
    with broken("lab1", fail, f"rm -r /run/systemd/system/{UNIT}.d; systemctl daemon-reload"):
        done = suite("-k", "step_1")
    assert done.returncode == 1, done.stdout
    assert "failed (failed)" in done.stdout


def test_clock_of_the_host_in_another_zone_is_no_matter(suite, own_lab) -> None:
    zone = "ln -sf /usr/share/zoneinfo/Asia/Kolkata /etc/localtime || exit 1; rm /var/log/qualys/qualys-cloud-agent.log"
    assert own_lab.ssh("lab1", f"{zone}; systemctl restart {UNIT}", user="root").returncode == 0
    done = suite(lab=own_lab)
    assert done.returncode in {0, 6}, done.stdout  # a log just begun may not show an assessment yet
    assert row(done.stdout, "lab1")[-3:] == ["✔"] * 3
