"""The progress: a panel on a terminal that can show one, a line a minute elsewhere, nothing where nobody asked."""

import re
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from _pytest.terminal import TerminalReporter

from qualys_verify import panel, progress
from qualys_verify.fleet import Progress, Visit
from qualys_verify.host import Waiting
from qualys_verify.progress import Ticker, sentence
from tests.screen import Screen

pytest_plugins = ["pytester"]

NOW = 10_000.0


def visit(name, ago, observation="scan_execution", waiting=None):
    return Visit(name, NOW - ago, observation, SimpleNamespace(waiting=waiting))


SCAN = Waiting("waiting for the scan", NOW + 90)
FLEET = Progress(
    4,
    20,
    [
        visit("ssh://web1", 30, waiting=SCAN),
        visit("ssh://web2", 100, waiting=SCAN),
        visit("ssh://db1", 3725, waiting=Waiting("waiting for the policy evaluation", NOW + 750)),
        visit("ssh://db2", 20, "identity"),
        visit("ssh://db3", 10, "agent_process"),
        visit("ssh://db4", 15, "installation"),
        visit("ssh://[::1]:22", 5, waiting=Waiting("waiting to be scanned")),
        Visit("ssh://new", NOW),
    ],
)


def test_the_line_of_a_log_says_how_many_wait_for_what_and_for_whom():
    assert sentence(FLEET, NOW) == (
        "looking: 4 of 20 hosts done; 2 waiting for the scan, 2 connecting, 2 being looked at, 1 waiting for the policy "
        "evaluation, 1 at other things, 8 not begun; longest: ssh://db1 1:02:05, ssh://web2 1:40, ssh://web1 0:30"
    )
    assert sentence(Progress(6, 6, ()), NOW) == "looking: 6 of 6 hosts done"


@pytest.fixture
def clock(monkeypatch):
    """The time as the progress has it; set it by hand."""
    now = SimpleNamespace(seconds=NOW)
    for module in (panel, progress):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def terminal(pytester, monkeypatch):
    """A screen, and the configuration of a pytest that writes to it."""
    opened = []
    for name in ("CI", "BUILD_NUMBER", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def make(*arguments, columns=100, lines=24, encoding="utf-8"):
        screen = Screen(columns, lines)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))
        file = open(screen.slave, "w", encoding=encoding, closefd=False)  # noqa: SIM115  # closed below
        opened.append((screen, file))
        config = pytester.parseconfigure(*arguments)
        if config.pluginmanager.get_plugin("terminalreporter"):
            config.pluginmanager.unregister(name="terminalreporter")
            config.pluginmanager.register(TerminalReporter(config, file), "terminalreporter")
        file.write("collected 228 items\n")
        file.flush()
        return screen, config

    yield make
    for screen, file in opened:
        file.close()
        screen.close()


@contextmanager
def watch(config, clock, progresses=(FLEET,), seconds=0.6):
    """Look at the progress while it is shown, each one so many seconds after the other."""
    with Ticker(config) as ticker:
        for one in progresses:
            clock.seconds += seconds
            ticker.show(one)
        yield


def test_a_terminal_shows_a_panel_of_a_few_lines_that_is_gone_afterwards(terminal, clock):
    screen, config = terminal()
    with watch(config, clock, [FLEET] * 20):
        head, *lines = screen.lines[1:]
        assert re.fullmatch(
            r"━+[╺╸]?━* 4 of 20 hosts done, 0:12 passed, 20 a minute, polls end within 12:18", head
        )
        assert lines == [
            "  2 waiting for the scan, 2 connecting, 2 being looked at, 1 waiting for the policy evaluation, 1 a…",
            "  ssh://db1   1:02:17  waiting for the policy evaluation",
            "  ssh://web2     1:52  waiting for the scan",
            "  ssh://web1     0:42  waiting for the scan",
        ]
        assert not screen.is_cursor_shown
    assert screen.lines == ["collected 228 items"]
    assert screen.is_cursor_shown
    assert screen.cursor == (1, 0)


def test_it_is_not_drawn_more_often_than_twice_a_second_and_not_for_what_is_over_soon(terminal, clock):
    screen, config = terminal()
    with watch(config, clock, [FLEET] * 4, seconds=0.1):
        assert screen.lines == ["collected 228 items"]
    assert b"\x1b[?25l" not in screen.raw
    with watch(config, clock, [FLEET] * 20, seconds=0.1):
        assert "4 of 20 hosts done" in screen.text
        assert screen.raw.count(b"20 hosts done") <= 4


