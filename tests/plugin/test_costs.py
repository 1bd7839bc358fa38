"""What a run does not do, because a thousand hosts would pay for it."""

import json
import re
import subprocess
import sys

from tests.plugin.conftest import ROOT

NOWHERE = "ssh://127.0.0.1:1"
HEAVY = ("asyncssh", "aiohttp", "ansible", "cryptography", "kubernetes", "jsonschema")


def test_what_a_run_does_not_need_is_not_imported():
    script = (
        "import json, sys, pytest\n"
        f"status = pytest.main(['--collect-only', '-q', '-p', 'no:hypothesispytest', '--hosts={NOWHERE}'])\n"
        f"print(json.dumps([int(status), [name for name in {HEAVY} if name in sys.modules]]), file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(ran.stderr.splitlines()[-1]) == [0, []]


def test_runs_in_one_process_are_not_kept_in_memory(tmp_path):
    """Pytest itself keeps the first and the last one."""
    script = (
        "import gc, json, sys, pytest\n"
        "from qualys_verify.fleet import Fleet\n"
        f"told = ['-q', '-p', 'no:cacheprovider', '--read-only', '--hosts={NOWHERE}', '--report-dir={tmp_path}']\n"
        "for _ in range(5): pytest.main(told), gc.collect()\n"
        "gc.unfreeze()\n"
        "print(json.dumps(sum(isinstance(found, Fleet) for found in gc.get_objects())), file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(ran.stderr.splitlines()[-1]) <= 3


def judged(ran):
    """What the evidence says, numbers aside."""
    told = json.loads(next(ran.folder.glob("reports/2*/run.json")).read_text())
    return {
        (host["id"], item["test"]): (
            item["verdict"],
            re.sub("[0-9]+", "#", item["observed"]),
            re.sub("[0-9]+", "#", item["reason"]),
            item["rests_on"],
        )
        for host in told["hosts"]
        for item in host["assessments"]
    }


def test_a_test_that_only_reads_is_told_as_pytests_own_way_of_running_it_tells(run):
    """With --setup-show pytest sets every fixture up where one can watch."""
    hosts = f"--hosts=demo://?delay=0.3,{NOWHERE}"
    ours, pytests = run(hosts, "--read-only"), run(hosts, "--read-only", "--setup-show")
    assert "SETUP" in pytests.out
    assert "SETUP" not in ours.out
    assert ours.status == pytests.status
    assert ours.rows == pytests.rows
    assert set(ours.outcomes) == {"passed", "failure", "error", "skipped"}
    assert judged(ours) == judged(pytests)


WATCH = """\
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_{hook}({parameters}):
    made = yield
    seen = {seen}
    with open({place!r}, "a") as file:
        print(seen.nodeid, seen.when, seen.outcome, *seen.location[:2], file=file)
    return made
"""


def watched(run, tmp_path, *hook):
    """What a plugin of the user's own sees in a hook."""
    name, parameters, seen = hook
    place = tmp_path / f"{name}.txt"
    text = WATCH.format(hook=name, parameters=parameters, seen=seen, place=str(place))
    (tmp_path / f"watch_{name}.py").write_text(text)
    run(
        "--hosts=demo://healthy",
        "--read-only",
        "-p",
        f"watch_{name}",
        PYTHONPATH=str(tmp_path),
    )
    return place.read_text().splitlines()


def test_a_plugin_that_makes_reports_or_reads_them_is_asked_for_every_phase(run, tmp_path):
    made = watched(run, tmp_path, "makereport", "item, call", "made")
    told = watched(run, tmp_path, "logreport", "report", "report")
    assert made == told
    assert {line.split("] ")[1].split()[0] for line in told} == {"setup", "call", "teardown"}
    places = {}
    for line in told:
        test, _, rest = line.partition("[")
        places.setdefault(test, set()).add(tuple(rest.split()[-2:]))
    assert len(set.union(*places.values())) == len(places), "each test at its own place, for all hosts"


def test_what_is_read_of_a_host_takes_few_round_trips(run):
    """What came in one round trip was begun at one instant: who answers, the ids, most of all else, what the main process
    is called (a script in the demo), the log where the configuration says it is, `status`.
    """
    ran = run("--hosts=demo://healthy", "--read-only")
    lines = next(ran.folder.glob("reports/2*/journal.jsonl")).read_text().splitlines()
    records = [json.loads(line)["record"] for line in lines]
    trips = {}
    for record in records:
        if record["kind"] == "command":
            trips.setdefault(record["host"], {}).setdefault(record["at"], []).append(record["command"])
    numbers = [len(commands) for commands in trips.values()]
    assert max(numbers) <= 6, trips
    assert " /var/log/qualys" not in json.dumps(trips), "the demo keeps to its own folder"
