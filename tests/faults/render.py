"""`python -m tests.faults.render`: writes docs/faults.md from the registry and the table.

With `--accept` the matrix is run first, and the table holds then what was seen.
"""

import html
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from qualys_verify.standin.faults import FAULTS, ROOMS
from tests.faults.matrix import ALL_OTHERS, CHECKOUT, EXPECTED, Row, dump, load, observe

PAGE = CHECKOUT / "docs/faults.md"
_HEAD = """\
# The fault matrix

What the suite says of {faults} faults and of {healthy} odd hosts that are healthy. Each is a stand-in host behind a
real SSH server or, for containers, a stand-in cluster that the machine's own kubectl asks: `pytest --hosts='demo://?faults=log-silent,crash-loop'` starts these two, `qualys-verify faults` lists
all of them. A test runs every one through the whole runbook and compares with
[expected.toml](../tests/faults/expected.toml), from which this page is made (`python -m tests.faults.render`). No fault
ends without a failure or an error, and no healthy host has one.

✘ failed: seen, and not as the runbook expects. ? error: could not be seen. HOST stands for a host's id, ROOT for its
root directory.
"""


def page(rows: Mapping[str, Row]) -> str:
    """The page."""
    healthy = sum(fault.healthy for fault in FAULTS.values())
    parts = [_HEAD.format(faults=len(FAULTS) - healthy, healthy=healthy)]
    for title, faults in ROOMS.items():
        lines = [
            f"## {title}",
            "",
            "| fault | what is wrong | the suite says | first reason |",
            "|---|---|---|---|",
        ]
        for fault in faults:
            row = rows[fault.name]
            if not fault.healthy:
                cells = (f"`{fault.name}`", _cell(fault.sentence), _verdicts(row), _cell(row.reason))
                lines.append(f"| {' | '.join(cells)} |")
        lines += ["", "Odd and healthy:", ""]
        lines += [f"- `{fault.name}`: {fault.sentence}" for fault in faults if fault.healthy]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _verdicts(row: Row) -> str:
    """Which tests fail and err, one a line."""
    alone = (row.fail, row.err) == ((), (ALL_OTHERS,))
    others = "everything" if alone else "all others"
    signed = [("✘", test) for test in row.fail] + [("?", test) for test in row.err]
    names = {ALL_OTHERS: others}
    return "<br>".join(f"{sign} {names.get(test, _words(test))}" for sign, test in signed)


def _words(test: str) -> str:
    return test.removeprefix("test_").replace("_", " ")


def _cell(text: str) -> str:
    """Text as it is in a cell of a table."""
    return html.escape(text, quote=False).replace("|", "\\|")


def main() -> None:
    """Write the page."""
    if "--accept" in sys.argv:
        with tempfile.TemporaryDirectory() as directory:
            rows = observe(FAULTS, Path(directory))
        EXPECTED.write_text(dump({name: rows[name] for name in FAULTS}), encoding="utf-8")
    PAGE.write_text(page(load()), encoding="utf-8")


if __name__ == "__main__":
    main()
