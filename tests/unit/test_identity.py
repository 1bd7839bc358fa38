"""Who answers, and what can be told of it."""

import os
import shutil
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qualys_verify.agent.clock import ASK_CLOCK, parse_clock
from qualys_verify.identity import PROBES, fingerprint, read_identity

NOW = datetime(2026, 11, 21, 20, 15, 0, 500_000, tzinfo=UTC)
ANSWERS = dict.fromkeys(PROBES, "") | {
    "uid": "1000",
    "user": "ops",
    "hostname": "web1",
    "kernel": "6.1.0-18-amd64",
    "clock": f"{int(NOW.timestamp()) + 90} +0100\n{int(NOW.timestamp()) - 86310} +0100",
    "uptime": "5000.10 1.00",
}


def identity(**answers):
    return read_identity({**ANSWERS, **answers}, "SHA256:abc", NOW)


def test_little_is_needed():
    found = identity()
    assert (found.uid, found.hostname, found.uptime) == (1000, "web1", timedelta(seconds=5000.1))
    assert found.offset == timedelta(seconds=90)
    assert dict(found.facts)["clock"].endswith("+90 s to the controller")
    assert "reboot required" not in dict(found.facts)
    assert not found.has_timeout


@pytest.mark.parametrize("missing", ["uid", "clock", "uptime"])
def test_what_does_not_answer_like_linux_is_no_host(missing):
    with pytest.raises(ValueError, match="does not answer like a Linux host"):
        identity(**{missing: ""})


@pytest.mark.parametrize(
    ("listing", "newer"),
    [
        ("/boot/vmlinuz-6.1.0-18-amd64\n/boot/vmlinuz-6.1.0-21-amd64", "6.1.0-21-amd64"),
        ("/boot/vmlinuz-6.1.0-18-amd64\n/lib/modules/6.1.0-9-amd64/vmlinuz", ""),
        ("/boot/vmlinuz-6.1.0-18-amd64\n/boot/vmlinuz-6.1.0-21-cloud-amd64", ""),
        ("/boot/vmlinuz-6.1.0-21-amd64", ""),  # not the running kernel's machine
        ("", ""),
        ("/boot/vmlinuz-0-rescue-abc\n/boot/vmlinuz-6.1.0-18-amd64", ""),
    ],
)
def test_a_newer_kernel_than_the_running_one(listing, newer):
    found = identity(reboot=listing)
    assert found.newer_kernel == newer
    assert bool(found.why_reboot) == bool(newer)


def test_the_file_that_asks_for_a_reboot():
    assert identity(reboot="/run/reboot-required").why_reboot == "/run/reboot-required exists"


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("6.1.2.27", "6.1.2.27"),
        ("6.3.0-12", "6.3.0-12"),
        ("package qualys-cloud-agent is not installed", ""),
        ("", ""),
    ],
)
def test_the_package_s_version(printed, version):
    assert identity(package=printed).agent_version == version


def test_the_system_s_name():
    assert identity(system='NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n').system.startswith(
        "Debian"
    )


BOOT = "b0070000-0000-4000-8000-00000000000%d"


def test_two_names_of_one_machine_are_one_installation():
    here = identity(ids=f"feed\n{BOOT % 1}").installation
    assert here == identity(ids=f"feed\n{BOOT % 1}").installation
    assert here != identity(ids=f"feed\n{BOOT % 2}").installation


@pytest.mark.parametrize(
    ("printed", "ids"),
    [
        (f"feed\n{BOOT % 1}", ("feed", BOOT % 1)),
        (f"{BOOT % 2}\n{BOOT % 1}", (BOOT % 2, BOOT % 1)),
        (BOOT % 1, ("", BOOT % 1)),
        ("feed", ("feed", "")),
        (f"feed{BOOT % 1}", ("feed", BOOT % 1)),  # without an end of its line
        ("", ("", "")),
    ],
)
def test_the_ids_of_a_machine_and_of_its_boot(printed, ids):
    found = identity(ids=printed)
    assert (found.machine_id, found.boot_id) == ids


def test_a_machine_id_of_white_space_takes_no_time():
    started = time.monotonic()
    identity(ids="x" + " " * 1_000_000 + "x")
    assert time.monotonic() - started < 2


def ask(line, path=None):
    """What a real /bin/sh prints."""
    environment = {"PATH": path or os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(
        ["/bin/sh", "-c", f"( {line}\n) </dev/null; :"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        start_new_session=True,  # as a server starts it
    )
    return done.stdout.strip()


def with_program(folder, name, text):
    program = folder / name
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("timeout", "alone", "with_all"),
    [
        (None, True, True),
        ('shift 3; exec "$@"', True, False),  # as BusyBox: the program is no head of a group
        ('echo "timeout: invalid option -- k" >&2; exit 1', False, False),
    ],
    ids=["GNU", "of one process", "without -k"],
)
def test_how_a_target_ends_a_command(tmp_path, timeout, alone, with_all):
    path = with_program(tmp_path, "timeout", timeout) if timeout else None
    found = identity(fqdn=ask(PROBES["fqdn"], path))
    assert (found.has_timeout, found.has_group_timeout) == (alone, with_all)
    assert found.fqdn == (ask("hostname -f") if alone else "")


@pytest.mark.parametrize("by_gnu", [True, False])
def test_every_date_tells_the_time_and_gnus_a_day_ago(tmp_path, by_gnu):
    path = (
        None
        if by_gnu
        else with_program(tmp_path, "date", f'[ "$1" != -f ] && exec {shutil.which("date")} "$@"')
    )
    lines = ask(ASK_CLOCK, path).splitlines()
    assert abs(parse_clock(lines).now.timestamp() - time.time()) < 5
    if by_gnu:
        today, yesterday = (int(line.split()[0]) for line in lines)
        assert today - yesterday == 86400
    else:
        assert len(lines) == 1


def test_the_agents_id_is_shown_as_anyone_can_reckon_it(tmp_path):
    place = tmp_path / "hostid"
    place.write_text("decafbad-0000-4000-8000-0000000000ff\n")
    command = f'printf %s "$(cat {place})" | sha256sum'
    reckoned = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert fingerprint(place.read_text()) == reckoned
    found = replace(identity(), hostids=(reckoned,))
    assert dict(found.facts)["agent hostid, SHA-256"] == reckoned
    assert f"agent hostid, SHA-256 {reckoned}" in str(found)
    assert "agent hostid" not in str(identity())
