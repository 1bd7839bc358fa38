"""`results.csv`: a row for each check on each host, for spreadsheets.

UTF-8 with a byte order mark: without it Excel takes the file for the machine's own code page and garbles every letter
beyond ASCII; LibreOffice passes over the mark, and so does Python's `utf-8-sig`. Programs are better off with `run.json`.
"""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator

from qualys_verify.evidence.controls import controls_of
from qualys_verify.evidence.plain import looked, printable, remembered, shortened, utc, waiver_on
from qualys_verify.evidence.result import Assessment, Host, Result

COLUMNS = (
    "run",
    "host",
    "step",
    "check",
    "title",
    "verdict",
    "assessed",
    "observed",
    "reason",
    "remedy",
    "waiver",
    "waiver_state",
    "approver",
    "ticket",
    "waiver_expires",
    "looked_from",
    "looked_until",
    "took_seconds",
    "controls",
    "run_started",
    "run_ended",
    "expires",
    "transcript",
)
# A spreadsheet's cell holds 32,767 characters; what is longer spills into the next row.
_LONGEST = 32_000
# What spreadsheets take for a formula, also behind white space, quotes and what cannot be seen; in the forms of East
# Asian keyboards, too. A cell that begins with an apostrophe gets a second one, so that taking off one restores any.
_FORMULA = re.compile(r"(?:[\s\"\u00ad\u200b-\u200f\u2060]*[=+\-@\uff1d\uff0b\uff0d\uff20|%]|[\t\r\n'])")


def render_csv(result: Result) -> Iterator[bytes]:
    """The table: RFC 4180, every cell quoted, lines ended by CR LF; no cell can be taken for a formula.

    Comes in parts, one for each host: that of a thousand need not be in memory.
    """
    yield BOM_UTF8 + _lines([COLUMNS])
    for host in result.hosts:
        yield _lines(_row(result, host, assessment) for assessment in host.assessments)


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _row(result: Result, host: Host, assessment: Assessment) -> Iterator[str]:
    """One row; its cells in the order of COLUMNS."""
    check = result.check_of[assessment.test]
    use = waiver_on(result.waivers, host, assessment)
    times = looked(host, assessment)
    waiver = (
        (use.waiver.id, use.state, use.waiver.approver, use.waiver.ticket, utc(use.waiver.expires))
        if use
        else ("",) * 5
    )
    cells = (
        result.run.id,
        host.id,
        assessment.step,
        assessment.test,
        check.title,
        assessment.verdict.value,
        "yes" if assessment.assessed else "no",
        assessment.observed,
        assessment.reason,
        check.remedy,
        *waiver,
        utc(times[0]) if times else "",
        utc(times[1]) if times else "",
        f"{assessment.took:.3f}",
        "; ".join(str(control) for control in controls_of(assessment.step)),
        utc(result.run.started),
        utc(result.run.ended) if result.run.ended else "",
        utc(result.run.expires),
        host.transcript,
    )
    return map(_cell, cells)


@remembered  # most of a row stands in every other row, too
def _cell(text: str) -> str:
    """A cell that stays a text."""
    text = shortened(printable(text), _LONGEST)
    return f"'{text}" if _FORMULA.match(text) else text
