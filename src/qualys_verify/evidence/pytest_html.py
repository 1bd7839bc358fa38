"""The HTML report: pytest-html's page, with hosts, steps, observations and transcripts, and every value escaped.

pytest-html puts test ids, cells and environment values into the page as they are. So its cells are written
anew here and its environment is escaped: what a host or a branch is called stays text. The summary on top
needs no script.
"""

import os
import shlex
import textwrap
from collections.abc import Mapping, MutableSequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import jinja2
import pytest
from markupsafe import Markup

from qualys_verify.evidence import journal
from qualys_verify.evidence.grid import LIMITS, grid, problems
from qualys_verify.evidence.redaction import Redactor
from qualys_verify.evidence.templating import environment
from qualys_verify.verdict import Finding, Verdict

if TYPE_CHECKING:
    from qualys_verify.run import Run

NAME = "pytest.html"
# It makes its rows by script, some ten a host: 1,200 open in a second or two, 12,000 in more than ten.
MOST_HOSTS = 50
_HEADER = ("Result", "Host", "Step", "Runbook", "Observed", "Looking took")
_SORTED_BY = ("result", "host", "step", "runbook", "observed", "took")


class ReportData(Protocol):
    """What is used of pytest-html's report."""

    title: str
    data: Mapping[str, object]

    def set_data(self, key: str, value: object) -> None:
        """Replace one part of the page's data."""


def name_page(config: pytest.Config, run: "Run") -> None:
    """Have pytest-html write one page that stands by itself into the run's folder, unless `--html` names another.

    Above some hundred hosts there is none unless it is asked for: it opens slowly. Raises ValueError for a path that
    cannot be written.
    """
    if not config.pluginmanager.hasplugin("html"):
        return
    config.option.self_contained_html = True
    for option, path in (
        ("--html", config.option.htmlpath),
        ("--junitxml", getattr(config.option, "xmlpath", None)),
    ):
        if path and (Path(path).is_dir() or not _can_hold(Path(path).absolute().parent)):
            raise ValueError(
                f"{option}={path} cannot be written: name a file in a folder that you may write to"
            )
        if path and any((folder / journal.NAME).exists() for folder in Path(path).absolute().parents):
            raise ValueError(
                f"{option}={path} lies in the evidence of an earlier run, which would not hold any more: name another folder"
            )
    if not config.option.htmlpath and len(run.targets) <= MOST_HOSTS:
        run.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # pytest-html would let everybody read it
        config.option.htmlpath = str(run.folder / NAME)


def _can_hold(folder: Path) -> bool:
    """Whether a file can be made in a folder, or the folder itself where there is none yet."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


class Page:
    """pytest-html's hooks. `findings` fills up while the run goes on."""

    def __init__(self, run: "Run", findings: Mapping[str, Finding], config: pytest.Config) -> None:
        """Nothing is rendered before pytest-html asks."""
        self._run = run
        self._targets = {target.id: target for target in run.targets}
        self._findings = findings
        self._command = shlex.join(
            run.redactor.clean_words(("pytest", *map(str, config.invocation_params.args)))
        )

    @pytest.hookimpl
    def pytest_html_report_title(self, report: ReportData) -> None:
        """Name the page; and escape the environment, which pytest-html has just collected."""
        report.title = f"Qualys Cloud Agent runbook, {self._run.started:%Y-%m-%d %H:%M:%S} UTC"
        found = report.data["environment"]
        environment = {
            "Run": self._run.id,
            "Command": self._command,
            "qualys-verify": version("qualys-verify"),
            **(found if isinstance(found, Mapping) else {}),
        }
        # Rows open one by one: the summary above them has the problems.
        report.set_data("renderCollapsed", ["all"])
        report.set_data("environment", _escaped(environment, self._run.redactor, top=True))

    @pytest.hookimpl
    def pytest_html_results_summary(self, prefix: MutableSequence[str]) -> None:
        """Hosts by steps, each problem once, and what this evidence does not show."""
        findings = list(self._findings.values())
        template = _templates().get_template("pytest_html.html")
        prefix.append(
            template.render(
                run=self._run,
                grid=grid(findings),
                problems=problems(findings),
                count={verdict: sum(item.verdict is verdict for item in findings) for verdict in Verdict},
                verdicts=list(Verdict),
                reasons=self._run.still_open(findings),
                identities=self._run.identities,
                limits=LIMITS,
            ),
        )

    @pytest.hookimpl
    def pytest_html_results_table_header(self, cells: MutableSequence[str]) -> None:
        """Columns for what a reader of the runbook looks for."""
        cells[:] = [
            f'<th class="sortable" data-column-type="{key}">{name}</th>'
            for key, name in zip(_SORTED_BY, _HEADER, strict=True)
        ]

    @pytest.hookimpl
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: MutableSequence[str]) -> None:
        """The row of a finding; of anything else only its escaped id."""
        finding = self._findings.get(report.nodeid)
        result = cells[0]
        values = ("", "", report.nodeid, "", "") if finding is None else _values(finding)
        cells[:] = [result, *map(_cell, _SORTED_BY[1:], values)]

    @pytest.hookimpl
    def pytest_html_results_table_html(self, report: pytest.TestReport, data: MutableSequence[str]) -> None:
        """Below the row: why, what to do, and the transcript of every command and reading that it rests on."""
        finding = self._findings.get(report.nodeid)
        if finding is None:
            return
        parts = [
            finding.reason,
            finding.remedy if finding.verdict is Verdict.NON_COMPLIANT else "",
            self._transcript(finding),
        ]
        data[:] = [escape("\n\n".join(part for part in parts if part))]

    def _transcript(self, finding: Finding) -> str:
        """Every reading and every command that a finding rests on."""
        parts = []
        for name in finding.rests_on:
            record = self._run.record_of(self._targets[finding.target], name)
            parts += [f"reading {reading}" for reading in record.readings]
            parts += map(str, record.replies)
        # Indented, because pytest-html paints lines that begin with an E.
        return textwrap.indent("\n\n".join(parts), "  ")


def _values(finding: Finding) -> tuple[str, ...]:
    return (
        finding.target,
        finding.step,
        finding.title,
        finding.observed or finding.reason,
        f"{finding.took:.1f} s",
    )


def _cell(key: str, value: str) -> str:
    return f'<td class="col-{key}">{escape(value)}</td>'


def _escaped(value: object, redactor: Redactor, *, top: bool = False) -> object:
    """Environment values for pytest-html, which makes HTML of them; it treats only the outermost keys as text."""
    if isinstance(value, Mapping):
        return {
            key if top else escape(redactor.clean(str(key))): _escaped(
                _named(str(key), inner, redactor), redactor
            )
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_escaped(inner, redactor) for inner in value]
    return escape(redactor.clean(str(value)))


def _named(name: str, value: object, redactor: Redactor) -> object:
    """A value whose name may tell that it is a secret."""
    return redactor.clean_value(name, value) if isinstance(value, str) else value


def _templates() -> jinja2.Environment:
    templates = environment()
    templates.filters["css"] = lambda verdict: Markup(str(verdict).replace(" ", "-")) if verdict else "none"  # noqa: S704  # one of four names
    return templates
