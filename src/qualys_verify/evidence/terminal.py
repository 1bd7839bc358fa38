"""The end of a run on the terminal: hosts by steps, each problem once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from qualys_verify.evidence.grid import LIMITS, Grid, Problem, grid, problems
from qualys_verify.evidence.result import WaiverUse
from qualys_verify.evidence.still_open import OpenReason
from qualys_verify.verdict import Finding, Verdict

_STYLES = {
    Verdict.COMPLIANT: "green",
    Verdict.NON_COMPLIANT: "bold red",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.WAIVED: "cyan",
    Verdict.NOT_APPLICABLE: "dim",
}
# So many hosts are named with a problem, and with a group of equal rows; the report has them all.
_HOSTS_NAMED = 5
# With more hosts than this, those of equal outcome share a row.
_ROWS_SHOWN = 20


@dataclass(frozen=True)
class Look:
    """What the terminal can show: its width in characters, and whether it has colours."""

    width: int
    colour: bool


def render(
    findings: Sequence[Finding],
    reasons: Sequence[OpenReason],
    waivers: Sequence[WaiverUse],
    note: str,
    look: Look,
) -> str:
    """The summary as text, with ANSI colours or without."""
    out = StringIO()
    console = Console(
        file=out,
        width=look.width,
        force_terminal=look.colour,
        no_color=not look.colour,
        highlight=False,
        emoji=False,
    )
    console.print(_summary(findings, reasons, waivers, note))
    return out.getvalue()


def _summary(
    findings: Sequence[Finding], reasons: Sequence[OpenReason], waivers: Sequence[WaiverUse], note: str
) -> RenderableType:
    parts: list[RenderableType] = [_grid(grid(findings)), _legend(), Text()]
    parts += [_problem(problem) for problem in problems(findings)]
    parts += map(_waiver, waivers)
    if waivers:
        parts.append(Text())
    if reasons:
        parts.append(Text("Should a finding still be open in the Qualys UI:"))
        parts += [_line("-", f"{reason.sentence} ({_hosts(reason.hosts)})") for reason in reasons]
        parts.append(Text())
    parts += [Text(LIMITS, style="dim"), Text(note, style="bold")] if note else [Text(LIMITS, style="dim")]
    return Group(*parts)


def _grid(content: Grid) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("step", overflow="ellipsis")  # the one that gives way: it may be wrapped
    for step in content.steps:
        table.add_column(step, justify="center", no_wrap=True, min_width=len(step))
    for label, verdicts in _rows(content):
        table.add_row(Text(label), *map(_cell, verdicts))
    return table


def _rows(content: Grid) -> Iterator[tuple[str, tuple[Verdict | None, ...]]]:
    """A row for each host; for many hosts a row for each outcome, the most frequent last."""
    if len(content.rows) <= _ROWS_SHOWN:
        yield from content.rows
        return
    groups: dict[tuple[Verdict | None, ...], list[str]] = {}
    for host, verdicts in content.rows:
        groups.setdefault(verdicts, []).append(host)
    for verdicts, hosts in sorted(groups.items(), key=lambda group: len(group[1])):
        yield (f"{len(hosts)} hosts: {_hosts(hosts)}" if len(hosts) > 1 else hosts[0]), verdicts


def _cell(verdict: Verdict | None) -> Text:
    return Text(verdict.symbol, style=_STYLES[verdict]) if verdict else Text(" ")


def _legend() -> Text:
    text = Text()
    for verdict in Verdict:
        text.append(f"{verdict.symbol} ", style=_STYLES[verdict]).append(f"{verdict.value}   ", style="dim")
    return text


def _problem(problem: Problem) -> RenderableType:
    if problem.verdict is Verdict.NOT_APPLICABLE:
        text = f"- step {problem.step} not applicable on {_hosts(problem.hosts)}: {problem.observed}"
        return Group(Text(text, style="dim"), Text())
    head = Text()
    head.append(
        f"{problem.verdict.symbol} step {problem.step} {problem.verdict.value}",
        style=_STYLES[problem.verdict],
    )
    head.append(f" on {_hosts(problem.hosts)}")
    lines: list[RenderableType] = [head]
    if problem.title:
        lines.append(_line("runbook:", problem.title))
    lines.append(_line("observed:", problem.observed))
    if problem.remedy:
        lines.append(_line("do:", problem.remedy))
    return Group(*lines, Text())


def _waiver(use: WaiverUse) -> Text:
    """What became of a waiver, and who approved it; one that did nothing is a warning."""
    waiver, text = use.waiver, Text()
    hosts = f" on {_hosts(use.hosts)}" if use.hosts else ""
    style = _STYLES[Verdict.WAIVED if use.state == "applied" else Verdict.INCONCLUSIVE]
    text.append(f"{Verdict.WAIVED.symbol} waiver {waiver.id} {use.state}", style=style)
    text.append(
        f"{hosts}: {waiver.reason} (approved by {waiver.approver}, {waiver.ticket}, risk {waiver.risk}, "
        f"until {waiver.expires:%Y-%m-%d %H:%M} UTC)"
    )
    return text


def _line(label: str, text: str) -> RenderableType:
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(min_width=len(label), width=9 if len(label) > 1 else None, style="dim")
    row.add_column()
    row.add_row(label, Text(text))
    return Padding(row, (0, 0, 0, 2))


def _hosts(hosts: Sequence[str]) -> str:
    named = ", ".join(hosts[:_HOSTS_NAMED])
    more = len(hosts) - _HOSTS_NAMED
    return f"{named} and {more} more" if more > 0 else named
