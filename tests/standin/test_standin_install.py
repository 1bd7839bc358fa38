import os
import re
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from qualys_verify.standin import __main__ as command
from qualys_verify.standin.install import (
    CONFIGURATION,
    HOME,
    LOGS,
    UNIT,
    UNITS,
    StandinHost,
    install,
    zone_of,
)

HEADER = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) \[qualys-cloud-agent\]\[\d+\]:"
    r"\[(?P<level>Error|Warning|Information)\]:\[\d{15}\]:(?P<message>.+)"
)


def local_now():
    """The time on this machine's clock, whatever the variable TZ says: a tree is a part of the machine."""
    return datetime.now(zone_of(Path("/"))).replace(tzinfo=None)


def modes(root):
    return {
        str(path.relative_to(root)): oct(path.lstat().st_mode)[-3:]
        for path in root.rglob("*")
        if not path.is_symlink()
    }


def east_of_utc(hours):
    """A time zone file without daylight saving time, in the format of RFC 8536."""
    return (
        b"TZif"
        + bytes(16)
        + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
        + struct.pack(">lBB", hours * 3600, 0, 0)
        + b"XXT\0"
    )


def test_what_is_the_agents_own_is_private_and_the_rest_as_on_any_machine(installed):
    before = os.umask(0o022)
    try:
        found = modes(installed("vendor").root)
    finally:
        os.umask(before)
    own = {path: mode for path, mode in found.items() if "qualys" in path and "systemd" not in path}
    assert {mode for path, mode in own.items() if path.endswith((".sh", "/qualys-cloud-agent"))} == {"700"}
    assert {mode for path, mode in own.items() if path.endswith((".conf", ".log", "hostid"))} == {"600"}
    assert found["etc/qualys"] == found[str(LOGS)] == found["var/lib/standin"] == "700"
    assert found["etc"] == found["usr/local"] == found["var/log"] == "755"
    assert found[str(UNITS / UNIT)] == "644"


@pytest.mark.parametrize(
    ("personality", "has_control"), [("runbook", False), ("limited", False), ("vendor", True)]
)
def test_only_the_vendors_agent_has_the_on_demand_tool(installed, personality, has_control):
    assert (installed(personality).root / HOME / "bin/cloudagentctl.sh").exists() is has_control


def test_a_machines_root_has_no_trace_of_where_it_was_written(tmp_path):
    install(tmp_path, StandinHost("lab", "vendor"))
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [text for text in texts if str(tmp_path) in text or re.search(r"(?m)^[^#]*@[A-Z]+@", text)]
    assert (
        "ExecStart=/usr/local/qualys/cloud-agent/bin/qualys-cloud-agent\n"
        in (tmp_path / UNITS / UNIT).read_text()
    )
    wanted = tmp_path / UNITS / "multi-user.target.wants" / UNIT
    assert str(wanted.readlink()) == f"/{UNITS / UNIT}"


def test_installing_again_replaces_what_is_there(tmp_path):
    host = StandinHost("lab", "vendor")
    install(tmp_path, host)
    install(tmp_path, host)


def test_a_host_without_the_agent_has_nothing_of_it(installed):
    root = installed("runbook", agent=False).root
    assert [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()] == [
        "var/lib/standin/host.json"
    ]


def test_ids_are_made_up_and_not_zero(installed):
    root = installed("vendor").root
    text = (root / CONFIGURATION / "qualys-cloud-agent.conf").read_text() + (
        root / "etc/qualys/hostid"
    ).read_text()
    ids = re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text)
    assert [one[:8] for one in ids] == ["aaaaaaaa", "cccccccc", "decafbad"]


def test_the_log_tells_a_healthy_day(installed):
    """Headers parse, times ascend, and words are where they must not be matched."""
    lines = installed("limited").log.splitlines()
    entries = [entry for line in lines if (entry := HEADER.fullmatch(line))]
    times = [entry["time"] for entry in entries]
    messages = [entry["message"] for entry in entries]
    assert times == sorted(times)
    assert local_now() - datetime.fromisoformat(times[-1]) < timedelta(minutes=5)
    for phrase in (
        "Ini log level: 3",
        "Start CAPI event",
        "CAPI event successfully completed",
        "Scan started for Manifest Type: VM",
        "Scan started for Manifest Type: PC",
        "Upload done for Manifest Type: VM",
        "PAM-tacplus: user not authenticated by TACACS+",
        "su: (to root) root on none",
    ):
        assert phrase in messages
    assert not [message for message in messages if "fatal" in message.lower()]
    assert [line for line in lines if "fatal error" in line and not HEADER.fullmatch(line)]


def test_the_last_assessment_is_three_hours_old_and_agrees_with_the_log(installed):
    tree = installed("runbook")
    stamp = tree.note("last-assessment").strip()
    age = local_now() - datetime.fromisoformat(stamp)
    assert timedelta(hours=3) <= age < timedelta(hours=3, seconds=30)
    assert re.search(rf"(?m)^{stamp}\.\d+ .*Scan finished for Manifest Type: PC$", tree.log)


@pytest.mark.parametrize("place", ["etc/localtime", "usr/share/zoneinfo/Nowhere"])
def test_a_machines_times_are_those_of_its_own_zone(tmp_path, place):
    data = tmp_path / place
    data.parent.mkdir(parents=True)
    data.write_bytes(east_of_utc(5))
    if place != "etc/localtime":
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/localtime").symlink_to(f"/{place}")
    assert datetime.fromtimestamp(0, zone_of(tmp_path)).hour == 5
    install(tmp_path, StandinHost("lab", "runbook"))
    last = (tmp_path / LOGS / "qualys-cloud-agent.log").read_text().splitlines()[-1]
    there = datetime.now(timezone(timedelta(hours=5))).replace(tzinfo=None)
    assert there - datetime.fromisoformat(last[:23]) < timedelta(minutes=5)


def test_a_machine_without_a_zone_is_on_utc(tmp_path):
    assert datetime.fromtimestamp(0, zone_of(tmp_path)).hour == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "no/name"}, "is no host name"),
        ({"personality": "shy"}, "there is no personality 'shy': use runbook, limited, vendor"),
        ({"delay": -1.0}, "cannot take -1.0 seconds"),
        ({"delay": float("nan")}, "cannot take nan seconds"),
    ],
)
def test_hosts_that_cannot_be(settings, says):
    with pytest.raises(ValueError, match=says):
        StandinHost(**{"name": "lab", "personality": "vendor", **settings})


def test_the_command_installs(tmp_path):
    assert (
        command.main([str(tmp_path), "--personality", "limited", "--delay", "0.5", "--never-assesses"]) == 0
    )
    assert '"assesses": false' in (tmp_path / "var/lib/standin/host.json").read_text()
    assert (tmp_path / HOME / "bin/qualys-cloud-agent.sh").exists()


def test_the_command_refuses_in_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main([str(tmp_path), "--personality", "vendor", "--delay", "-2"])
    assert "a scan cannot take -2.0 seconds" in capsys.readouterr().err
