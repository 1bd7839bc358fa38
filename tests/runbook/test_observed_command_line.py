"""Step 2.3: how the dialect is found, and what `status` says before anything is triggered."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from qualys_verify.agent.assessment import Kind
from qualys_verify.agent.configuration import Configuration
from qualys_verify.agent.dialect import VERBS, CommandLine, Dialect
from qualys_verify.agent.layout import Installation, Layout
from qualys_verify.reasons import Denied, Inconclusive, Unreachable
from tests.runbook.pretend import CONTROL, MISSING, NOON, SCRIPT

HERE = Installation(Layout(), Configuration(), "")
WRAPPER = 'case "$1" in status) a ;; scan) b ;; policy_eval) c ;; esac\n'
VENDOR = '#!/bin/sh\ncase "$1" in *=*) set_key ;; *) echo "Invalid key name in $1" ;; esac\n'
RUNBOOK_LINE = CommandLine(Dialect.RUNBOOK, frozenset(VERBS))
WITHOUT_STATUS = CommandLine(Dialect.RUNBOOK, frozenset({"scan", "policy_eval"}))
VENDOR_LINE = CommandLine(Dialect.VENDOR, frozenset())


def scripts(script, control):
    return {f"head -c 262144 {SCRIPT}": script, f"head -c 262144 {CONTROL}": control}


@pytest.mark.parametrize(
    ("texts", "forced", "dialect"),
    [
        ((WRAPPER, MISSING), None, "runbook"),
        ((WRAPPER, "#!/bin/sh"), None, "runbook"),
        ((WRAPPER, "#!/bin/sh"), Dialect.VENDOR, "vendor"),
        ((VENDOR, ""), None, "vendor"),
        ((MISSING, "#!/bin/sh"), None, "vendor"),
    ],
)
def test_the_dialect_is_found_by_reading_both_scripts_and_running_none(stage, look, texts, forced, dialect):
    host, script = stage(scripts(*texts), agent_cli=forced)
    assert look("command_line", host, installation=HERE).dialect == dialect
    assert script.asked == [f"sudo -n head -c 262144 {path}" for path in (SCRIPT, CONTROL)]


@pytest.mark.parametrize(
    ("texts", "forced", "why"),
    [
        ((VENDOR, MISSING), None, "no way to ask this agent"),
        ((MISSING, MISSING), None, "no way to ask this agent"),
        ((WRAPPER, MISSING), Dialect.VENDOR, "no way to ask this agent"),
        ((VENDOR, "#!/bin/sh"), Dialect.RUNBOOK, "destroys pending settings"),
    ],
)
def test_an_agent_that_cannot_be_asked_is_not_judged(stage, look, texts, forced, why):
    host, _ = stage(scripts(*texts), agent_cli=forced)
    with pytest.raises(Inconclusive, match=rf"^ssh://web1: .*{why}"):
        look("command_line", host, installation=HERE)


def test_a_script_that_may_not_be_read_is_not_missing(stage, look):
    host, _ = stage(scripts((1, "", "head: Permission denied"), "#!/bin/sh"))
    with pytest.raises(Denied):
        look("command_line", host, installation=HERE)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Last assessment: 2026-03-23 11:00:00\n", Kind.STAMP),
        ((0, "", "Last assessment: 2026-03-23 11:00:00\n"), Kind.STAMP),
        ((255, "Error: Invalid key name in status", ""), Kind.LIMITED),
        ((1, "Last assessment:", "never"), Kind.NEVER),
        ((139, "", "Segmentation fault"), Kind.UNEXPECTED),
        ("Last assessment: soon\n", Kind.UNREADABLE),
    ],
)
def test_status_is_asked_where_the_script_knows_it(stage, look, answer, kind):
    host, script = stage({str(SCRIPT): answer})
    seen = look("assessment_before", host, installation=HERE, command_line=RUNBOOK_LINE)
    assert (seen.kind, seen.clock.now) == (kind, NOON)
    assert script.asked == [f"sudo -n {SCRIPT} status"]
    assert script.commands[-1].startswith("date")
    (reading,) = host.record.readings
    assert reading.endswith(f"  {seen}")


@pytest.mark.parametrize("command_line", [WITHOUT_STATUS, VENDOR_LINE])
def test_status_is_never_called_where_the_script_does_not_know_it(stage, look, command_line):
    host, script = stage()
    seen = look("assessment_before", host, installation=HERE, command_line=command_line)
    assert script.asked == []
    assert (seen.kind, seen.clock.now) == (Kind.LIMITED, NOON)
    assert "was not called" in str(seen)
    assert host.record.readings[0].endswith(f"  {seen}")


def test_status_is_asked_where_the_agent_lives(stage, look):
    elsewhere = replace(HERE, layout=Layout(home=PurePosixPath("/opt/agent")))
    host, script = stage({"/opt/agent/bin": "Last assessment: never"})
    look("assessment_before", host, installation=elsewhere, command_line=RUNBOOK_LINE)
    assert script.asked == ["sudo -n /opt/agent/bin/qualys-cloud-agent.sh status"]


def test_a_connection_that_is_lost_is_the_reason(stage, look):
    host, _ = stage({str(SCRIPT): Unreachable("lost")})
    with pytest.raises(Unreachable):
        look("assessment_before", host, installation=HERE, command_line=RUNBOOK_LINE)


@pytest.mark.parametrize(
    "answer",
    ["Last assessment: never", "Last assessment: 1 Mar 2026", "Invalid key name in status", "Aborted"],
)
def test_any_answer_that_can_be_read_is_judged(stage, look, answer):
    host, _ = stage({str(SCRIPT): answer})
    before = look("assessment_before", host, installation=HERE, command_line=RUNBOOK_LINE)
    assert look("status", host, installation=HERE, assessment_before=before) is before


def test_an_assessment_that_cannot_be_read_is_not_judged(stage, look):
    host, _ = stage({str(SCRIPT): "Last assessment: 03/04/2026 10:00"})
    before = look("assessment_before", host, installation=HERE, command_line=RUNBOOK_LINE)
    with pytest.raises(Inconclusive, match=r"^ssh://web1: .* cannot be read .*'03/04/2026 10:00'$"):
        look("status", host, installation=HERE, assessment_before=before)


def test_the_time_of_asking_is_no_assessment(stage, look):
    host, script = stage({str(SCRIPT): lambda now: f"Last assessment: {now:%Y-%m-%d %H:%M:%S}"})
    before = look("assessment_before", host, installation=HERE, command_line=RUNBOOK_LINE)
    with pytest.raises(Inconclusive, match=r"^ssh://web1: `status` shows the time of asking"):
        look("status", host, installation=HERE, assessment_before=before)
    assert script.sleeps == [3] * 3


def test_an_assessment_that_has_just_ended_is_one(stage, look):
    host, script = stage({str(SCRIPT): "Last assessment: 2026-03-23 12:00:00"})
    before = look("assessment_before", host, installation=HERE, command_line=RUNBOOK_LINE)
    assert look("status", host, installation=HERE, assessment_before=before) is before
    assert script.sleeps == [3]
