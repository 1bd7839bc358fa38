"""What is made at the end of a run: the sealed evidence, and the summary on the terminal."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _pytest.terminal import TerminalReporter

from qualys_verify.evidence import bundle, comparison_text, howto
from qualys_verify.evidence.compare import Comparison, compare
from qualys_verify.evidence.plain import for_encoding
from qualys_verify.evidence.result import Result, result_of
from qualys_verify.evidence.terminal import Look, render
from qualys_verify.run import Run
from qualys_verify.settings import EvidenceSettings
from qualys_verify.verdict import Finding


@dataclass(frozen=True)
class Sealed:
    """What the evidence says, and how that compares with the baseline, if one was given."""

    result: Result
    comparison: Comparison | None


def seal(folder: Path, settings: EvidenceSettings) -> Sealed:
    """Render and seal the bundle in a folder that holds a journal; see `bundle.complete` for what it raises."""
    comparison = None
    if settings.baseline is not None:
        comparison = compare(settings.baseline, result_of(bundle.read_chain(folder)))
        bundle.write(folder / f"{comparison_text.NAME}.json", comparison_text.as_json(comparison))
        bundle.write(folder / f"{comparison_text.NAME}.html", comparison_text.as_page(comparison))
    bundle.point_latest(folder)
    return Sealed(bundle.complete(folder, settings.seal), comparison)


def summarise(
    terminal: TerminalReporter, run: Run, findings: Sequence[Finding], sealed: Sealed | None, unsealed: str
) -> None:
    """Hosts by steps, each problem once, and where the evidence is; `unsealed` is why it is not whole."""
    note = (
        "This is the demo: it shows failures on purpose; demo://healthy ends green."
        if run.shows_failures_on_purpose
        else ""
    )
    width = max(60, min(120, terminal._screen_width))  # noqa: SLF001  # has no public name
    look = Look(width, colour=terminal.hasmarkup)
    terminal.section("Qualys Cloud Agent runbook")
    text = render(findings, run.still_open(findings), sealed.result.waivers if sealed else (), note, look)
    if sealed and sealed.comparison:
        text += f"\n{comparison_text.as_text(sealed.comparison, width=width, colour=terminal.hasmarkup)}"
    terminal.write(for_encoding(text, getattr(sys.stdout, "encoding", None)))
    if unsealed:
        terminal.write_line(f"The evidence is not whole: {unsealed}", red=True)
    terminal.write_line(f"Evidence: {run.folder}")
    if sealed:
        terminal.write_line(f"  {bundle.PAGE} is its page, {howto.NAME} says how to check it")
