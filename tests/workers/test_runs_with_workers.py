"""`-n`: each host on one worker, each agent asked once, one evidence; and what happens when a worker does not end well."""

import os
import signal
import subprocess
import sys

import pytest

from qualys_verify.standin.demo import Demo
from qualys_verify.standin.install import StandinHost
from tests.plugin.conftest import Standin
from tests.workers.conftest import REQUESTS, Asked, journal_of, left_behind, result_of, workers_of

HOSTS = "--hosts=demo://healthy?hosts=6&delay=0.3"
NAMES = {f"demo://demo-{kind}-00{number}" for kind in ("runbook", "limited", "vendor") for number in (1, 2)}


def host_of(row):
    return row.partition("[")[2].removesuffix("]")


def all_are_asked(running, hosts, each=2):
    notes = [path.read_text().count("\n") for path in running.folder.glob(REQUESTS)]
    return len(notes) == hosts and min(notes) >= each


@pytest.fixture(scope="module")
def shared(start, until):
    """A run of six hosts with three workers, and its agents' notes."""
    running = start("--hosts=demo://healthy?hosts=6&delay=3", "-n", "3", "--poll-interval=0.5")
    until(lambda: all_are_asked(running, 6, each=1), 60)
    notes = Asked(running.folder).keep()
    return running.end(), notes


@pytest.fixture(scope="module")
def alone(run):
    return run(HOSTS)


def test_all_hosts_are_assessed_and_each_agent_is_asked_once(shared):
    ran, notes = shared
    assert (ran.status, ran.err) == (0, "")
    assert notes.hosts == NAMES
    assert notes.each_once
    assert all(sum(notes.types(host).values()) == 2 for host in notes.hosts)


def test_nothing_is_left_behind(shared):
    ran, _ = shared
    assert left_behind(ran) == []
    assert len(list((ran.folder / "reports").iterdir())) == 2, "one folder, and `latest`"


def test_the_same_tests_run_as_in_one_process(shared, alone):
    assert shared[0].rows == alone.rows


def test_a_host_s_tests_run_on_one_worker_and_hosts_are_shared_out_evenly(run, tmp_path):
    (tmp_path / "spy.py").write_text(
        "import os\n"
        "def pytest_runtest_logreport(report):\n"
        "    if report.when == 'call' and 'PYTEST_XDIST_WORKER' in os.environ:\n"
        f"        with open({str(tmp_path / 'log')!r}, 'a') as log:\n"
        "            print(os.environ['PYTEST_XDIST_WORKER'], report.nodeid, file=log)\n"
    )
    ran = run(HOSTS, "-n", "4", "--read-only", "-p", "spy", PYTHONPATH=str(tmp_path))
    assert ran.status == 0
    seen = {}
    for line in (tmp_path / "log").read_text().splitlines():
        worker, _, nodeid = line.partition(" ")
        seen.setdefault(worker, set()).add(host_of(nodeid))
    assert sorted(map(len, seen.values())) == [1, 1, 2, 2]
    assert sum(map(len, seen.values())) == len(set.union(*seen.values())) == 6


