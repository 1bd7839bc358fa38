"""`oscal-assessment-results.json`: the result in NIST's OSCAL, model *assessment results*.

The runbook is the plan. It stands in the back matter, and each of its sentences is an activity, which names the controls
that its step gives evidence for. A finding says whether one sentence, an objective of ours, is satisfied on one host,
never that a whole control is. Each sentence on each host is an observation; what is compliant, non-compliant or waived is a
finding, too. **Inconclusive is an observation without a finding**, and so is not applicable. A waiver that was applied is
a risk with its approver and, as its deadline, its end.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from qualys_verify.evidence.controls import controls_of, nist_of
from qualys_verify.evidence.events import Check
from qualys_verify.evidence.plain import (
    looked,
    name_of,
    one_line,
    printable,
    remembered,
    said,
    shortened,
    state_of,
    utc,
    waiver_on,
)
from qualys_verify.evidence.result import Assessment, Host, Result, Run, WaiverUse
from qualys_verify.verdict import Verdict

# 1.2.3 is the newest of the line; readers of it take this, and so do those that stop at 1.2.1.
OSCAL_VERSION = "1.2.1"
# Names of ours are in it: nobody shall take them for NIST's.
_NAMESPACE = "urn:qualys-verify:oscal"
_STATES = {
    Verdict.COMPLIANT: ("satisfied", "pass"),
    Verdict.NON_COMPLIANT: ("not-satisfied", "fail"),
    Verdict.WAIVED: ("not-satisfied", "other"),
}
# For a step that the controls' file does not name: every sentence of the runbook is part of continuous monitoring.
_FALLBACK = "ca-7"
_LONGEST_LINE = 1_000
_LONGEST_TEXT = 8_000
_MARKUP = str.maketrans({mark: f"\\{mark}" for mark in r"\`*_[]<>&{}~#|!"})

# Where in the document observations and findings stand. No text of a run is taken for it: a quote in one is written with a
# backslash.
_HERE = re.compile(rb'"@\d":"[a-z]+",')
# The format is JSON's own shape: tables within tables.
Table = dict[str, Any]


def render_oscal(result: Result) -> Iterator[bytes]:
    """The document, for all hosts of a run; times are UTC.

    It grows with hosts times checks, so it is written without white space between its parts, and comes in parts.
    """
    found = [_Found(result, host, item) for host in result.hosts for item in host.assessments]
    before, between, after = _frame(result, found)
    yield before
    yield from _listed("observations", (each.observation for each in found))
    yield between
    yield from _listed("findings", (each.finding for each in found if each.assessment.verdict in _STATES))
    yield after


def _listed(name: str, tables: Iterator[Table]) -> Iterator[bytes]:
    """A member of an object and a comma; nothing where the list would be empty, which the model does not allow."""
    first = next(tables, None)
    if first is not None:
        yield msgspec.json.encode(name) + b":[" + msgspec.json.encode(first)
        for table in tables:
            yield b"," + msgspec.json.encode(table)
        yield b"],"


def _frame(result: Result, found: Sequence["_Found"]) -> tuple[bytes, bytes, bytes]:
    """The document without what there are thousands of: what comes before, between and after those."""
    run = result.run
    document = {
        "uuid": _id(run, "document"),
        "metadata": _metadata(result),
        "import-ap": {
            "href": f"#{_id(run, 'runbook')}",
            "remarks": "The operations runbook, as the suite carries it, is the plan; there is no other.",
        },
        **_plan(result),
        "results": [_result(result, found)],
        "back-matter": {"resources": [_runbook(run), _journal(result)]},
    }
    written = msgspec.json.encode({"assessment-results": document}) + b"\n"
    before, between, after = _HERE.split(written)
    return before, between, after


def _metadata(result: Result) -> Table:
    run = result.run
    people = [run.user, *(use.waiver.approver for use in _risks_of(result))]
    parties = [
        {"uuid": _id(run, "party", name), "type": "person", "name": _line(name)}
        for name in dict.fromkeys(people)
        if one_line(name)
    ]
    return {
        "title": _markup_line(f"Qualys Cloud Agent verification, run {run.id}"),
        "last-modified": utc(run.ended or _last_seen(result)),
        "version": _line(run.version),
        "oscal-version": OSCAL_VERSION,
        **({"parties": parties} if parties else {}),
    }


def _last_seen(result: Result) -> datetime:
    """The end of the last look of a run that was killed."""
    ends = (times[1] for host in result.hosts for item in host.assessments if (times := looked(host, item)))
    return max(ends, default=result.run.started)


def _plan(result: Result) -> Table:
    """Each sentence of the runbook as an activity, with the controls that its step gives evidence for."""
    activities = [_activity(result.run, check) for check in result.checks]
    return {"local-definitions": {"activities": activities}} if activities else {}


def _activity(run: Run, check: Check) -> Table:
    return {
        "uuid": _id(run, "activity", check.test),
        "title": _line(f"Step {check.step}: {check.title}"),
        "description": f"{printable(check.title)}\n\nIf not: {printable(check.remedy)}",
        "props": [
            {"name": "method", "value": "TEST"},
            _prop("check", check.test),
            _prop("step", check.step),
            *(_prop("supports", str(control)) for control in controls_of(check.step)),
        ],
        "related-controls": _selection([check.step]),
    }


def _selection(steps: Iterable[str]) -> Table:
    """NIST's controls that steps give evidence for; the model wants at least one."""
    names = [control.oscal_id for control in nist_of(steps)] or [_FALLBACK]
    return {
        "control-selections": [
            {
                "description": "Each in part only.",
                "include-controls": [{"control-id": name} for name in names],
            }
        ]
    }


