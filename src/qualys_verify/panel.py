"""The progress on a terminal that moves its cursor: a few lines that are drawn again and again."""

import time

from _pytest.terminal import TerminalReporter
from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from qualys_verify.evidence.plain import for_encoding
from qualys_verify.fleet import Progress
from qualys_verify.progress import how_far, kinds_of_waiting, longest

# On a screen nobody reads faster, in seconds.
_FRAME_INTERVAL = 0.5
# The bar's width, where there is room for one.
_SHORTEST_BAR, _LONGEST_BAR = 8, 24


class Panel:
    """A few lines that are drawn again and again, and gone at the end. See Watcher."""

    def __init__(self, terminal: TerminalReporter) -> None:
        """Nothing is drawn yet."""
        self._console = Console(
            file=terminal._tw._file,  # noqa: SLF001  # has no public name
            force_terminal=True,
            color_system="auto" if terminal.hasmarkup else None,
            highlight=False,
            emoji=False,
        )
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._started = time.monotonic()
        self._next = self._started + _FRAME_INTERVAL

    def show(self, progress: Progress) -> None:
        """Draw it, if it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _FRAME_INTERVAL
        if not self._live.is_started:
            self._live.start()
        self._live.update(panel(progress, self._started, now, self._console), refresh=True)

    def end(self) -> None:
        """Take the lines away, and give the cursor back."""
        try:
            self._live.stop()
        except BaseException:  # a second Ctrl-C
            self._console.show_cursor()
            raise


def panel(progress: Progress, started: float, now: float, console: Console) -> RenderableType:
    """At most five lines: how far, who waits for what, and which hosts take longest. Times are monotonic, in seconds."""
    lines = [_text(line, console) for line in longest(progress.visits, now)]
    if kinds := kinds_of_waiting(progress):
        lines.insert(0, _text(f"  {kinds}", console))
    return Group(_head(progress, started, now, console), *lines)


def _head(progress: Progress, started: float, now: float, console: Console) -> Table:
    """How far; the bar has what room the words leave."""
    words = how_far(progress, now - started, now)
    room = min(_LONGEST_BAR, console.width - len(words) - 2)
    head = Table.grid(padding=(0, 1))
    bar = [ProgressBar(progress.hosts, progress.done, width=room)] if room >= _SHORTEST_BAR else []
    for _ in bar:
        head.add_column(no_wrap=True)
    head.add_column(no_wrap=True)
    head.add_row(*bar, _text(words, console))
    return head


def _text(line: str, console: Console) -> Text:
    overflow: OverflowMethod = "ellipsis" if console.encoding.startswith("utf") else "crop"
    return Text(for_encoding(line, console.encoding), no_wrap=True, overflow=overflow)
