"""How far the fleet is, while pytest has nothing to print yet: a panel on a terminal, a line a minute elsewhere."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import pytest
from _pytest.terminal import TerminalReporter

from qualys_verify.fleet import Progress, Visit
from qualys_verify.host import Waiting

# On a log nobody wants a line a second.
_LOG_INTERVAL = 60.0
# So many hosts are named, and so many kinds of waiting.
_HOSTS_SHOWN = 3
_KINDS_SHOWN = 4
# A rate over less time than this is chance, in seconds.
_RATE_AFTER = 5.0
# What an observation is called while it is made, where its name would not tell.
_LABELS = {
    "": "connecting",
    "identity": "connecting",
    "assessment_before": "reading the last assessment",
    "scan": "asking for the scan",
    "policy_evaluation": "asking for the policy evaluation",
}


class Watcher(Protocol):
    """Somebody who looks at the progress a few times a second."""

    def show(self, progress: Progress) -> None:
        """Print it, if it is time to."""

    def end(self) -> None:
        """Nothing more comes."""


class Ticker:
    """The progress for whoever ran pytest: nothing with `-q` or without a terminal reporter."""

    def __init__(self, config: pytest.Config) -> None:
        """Nothing is printed yet. `has_panel`: lines are drawn again and again, which nothing else may be printed into."""
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        self.has_panel = False
        self._watcher: Watcher | None = None
        if isinstance(terminal, TerminalReporter) and config.get_verbosity() >= 0:
            self.has_panel = _can_redraw(config, terminal)
            self._watcher = _panel(terminal) if self.has_panel else _Lines(terminal)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave an empty line for what pytest prints next."""
        if self._watcher is not None:
            self._watcher.end()

    def show(self, progress: Progress) -> None:
        """Print the progress, if it is time to."""
        if self._watcher is not None:
            self._watcher.show(progress)


def _can_redraw(config: pytest.Config, terminal: TerminalReporter) -> bool:
    """Whether somebody sits at a terminal that moves its cursor, and nothing else writes to it meanwhile."""
    is_dumb = os.environ.get("TERM", "dumb").lower() in {"", "dumb", "unknown"}
    is_pipeline = "CI" in os.environ or "BUILD_NUMBER" in os.environ  # as pytest has it
    return bool(terminal.isatty) and not (is_dumb or is_pipeline or _has_live_log(config))


def _has_live_log(config: pytest.Config) -> bool:
    if not config.pluginmanager.has_plugin("logging-plugin"):  # its options are unknown then
        return False
    return config.getoption("log_cli_level", None) is not None or bool(config.getini("log_cli"))


def _panel(terminal: TerminalReporter) -> Watcher:
    from qualys_verify.panel import Panel  # noqa: PLC0415  # with rich, which takes its time

    return Panel(terminal)


class _Lines:
    """A line a minute."""

    def __init__(self, terminal: TerminalReporter) -> None:
        self._terminal = terminal
        self._started = time.monotonic()
        self._next = self._started + _LOG_INTERVAL

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next += _LOG_INTERVAL
            self._terminal.write_line(sentence(progress, now))

    def end(self) -> None:
        pass


def sentence(progress: Progress, now: float) -> str:
    """`looking: 2 of 5 hosts done; 3 waiting for the scan; longest: web1 2:10, …`; `now` is monotonic, in seconds."""
    hosts = ", ".join(
        f"{visit.target_id} {_minutes(now - visit.since)}" for visit in _slowest(progress.visits)
    )
    parts = (
        f"looking: {progress.done} of {progress.hosts} hosts done",
        kinds_of_waiting(progress),
        f"longest: {hosts}" if hosts else "",
    )
    return "; ".join(filter(None, parts))


def how_far(progress: Progress, passed: float, now: float) -> str:
    """As `3 of 12 hosts done, 0:18 passed, 10 a minute, polls end within 0:38`."""
    parts = [f"{progress.done} of {progress.hosts} hosts done", f"{_minutes(passed)} passed"]
    if progress.done and passed > _RATE_AFTER:
        parts.append(f"{60 * progress.done / passed:.0f} a minute")
    ends = [waiting.until for waiting in map(_waiting, progress.visits) if waiting and waiting.until]
    if ends:
        parts.append(f"polls end within {_minutes(max(ends) - now)}")
    return ", ".join(parts)


def kinds_of_waiting(progress: Progress) -> str:
    """`12 waiting for the scan, 3 connecting, 7 not begun`."""
    kinds = Counter(_doing(visit) or "being looked at" for visit in progress.visits).most_common()
    parts = [f"{number} {what}" for what, number in kinds[:_KINDS_SHOWN]]
    if more := sum(number for _, number in kinds[_KINDS_SHOWN:]):
        parts.append(f"{more} at other things")
    if waiting := progress.hosts - progress.done - len(progress.visits):
        parts.append(f"{waiting} not begun")
    return ", ".join(parts)


def longest(visits: Sequence[Visit], now: float) -> list[str]:
    """A line for each of those that take longest."""
    slowest = _slowest(visits)
    width = max((len(visit.target_id) for visit in slowest), default=0)
    return [
        f"  {visit.target_id:{width}}  {_minutes(now - visit.since):>7}  {_doing(visit) or _looking_at(visit)}"
        for visit in slowest
    ]


def _slowest(visits: Sequence[Visit]) -> list[Visit]:
    return sorted(visits, key=lambda visit: visit.since)[:_HOSTS_SHOWN]


def _doing(visit: Visit) -> str:
    """What takes long or changes something; empty for a mere look."""
    waiting = _waiting(visit)
    if waiting is not None:
        return waiting.what
    return _LABELS.get(visit.observation, "")


def _looking_at(visit: Visit) -> str:
    return f"looking at {visit.observation.replace('_', ' ')}"


def _waiting(visit: Visit) -> Waiting | None:
    """What the host waits for just now; it goes on meanwhile."""
    return visit.host.waiting if visit.host else None


def _minutes(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
