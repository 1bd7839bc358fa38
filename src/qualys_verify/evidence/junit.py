"""`junit.xml`: the result as CI systems read it; a test suite for each host.

`failure` is non-compliant and `error` inconclusive: what could not be seen did not fail. A test case has no properties
in the format's common schema (junit-10), so its step is in its class name, and step, verdict and run are in its output.
"""

from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from qualys_verify.evidence.plain import (
    looked,
    one_line,
    printable,
    said,
    shortened,
    state_of,
    utc,
    waiver_on,
)
from qualys_verify.evidence.result import Assessment, Host, Result
from qualys_verify.verdict import Verdict

_TAGS = {
    Verdict.NON_COMPLIANT: "failure",
    Verdict.INCONCLUSIVE: "error",
    Verdict.WAIVED: "skipped",
    Verdict.NOT_APPLICABLE: "skipped",
}
# CI systems show a message as one line, and some keep it in a column of a database.
_LONGEST_NAME = 500
_LONGEST_MESSAGE = 2_000
_LONGEST_TEXT = 32_000


def render_junit(result: Result) -> Iterator[bytes]:
    """The file: `testsuites` with a `testsuite` for each host; times are UTC, durations seconds.

    Comes in parts, one for each host: the elements of a thousand at once would take a hundred MiB.
    """
    items = [item for host in result.hosts for item in host.assessments]
    count = Counter(_TAGS.get(item.verdict, "passed") for item in items)
    root = ET.Element(
        "testsuites",
        {
            "name": "qualys-verify",
            "tests": str(len(items)),
            "failures": str(count["failure"]),
            "errors": str(count["error"]),
            "time": _seconds(sum(item.took for item in items)),
        },
    )
    empty: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    if not result.hosts:
        yield empty + b"\n"
        return
    yield empty.removesuffix(b" />") + b">"
    for host in result.hosts:
        yield b"\n  " + _written(_suite(result, host))
    yield b"\n</testsuites>\n"


def _written(suite: ET.Element) -> bytes:
    ET.indent(suite, level=1)
    written: bytes = ET.tostring(suite, encoding="utf-8")
    return written


def _suite(result: Result, host: Host) -> ET.Element:
    count = Counter(_TAGS.get(item.verdict, "passed") for item in host.assessments)
    suite = ET.Element(
        "testsuite",
        {
            "name": _name(host.id),
            "tests": str(len(host.assessments)),
            "failures": str(count["failure"]),
            "errors": str(count["error"]),
            "skipped": str(count["skipped"]),
            "time": _seconds(sum(item.took for item in host.assessments)),
            "timestamp": utc(result.run.started),
            "hostname": _name(host.identity.get("host name", "") or host.id),
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result, host):
        ET.SubElement(properties, "property", {"name": _name(name), "value": _name(value)})
    suite.extend(_case(result, host, item) for item in host.assessments)
    return suite


def _properties(result: Result, host: Host) -> tuple[tuple[str, str], ...]:
    run = result.run
    return (
        ("host", host.id),
        ("run", run.id),
        ("state", state_of(run)),
        ("started", utc(run.started)),
        ("ended", utc(run.ended) if run.ended else ""),
        ("expires", utc(run.expires)),
        ("version", run.version),
        ("runbook", run.runbook),
        ("transcript", host.transcript),
        *((f"identity: {name}", value) for name, value in host.identity.items()),
    )


def _case(result: Result, host: Host, assessment: Assessment) -> ET.Element:
    case = ET.Element(
        "testcase",
        {
            # Hosts share their tests: a class name without the host would make one test's history of all of them.
            "classname": f"{_name(host.id)}.step {_name(assessment.step)}",
            "name": _name(assessment.test),
            "time": _seconds(assessment.took),
        },
    )
    tag = _TAGS.get(assessment.verdict)
    if tag:
        kind = {} if tag == "skipped" else {"type": assessment.verdict.value}
        message = shortened(one_line(_message(result, host, assessment)), _LONGEST_MESSAGE)
        outcome = ET.SubElement(case, tag, {**kind, "message": message})
        outcome.text = shortened(printable(_details(result, host, assessment)), _LONGEST_TEXT)
    ET.SubElement(case, "system-out").text = shortened(
        printable(_output(result, host, assessment)), _LONGEST_TEXT
    )
    return case


def _message(result: Result, host: Host, assessment: Assessment) -> str:
    """What a list of failed tests shows of it."""
    if assessment.verdict is not Verdict.WAIVED:
        return said(assessment) or assessment.verdict.value
    use = waiver_on(result.waivers, host, assessment)
    approver = f", approved by {use.waiver.approver} until {utc(use.waiver.expires)}" if use else ""
    return f"waived by {assessment.waiver}{approver}: {said(assessment)}"


def _details(result: Result, host: Host, assessment: Assessment) -> str:
    """All that a reader needs in order to act."""
    check = result.check_of[assessment.test]
    use = waiver_on(result.waivers, host, assessment)
    lines = [f"Step {assessment.step}: {check.title}", said(assessment)]
    if assessment.verdict in {Verdict.NON_COMPLIANT, Verdict.WAIVED}:
        lines.append(f"If not: {check.remedy}")
    if use:
        waiver = use.waiver
        lines.append(
            f"Waiver {waiver.id} ({use.state}): {waiver.reason}; approved by {waiver.approver}, {waiver.ticket}, risk "
            f"{waiver.risk}, until {utc(waiver.expires)}"
        )
    return "\n".join(line for line in lines if line)


def _output(result: Result, host: Host, assessment: Assessment) -> str:
    times = looked(host, assessment)
    lines = (
        ("host", host.id),
        ("step", assessment.step),
        ("verdict", assessment.verdict.value),
        ("run", result.run.id),
        ("observed", assessment.observed),
        ("looked", f"{utc(times[0])} to {utc(times[1])}" if times else "never"),
        ("transcript", host.transcript),
    )
    return "\n".join(
        f"{name}: {shortened(one_line(value), _LONGEST_MESSAGE)}" for name, value in lines if value
    )


def _name(text: str) -> str:
    """A text for an attribute."""
    return shortened(one_line(text), _LONGEST_NAME)


def _seconds(duration: float) -> str:
    return f"{duration:.3f}"
