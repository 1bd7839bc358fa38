"""The fault matrix: every stand-in host with a fault through the real suite, and what is expected of each."""

import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
EXPECTED = HERE / "expected.toml"
ALL_OTHERS = "*"

# Scans take a second; what hangs is given up as late as a busy machine needs for what does not, and what never comes is
# not waited for.
_OPTIONS = ("--command-timeout=20", "--poll-interval=2", "--poll-timeout=12", "--at-once=64")
# What is shown of a long answer depends on how long the paths in it are.
_PLACE = {"TMPDIR": "/tmp"}  # noqa: S108  # as above
_LIMIT = 600  # seconds; ends a run that hangs
_HEAD = """\
# The fault matrix: what the suite says of each stand-in host (`qualys-verify faults`).
#
# Which tests fail (seen, and not as the runbook expects), err (could not be seen) and are skipped (does not
# apply); all others pass, and "*" means all others. `reason` is the first sentence of the first failure or error:
# HOST is the host's id, ROOT its root directory, and what changes from run to run is TIME, SPAN, ID or KEY.
#
# `python -m tests.faults.render` writes docs/faults.md from it. `python -m tests.faults.render --accept` runs
# the matrix and writes what was seen into this file: read the difference, each line of it is a verdict.
"""
# A test's short name, and what stands in the place of what changes from run to run.
_CASE = re.compile(r"(?P<test>\w+)\[demo://demo-(?P<fault>[a-z0-9-]+)\]")
_KIND = {"failure": "fail", "error": "err", "skipped": "skip"}
_OBSERVED = re.compile(r"Observed: (.*?)(?:\. If not: |$)")
_CHANGES = (
    (r"demo://demo-[a-z0-9-]+", "HOST"),
    (r"/[^\s'\"`]*?/hosts/demo-[a-z0-9-]+", "ROOT"),
    (r"\b\d{14}\.\d+\b", "ID"),
    (r"\b20[12]\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?\b", "TIME"),
    (r"\b\d+ days?, \d+:\d\d:\d\d(?:\.\d+)?\b|\b\d+ h \d+ min\b|\b\d+ (?:s|min|h|d)\b", "SPAN"),
    (r"timeout -k \d+ \d+ ", ""),
    (r"(?<=--property=)[^\s`]+", "…"),
    (r"\b\d+ attempts\b", "N attempts"),
    (r"SHA256:[\w+/]+", "KEY"),
    (r"(?<=sha256:)[0-9a-f]{16,}", "DIGEST"),
    (r"\bcluster (?:pod|cluster)-[a-z-]+", "cluster CLUSTER"),
    (r"/[^\s'\"`]*?/pods/[a-z-]+/demo-[a-z0-9-]+", ""),
)


@dataclass(frozen=True)
class Row:
    """What the suite says of one host; tests in the order of the runbook."""

    fail: tuple[str, ...] = ()
    err: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What JUnit's report says of one test of one host."""

    test: str
    kind: str
    message: str


def load(path: Path = EXPECTED) -> dict[str, Row]:
    """The table."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: Row(
            tuple(row.get("fail", ())),
            tuple(row.get("err", ())),
            tuple(row.get("skip", ())),
            row.get("reason", ""),
        )
        for name, row in found.items()
    }


def dump(rows: Mapping[str, Row]) -> str:
    """The table as text: a healthy host with nothing to say is a line of its own."""
    parts = [_HEAD]
    for name, row in rows.items():
        lines = [f"[{name}]"]
        for kind in ("fail", "err", "skip"):
            tests = getattr(row, kind)
            if tests:
                lines.append(f"{kind} = {json.dumps(tests)}" if len(tests) < 2 else _many(kind, tests))
        if row.reason:
            lines.append(f"reason = {json.dumps(row.reason, ensure_ascii=False)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _many(kind: str, tests: Iterable[str]) -> str:
    return "\n".join([f"{kind} = [", *(f"  {json.dumps(test)}," for test in tests), "]"])


def observe(faults: Iterable[str], directory: Path, client: str = "auto") -> dict[str, Row]:
    """Run the suite on a stand-in host for each fault, all of them at once, and read its JUnit report."""
    report = directory / "junit.xml"
    spec = f"--hosts=demo://?delay=1&faults={','.join(faults)}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", spec, *_OPTIONS]
    said = directory / "output.txt"
    with said.open("wb") as output:
        subprocess.run(
            [
                *command,
                f"--ssh-client={client}",
                f"--junitxml={report}",
                f"--report-dir={directory}",
                "tests_agent",
            ],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | _PLACE,
            timeout=_LIMIT,
            check=False,
        )
    if not report.exists():
        raise RuntimeError(f"the matrix did not run: {said.read_text(encoding='utf-8')[-2000:]}")
    return read(report)


def read(report: Path) -> dict[str, Row]:
    """The rows out of a JUnit report."""
    hosts: dict[str, list[Outcome]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314  # written by ourselves
        match = _CASE.fullmatch(case.get("name", ""))
        if match:
            hosts.setdefault(match["fault"], []).append(_outcome(match["test"], case))
    return {fault: _row(outcomes) for fault, outcomes in hosts.items()}


def _outcome(test: str, case: ET.Element) -> Outcome:
    for tag, kind in _KIND.items():
        found = case.find(tag)
        if found is not None:
            return Outcome(test, kind, found.get("message") or found.text or "")
    return Outcome(test, "pass", "")


def _row(outcomes: list[Outcome]) -> Row:
    names = {
        kind: tuple(item.test for item in outcomes if item.kind == kind) for kind in ("fail", "err", "skip")
    }
    if not any(item.kind == "pass" for item in outcomes):  # then the most frequent needs no list
        names[max(names, key=lambda kind: len(names[kind]))] = (ALL_OTHERS,)
    first = next((item for item in outcomes if item.kind in {"fail", "err"}), None)
    return Row(**names, reason=_reason(first) if first else "")


def _reason(outcome: Outcome) -> str:
    """The first sentence: what was observed for a failure, and what kept it from being seen for an error."""
    text = outcome.message.strip().split("\n")[0]
    text = re.sub(r'^failed on setup with "(?:Failed: )?|"$', "", text)
    for pattern, by in _CHANGES:
        text = re.sub(pattern, by, text)
    if outcome.kind == "fail":
        observed = _OBSERVED.search(text)
        return textwrap.shorten(observed[1] if observed else text, 120, placeholder=" …")
    return text.split(" (")[0]
