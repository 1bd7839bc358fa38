"""The unit, as `systemctl show` describes it."""

from datetime import timedelta
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.agent.unit import parse_service

UNIT = "qualys-cloud-agent.service"
DAEMON = "/usr/local/qualys/cloud-agent/bin/qualys-cloud-agent"
UPTIME = timedelta(days=3)

RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "Result": "success",
    "NRestarts": "0",
    "MainPID": "712",
    "ActiveEnterTimestampMonotonic": str(86400 * 10**6),
    "ExecStart": f"{{ path={DAEMON} ; argv[]={DAEMON} ; ignore_errors=no ; start_time=[n/a] ; status=0/0 }}",
    "WantedBy": "multi-user.target",
    "RequiredBy": "",
    "TriggeredBy": "",
}
STOPPED = RUNNING | {"ActiveState": "inactive", "SubState": "dead", "ActiveEnterTimestampMonotonic": "0"}
JUST_STARTED = str((3 * 86400 - 30) * 10**6)


def since(**ago):
    """Properties of a unit that has been active for so long."""
    return {"ActiveEnterTimestampMonotonic": str(int((UPTIME - timedelta(**ago)).total_seconds()) * 10**6)}


def service(**properties):
    return read({**RUNNING, **properties})


def read(properties):
    text = "".join(f"{key}={value}\n" for key, value in properties.items())
    return parse_service(UNIT, text, UPTIME)


def test_a_running_agent():
    seen = read(RUNNING)
    assert (seen.presence, seen.state, seen.boot, seen.stability) == (
        "installed",
        "active (running)",
        "starts at boot",
        "stable",
    )
    assert seen.running_for == timedelta(days=2)
    assert seen.executable == PurePosixPath(DAEMON)
    assert str(seen) == "active (running) for 2 d, starts at boot"


def test_no_agent():
    seen = read(
        {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead", "UnitFileState": ""}
    )
    assert seen.presence == str(seen) == f"Unit {UNIT} not found"
    assert not seen.is_installed


@pytest.mark.parametrize(
    ("properties", "state", "stability"),
    [
        ({"ActiveState": "failed", "SubState": "failed"}, "failed (failed)", "stable"),
        ({"ActiveState": "failed", "SubState": "failed", "NRestarts": "5"}, "failed (failed)", "crash loop"),
        (
            {"ActiveState": "activating", "SubState": "auto-restart"},
            "activating (auto-restart)",
            "crash loop",
        ),
        (
            {"ActiveState": "activating", "SubState": "start", "NRestarts": "4"},
            "activating (start)",
            "crash loop",
        ),
        ({"NRestarts": "2", "ActiveEnterTimestampMonotonic": JUST_STARTED}, "active (running)", "stable"),
        ({"NRestarts": "3", "ActiveEnterTimestampMonotonic": JUST_STARTED}, "active (running)", "crash loop"),
        ({"NRestarts": "30"}, "active (running)", "stable"),  # long ago
        ({"NRestarts": "3"} | since(minutes=10), "active (running)", "stable"),
        ({"NRestarts": "3"} | since(minutes=10, seconds=-1), "active (running)", "crash loop"),
        ({"NRestarts": "[not set]"}, "active (running)", "stable"),
        (STOPPED | {"NRestarts": "9"}, "inactive (dead)", "stable"),  # stopped by hand
        (STOPPED | {"LoadState": "masked"}, "inactive (dead)", "stable"),
    ],
)
def test_what_it_does(properties, state, stability):
    seen = service(**properties)
    assert seen.state == state
    assert seen.stability.split(":")[0] == stability


@pytest.mark.parametrize(
    ("startup", "wanted", "boot"),
    [
        ("enabled", "WantedBy", "starts at boot"),
        ("enabled", "", "starts at boot"),
        ("static", "WantedBy", "starts at boot"),
        ("static", "RequiredBy", "starts at boot"),
        ("static", "TriggeredBy", "starts at boot"),
        ("static", "", "does not start at boot: static"),
        ("generated", "WantedBy", "starts at boot"),
        ("generated", "", "does not start at boot: generated"),
        ("linked", "WantedBy", "starts at boot"),
        ("indirect", "", "does not start at boot: indirect"),
        ("disabled", "", "does not start at boot: disabled"),
        ("disabled", "WantedBy", "does not start at boot: disabled"),
        ("enabled-runtime", "WantedBy", "does not start at boot: enabled-runtime"),
        ("transient", "WantedBy", "does not start at boot: transient"),
        ("masked", "", "does not start at boot: masked"),
        ("bad", "", "does not start at boot: bad"),
        ("", "", "does not start at boot: no unit file"),
    ],
)
def test_whether_it_starts_at_boot(startup, wanted, boot):
    seen = service(
        UnitFileState=startup, **({"WantedBy": ""} | ({wanted: "multi-user.target"} if wanted else {}))
    )
    assert seen.boot == boot


def test_an_old_systemd_counts_no_restarts():
    seen = read({key: value for key, value in RUNNING.items() if key not in {"NRestarts", "TriggeredBy"}})
    assert (seen.restarts, seen.stability) == (0, "stable")


def test_a_clock_of_its_own_gives_no_negative_uptime():
    assert service(ActiveEnterTimestampMonotonic=str(10**18)).running_for == timedelta(0)


@pytest.mark.parametrize("exec_start", ["", "{ path=relative ; }", "[not set]"])
def test_a_unit_may_name_no_daemon(exec_start):
    assert service(ExecStart=exec_start).executable is None


@pytest.mark.parametrize(
    "text",
    ["", "System has not been booted with systemd as init system (PID 1).", "LoadState=\nActiveState=active"],
)
def test_what_is_no_answer_of_systemd_is_an_error(text):
    with pytest.raises(ValueError, match="did not answer"):
        parse_service(UNIT, text, UPTIME)


@given(st.dictionaries(st.sampled_from([key for key in RUNNING if key != "LoadState"]), st.text(max_size=30)))
def test_any_value_is_read(properties):
    seen = service(**properties)
    assert str(seen)
    assert seen.stability


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (59, "59 s"),
        (119, "119 s"),
        (120, "2 min"),
        (179, "2 min"),
        (180, "3 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (10799, "2 h"),
        (10800, "3 h"),
        (172799, "47 h"),
        (172800, "2 d"),
        (259199, "2 d"),
    ],
)
def test_how_long_it_has_been_running_is_said(seconds, said):
    assert str(service(**since(seconds=seconds))) == f"active (running) for {said}, starts at boot"


@pytest.mark.parametrize(("microseconds", "is_known"), [("0", False), ("1", True)])
def test_a_unit_that_was_never_activated_does_not_run(microseconds, is_known):
    assert (service(ActiveEnterTimestampMonotonic=microseconds).running_for is not None) == is_known


def test_what_systemd_keeps_of_it():
    seen = service(ControlGroup="/system.slice/agent.service")
    assert (seen.main_pid, seen.control_group) == (712, "/system.slice/agent.service")
    unset = service(MainPID="", ControlGroup="/")
    assert (unset.main_pid, unset.control_group) == (0, "")
