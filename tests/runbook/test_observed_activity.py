"""Step 2.2: how the log is read, and when it says nothing."""

from datetime import timedelta
from functools import partial
from pathlib import PurePosixPath

import pytest

from fixtures.activity import read_log, read_log_since
from qualys_verify.agent.activity import Sign
from qualys_verify.agent.configuration import Configuration
from qualys_verify.agent.layout import Installation, Layout
from qualys_verify.reasons import Denied, Inconclusive, Unreachable
from tests.runbook.pretend import LOG, NOON, log

SCANNED = "Vulnerability scan completed"
SENT = "CAPI event successfully completed"
GONE = (1, "", "tail: cannot open 'it' for reading: No such file or directory")
PACKED, ARCHIVE, CURRENT = f"gzip -dc {LOG}.0.gz", f"tail -c 131072 {LOG}.0", f"tail -c 131072 {LOG}"
HEALTHY = Installation(Layout(), Configuration(log_level=3), "")
QUIET = Installation(Layout(), Configuration(log_level=2), "")
SYSLOG = Installation(Layout(), Configuration(to_syslog=True), "")


def logs(current, archive=GONE, packed=""):
    return {PACKED: packed, ARCHIVE: archive, CURRENT: current}


def said(entries):
    return [entry.message for entry in entries]


# --- reading ---------------------------------------------------------------------------------------------


def test_the_archives_come_before_the_log_and_the_clock_after_it(stage):
    host, script = stage(logs(log((-1, "three")), log((-2, "two")), log((-3, "one"))))
    clock, entries = read_log(host, HEALTHY, 50)
    assert said(entries) == ["one", "two", "three"]
    assert clock.now == NOON
    assert script.asked == [f"sudo -n {PACKED} | tail -c 131072", f"sudo -n {ARCHIVE}", f"sudo -n {CURRENT}"]
    assert script.commands[-1].startswith("date")


def test_a_log_that_was_never_rotated_is_all_there_is(stage):
    host, _ = stage(logs(log((-1, "one"))))
    assert said(read_log(host, HEALTHY, 50)[1]) == ["one"]


def test_a_log_that_is_empty_after_its_rotation_is_read_with_the_archive(stage):
    host, _ = stage(logs("", log((-1, "one"))))
    assert said(read_log(host, HEALTHY, 50)[1]) == ["one"]


@pytest.mark.parametrize(
    "read", [partial(read_log, shown=5), partial(read_log_since, since=NOON)], ids=["once", "poll"]
)
def test_without_a_log_the_archive_is_none(stage, read):
    host, _ = stage(logs(GONE, log((-1, "one"))))
    with pytest.raises(Inconclusive, match=rf"^ssh://web1: there is no log at {LOG}: .*--agent-log"):
        read(host, HEALTHY)


def test_a_log_that_may_not_be_read_is_not_missing(stage):
    host, _ = stage(logs((1, "", "tail: cannot open 'it' for reading: Permission denied")))
    with pytest.raises(Denied):
        read_log(host, HEALTHY, 50)


def test_the_evidence_keeps_the_last_entries_without_their_payload(stage):
    host, _ = stage(logs(log(*((-60 + minute, f"entry {minute}\n{{token}}") for minute in range(60)))))
    read_log(host, HEALTHY, 50)
    shown = host.record.replies[-2].stdout
    assert sum("] entry " in line for line in shown.splitlines()) == 50
    assert "entry 10 " in shown
    assert "token" not in shown


def test_a_poll_reads_the_log_alone_where_it_goes_back_far_enough(stage):
    host, script = stage({CURRENT: log((-1, "before"), *((minute, "since") for minute in range(9)))})
    clock, entries = read_log_since(host, HEALTHY, NOON)
    assert len(entries) == 10
    assert clock.now == NOON
    assert script.asked == [f"sudo -n {CURRENT}"]
    assert sum("] since" in line for line in host.record.replies[-2].stdout.splitlines()) == 5


@pytest.mark.parametrize("current", ["", log((0, "just then")), log((1, "since"))])
def test_a_poll_reads_the_archive_where_the_log_was_rotated_in_between(stage, current):
    host, script = stage(logs(current, log((-1, "before"))))
    _, entries = read_log_since(host, HEALTHY, NOON)
    assert said(entries)[0] == "before"
    assert len(script.asked) == 4
    assert sum("]" in line for line in host.record.replies[-2].stdout.splitlines()) <= 5


# --- activity --------------------------------------------------------------------------------------------


def test_a_healthy_log_is_judged(stage, look):
    host, _ = stage(logs(log((-30, SCANNED), (-5, SENT))))
    seen = look("activity", host, installation=HEALTHY)
    assert (seen.age, seen.max_age) == (timedelta(minutes=5), timedelta(hours=2))
    assert (seen.assessment.message, seen.communication.message) == (SCANNED, SENT)


@pytest.mark.parametrize(
    ("current", "trips"),
    [
        (log((-60, SCANNED), *((-59 + minute, SENT) for minute in range(50))), [[CURRENT]]),
        (log((-60, SCANNED), (-5, SENT)), [[CURRENT], [PACKED, ARCHIVE, CURRENT]]),
        (log(*((-59 + minute, SENT) for minute in range(50))), [[CURRENT], [PACKED, ARCHIVE, CURRENT]]),
    ],
    ids=["enough", "few entries", "no assessment"],
)
def test_the_archive_is_read_where_it_could_tell_more(stage, look, current, trips):
    host, script = stage(logs(current, log((-90, SCANNED), (-80, SENT))))
    seen = look("activity", host, installation=HEALTHY)
    assert seen.assessment.message == SCANNED
    asked = [command for trip in trips for command in trip]
    assert [command.removeprefix("sudo -n ").split(" | ")[0] for command in script.asked] == asked


