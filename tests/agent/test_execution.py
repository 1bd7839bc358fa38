"""Following a request through the log. Each case is a short log; times are minutes after the request."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.agent.clock import HostClock
from qualys_verify.agent.dialect import Dialect
from qualys_verify.agent.execution import Execution, Stage, standing_failure, trace
from qualys_verify.agent.layout import Layout
from qualys_verify.agent.log import parse_log
from qualys_verify.agent.patterns import load_patterns
from qualys_verify.agent.request import Answer, ScanType, Step, demands

PATTERNS = load_patterns()
SENT = datetime(2026, 3, 23, 12, tzinfo=UTC)
ID, OTHER = "20260323120000.1", "20260323120000.10"
HOUR = timedelta(hours=1)


def asked(scan_type="vm", dialect=Dialect.VENDOR, control_id=ID, sent=SENT):
    """An accepted request of the vendor's tool, or of the runbook's verb."""
    step = Step.SCAN if scan_type in {"vm", "inv", "vmpc"} else Step.POLICY_EVALUATION
    (demand,) = demands(step, [ScanType(scan_type)], dialect, Layout(), 0)
    return Answer(demand, sent, control_id=control_id if dialect is Dialect.VENDOR else None)


def log(*lines, offset=timedelta(0)):
    """`(minute, message)` or `(minute, level, message)` as entries, in the local time of a host."""
    text = ""
    for minute, *level, message in lines:
        at = SENT + timedelta(minutes=minute) + offset
        text += f"{at:%Y-%m-%d %H:%M:%S}.000 [qualys-cloud-agent][712]:[{(*level, 'Information')[0]}]:[7]:{message}\n"
    return parse_log(text)


def follow(*lines, offset=timedelta(0), **request):
    now = SENT + timedelta(minutes=60)
    return trace(asked(**request), log(*lines, offset=offset), HostClock(now, (offset,)), PATTERNS)


STARTED = "Scan started for Manifest Type: VM"
FINISHED = "Scan finished for Manifest Type: VM"
INTERVAL = "Interval Event of same type is in progress with state INTERVAL_EVENT_SCAN"
DELAYED = f"OnDemand request for Control ID: {ID} will be delayed."


@pytest.mark.parametrize(
    ("lines", "stage"),
    [
        ([], Stage.UNSEEN),
        ([(1, "Start CAPI event")], Stage.UNSEEN),
        ([(1, f"OnDemand request for Control ID: {ID} accepted, type vm")], Stage.UNSEEN),
        ([(1, "Starting Scan for manifest UUID feedface"), (1, STARTED)], Stage.STARTED),
        ([(1, f"Scan started for Control ID {ID}")], Stage.STARTED),
        ([(1, STARTED), (4, FINISHED)], Stage.DONE),
        ([(1, STARTED), (4, "Scan of VM completed: 120 checks, 0 failed, no errors")], Stage.DONE),
        ([(1, STARTED), (4, "Vulnerability assessment complete.")], Stage.DONE),
        ([(4, f"Scan finished for Manifest Type: VM, Control ID: {ID}")], Stage.DONE),
        ([(4, f"OnDemand request for Control ID: {ID} completed: 97 passed, 3 failed")], Stage.DONE),
        ([(4, f"Completed on-demand scan {ID}, results will be uploaded")], Stage.DONE),
        ([(1, STARTED), (4, "100% completed: VM scan")], Stage.DONE),
        ([(4, f"Event {ID}: state is now ONDEMAND_EVENT_COMPLETED")], Stage.DONE),
        ([(4, f"Event {ID}: state is now MANIFEST_DOWNLOAD_COMPLETED")], Stage.UNSEEN),
        # delayed
        ([(0, INTERVAL), (0, DELAYED)], Stage.DELAYED),
        ([(0, INTERVAL), (0, DELAYED), (30, "Start CAPI event")], Stage.DELAYED),
        ([(0, DELAYED), (5, FINISHED)], Stage.DELAYED),  # the interval scan's end
        ([(0, DELAYED), (5, FINISHED), (6, STARTED)], Stage.STARTED),
        ([(0, DELAYED), (5, FINISHED), (6, STARTED), (9, FINISHED)], Stage.DONE),
        ([(0, DELAYED), (6, f"Starting delayed OnDemand request {ID}"), (9, FINISHED)], Stage.DONE),
        ([(0, DELAYED), (9, f"Scan finished, Control ID: {ID}")], Stage.DONE),
        ([(0, f"Request {ID} will be started when the interval scan ends"), (5, FINISHED)], Stage.UNSEEN),
        ([(0, f"{ID}: an interval scan is in progress"), (5, FINISHED)], Stage.UNSEEN),
        # not ours
        ([(-5, STARTED), (5, FINISHED)], Stage.UNSEEN),  # an interval scan that ends after our request
        ([(-5, STARTED), (-1, FINISHED)], Stage.UNSEEN),
        (
            [(1, "Scan started for Manifest Type: PC"), (2, "Scan finished for Manifest Type: PC")],
            Stage.UNSEEN,
        ),
        ([(1, STARTED), (2, "Scan finished for Manifest Type: PC")], Stage.STARTED),
        ([(1, STARTED), (2, f"Scan finished for Manifest Type: VM, Control ID: {OTHER}")], Stage.STARTED),
        ([(1, f"Scan started for Manifest Type: VM, Control ID: {OTHER}"), (2, FINISHED)], Stage.UNSEEN),
        ([(1, f"OnDemand request for Control ID: {OTHER} will be delayed.")], Stage.UNSEEN),
        ([(1, "Error", f"Scan {OTHER} failed")], Stage.UNSEEN),
        ([(1, STARTED), (2, "Upload done for Manifest Type: VM")], Stage.STARTED),
        # steps on the way
        ([(1, STARTED), (2, "Manifest download completed for VM scan")], Stage.STARTED),
        ([(1, f"Download completed for Control ID: {ID}")], Stage.UNSEEN),
        ([(1, f"{ID}: validation done")], Stage.UNSEEN),
        ([(1, f"Finished parsing the request {ID}")], Stage.UNSEEN),
        ([(1, f"{ID}: phase 1 completed")], Stage.UNSEEN),
        ([(1, f"{ID}: 50 % completed")], Stage.UNSEEN),
        ([(1, f"{ID}: completed 99%")], Stage.UNSEEN),
        ([(1, STARTED), (2, "Scan of VM not finished")], Stage.STARTED),
        ([(1, STARTED), (2, "VM scan will be done in 5 minutes")], Stage.STARTED),
        ([(1, STARTED), (2, "VM scan ended with exit code 3")], Stage.STARTED),
        ([(1, STARTED), (2, "VM scan completed: failed")], Stage.STARTED),
        ([(1, STARTED), (2, "VM scan was cancelled, cleaning done")], Stage.STARTED),
        # failures
        ([(1, STARTED), (2, "Error", "Scan failed for Manifest Type: VM")], Stage.FAILED),
        ([(1, STARTED), (2, "Error", "VM scan aborted")], Stage.FAILED),
        ([(1, STARTED), (2, "Warning", "Scan for Manifest Type: VM failed: out of memory")], Stage.FAILED),
        ([(1, "Error", f"OnDemand request for Control ID: {ID} failed")], Stage.FAILED),
        ([(1, "Error", f"Cannot execute request {ID}")], Stage.FAILED),
        ([(1, STARTED), (2, "Error", "Scan failed for Manifest Type: PC")], Stage.STARTED),
        ([(1, STARTED), (2, "Error", "VM scan failed to read one file")], Stage.STARTED),
        ([(1, STARTED), (2, "Error", "Command of the VM scan returned an error")], Stage.STARTED),
        ([(1, STARTED), (2, "Error", f"{ID}: upload failed, retrying")], Stage.STARTED),
        ([(1, STARTED), (2, "Warning", f"{ID}: 120 checks, 0 failed")], Stage.STARTED),
        ([(1, STARTED), (2, "Information", "VM scan: 3 checks failed")], Stage.STARTED),
        ([(1, STARTED), (2, "Error", "su: (to root) root on none, VM scan failed")], Stage.STARTED),
        ([(1, STARTED), (2, "Error", "VM scan failed"), (4, FINISHED)], Stage.FAILED),
    ],
)
def test_how_far_a_scan_has_come(lines, stage):
    for offset in (0 * HOUR, -5 * HOUR, 9 * HOUR):
        assert follow(*lines, offset=offset).stage is stage


@pytest.mark.parametrize(
    ("message", "stage"),
    [
        ("PC evaluation failed for control 1045", Stage.STARTED),
        ("PC evaluation failed for control ID 1045", Stage.STARTED),
        ("PC evaluation failed for Control ID: 1045", Stage.STARTED),
        ("PC evaluation failed for the control", Stage.STARTED),
        ("PC evaluation failed for 3 controls", Stage.STARTED),
        ("PC evaluation failed for some of the rules", Stage.STARTED),
        ("PC evaluation failed for control: CIS-1.1.2", Stage.STARTED),
        ("Control 1045: PC evaluation failed", Stage.STARTED),
        ("[CID 1045] policy evaluation failed: timeout", Stage.STARTED),
        (f"OnDemand {ID}: evaluation failed for control 1045", Stage.STARTED),
        (f"OnDemand {ID}: control 1045 returned an error", Stage.STARTED),
        ("PC evaluation failed", Stage.FAILED),
        ("PC evaluation failed: no space left on device", Stage.FAILED),
        ("PC evaluation failed for all controls", Stage.FAILED),
        ("PC evaluation failed for each of the controls", Stage.FAILED),
        (f"PC evaluation failed for Control ID: {ID}", Stage.FAILED),
        (f"PC scan failed for Manifest Type: PC, Control ID: {ID}", Stage.FAILED),
        ("PC scan failed for Control ID: 20260323120000.1", Stage.FAILED),
    ],
)
def test_one_control_that_could_not_be_evaluated_is_no_failed_evaluation(message, stage):
    started = (1, "Scan started for Manifest Type: PC")
    for level in ("Warning", "Error"):
        assert follow(started, (2, level, message), scan_type="pc").stage is stage


def test_a_request_that_a_verb_made_does_not_know_its_id_and_fails_all_the_same():
    message = f"PC evaluation failed for Control ID: {OTHER}"
    seen = follow((2, "Error", message), scan_type="pc", dialect=Dialect.RUNBOOK)
    assert seen.stage is Stage.FAILED


def test_an_end_in_the_lines_of_a_payload_is_none():
    entries = log((1, STARTED), (2, f"Received:\n{FINISHED}\nScan finished, Control ID: {ID}"))
    assert trace(asked(), entries, HostClock(SENT + HOUR, (0 * HOUR,)), PATTERNS).stage is Stage.STARTED


@pytest.mark.parametrize(
    ("message", "stage"),
    [
        ("No manifest found for VM", Stage.FAILED),
        ("Manifest for Manifest Type: VM is missing", Stage.FAILED),
        ("Unable to load the vulnerability manifest", Stage.FAILED),
        (f"OnDemand request for Control ID: {ID}: manifest not available", Stage.FAILED),
        ("No manifest found for PC", Stage.UNSEEN),
        ("Manifest for policy compliance does not exist", Stage.UNSEEN),
        ("VM manifest not available yet, downloading", Stage.UNSEEN),
        ("VM manifest loaded", Stage.UNSEEN),
    ],
)
def test_a_missing_manifest_fails_the_request_that_needs_it(message, stage):
    seen = follow((1, "Error", message))
    assert (seen.stage, seen.manifest_missing) == (stage, stage is Stage.FAILED)
    assert seen.doubt is None


def test_a_missing_manifest_of_nobody_in_particular_is_a_doubt():
    seen = follow((1, "Error", "Manifest not found"))
    assert (seen.stage, seen.manifest_missing) == (Stage.UNSEEN, False)
    assert "perhaps its manifest is missing" in str(seen)
    assert "deactivate and reactivate" in str(seen)
    done = follow((1, "Error", "Manifest not found"), (2, STARTED), (3, FINISHED))
    assert done.stage is Stage.DONE
    assert "perhaps" not in str(done)


def test_a_missing_manifest_that_is_no_trouble_is_none():
    assert follow((1, "Information", "No manifest for VM in the cache")).stage is Stage.UNSEEN


VM, PC = (f"Scan finished for Manifest Type: {name}, Control ID: {ID}" for name in ("VM", "PC"))


@pytest.mark.parametrize(
    ("lines", "stage"),
    [
        ([(1, VM)], Stage.UNSEEN),
        ([(1, VM), (2, PC)], Stage.DONE),
        ([(1, f"Scan finished for Control ID: {ID}")], Stage.DONE),
        (
            [(1, "Scan started for Manifest Type: VMPC"), (2, "Scan finished for Manifest Type: VMPC")],
            Stage.DONE,
        ),
        ([(1, STARTED), (2, "Scan started for Manifest Type: PC"), (3, FINISHED)], Stage.STARTED),
        ([(1, VM), (2, "Error", "No manifest found for PC")], Stage.FAILED),
        ([(1, "OnDemand request for Control ID: " + ID + " will be delayed")], Stage.DELAYED),
    ],
)
def test_a_request_for_two_is_as_far_as_the_one_that_is_behind(lines, stage):
    assert follow(*lines, scan_type="vmpc").stage is stage


@pytest.mark.parametrize(
    ("scan_type", "name"),
    [("pc", "PC"), ("sca", "SCA"), ("udc", "UDC"), ("inv", "INVENTORY"), ("pc", "policy compliance")],
)
def test_each_type_has_its_names(scan_type, name):
    lines = [(1, f"Scan started for Manifest Type: {name}"), (2, f"Scan finished for Manifest Type: {name}")]
    assert follow(*lines, scan_type=scan_type).stage is Stage.DONE
    assert follow(*lines, scan_type="vm").stage is Stage.UNSEEN


@pytest.mark.parametrize(
    ("scan_type", "lines", "stage"),
    [
        ("vm", [(1, STARTED), (2, FINISHED)], Stage.DONE),
        ("vm", [(-1, STARTED), (2, FINISHED)], Stage.UNSEEN),
        ("vm", [(1, STARTED), (2, f"Scan finished for Manifest Type: VM, Control ID: {OTHER}")], Stage.DONE),
        ("pc", [(1, STARTED), (2, FINISHED)], Stage.UNSEEN),
        ("pc", [(1, "Policy evaluation started"), (2, "Policy evaluation finished")], Stage.DONE),
        ("pc", [(1, "Scan started for Manifest Type: SCA"), (2, "SCA scan done")], Stage.DONE),
    ],
)
def test_the_runbooks_verbs_have_no_control_id(scan_type, lines, stage):
    assert follow(*lines, scan_type=scan_type, dialect=Dialect.RUNBOOK).stage is stage


def test_a_repeated_hour_is_not_taken_for_the_present():
    """An interval scan in the first pass of an hour that is repeated; the request comes in the second."""
    change = datetime(2026, 10, 25, 1, tzinfo=UTC)
    text = "".join(
        f"2026-10-25 {at}:00.000 [qualys-cloud-agent][712]:[Information]:{message}\n"
        for at, message in (
            ("02:15", STARTED),
            ("02:20", FINISHED),
            ("02:58", "Start CAPI event"),
            ("02:10", "Start CAPI event"),
        )
    )
    clock = HostClock(change + timedelta(minutes=30), (HOUR, 2 * HOUR))
    seen = trace(asked(sent=change + timedelta(minutes=12)), parse_log(text), clock, PATTERNS)
    assert seen.stage is Stage.UNSEEN


def test_what_is_shown():
    assert str(follow()) == f"vm {ID}: unseen"
    assert str(follow((1, STARTED))) == f"vm {ID}: started (2026-03-23 12:01:00 [information] {STARTED})"
    assert str(Execution("unchanged", "before and after")) == "unchanged: before and after"
    assert [stage.name for stage in Stage if stage.is_final] == ["DONE", "FAILED"]


MESSAGES = st.lists(
    st.tuples(
        st.integers(-30, 59),
        st.sampled_from(["Information", "Warning", "Error", "Fatal"]),
        st.one_of(
            st.sampled_from([STARTED, FINISHED, DELAYED, INTERVAL, VM, PC]),
            st.text(st.characters(exclude_characters="\r\n")),
        ),
    ),
    max_size=12,
)


@given(MESSAGES, st.sampled_from(ScanType))
def test_any_log_is_followed_and_a_scan_that_never_started_is_never_done(lines, scan_type):
    seen = follow(*sorted(lines, key=lambda line: line[0]), scan_type=scan_type.value)
    said = "".join(message for *_, message in lines)
    if "Scan" not in said:
        assert seen.stage in {Stage.UNSEEN, Stage.DELAYED}


def test_a_line_with_the_control_id_is_the_requests_whatever_application_it_names():
    assert follow((1, PC)).stage is Stage.DONE


def test_of_two_that_failed_the_first_is_named():
    failed = [(1, "Error", f"{name} scan of {ID} failed") for name in ("VM", "PC")]
    seen = follow(*failed, scan_type="vmpc")
    assert (seen.stage, seen.entry.message) == (Stage.FAILED, failed[0][2])


def contradiction(*lines, scan_type="vm"):
    now = SENT + timedelta(minutes=60)
    entries = log(*lines)
    answer = asked(scan_type, Dialect.RUNBOOK)
    return standing_failure(answer, entries, HostClock(now, (0 * HOUR,)), PATTERNS)


@pytest.mark.parametrize(
    "message",
    [
        "Scan failed for Manifest Type: VM",
        "VM scan aborted",
        "Scan failed",
        "Scan failed: cannot load the module",
        "Scan failed with error 5",
        "Scan failed (timeout)",
        "Assessment aborted.",
        "The requested scan has failed",
        "OnDemand scan request was cancelled",
        "No manifest found for VM",
    ],
)
def test_the_log_may_say_that_what_was_asked_for_failed(message):
    for level in ("Warning", "Error"):
        assert contradiction((1, STARTED), (2, level, message)).message == message


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("Information", "Scan failed"),
        ("Error", "Scan failed for Manifest Type: PC"),
        ("Error", "SwCA scan failed"),
        ("Error", "Scan failed to read one file"),
        ("Error", "Scan failed, will retry"),
        ("Error", "Scan failed for file /srv/x"),
        ("Warning", "Scan failed on /dev/sdb"),
        ("Error", "Scan failed for 3 controls"),
        ("Error", "Scan of the disk failed"),
        ("Error", "Manifest not found"),
        ("Error", "No manifest found for PC"),
    ],
)
def test_what_does_not_say_so_contradicts_nothing(level, message):
    assert contradiction((1, STARTED), (2, level, message)) is None


@pytest.mark.parametrize("then", [STARTED, FINISHED])
def test_a_scan_that_was_tried_again_has_not_failed(then):
    failed = (2, "Error", "VM scan failed")
    assert contradiction(failed, (3, then)) is None
    assert contradiction(failed, (3, then.replace("VM", "PC"))) is not None
    assert contradiction(failed, (3, "Warning", then)) is not None
    assert contradiction((1, then), failed) is not None


@pytest.mark.parametrize("name", ["PC", "SCA", "UDC", "policy"])
def test_an_evaluation_has_several_names(name):
    assert contradiction((2, "Error", f"{name} evaluation failed"), scan_type="pc") is not None
    assert contradiction((2, "Error", f"{name} evaluation failed")) is None


def test_the_failure_before_the_request_is_not_its_own():
    assert contradiction((-1, "Error", "VM scan failed")) is None


def test_an_id_that_two_requests_got_is_not_enough():
    end, named = f"Request {ID} completed", f"VM scan completed, Control ID: {ID}"
    now = HostClock(SENT + HOUR, (0 * HOUR,))
    for lines, stage in (([(1, end)], Stage.UNSEEN), ([(1, end), (2, named)], Stage.DONE)):
        assert trace(asked(), log(*lines), now, PATTERNS, {ID}).stage is stage
    assert trace(asked(), log((1, end)), now, PATTERNS, {OTHER}).stage is Stage.DONE


@pytest.mark.parametrize(("minutes", "stage"), [(-26 * 60, Stage.DONE), (-26 * 60 - 1, Stage.UNSEEN)])
def test_an_agent_in_another_zone_may_seem_to_log_before_the_request(minutes, stage):
    assert follow((minutes, f"Request {ID} completed")).stage is stage
