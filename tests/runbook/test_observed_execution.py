"""Step 5: waiting until what was asked for was carried out. Times are minutes after noon, when it was asked."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from qualys_verify import observation
from qualys_verify.agent.assessment import parse_status
from qualys_verify.agent.clock import HostClock
from qualys_verify.agent.configuration import Configuration
from qualys_verify.agent.dialect import Dialect
from qualys_verify.agent.execution import Execution
from qualys_verify.agent.layout import HOME, Installation, Layout
from qualys_verify.agent.request import Answer, Request, ScanType, Step, demands
from qualys_verify.host import Waiting
from qualys_verify.reasons import Denied, Inconclusive, Interrupted, NotApplicable, TimedOut, Unreachable
from tests.runbook.pretend import LOG, NOON, REFUSED, SCRIPT, log

HERE = Installation(Layout(), Configuration(log_level=3), "")
MORNING = NOON - timedelta(minutes=5)
ID, ID2 = "20260323120000.1", "20260323120000.2"
STATUS, TAIL, REQUESTS = f"{SCRIPT} status", f"tail -c 131072 {LOG}", f"ls -l {HOME}/.on-demand-scan"
EARLIER = (-60, "Start CAPI event")
STARTED, FINISHED = "Scan started for Manifest Type: VM", "Scan finished for Manifest Type: VM"
DELAYED = f"OnDemand request for Control ID: {ID} will be delayed."


def reading(said, at=MORNING):
    return parse_status(said, HostClock(at, (timedelta(0),)))


BEFORE = reading("Last assessment: 2026-03-23 10:59:40")
NEVER = reading("Last assessment: never")
LIMITED = reading("Invalid key name in status")


def request(*control_ids, types=(ScanType.VM,), step=Step.SCAN, asked=None):
    """A step's request; its answers carry these ControlIds, or none in the runbook's dialect."""
    dialect = Dialect.VENDOR if control_ids else Dialect.RUNBOOK
    wanted = demands(step, types, dialect, Layout(), 0)
    ids = control_ids or (None,) * len(wanted)
    answers = tuple(Answer(demand, NOON, control_id=own) for demand, own in zip(wanted, ids, strict=True))
    return Request(answers, time.monotonic() if asked is None else asked)


def refused():
    (demand,) = demands(Step.SCAN, (ScanType.VM,), Dialect.RUNBOOK, Layout(), 0)
    return Request((Answer(demand, NOON, refusal="no"),), time.monotonic())


def stamp(minute):
    """Of an assessment that ended 20 seconds before the minute, so that it is not taken for the time of asking."""
    return f"Last assessment: {NOON + timedelta(minutes=minute, seconds=-20):%Y-%m-%d %H:%M:%S}"


def time_of_asking(now, form="%Y-%m-%d %H:%M:%S"):
    return f"Last assessment: {now:{form}}"


@pytest.fixture
def wait_for(stage, look):
    """Wait for the scan on a scripted host, looking every minute for ten; returns host, script and outcome."""

    def make(answers, before=BEFORE, installation=HERE, asked_for=request, chance=0.5, **settings):
        answers = answers | {TAIL: answers.get(TAIL, log(EARLIER))}
        host, script = stage(
            answers, chance=chance, **{"poll_interval": 60.0, "poll_timeout": 600.0} | settings
        )

        def outcome():
            return look(
                "scan_execution", host, installation=installation, assessment_before=before, scan=asked_for()
            )

        return host, script, outcome

    return make


# --- by status -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [BEFORE, NEVER], ids=["before", "never"])
def test_a_later_assessment_is_the_execution(wait_for, before):
    said = [str(before), stamp(-60), stamp(2)]
    host, script, outcome = wait_for({STATUS: said}, before)
    seen = outcome()
    assert seen == Execution("executed", f"before: {before}; after: Last assessment: 2026-03-23 12:01:40")
    assert script.asked == [f"sudo -n {STATUS}"] * 3 + [f"sudo -n {TAIL}"]
    assert script.sleeps == [60, 60]
    assert len(host.record.readings) == 3


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (stamp(-60), "unchanged"),
        (stamp(-1), "advanced to an assessment from before the request"),
        (stamp(-90), "gone back"),
        ("Last assessment: never", "gone back"),
    ],
)
def test_without_one_it_was_not_executed_when_the_wait_ends(wait_for, said, state):
    _, script, outcome = wait_for({STATUS: said})
    seen = outcome()
    assert seen.state == state
    assert seen.witness.startswith(f"before: {BEFORE}; after: Last assessment: ")
    assert len(script.asked) == 10  # the eleventh would come when the wait is over
    assert script.sleeps == [60] * 9


def test_a_status_that_cannot_be_read_when_the_wait_ends_says_nothing(wait_for):
    _, _, outcome = wait_for({STATUS: [stamp(-60), "Segmentation fault"]})
    with pytest.raises(
        Inconclusive, match=r"^ssh://web1: .*could not be read when the wait ended \(before: .*Segm"
    ):
        outcome()


def test_a_status_from_the_future_says_nothing(wait_for):
    _, _, outcome = wait_for({STATUS: stamp(600)})
    with pytest.raises(Inconclusive, match=r"^ssh://web1: .*lies in the future .*check the clock \(before: "):
        outcome()


def test_a_status_that_flaps_counts_when_it_shows_a_later_assessment(wait_for):
    _, script, outcome = wait_for({STATUS: ["Aborted", stamp(-60), "Invalid key name in status", stamp(3)]})
    assert outcome().state == "executed"
    assert script.asked.count(f"sudo -n {STATUS}") == 4


def test_a_status_that_works_only_before_says_nothing(wait_for):
    _, _, outcome = wait_for({STATUS: "Invalid key name in status"})
    with pytest.raises(Inconclusive, match="could not be read"):
        outcome()


@pytest.mark.parametrize(("chance", "interval"), [(0.0, 54), (0.25, 57), (0.999, 66)])
def test_an_interval_varies_by_a_tenth_so_that_a_fleet_is_not_read_in_the_same_second(
    wait_for, chance, interval
):
    _, script, outcome = wait_for({STATUS: [stamp(-60), stamp(-60), stamp(2)]}, chance=chance)
    assert outcome().state == "executed"
    assert script.sleeps == pytest.approx([interval] * 2, rel=0.001)


def test_who_watches_is_told_what_is_waited_for_and_until_when(wait_for):
    host, _, outcome = wait_for({STATUS: stamp(-60)})
    asked = time.monotonic()
    outcome()
    assert host.waiting == Waiting("waiting for the scan", asked + 600)


# --- a stamp that is none, and one that the log contradicts ----------------------------------------------


@pytest.mark.parametrize(
    "before", [reading(time_of_asking(MORNING)), BEFORE, NEVER], ids=["asking", "before", "never"]
)
@pytest.mark.parametrize(("form", "pause"), [("%Y-%m-%d %H:%M:%S", 3), ("%Y-%m-%d %H:%M", 62)])
def test_a_status_that_shows_the_time_of_asking_says_nothing(wait_for, before, form, pause):
    host, script, outcome = wait_for({STATUS: lambda now: time_of_asking(now, form)}, before)
    with pytest.raises(
        Inconclusive, match=r"^ssh://web1: `status` shows the time of asking .*\(first: .*; last: "
    ):
        outcome()
    assert script.sleeps[-3:] == [pause] * 3
    assert len(host.record.readings) == len(script.asked) == len(script.sleeps) + 1


@pytest.mark.parametrize("behind", [10, 45])
def test_so_does_one_that_lies_behind_it_as_far_as_ever(wait_for, behind):
    def late(now):
        return time_of_asking(now - timedelta(seconds=behind))

    _, _, outcome = wait_for({STATUS: late}, reading(late(MORNING)))
    with pytest.raises(Inconclusive, match="shows the time of asking"):
        outcome()


def test_a_scan_that_ended_in_the_second_of_the_reading_stays_there(wait_for):
    ended = "Last assessment: 2026-03-23 12:02:00"
    _, script, outcome = wait_for({STATUS: [stamp(-60), stamp(-60), ended]})
    assert outcome() == Execution("executed", f"before: {BEFORE}; after: {ended}")
    assert script.sleeps == [60, 60, 3]


def test_two_assessments_may_end_one_soon_after_the_other(wait_for):
    answers = [f"Last assessment: 2026-03-23 12:00:0{second}" for second in (0, 3, 6, 6)]
    _, script, outcome = wait_for({STATUS: answers})
    assert outcome().state == "executed"
    assert script.sleeps == [3, 3, 3]


@pytest.mark.parametrize("missing", [Unreachable("lost"), "Aborted", "Last assessment: never"], ids=repr)
def test_a_reading_that_is_missing_is_made_once_more(wait_for, missing):
    now = "Last assessment: 2026-03-23 12:00:00"
    _, script, outcome = wait_for({STATUS: [now, missing, now]})
    assert outcome().state == "executed"
    assert script.sleeps == [3, 3]


def test_a_stamp_that_cannot_be_read_again_is_not_taken_for_an_assessment(wait_for):
    now = "Last assessment: 2026-03-23 12:00:00"
    host, script, outcome = wait_for({STATUS: [now, TimedOut("30 s")]})
    with pytest.raises(TimedOut, match=r"^30 s$"):
        outcome()
    assert script.sleeps == [3] * 6
    assert [reading.split("  ")[1] for reading in host.record.readings] == [now, *["30 s"] * 6]


@pytest.mark.parametrize(
    ("answers", "kind", "said"),
    [
        (["12:00:00", "12:00:03", TimedOut("30 s")], TimedOut, "^30 s$"),
        (
            ["12:00:00", TimedOut("30 s"), None],
            Inconclusive,
            "may be the time of asking, and was read again in vain",
        ),
        (
            ["12:00:00", "12:00:03", None],
            Inconclusive,
            "may be the time of asking, and was read again in vain",
        ),
    ],
    ids=["moved, then lost", "lost, then without a stamp", "moved, then without a stamp"],
)
def test_the_last_that_kept_it_from_being_read_is_the_reason(wait_for, answers, kind, said):
    shown = [
        f"Last assessment: 2026-03-23 {answer}" if isinstance(answer, str) else answer or "Aborted"
        for answer in answers
    ]
    _, _, outcome = wait_for({STATUS: shown})
    with pytest.raises(Inconclusive, match=said) as reason:
        outcome()
    assert type(reason.value) is kind


def test_a_stamp_that_is_not_shown_again_is_not_taken_for_an_assessment(wait_for):
    _, script, outcome = wait_for({STATUS: ["Last assessment: 2026-03-23 12:00:00", "Aborted"]})
    with pytest.raises(Inconclusive, match=r"^ssh://web1: .*and was read again in vain"):
        outcome()
    assert script.sleeps == [3] * 6


@pytest.mark.parametrize("reason", [Denied("no"), Interrupted("enough")], ids=repr)
def test_what_reading_again_cannot_mend_is_the_reason(wait_for, reason):
    _, script, outcome = wait_for({STATUS: ["Last assessment: 2026-03-23 12:00:00", reason]})
    with pytest.raises(type(reason)):
        outcome()
    assert script.sleeps == [3]


@pytest.mark.parametrize("message", ["Scan failed for Manifest Type: VM", "Scan failed: database is locked"])
def test_a_later_assessment_that_the_log_calls_failed_is_a_contradiction(wait_for, message):
    _, _, outcome = wait_for({STATUS: stamp(1), TAIL: log(EARLIER, (1, "Error", message))})
    with pytest.raises(Inconclusive) as reason:
        outcome()
    said = str(reason.value)
    assert said.startswith(
        "ssh://web1: `status` shows an assessment since the request, and the log says that it"
    )
    assert f"before: {BEFORE}; after: {stamp(1)}" in said
    assert f"2026-03-23 12:01:00 [error] {message}" in said


@pytest.mark.parametrize(
    "said",
    [
        log(EARLIER),
        log(EARLIER, (-1, "Error", "Scan failed for Manifest Type: VM")),
        (1, "", "tail: No such file or directory"),
        (1, "", "tail: Permission denied"),
        Unreachable("lost"),
        TimedOut("30 s"),
        Denied("no"),
        "no log of ours",
    ],
    ids=repr,
)
def test_a_log_that_says_nothing_or_cannot_be_read_takes_nothing_from_a_stamp(wait_for, said):
    archive = {f"gzip -dc {LOG}.0.gz": "", f"{TAIL}.0": ""}
    host, _, outcome = wait_for(archive | {STATUS: stamp(1), TAIL: said})
    assert outcome().state == "executed"
    if isinstance(said, Exception):
        assert host.record.readings[-1].endswith(f"  {said}")


def test_an_interruption_while_the_log_is_read_ends_it(wait_for):
    _, _, outcome = wait_for({STATUS: stamp(1), TAIL: Interrupted("enough")})
    with pytest.raises(Interrupted):
        outcome()


# --- what ends a wait, and what does not -----------------------------------------------------------------


@pytest.mark.parametrize("reason", [Unreachable("lost"), TimedOut("30 s"), Inconclusive("odd")], ids=repr)
def test_a_look_that_fails_is_another_reading(wait_for, reason):
    host, _, outcome = wait_for({STATUS: [stamp(-60), reason, stamp(3)]})
    assert outcome().state == "executed"
    first, *failed, last = host.record.readings
    assert "Last assessment" in first
    assert "Last assessment" in last
    assert any(reading.endswith(f"  {reason}") for reading in failed)


@pytest.mark.parametrize("reason", [Unreachable("lost"), TimedOut("30 s")], ids=repr)
def test_a_host_that_does_not_come_back_is_the_reason(wait_for, reason):
    host, script, outcome = wait_for({STATUS: [stamp(-60), reason]})
    with pytest.raises(type(reason), match=str(reason)):
        outcome()
    assert len(script.asked) == 10
    assert sum(reading.endswith(f"  {reason}") for reading in host.record.readings) == 9


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(REFUSED, Denied), (Interrupted("enough"), Interrupted), (NotApplicable("no"), NotApplicable)],
    ids=["denied", "interrupted", "not applicable"],
)
def test_what_waiting_cannot_mend_ends_it(wait_for, answer, reason):
    _, script, outcome = wait_for({STATUS: [stamp(-60), answer, stamp(3)]})
    with pytest.raises(reason):
        outcome()
    assert len(script.asked) == 2


def test_an_interruption_while_it_waits_ends_it(wait_for):
    host, script, outcome = wait_for({STATUS: stamp(-60)})

    def sleep(_seconds):
        raise Interrupted("enough")

    host.sleep = sleep
    with pytest.raises(Interrupted):
        outcome()
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("settings", "sleeps"),
    [
        ({"poll_interval": None, "poll_timeout": None}, [15] * 59),
        ({"poll_interval": 449.75, "poll_timeout": None}, [449.75] * 2),
        ({"poll_interval": None, "poll_timeout": 40.0}, [15] * 2),
        ({"poll_interval": 60.0, "poll_timeout": 59.0}, []),
        ({"poll_interval": 60.0, "poll_timeout": 61.0}, [60]),
    ],
)
def test_how_often_and_how_long_is_the_users(wait_for, settings, sleeps):
    _, script, outcome = wait_for({STATUS: stamp(-60)}, **settings)
    assert outcome().state == "unchanged"
    assert script.sleeps == sleeps
    assert len(script.asked) == len(sleeps) + 1


def test_the_wait_counts_from_the_request(wait_for):
    _, script, outcome = wait_for(
        {STATUS: stamp(-60)}, asked_for=lambda: request(asked=time.monotonic() - 420)
    )
    assert outcome().state == "unchanged"
    assert script.sleeps == [60] * 2


def test_a_wait_that_is_over_is_one_look(wait_for):
    _, script, outcome = wait_for(
        {STATUS: stamp(-60)}, asked_for=lambda: request(asked=time.monotonic() - 9999), poll_interval=0.5
    )
    assert outcome().state == "unchanged"
    assert len(script.asked) == 1


def one_after_the_other():
    """Two requests of a step, the second two minutes after the first."""
    first, second = request(ID, ID2, types=(ScanType.VM, ScanType.INV)).answers
    return Request((first, replace(second, sent=NOON + timedelta(minutes=2))), time.monotonic())


def test_the_first_of_two_requests_is_what_an_assessment_must_follow(wait_for):
    _, _, outcome = wait_for({STATUS: stamp(2)}, asked_for=one_after_the_other)
    assert outcome().state == "executed"


# --- by the log ------------------------------------------------------------------------------------------


def growing(*lines):
    """A log to which each entry is added at its minute."""
    return lambda now: log(*(line for line in lines if NOON + timedelta(minutes=line[0]) <= now))


@pytest.mark.parametrize(
    "before", [LIMITED, reading("Last assessment: 2026-03-23"), reading("Aborted")], ids=str
)
def test_where_status_tells_nothing_the_log_does(wait_for, before):
    host, script, outcome = wait_for({TAIL: growing(EARLIER, (1, STARTED), (3, FINISHED))}, before)
    seen = outcome()
    assert seen == Execution("executed", f"vm: done (2026-03-23 12:03:00 [information] {FINISHED})")
    assert script.asked == [f"sudo -n {TAIL}"] * 4
    said = [reading.split("  ")[1].split(" (")[0] for reading in host.record.readings]
    assert said == ["vm: unseen", "vm: started", "vm: started", "vm: done"]


def test_a_log_that_is_rotated_while_it_is_followed_is_read_with_its_archive(wait_for):
    whole = log(EARLIER, (1, STARTED))
    answers = {
        f"gzip -dc {LOG}.0.gz": "",
        f"{TAIL}.0": whole,
        TAIL: [whole, log((2, FINISHED))],
    }
    _, script, outcome = wait_for(answers, LIMITED)
    assert outcome().state == "executed"
    assert f"sudo -n {TAIL}.0" in script.asked


def test_each_request_of_a_step_is_followed(wait_for):
    def both():
        return request(ID, ID2, types=(ScanType.VM, ScanType.INV))

    done = f"OnDemand request for Control ID: {ID} completed"
    answers = {TAIL: growing(EARLIER, (1, done), (4, done.replace(ID, ID2)))}
    host, script, outcome = wait_for(answers, LIMITED, asked_for=both)
    seen = outcome()
    assert seen.state == "executed"
    assert [part.split(" (")[0] for part in seen.witness.split("; ")] == [
        f"vm {ID}: done",
        f"inv {ID2}: done",
    ]
    assert len(script.asked) == 5
    assert f"vm {ID}: done" in host.record.readings[1]
    assert f"; inv {ID2}: unseen" in host.record.readings[1]


def test_the_archive_is_read_where_the_log_begins_after_the_first_of_two_requests(wait_for):
    answers = {
        f"gzip -dc {LOG}.0.gz": "",
        f"{TAIL}.0": log(EARLIER, (0, f"OnDemand request for Control ID: {ID} completed")),
        TAIL: log((1, f"OnDemand request for Control ID: {ID2} completed")),
    }
    _, _, outcome = wait_for(answers, LIMITED, asked_for=one_after_the_other)
    assert outcome().state == "executed"


def test_one_that_is_behind_is_the_step(wait_for):
    def both():
        return request(ID, ID2, types=(ScanType.VM, ScanType.INV))

    answers = {TAIL: growing(EARLIER, (1, f"OnDemand request for Control ID: {ID2} completed"), (1, DELAYED))}
    _, _, outcome = wait_for(answers, LIMITED, asked_for=both)
    with pytest.raises(Inconclusive, match=r"still waits for an interval scan"):
        outcome()


def test_a_request_that_was_refused_beside_one_that_was_not_is_not_waited_for(wait_for):
    def one_of_two():
        return Request((*refused().answers, *request().answers), time.monotonic())

    lines = (EARLIER, (1, STARTED), (2, FINISHED))
    _, _, outcome = wait_for({TAIL: growing(*lines)}, LIMITED, asked_for=one_of_two)
    assert outcome().witness.startswith("vm: done")


FAILED = (2, "Error", "Scan failed for Manifest Type: VM")
NO_MANIFEST = (2, "Error", "No manifest found for VM")


@pytest.mark.parametrize(
    ("line", "state"),
    [(FAILED, "failed"), (NO_MANIFEST, "failed, the manifest is missing: check that the agent is activated")],
)
def test_a_scan_that_failed_is_a_finding_at_once(wait_for, line, state):
    _, script, outcome = wait_for({TAIL: growing(EARLIER, (1, STARTED), line)}, LIMITED)
    seen = outcome()
    assert seen.state.startswith(state)
    assert (seen.state == "failed") == (line is FAILED)
    assert seen.witness.startswith("vm: failed (2026-03-23 12:02:00 [error]")
    assert len(script.asked) == 3


def test_one_that_failed_is_the_step_whoever_is_behind(wait_for):
    def both():
        return request(ID, ID2, types=(ScanType.VM, ScanType.INV))

    _, _, outcome = wait_for(
        {TAIL: log(EARLIER, (0, "Error", f"Request {ID2} failed"))}, LIMITED, asked_for=both
    )
    assert outcome().state == "failed"


def test_a_request_that_is_delayed_and_then_done_was_executed(wait_for):
    lines = (EARLIER, (0, DELAYED), (5, FINISHED), (6, STARTED), (8, FINISHED))
    answers = {TAIL: growing(*lines), REQUESTS: "total 0\n"}
    _, script, outcome = wait_for(answers, LIMITED, asked_for=lambda: request(ID))
    assert outcome().state == "executed"
    assert len(script.asked) == 10


def test_another_scan_s_end_is_not_that_of_a_request_that_still_lies_there(wait_for):
    lines = (EARLIER, (0, DELAYED), (1, STARTED), (2, FINISHED))
    answers = {TAIL: growing(*lines), REQUESTS: f"-rw------- 1 root root 9 on-demand-scan_{ID}.conf\n"}
    _, _, outcome = wait_for(answers, LIMITED, asked_for=lambda: request(ID))
    with pytest.raises(Inconclusive, match="may have been another scan's"):
        outcome()


def test_an_old_entry_with_a_reused_token_is_not_this_request(wait_for):
    lines = ((-60 * 24 * 30, f"OnDemand request for Control ID: {ID} completed"), EARLIER)
    answers = {TAIL: growing(*lines), REQUESTS: "total 0\n"}
    _, _, outcome = wait_for(answers, LIMITED, asked_for=lambda: request(ID))
    with pytest.raises(Inconclusive, match="the log says nothing of it"):
        outcome()


def test_a_request_that_is_delayed_for_ever_is_no_finding(wait_for):
    _, _, outcome = wait_for({TAIL: growing(EARLIER, (0, DELAYED))}, LIMITED, asked_for=lambda: request(ID))
    with pytest.raises(
        Inconclusive, match=rf"^ssh://web1: the request still waits .*no failure.*\(vm {ID}: delayed"
    ):
        outcome()


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([(1, STARTED)], "the scan started, and its end was not seen"),
        ([(1, "Error", "Manifest not found")], "the log speaks of a missing manifest: check that"),
        (
            [(1, STARTED), (2, "Error", "Manifest not found")],
            "the log speaks of a missing manifest: check that",
        ),
        ([], "the request was accepted, and the log says nothing of it: raise"),
    ],
)
def test_what_the_log_does_not_confirm_is_no_finding(wait_for, lines, why):
    _, script, outcome = wait_for({TAIL: growing(EARLIER, *lines)}, LIMITED)
    with pytest.raises(Inconclusive, match=rf"^ssh://web1: {why}.* \(vm: (?:unseen|started)"):
        outcome()
    assert len(script.asked) == 10


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        (Configuration(log_level=2), "LogLevel is 2"),
        (Configuration(to_syslog=True), "the agent logs to syslog"),
    ],
)
def test_a_log_that_is_silent_on_purpose_says_nothing(wait_for, configuration, why):
    quiet = Installation(Layout(), configuration, "")
    _, _, outcome = wait_for({TAIL: log(EARLIER)}, LIMITED, quiet, asked_for=lambda: request(ID))
    with pytest.raises(Inconclusive, match=rf"^ssh://web1: .* says nothing of it because {why}"):
        outcome()


@pytest.mark.parametrize(
    ("listing", "why"),
    [
        (
            f"-rw------- 1 root root 40 on-demand-scan_{ID}.conf",
            "still lies where the agent should pick it up",
        ),
        (f"-rw------- 1 root root 40 on-demand-scan_{ID2}.conf", "the log says nothing of it: raise"),
        ("total 0", "the log says nothing of it: raise"),
        ((2, "", "ls: cannot access it: No such file or directory"), "the log says nothing of it: raise"),
    ],
)
def test_a_request_that_nobody_picked_up_is_found_where_it_lies(wait_for, listing, why):
    answers = {TAIL: log(EARLIER), REQUESTS: listing}
    _, script, outcome = wait_for(answers, LIMITED, asked_for=lambda: request(ID))
    with pytest.raises(Inconclusive, match=why):
        outcome()
    assert script.asked[-1] == f"sudo -n {REQUESTS}"


def test_the_log_may_be_lost_and_found(wait_for):
    gone = (1, "", "tail: No such file or directory")
    whole = log(EARLIER, (0, STARTED), (1, FINISHED))
    host, _, outcome = wait_for({TAIL: [log(EARLIER), gone, whole]}, LIMITED)
    assert outcome().state == "executed"
    assert "there is no log" in host.record.readings[1]


# --- one ControlId for two requests ----------------------------------------------------------------------


def both_steps(look, stage, *lines):
    """What becomes of the scan and of the evaluation, to which the agent gave the same ControlId."""
    host, _ = stage(
        {TAIL: growing(EARLIER, *lines), REQUESTS: "total 0\n"}, poll_interval=60.0, poll_timeout=600.0
    )
    requests = {
        "scan": request(ID),
        "policy_evaluation": request(ID, types=(ScanType.PC,), step=Step.POLICY_EVALUATION),
    }
    seen = {"installation": HERE, "assessment_before": LIMITED} | requests

    def outcome(name):
        try:
            return look(name, host, **seen).state
        except Inconclusive as reason:
            return str(reason)

    return outcome("scan_execution"), outcome("policy_execution")


def test_a_shared_id_confirms_the_request_that_is_named_beside_it(look, stage):
    scan, policy = both_steps(look, stage, (1, f"Scan finished for Manifest Type: VM, Control ID: {ID}"))
    assert scan == "executed"
    assert policy.startswith(
        "ssh://web1: two requests got the same ControlId, and the log does not show the end"
    )


def test_a_shared_id_alone_confirms_neither(look, stage):
    for outcome in both_steps(look, stage, (1, f"OnDemand request for Control ID: {ID} completed")):
        assert outcome.startswith("ssh://web1: two requests got the same ControlId")


def test_a_shared_id_is_done_when_the_log_names_both(look, stage):
    ends = [(2, f"Scan finished for Manifest Type: {name}, Control ID: {ID}") for name in ("VM", "PC")]
    assert both_steps(look, stage, *ends) == ("executed", "executed")


# --- which is waited for ---------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [BEFORE, LIMITED], ids=["status", "log"])
def test_what_was_not_accepted_is_not_waited_for(wait_for, before):
    _, script, outcome = wait_for({}, before, asked_for=refused)
    with pytest.raises(NotApplicable, match="not accepted"):
        outcome()
    assert script.commands == []


@pytest.fixture
def wait_for_policy(stage, look):
    def make(answers, before, **others):
        host, script = stage(answers, poll_interval=60.0, poll_timeout=600.0)
        policy = {"policy_evaluation": request(types=(ScanType.PC,), step=Step.POLICY_EVALUATION)}
        seen = {"installation": HERE, "assessment_before": before} | policy | others
        return script, look("policy_execution", host, **seen)

    return make


def test_one_timestamp_speaks_for_both_steps(wait_for_policy):
    with pytest.raises(NotApplicable, match="the scan speaks for both"):
        wait_for_policy({TAIL: log(EARLIER, (1, STARTED), (2, FINISHED))}, BEFORE, scan=request(asked=0))


def test_an_evaluation_that_the_log_mentions_is_followed_beside_the_timestamp(wait_for_policy):
    lines = (EARLIER, (0, "Policy evaluation started"), (2, "Policy evaluation finished"))
    _, seen = wait_for_policy({TAIL: growing(*lines)}, BEFORE, scan=request(asked=0))
    assert seen.state == "executed"


def test_an_evaluation_that_began_and_never_ended_is_not_passed_over(wait_for_policy):
    with pytest.raises(Inconclusive, match="its end was not seen"):
        wait_for_policy({TAIL: log(EARLIER, (1, "Policy evaluation started"))}, BEFORE, scan=request(asked=0))


def test_a_missing_manifest_that_may_be_the_evaluations_is_not_passed_over(wait_for_policy):
    with pytest.raises(Inconclusive, match="missing manifest"):
        wait_for_policy(
            {TAIL: log(EARLIER, (1, "Error", "Manifest not found"))}, BEFORE, scan=request(asked=0)
        )


@pytest.mark.parametrize("scan", [{}, {"scan": None}, {"scan": refused()}], ids=["alone", "none", "refused"])
def test_where_no_scan_was_made_the_evaluation_has_the_timestamp(wait_for_policy, scan):
    script, seen = wait_for_policy({STATUS: stamp(1), TAIL: log(EARLIER)}, BEFORE, **scan)
    assert seen.state == "executed"
    assert script.asked == [f"sudo -n {STATUS}", f"sudo -n {TAIL}"]


def test_an_evaluation_that_was_refused_is_not_looked_for(wait_for_policy):
    with pytest.raises(NotApplicable, match="not accepted"):
        wait_for_policy({}, BEFORE, scan=request(asked=0), policy_evaluation=refused())


@pytest.mark.parametrize("scan", [{}, {"scan": request(asked=0)}], ids=["alone", "beside the scan"])
def test_the_log_tells_the_steps_apart(wait_for_policy, scan):
    lines = (
        EARLIER,
        (1, STARTED),
        (2, FINISHED),
        (3, "Policy evaluation started"),
        (4, "Policy evaluation finished"),
    )
    script, seen = wait_for_policy({TAIL: growing(*lines)}, LIMITED, **scan)
    assert seen.state == "executed"
    assert seen.witness.startswith("pc: done (2026-03-23 12:04:00")
    assert len(script.asked) == 5


def test_only_the_request_of_a_step_is_used_and_the_scan_is_not_brought_in():
    policy = observation._DECLARED["policy_execution"]
    assert policy.uses == ("scan", "scan_execution")
    assert "scan" not in policy.needs