def test_how_old_the_last_entry_may_be_is_the_users(stage, look):
    host, _ = stage(logs(log((-30, SENT))), log_max_age=900.0)
    seen = look("activity", host, installation=HEALTHY)
    assert seen.freshness == "last entry 30 min ago, more than 15 min"


def test_the_evidence_of_activity_has_fifty_entries(stage, look):
    host, _ = stage(logs(log(*((-60 + minute, "entry") for minute in range(60)))))
    look("activity", host, installation=HEALTHY)
    assert host.record.replies[-2].stdout.count("] entry") == 50


@pytest.mark.parametrize(
    ("installation", "why"), [(QUIET, "LogLevel is 2"), (SYSLOG, "the agent logs to syslog")]
)
@pytest.mark.parametrize("current", ["", log((-300, SENT))], ids=["empty", "old"])
def test_a_log_that_is_silent_on_purpose_says_nothing(stage, look, installation, why, current):
    host, _ = stage(logs(current))
    with pytest.raises(Inconclusive, match=rf"^ssh://web1: the log is silent because {why}"):
        look("activity", host, installation=installation)


def test_a_log_that_speaks_against_its_level_is_judged(stage, look):
    host, _ = stage(logs(log((-5, SENT))))
    assert look("activity", host, installation=QUIET).freshness == "recent"


def test_an_old_log_that_should_speak_is_a_finding(stage, look):
    host, _ = stage(logs(log((-300, SENT))))
    assert look("activity", host, installation=HEALTHY).freshness.startswith("last entry 5 h 0 min ago")


@pytest.mark.parametrize("current", ["", "free text\n"])
def test_a_log_without_entries_says_nothing(stage, look, current):
    host, _ = stage(logs(current))
    with pytest.raises(Inconclusive, match=rf"^ssh://web1: {LOG} holds no entry"):
        look("activity", host, installation=HEALTHY)


def test_a_log_from_the_future_says_nothing(stage, look):
    host, _ = stage(logs(log((61.5, SENT))))
    with pytest.raises(Inconclusive, match=r"^ssh://web1: .* lies 1:01:30 in the future .*check the clock"):
        look("activity", host, installation=HEALTHY)


def test_a_moment_ahead_is_no_future(stage, look):
    host, _ = stage(logs(log((1.5, SENT))))
    assert look("activity", host, installation=HEALTHY).freshness == "recent"


def test_a_log_elsewhere_is_read_there(stage, look):
    elsewhere = Installation(Layout(log=PurePosixPath("/data/agent.log")), Configuration(), "")
    host, _ = stage(
        {
            "gzip -dc /data/agent.log.0.gz": "",
            "tail -c 131072 /data/agent.log.0": GONE,
            "tail -c 131072 /data/agent.log": log((-5, SENT)),
        }
    )
    assert look("activity", host, installation=elsewhere).age == timedelta(minutes=5)


def test_a_connection_that_is_lost_is_the_reason(stage, look):
    host, _ = stage(logs(Unreachable("lost")))
    with pytest.raises(Unreachable):
        look("activity", host, installation=HEALTHY)


# --- what it shows ---------------------------------------------------------------------------------------


@pytest.fixture
def sign(stage, look):
    """What one of the observations makes of a log."""

    def make(name, *lines):
        host, _ = stage(logs(log(*lines)))
        return look(name, host, activity=look("activity", host, installation=HEALTHY))

    return make


@pytest.mark.parametrize(
    ("lines", "state", "message"),
    [
        ([(-5, SCANNED)], "shown", SCANNED),
        ([(-5, "VM module is disabled")], "disabled", "VM module is disabled"),
        ([(-9, SCANNED), (-5, "VM module is disabled")], "shown", SCANNED),
    ],
)
def test_assessments_are_shown_or_switched_off(sign, lines, state, message):
    seen = sign("assessment_activity", *lines)
    assert (seen.state, seen.entry.message) == (state, message)


def test_no_known_phrase_of_an_assessment_is_no_finding(sign):
    with pytest.raises(Inconclusive, match=r"^ssh://web1: the log shows no assessment .*--log-patterns"):
        sign("assessment_activity", (-5, SENT))


def test_communication_that_succeeds_is_shown(sign):
    seen = sign("communication", (-5, SENT))
    assert (seen.state, seen.entry.message) == ("succeeds", SENT)


@pytest.mark.parametrize("lines", [[], [(-9, SENT)]], ids=["never", "before"])
def test_communication_that_fails_is_a_finding(sign, lines):
    seen = sign("communication", *lines, *[(-5, "Error", "CAPI request failed")] * 2)
    assert isinstance(seen, Sign)
    assert seen.state.startswith("fails: 2 attempts")


def test_no_known_phrase_of_communication_is_no_finding(sign):
    with pytest.raises(
        Inconclusive, match=r"^ssh://web1: .*neither an upload nor a check-in.*--log-patterns"
    ):
        sign("communication", (-5, SCANNED))
