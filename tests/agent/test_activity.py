"""The log's tail, judged. Each case is a short log; times are minutes before noon."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.agent.activity import LAST_ENTRIES, Sign, judge_activity
from qualys_verify.agent.clock import HostClock
from qualys_verify.agent.log import parse_log
from qualys_verify.agent.patterns import load_patterns

PATTERNS = load_patterns()
NOON = datetime(2026, 3, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SUCCESS = "CAPI event successfully completed"


def judge(*lines, offset=timedelta(0), printed="", now=NOON):
    """`(minutes ago, message)` or `(minutes ago, level, message)`, in the local time of a host."""
    text = ""
    for minutes, *level, message in lines:
        at = NOON - timedelta(minutes=minutes) + offset
        text += (
            f"{at:%Y-%m-%d %H:%M:%S}.000{printed} [agent][712]:[{(*level, 'Information')[0]}]:[7]:{message}\n"
        )
    return judge_activity(parse_log(text), HostClock(now, (offset,)), PATTERNS, 2 * HOUR)


@pytest.mark.parametrize("offset", [0, -5, 9], ids=lambda hours: f"{hours:+}h")
@pytest.mark.parametrize(
    ("minutes", "freshness"),
    [(0, "recent"), (119, "recent"), (120, "recent"), (121, "last entry 2 h 1 min ago, more than 2 h 0 min")],
)
def test_the_last_entry_is_recent_by_the_hosts_own_clock(minutes, freshness, offset):
    assert judge((600, "a"), (minutes, "b"), offset=offset * HOUR).freshness == freshness


def test_an_offset_in_the_line_is_the_lines_own():
    assert judge((5, "a"), offset=-5 * HOUR, printed=" -0500").age == timedelta(minutes=5)
    assert judge((5, "a"), printed=" GMT").age == timedelta(minutes=5)


def test_a_clock_that_is_wrong_shows():
    assert judge((-60, "a")).age == -HOUR


def test_a_log_without_entries():
    seen = judge()
    assert (seen.age, seen.freshness, str(seen), seen.communication_state) == (
        None,
        "no entry",
        "no entry",
        "not shown",
    )


FATAL = "Database is corrupt"


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ([], 0),
        ([("Fatal", FATAL)], 1),
        ([("Fatal", FATAL)] * 2, 2),
        ([("Critical", FATAL), ("Error", "A fatal error occurred")], 2),
        ([("FATAL", FATAL)] * 3, 3),
        ([("Error", "Database is locked")] * 9, 0),
        ([("Error", "non-fatal error"), ("Error", "0 fatal errors")] * 2, 0),
        ([("Information", "The page says: fatal error")] * 9, 0),
        ([("Error", "PAM-tacplus: user not authenticated by TACACS+")] * 9, 0),
        ([("Fatal", "PAM-tacplus[812]: user not authenticated by TACACS+")] * 9, 0),
        ([("Critical", "su: (to root) root on none"), ("Fatal", "su[7]: (to root) root on none")] * 9, 0),
        ([("Error", "su: (to root) root on none")] * 9 + [("Fatal", FATAL)], 1),
        ([("Information", 'Payload:\n{"title": "fatal error"}\n[Fatal]: fatal error')] * 9, 0),
        ([("Fatal", FATAL)] * 2 + [("Information", "a")] * LAST_ENTRIES, 0),
        ([("Fatal", FATAL)] * 2 + [("Error", "su: (to root) root on none")] * LAST_ENTRIES, 2),
    ],
)
def test_fatal_errors_count_when_they_repeat(lines, count):
    seen = judge(*((5, *line) for line in lines))
    assert len(seen.fatal) == count
    assert (seen.fatal_errors == "not repeated") == (count < 2)
    if count > 1:
        assert seen.fatal_errors.startswith(f"{count} fatal errors, the last: 2026-03-23 11:55:00")


@pytest.mark.parametrize(
    "message",
    [
        "Starting Scan for manifest UUID feedface",
        "Scan started for Manifest Type: VM",
        "Interval Event of same type is in progress with state INTERVAL_EVENT_SCAN",
        "Vulnerability scan completed",
        "Policy evaluation finished: 97 passed, 3 failed",
        "Running data collection",
        "Scanning in progress, 0 errors",
    ],
)
def test_assessment_activity_is_seen(message):
    assert judge((5, message), (1, "Start CAPI event")).assessment.message == message
    assert judge((5, "Error", message)).assessment is None


@pytest.mark.parametrize(
    "message",
    [
        "Start CAPI event",
        "Scan will start in 4 hours",
        "Scan not started",
        "Scan failed to start",
        "scan skipped, done",
        "x\nScan started for Manifest Type: VM",
        "canned",
        "Evaluation could not be completed: unable to start",
    ],
)
def test_what_is_no_assessment_is_not(message):
    assert judge((5, message)).assessment is None


@pytest.mark.parametrize(
    ("message", "disabled"),
    [
        ("VM module is disabled", True),
        ("Policy compliance: module is disabled", True),
        ("FIM module is disabled", False),
        ("module is disabled", False),
    ],
)
def test_other_modules_may_be_disabled(message, disabled):
    assert (judge((5, message)).disabled is not None) == disabled


@pytest.mark.parametrize(
    "message",
    [
        SUCCESS,
        "Upload complete",
        "Successfully uploaded 3 files",
        "Delta uploaded",
        "Http request completed, status 200",
        "Check-in done",
        "Status event accepted, 0 errors",
        "Snapshot successfully sent",
    ],
)
def test_communication_is_seen(message):
    seen = judge((5, message))
    assert seen.communication.message == message
    assert seen.communication_state == "succeeds"


@pytest.mark.parametrize(
    "message",
    [
        "Start CAPI event",
        "Upload started, 2003 bytes",
        "Nothing uploaded",
        "No files uploaded",
        "Upload not complete",
        "File could not be uploaded",
        "Will be uploaded",
        "Snapshot created successfully",
        "Http request sent to platform",
        "Http request completed with status 503",
        "CAPI request prepared: done",
        "Upload failed, 200 retries left",
        "CAPI event was unsuccessful",
        "x\nCAPI event successfully completed",
    ],
)
def test_what_is_no_communication_is_not(message):
    assert judge((5, message)).communication_state == "not shown"


FAILED = ("Error", "CAPI request failed")
REFUSED = ("Error", "Could not connect to platform: connection refused")


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([FAILED], "not shown"),
        ([FAILED] * 2, "fails"),
        ([REFUSED] * 2, "fails"),
        ([("Warning", "SSL certificate problem: unable to get local issuer certificate")] * 2, "fails"),
        ([(SUCCESS,), FAILED], "succeeds"),
        ([(SUCCESS,), FAILED, FAILED], "fails"),
        ([(SUCCESS,), REFUSED, REFUSED], "fails"),
        ([FAILED, FAILED, (SUCCESS,)], "succeeds"),
        ([FAILED, (SUCCESS,), FAILED], "succeeds"),
        # one attempt may tell of its failure in several words
        (
            [(SUCCESS,), ("Error", "Http request failed: timeout"), FAILED, ("Error", "CAPI event failed")],
            "succeeds",
        ),
        ([("Information", "CAPI event failed")] * 2, "fails"),
        ([("Information", "Connection refused by the proxy")] * 2, "not shown"),
        ([(SUCCESS,), *[("Error", "Failed to connect to the docker socket")] * 5], "succeeds"),
        ([(SUCCESS,), *[("Warning", "PAM-tacplus: user not authenticated by TACACS+")] * 5], "succeeds"),
        ([(SUCCESS,), *[("Information", "x\nHttp request failed")] * 5], "succeeds"),
    ],
)
def test_communication_fails_when_several_attempts_do(lines, state):
    assert judge(*((5, *line) for line in lines)).communication_state.split(":")[0] == state


def test_what_is_shown():
    assert str(judge((61, "a"))) == "last entry 1 h 1 min ago, fatal errors not repeated"
    seen = judge((5, SUCCESS))
    assert (
        str(Sign("succeeds", seen.communication)) == f"succeeds (2026-03-23 11:55:00 [information] {SUCCESS})"
    )
    assert str(Sign("shown", None)) == "shown"


@given(
    st.lists(
        st.tuples(st.integers(-100, 100), st.sampled_from(["Error", "Fatal", "Trace"]), st.text()), max_size=9
    )
)
def test_any_log_is_judged(lines):
    seen = judge(*lines)
    assert str(seen)
    assert seen.communication_state
    assert seen.freshness


_ENTRIES = st.tuples(
    st.integers(1, 3000),
    st.sampled_from(["Error", "Fatal", "Information"]),
    st.sampled_from(
        ["a", FATAL, SUCCESS, "Vulnerability scan completed", "Http request failed", "VM module is disabled"]
    ),
)


@given(st.lists(_ENTRIES, max_size=9), st.lists(_ENTRIES, max_size=9), st.integers(0, 60))
def test_what_lies_before_a_log_that_settles_everything_changes_nothing(before, log, quiet):
    log = [*log, *[(5, "a")] * quiet]
    seen = judge(*log)
    if seen.is_settled:
        with_archive = judge(*before, *log)  # `disabled` says something where there is no assessment
        assert replace(with_archive, entries=seen.entries, disabled=seen.disabled) == seen


@pytest.mark.parametrize(
    ("lines", "is_settled"),
    [
        ([(5, SUCCESS), (5, "Vulnerability scan completed"), *[(5, "a")] * 48], True),
        ([(5, SUCCESS), (5, "Vulnerability scan completed"), *[(5, "a")] * 47], False),
        (
            [(5, SUCCESS), (5, "Vulnerability scan completed"), *[(5, "su: (to root) root on none")] * 48],
            False,
        ),
        ([(5, SUCCESS), *[(5, "a")] * 49], False),
        ([(5, "Vulnerability scan completed"), *[(5, "a")] * 49], False),
        ([], False),
    ],
)
def test_a_log_settles_everything_that_is_long_enough_and_shows_both_signs(lines, is_settled):
    assert judge(*lines).is_settled is is_settled


@pytest.mark.parametrize("word", ["scan ", "upload ", "fatal ", "0 a a a ", "CAPI ", "connect ", " "])
def test_an_enormous_log_takes_no_time(word):
    header = "2026-03-23 12:00:00.000 [agent][712]:[Error]:"
    lines = "\n".join(header + word * (1000 // len(word)) for _ in range(250))
    began = time.process_time()
    judge_activity(parse_log(lines + "\n" + header + word * 20000), HostClock(NOON, (HOUR,)), PATTERNS, HOUR)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(("since", "count"), [(48, 2), (49, 1), (50, 0)])
def test_the_last_fifty_entries_count(since, count):
    lines = [(60, "Fatal", FATAL)] * 2 + [(5, "a")] * since
    assert LAST_ENTRIES == 50
    assert len(judge(*lines).fatal) == count


def test_the_last_of_several_is_named():
    seen = judge(*((9 - minute, "Fatal", f"{FATAL} {minute}") for minute in range(3)))
    assert seen.fatal_errors == f"3 fatal errors, the last: 2026-03-23 11:53:00 [fatal] {FATAL} 2"
    assert str(seen) == f"last entry 7 min ago, {seen.fatal_errors}"
    assert str(judge((7, "Fatal", FATAL))) == "last entry 7 min ago, fatal errors not repeated"
    both = judge((7, "Fatal", FATAL), (7, "Fatal", FATAL))
    assert str(both) == f"last entry 7 min ago, {both.fatal_errors}"
    failing = judge(*((9 - minute, "Error", "CAPI request failed") for minute in range(3)))
    assert failing.communication_state == (
        "fails: 3 attempts since the last success, the last: 2026-03-23 11:53:00 [error] CAPI request failed"
    )


@pytest.mark.parametrize(
    ("minutes", "ago"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (1 / 60, "1 s"),
        (59 / 60, "59 s"),
        (1, "1 min"),
        (59, "59 min"),
        (60, "1 h 0 min"),
    ],
)
def test_how_long_ago_it_was_is_said(minutes, ago):
    assert str(judge((minutes, "a"))).startswith(f"last entry {ago} ago, ")


def test_attempts_that_failed_are_counted_since_the_last_success():
    failed = (5, "Error", "CAPI request failed")
    assert [judge((5, SUCCESS), *[failed] * count).attempts for count in range(4)] == [0, 1, 2, 3]
    assert judge((5, "Information", "a")).attempts == 0


@pytest.mark.parametrize(("minutes", "state"), [(24 * 60, "succeeds"), (24 * 60 + 1, "not shown")])
def test_a_success_of_more_than_a_day_ago_says_nothing_of_now(minutes, state):
    assert judge((minutes, SUCCESS), (5, "Scan started for Manifest Type: VM")).communication_state == state