def _result(result: Result, found: Sequence["_Found"]) -> Table:
    run = result.run
    risks = [_risk(run, use, found) for use in _risks_of(result)]
    return {
        "uuid": _id(run, "result"),
        "title": _markup_line(f"Run {run.id}"),
        "description": _description(result),
        "start": utc(run.started),
        **({"end": utc(run.ended)} if run.ended else {}),
        "props": [_prop(name, value) for name, value in _facts(result) if one_line(value)],
        "local-definitions": _local_definitions(result),
        "@1": "observations",
        **({"risks": risks} if risks else {}),
        "@2": "findings",
        "reviewed-controls": _selection(check.step for check in result.checks),
    }


def _description(result: Result) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in result.verdicts.items())
    return (
        f"{_markup(state_of(result.run))}. {result.coverage.assessed} of {result.coverage.expected} checks on "
        f"{result.coverage.hosts} hosts were assessed: {counts}. An observation without a finding is inconclusive or not "
        "applicable. Results of scans themselves (runbook step 6) are not shown by any of this."
    )


def _facts(result: Result) -> Iterable[tuple[str, str]]:
    run = result.run
    return (
        ("run", run.id),
        ("state", state_of(run)),
        ("exit-status", "" if run.exit_status is None else str(run.exit_status)),
        ("expires", utc(run.expires)),
        ("command", " ".join(run.command)),
        ("controller", run.controller),
        ("suite-commit", run.commit),
        *((f"count-{name.replace(' ', '-')}", str(count)) for name, count in result.verdicts.items()),
    )


def _local_definitions(result: Result) -> Table:
    run = result.run
    tool = {
        "uuid": _id(run, "tool"),
        "type": "software",
        "title": "qualys-verify",
        "description": "The operations runbook of the Qualys Cloud Agent as an executable suite.",
        "props": [_prop("version", run.version)],
        "status": {"state": "operational"},
    }
    platform = {
        "uuid": _id(run, "platform"),
        "title": _markup_line(f"Controller {run.controller}"),
        "uses-components": [{"component-uuid": tool["uuid"]}],
    }
    hosts = [_inventory_item(run, host) for host in result.hosts]
    return {
        **({"inventory-items": hosts} if hosts else {}),
        "assessment-assets": {"components": [tool], "assessment-platforms": [platform]},
    }


def _inventory_item(run: Run, host: Host) -> Table:
    identity = [_prop(name, value) for name, value in host.identity.items() if one_line(value)]
    return {
        "uuid": _id(run, "host", host.id),
        "description": _markup(one_line(host.id))
        + ("" if identity else " (nobody answered, so its identity is not known)"),
        "props": [_prop("target", host.id), *identity],
    }


