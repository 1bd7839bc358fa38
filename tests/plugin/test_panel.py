"""Whole runs on a terminal: what is seen while hosts are looked at, and what is left on the screen."""

import os
import signal
import subprocess
import sys

import pytest

from tests.plugin.conftest import ROOT
from tests.screen import Screen


@pytest.fixture
def on_screen(tmp_path):
    """Run pytest on a terminal of its own."""
    screen = Screen(columns=90, lines=40)
    unset = ("CI", "BUILD_NUMBER", "NO_COLOR", "COLUMNS", "LINES")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment |= {"TERM": "xterm-256color", "TMPDIR": str(tmp_path)}
    runs = []

    def make(*arguments):
        command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={tmp_path}/cache", *arguments]
        runs.append(
            subprocess.Popen(
                [*command, f"--report-dir={tmp_path}/reports"],
                cwd=ROOT,
                env=environment,
                stdin=screen.slave,
                stdout=screen.slave,
                stderr=screen.slave,
                start_new_session=True,
            )
        )
        return screen, runs[-1]

    yield make
    for run in runs:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    screen.close()


def test_a_run_shows_what_is_waited_for_and_leaves_only_its_summary(on_screen):
    screen, run = on_screen("--hosts=demo://healthy?hosts=6&delay=3", "-k", "vulnerability")
    screen.read_until(lambda: "6 waiting for the scan" in screen.text)
    panel = [line for line in screen.lines[screen.lines.index(_collected(screen)) + 1 :] if line]
    assert "of 6 hosts done" in panel[0]
    assert len(panel) <= 6
    assert not screen.is_cursor_shown
    screen.read_until(lambda: run.poll() is not None)
    assert run.returncode == 0
    after = screen.lines[screen.lines.index(_collected(screen)) + 1]
    assert after.startswith("...")
    assert "hosts done" not in screen.text
    assert "waiting for" not in screen.text
    assert screen.is_cursor_shown


@pytest.mark.parametrize("arguments", [(), ("-s",)], ids=["", "-s"])
def test_ctrl_c_leaves_a_clean_screen_and_the_cursor(on_screen, arguments):
    screen, run = on_screen("--hosts=demo://healthy?delay=60", *arguments)
    screen.read_until(lambda: "3 waiting for the scan" in screen.text)
    run.send_signal(signal.SIGINT)
    screen.read_until(lambda: run.poll() is not None)
    assert run.returncode == 2
    assert "hosts done" not in screen.text
    assert screen.is_cursor_shown


def _collected(screen):
    return next(line for line in screen.lines if line.startswith("collected "))


def test_who_is_interrupted_before_anything_is_looked_at_leaves_no_evidence(tmp_path, monkeypatch, request):
    (tmp_path / "interrupts.py").write_text(
        """
import sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "qualys_verify.panel":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
"""
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    screen, run = request.getfixturevalue("on_screen")("--hosts=demo://healthy", "-p", "interrupts")
    screen.read_until(lambda: run.poll() is not None)
    assert run.returncode == 2
    assert not list((tmp_path / "reports").glob("*/journal.jsonl"))