def test_the_evidence_has_all_that_a_single_process_leaves(shared, alone):
    many, one = result_of(shared[0]), result_of(alone)
    assert many.verdicts == one.verdicts
    assert many.coverage == one.coverage
    assert [host.id for host in many.hosts] == [host.id for host in one.hosts]
    for here, there in zip(many.hosts, one.hosts, strict=True):
        assert here.identity.keys() == there.identity.keys()
        assert [item.name for item in here.observations] == [item.name for item in there.observations]
        assert all(item.commands or item.readings or item.text for item in here.observations)
        assert [item.rests_on for item in here.assessments] == [item.rests_on for item in there.assessments]
    folders = [next(ran.folder.glob("reports/2*")) for ran in (shared[0], alone)]
    files = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in folders]
    assert files[0] == files[1]
    assert all("$ " in path.read_text() for path in folders[0].glob("transcripts/*"))
    done = subprocess.run(
        [sys.executable, "-m", "qualys_verify.cli", "verify", folders[0]],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_of_pytest_html_has_the_transcripts_and_who_answered(shared):
    text = shared[0].report.read_text()
    assert "Who answered" in text
    assert text.count("systemctl show qualys-cloud-agent.service") >= 6


def test_what_is_expected_stands_in_the_journal_before_anything_was_seen(shared):
    kinds = [record["kind"] for record in journal_of(shared[0])]
    assert kinds[:2] == ["started", "planned"]
    assert kinds[-1] == "ended"
    assert kinds.count("planned") == kinds.count("started") == 1


def test_as_much_is_taken_out_of_it_as_in_one_process(shared, alone):
    """The stand-in's activation and customer ids, for one; a worker takes them out before anything leaves it."""
    many, one = (result_of(ran).run.redacted for ran in (shared[0], alone))
    assert many.keys() == one.keys()
    assert many


def test_a_killed_worker_s_hosts_are_inconclusive_and_nobody_else_asks_them(start, until, asked):
    running = start("--hosts=demo://healthy?hosts=4&delay=6", "-n", "2")
    until(lambda: all_are_asked(running, 4), 60)
    notes = asked(running).keep()
    workers = workers_of(running)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    ran = running.end()
    assert ran.status == 6, ran.out
    outcomes = {}
    for row, outcome in ran.rows.items():
        outcomes.setdefault(host_of(row), set()).add(outcome)
    lost = {host for host, found in outcomes.items() if "error" in found}
    assert len(lost) == 2
    assert all(outcomes[host] == {"error"} for host in lost)
    assert all(outcomes[host] <= {"passed", "skipped"} for host in outcomes.keys() - lost)
    said = " ".join(ran.out.split())
    assert "was lost (Not properly terminated)" in said
    assert "run it again" in said
    assert notes.each_once
    assert len(notes.hosts) == 4
    result = result_of(ran)
    assert result.run.exit_status == 6
    for host in result.hosts:
        if host.id in lost:
            assert all("its worker gw" in item.reason and not item.assessed for item in host.assessments)
            assert host.identity, "what it had seen is kept"
            assert any(item.commands for item in host.observations)
    assert left_behind(ran) == []


def test_all_workers_killed(start, until):
    running = start("--hosts=demo://healthy?hosts=2&delay=60", "-n", "2")
    until(lambda: all_are_asked(running, 2), 60)
    for pid in workers_of(running):
        os.kill(pid, signal.SIGKILL)
    ran = running.end()
    assert (ran.status, set(ran.outcomes)) == (6, {"error"})
    assert left_behind(ran) == []


@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGTERM, "Ctrl-C", "one worker", "--deadline"], ids=str
)
def test_a_run_that_is_ended_reports_every_row(start, until, how):
    options = ["--deadline=15"] if how == "--deadline" else []
    running = start("--hosts=demo://healthy?hosts=4&delay=60", "-n", "2", *options)
    until(lambda: all_are_asked(running, 4), 60)
    if how == "Ctrl-C":  # a terminal sends it to all of them
        os.killpg(running._process.pid, signal.SIGINT)
    elif how == "one worker":
        os.kill(workers_of(running)[0], signal.SIGTERM)
    elif how != "--deadline":
        running.interrupt(how)
    ran = running.end()
    assert ran.status == 2, ran.out
    outcomes = {}
    for row, outcome in ran.rows.items():
        outcomes.setdefault(host_of(row), set()).add(outcome)
    assert len(outcomes) == 4
    assert all({"passed", "error"} <= found for found in outcomes.values()), outcomes
    result = result_of(ran)
    assert result.run.interrupted
    assert result.coverage.expected == result.coverage.assessed
    assert "Traceback" not in ran.out + ran.err
    assert left_behind(ran) == []