class _Found:
    """One sentence on one host, as an observation and, where there is a verdict, as a finding."""

    def __init__(self, result: Result, host: Host, assessment: Assessment) -> None:
        self.result = result
        self.host = host
        self.assessment = assessment
        self.check = result.check_of[assessment.test]
        self.text = shortened(_markup(printable(said(assessment))), _LONGEST_TEXT)
        self.use = waiver_on(result.waivers, host, assessment)

    @cached_property
    def observation_id(self) -> str:
        return _id(self.result.run, "observation", self.host.id, self.assessment.test)

    @property
    def observation(self) -> Table:
        run, host, item = self.result.run, self.host, self.assessment
        times = looked(host, item)
        return {
            "uuid": self.observation_id,
            "title": _markup_line(f"{item.test} on {host.id}"),
            "description": f"{item.verdict.value}: {self.text}" if self.text else item.verdict.value,
            "props": [
                _prop("verdict", item.verdict.value),
                _prop("check", item.test),
                _prop("step", item.step),
                _prop("assessed", "yes" if item.assessed else "no"),
            ],
            "methods": ["TEST"],
            "types": ["control-objective"],
            "origins": [{"actors": [{"type": "tool", "actor-uuid": _id(run, "tool")}]}],
            "subjects": [{"subject-uuid": _id(run, "host", host.id), "type": "inventory-item"}],
            "relevant-evidence": [
                {
                    "href": quote(host.transcript),
                    "description": "The commands as they were run, with their output.",
                }
            ],
            # Of what was never looked at there is no other time than the run's own.
            "collected": utc(times[1] if times else run.started),
            "expires": utc(run.expires),
        }

    @property
    def finding(self) -> Table:
        run, item = self.result.run, self.assessment
        state, reason = _STATES[item.verdict]
        status: Table = {"state": state, "reason": reason}
        if item.waiver:
            status["remarks"] = f"waived by {_markup(one_line(item.waiver))}"
        finding: Table = {
            "uuid": _id(run, "finding", self.host.id, item.test),
            "title": _markup_line(f"{item.test} on {self.host.id}: {item.verdict.value}"),
            "description": self.text or item.verdict.value,
            "target": {"type": "objective-id", "target-id": _objective_id(item.test), "status": status},
            "related-observations": [{"observation-uuid": self.observation_id}],
        }
        if self.use:
            finding["related-risks"] = [{"risk-uuid": _id(run, "risk", self.use.waiver.id)}]
        return finding


def _risks_of(result: Result) -> list[WaiverUse]:
    """Waivers that cover something, or would if they were in force."""
    return [use for use in result.waivers if use.state in {"applied", "expired", "not yet effective"}]


def _risk(run: Run, use: WaiverUse, found: Iterable[_Found]) -> Table:
    waiver, applied = use.waiver, use.state == "applied"
    status = "deviation-approved" if applied else "open"
    risk: Table = {
        "uuid": _id(run, "risk", waiver.id),
        "title": _markup_line(f"Waiver {waiver.id}: {use.state}"),
        "description": _markup(printable(waiver.reason)),
        "statement": _markup(f"Risk as its approver put it: {printable(waiver.risk)}"),
        "props": [
            _prop("waiver", waiver.id),
            _prop("waiver-state", use.state),
            _prop("approver", waiver.approver),
            _prop("ticket", waiver.ticket),
            _prop("effective", utc(waiver.effective)),
        ],
        "status": status,
        "deadline": utc(waiver.expires),
        "risk-log": {
            "entries": [
                {
                    "uuid": _id(run, "risk log", waiver.id),
                    "title": "Accepted until the deadline",
                    "start": utc(waiver.effective),
                    "end": utc(waiver.expires),
                    "logged-by": [{"party-uuid": _id(run, "party", waiver.approver)}],
                    "status-change": "deviation-approved",
                }
            ]
        },
    }
    related = [{"observation-uuid": each.observation_id} for each in found if each.use is use]
    return risk | ({"related-observations": related} if related else {})


def _runbook(run: Run) -> Table:
    return {
        "uuid": _id(run, "runbook"),
        "title": "Operations runbook of the Qualys Cloud Agent",
        "description": "The plan: steps 1 to 5, as the suite carries them; run.json lists the sentences that were selected.",
        "props": [_prop("version", run.version), _prop("sha256", run.runbook)],
        "rlinks": [{"href": "run.json", "media-type": "application/json"}],
    }


def _journal(result: Result) -> Table:
    return {
        "uuid": _id(result.run, "journal"),
        "title": "Journal of the run",
        "description": "The record that everything here is rendered from, each line chained to the one before it.",
        "props": [
            _prop("lines", str(result.journal.lines)),
            _prop("last-line-sha256", result.journal.head),
        ],
        "rlinks": [{"href": "journal.jsonl", "media-type": "application/jsonl"}],
    }


def _id(run: Run, *names: str) -> str:
    return str(name_of(run, *names))


def _objective_id(test: str) -> str:
    return _token(f"qualys-verify.{test}")


@lru_cache(256)  # the few names that identities and checks have
def _token(text: str) -> str:
    """A name as OSCAL has it: it begins with a letter and holds letters, digits, `.`, `-`, `_`."""
    token = re.sub(r"[^A-Za-z0-9._-]", "-", text)
    return token if re.match(r"[A-Za-z_]", token) else f"_{token}"


def _prop(name: str, value: str) -> Table:
    return {"name": _token(name), "ns": _NAMESPACE, "value": _line(value)}


@remembered  # the few texts that every check has
def _line(text: str) -> str:
    """A text as OSCAL's strings have it: one line, without white space at its ends, never empty."""
    return one_line(shortened(one_line(text), _LONGEST_LINE)) or "unknown"


def _markup_line(text: str) -> str:
    return _markup(_line(text))


def _markup(text: str) -> str:
    """A host's text in Markdown, which shows it as it is."""
    return text.translate(_MARKUP)
