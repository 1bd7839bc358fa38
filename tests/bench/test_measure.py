"""What a command costs, with all that it starts."""

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest

from bench.run import CHECKOUT

BURN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


@pytest.fixture
def cost(tmp_path):
    """Measure a Python program."""

    def call(program, limit=20):
        target = tmp_path / "cost.json"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "bench.measure",
                str(target),
                str(limit),
                "--",
                sys.executable,
                "-c",
                textwrap.dedent(program),
            ],
            cwd=CHECKOUT,
            check=True,
            timeout=60,
        )
        return json.loads(target.read_text())

    return call


def test_the_cpu_of_children_counts(cost):
    found = cost(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])")
    assert 0.3 <= found["cpu"] < 2
    assert found["status"] == found["left"] == 0


def test_what_outlives_the_command_counts_and_is_ended(cost, tmp_path):
    mark = tmp_path / "pid"
    orphan = f"{BURN}\nimport os; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    found = cost(
        f"""
        import os, subprocess, sys, time
        subprocess.Popen([sys.executable, '-c', {orphan!r}], start_new_session=True)
        while not os.path.exists({str(mark)!r}): time.sleep(0.05)
        time.sleep(0.1)
        """
    )
    assert found["left"] == 1
    assert found["cpu"] >= 0.3
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_waiting_costs_no_cpu(cost):
    found = cost("import time; time.sleep(0.5)")
    assert found["wall"] >= 0.5
    assert found["cpu"] < 0.3


def test_the_largest_process_and_all_together(cost):
    hold = "x = bytearray(60 << 20); import time; time.sleep(1.5)"
    found = cost(
        f"import subprocess, sys; [p.wait() for p in [subprocess.Popen([sys.executable, '-c', {hold!r}]) for _ in range(2)]]"
    )
    assert 60 << 20 <= found["peak"] < 100 << 20
    assert found["peak_tree"] > 120 << 20


def test_a_command_that_takes_too_long_is_ended(cost):
    found = cost("import time; time.sleep(600)", limit=1)
    assert found["status"] < 0
    assert found["wall"] < 10


def test_nothing_stays_of_a_measurement_that_is_told_to_end(tmp_path):
    mark = tmp_path / "pid"
    program = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    measuring = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "bench.measure",
            str(tmp_path / "cost.json"),
            "60",
            "--",
            sys.executable,
            "-c",
            program,
        ],
        cwd=CHECKOUT,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with measuring:
        while not mark.exists() or not mark.read_text():
            time.sleep(0.05)
        measuring.terminate()
        measuring.wait(20)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_a_status_is_passed_on(cost):
    assert cost("raise SystemExit(3)")["status"] == 3