@pytest.mark.parametrize("columns", [10, 20, 40, 79, 80, 300])
@pytest.mark.parametrize("lines", [3, 24])
def test_no_line_is_wider_than_the_terminal_and_nothing_stays(terminal, clock, columns, lines):
    screen, config = terminal(columns=columns, lines=lines)
    with watch(config, clock, [FLEET, Progress(19, 20, FLEET.visits[:1]), FLEET]):
        shown = screen.lines
        assert len(shown) <= min(lines, 7)
        assert any("4 of 20" in line for line in shown) or columns < 20 or lines < 6
    assert screen.is_cursor_shown
    left = [line for line in screen.lines if not "collected 228 items".startswith(line)]
    assert [line for line in left if line not in {"collected ", "228 items"}] == []


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_knows_no_lines_gets_dashes(terminal, clock, encoding):
    screen, config = terminal(encoding=encoding)
    odd = Progress(1, 3, [visit("kubectl://Füße…/pod", 5)])
    with watch(config, clock, [odd]):
        assert "1 of 3 hosts done" in screen.text
        assert "kubectl://F" in screen.text
        screen.raw.decode("ascii")
    assert screen.lines == ["collected 228 items"]


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["--color=no"], {}), ([], {"NO_COLOR": "1"}), ([], {"PY_COLORS": "0"})],
    ids=["--color=no", "NO_COLOR", "PY_COLORS=0"],
)
def test_no_colours_where_none_are_wanted(terminal, clock, monkeypatch, arguments, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    screen, config = terminal(*arguments)
    with watch(config, clock):
        assert "4 of 20 hosts done" in screen.text
        assert not re.search(rb"\x1b\[[\d;]*m", screen.raw)
    assert screen.lines == ["collected 228 items"]


def test_a_panel_without_pytest_s_logging(terminal, clock):
    screen, config = terminal("-p", "no:logging")
    with watch(config, clock):
        assert "4 of 20 hosts done" in screen.text


def test_colours_where_they_may_be(terminal, clock):
    screen, config = terminal()
    with watch(config, clock):
        pass
    assert "4 of 20" not in screen.text
    assert re.search(rb"\x1b\[[\d;]+m", screen.raw)


@pytest.mark.parametrize("arguments", [["-q"], ["-qq"], ["-p", "no:terminal"]], ids=" ".join)
def test_nothing_is_shown_where_nobody_wants_it(terminal, clock, arguments):
    screen, config = terminal(*arguments)
    with watch(config, clock, [FLEET] * 10, seconds=61):
        pass
    assert screen.lines == ["collected 228 items"]
    assert b"\x1b" not in screen.raw


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ([], {"TERM": "dumb"}),
        ([], {"TERM": ""}),
        ([], {"CI": "true"}),
        ([], {"BUILD_NUMBER": "7"}),
        (["-o", "log_cli=true"], {}),
        (["--log-cli-level=INFO"], {}),
    ],
    ids=str,
)
def test_where_lines_cannot_be_drawn_again_there_is_one_a_minute(
    terminal, clock, monkeypatch, arguments, environment
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    screen, config = terminal(*arguments, columns=400)
    with watch(config, clock, [FLEET] * 13, seconds=10):
        pass
    assert sum(line.startswith("looking: 4 of 20 hosts done; 2 waiting") for line in screen.lines) == 2
    assert b"\x1b" not in screen.raw


def test_a_file_gets_a_line_a_minute(pytester, clock, tmp_path):
    config = pytester.parseconfigure()
    config.pluginmanager.unregister(name="terminalreporter")
    with (tmp_path / "log").open("w") as file:
        config.pluginmanager.register(TerminalReporter(config, file), "terminalreporter")
        with watch(config, clock, [FLEET] * 13, seconds=10):
            pass
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.partition(";")[0] for line in lines] == ["looking: 4 of 20 hosts done"] * 2


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, BrokenPipeError])
def test_whatever_ends_the_looking_the_panel_is_gone_and_the_cursor_back(terminal, clock, end):
    screen, config = terminal()
    with pytest.raises(end), watch(config, clock):
        raise end
    assert screen.lines == ["collected 228 items"]
    assert screen.is_cursor_shown


def test_a_thousand_hosts_are_drawn_in_no_time(terminal, clock):
    _, config = terminal()
    many = Progress(0, 1000, [visit(f"ssh://web{number}", number, waiting=SCAN) for number in range(1000)])
    with Ticker(config) as ticker:
        clock.seconds += 1
        ticker.show(many)
        started = time.process_time()
        for _ in range(20):
            clock.seconds += 1
            ticker.show(many)
        assert (time.process_time() - started) / 20 < 0.05
