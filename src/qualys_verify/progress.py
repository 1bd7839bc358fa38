"""How far the fleet is, while pytest has nothing to print yet."""

import time
from types import TracebackType
from typing import Self

import pytest
from _pytest.terminal import TerminalReporter

from qualys_verify.fleet import Progress

# On a log nobody wants a line a second.
_LOG_INTERVAL = 60.0
_SHOWN = 3
# What an observation is called while it is waited for, where its name would not tell.
_LABELS = {
    "scan_execution": "waiting for the scan",
    "policy_execution": "waiting for the policy evaluation",
    "assessment_before": "reading the last assessment",
}


class Ticker:
    """One live line on a terminal, a line a minute elsewhere, nothing with `-q` or without a terminal reporter."""

    def __init__(self, config: pytest.Config) -> None:
        """Nothing is printed yet."""
        found = config.pluginmanager.get_plugin("terminalreporter")
        quiet = config.get_verbosity() < 0
        self._terminal: TerminalReporter | None = (
            found if isinstance(found, TerminalReporter) and not quiet else None
        )
        self._next = time.monotonic() + _LOG_INTERVAL

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave an empty line for what pytest prints next."""
        if self._terminal is not None and self._terminal.isatty:
            self._terminal.rewrite("", erase=True)

    def show(self, progress: Progress) -> None:
        """Print the progress, if it is time to."""
        if self._terminal is None:
            return
        if self._terminal.isatty:
            self._terminal.rewrite(sentence(progress)[: self._terminal._screen_width - 1], erase=True)  # noqa: SLF001  # has no public name
        elif time.monotonic() >= self._next:
            self._next += _LOG_INTERVAL
            self._terminal.write_line(sentence(progress))


def sentence(progress: Progress) -> str:
    """`looking: 2 of 5 hosts done; web1 at scan_execution, …`."""
    busy = [
        f"{target}: {_LABELS.get(name, name.replace('_', ' '))}"
        for target, name in sorted(progress.waiting.items())
    ]
    more = f" and {len(busy) - _SHOWN} more" if len(busy) > _SHOWN else ""
    return (
        f"looking: {progress.done} of {progress.hosts} hosts done; {', '.join(busy[:_SHOWN])}{more}".rstrip(
            "; "
        )
    )