def test_a_killed_controller_leaves_a_journal_to_render_and_no_process(start, until):
    running = start("--hosts=demo://healthy?hosts=2&delay=60", "-n", "2")
    until(lambda: all_are_asked(running, 2), 60)
    os.kill(running._process.pid, signal.SIGKILL)
    running._process.communicate()
    until(lambda: not workers_of(running) and not running.left_behind, 40)
    (folder,) = running.folder.glob("reports/2*")
    done = subprocess.run(
        [sys.executable, "-m", "qualys_verify.cli", "render", folder],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "incomplete" in done.stdout
    assert list(folder.glob("transcripts/*"))


def test_read_only_triggers_nothing(run):
    ran = run(HOSTS, "-n", "2", "--read-only")
    assert ran.status == 0
    assert result_of(ran).run.read_only
    assert not any(
        record["kind"] == "command"
        and "scan" in record["observation"]
        and "action=demand" in record["command"]
        for record in journal_of(ran)
    )


def test_the_first_failure_ends_it_as_in_one_process(run):
    ran = run("--hosts=demo://?delay=0.3", "-n", "2", "-x", "-k", "unit_exists or process")
    assert ran.status == 1, ran.out
    result = result_of(ran)
    assert result.verdicts["non-compliant"] >= 1


def test_last_failed_runs_what_failed_and_nothing_else(run):
    first = run("--hosts=demo://?delay=0.3", "-n", "2", "--poll-timeout=2")
    assert first.status == 1
    bad = {name for name, outcome in first.rows.items() if outcome in {"failure", "error"}}
    again = run(
        "--hosts=demo://?delay=0.3",
        "-n",
        "2",
        "--poll-timeout=2",
        "--lf",
        "-o",
        f"cache_dir={first.folder}/cache",
    )
    assert again.status == 1
    assert set(again.rows) == bad


@pytest.mark.parametrize(
    "options",
    [
        ["-n", "0"],
        ["-n", "auto"],
        ["--tx", "2*popen"],
        ["--tx=popen", "--tx=popen", "--dist=loadscope"],
        ["-n2", "--dist=worksteal"],
        ["-n2", "-q"],
        ["-n2", "-vv"],
        ["-n2", "-p", "no:terminal"],
        ["-n2", "-p", "no:html"],
    ],
    ids=" ".join,
)
def test_ways_of_asking_for_workers(run, options):
    ran = run("--hosts=demo://healthy?delay=0.3", "-k", "unit_exists", *options)
    assert (ran.status, ran.outcomes, ran.err) == (0, {"passed": 3}, "")
    assert left_behind(ran) == []


def test_without_xdist_pytest_says_so(run):
    ran = run("--hosts=demo://healthy", "-n", "2", "-p", "no:xdist")
    assert ran.status == 4
    assert "unrecognized arguments: -n" in ran.err


def test_each_test_on_each_worker_is_refused(run):
    ran = run("--hosts=web1", "-n", "2", "--dist=each")
    assert ran.status == 4
    assert "--dist=each is not used here" in ran.err


def test_collecting_alone_needs_no_worker(run):
    ran = run("--hosts=demo://healthy", "-n", "2", "--collect-only", "-q")
    assert ran.status == 0
    assert "test_unit_exists[demo://demo-vendor]" in ran.out


def test_no_hosts(run):
    ran = run("-n", "2")
    assert ran.status == 4
    assert ran.err.count("no hosts to verify") == 1
    assert "Traceback" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["tests_agent/missing.py"], "file or directory not found"),
        (["tests_agent/test_step_1_installed_and_running.py::test_nothing"], "not found"),
    ],
    ids=["file", "test"],
)
def test_what_is_not_there_is_said_once(run, options, says):
    ran = run("--hosts=demo://healthy", "-n", "2", *options)
    assert (ran.status, ran.err.count(says)) == (4, 1), ran.err
    assert left_behind(ran) == []


def test_nothing_selected(run):
    ran = run("--hosts=demo://healthy", "-n", "2", "-k", "no_such_test")
    assert (ran.status, ran.err) == (5, "")
    assert "Nothing was assessed" in ran.out
    assert left_behind(ran) == []


def test_one_machine_under_two_names_is_triggered_once_by_whichever_worker(run, tmp_path):
    """Both workers see the same machine: the second is told so by the controller."""
    with Demo.start((StandinHost("one", "runbook", delay=0.3),), tmp_path / "demo") as demo:
        standin = Standin("one", demo.hosts[0].root, demo.ssh_config)
        config = tmp_path / "ssh_config"
        config.write_text(demo.ssh_config.read_text().replace("Host one\n", "Host one other\n", 1))
        places = [word for word in standin.places if not word.startswith("--ssh-config")]
        ran = run("--hosts=ssh://one,ssh://other", f"--ssh-config={config}", *places, "-n", "2")
        assert ran.status == 6, ran.out
        assert set(standin.requests.values()) == {1}
        assert "is the same machine as" in " ".join(ran.out.split())
