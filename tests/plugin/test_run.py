"""Whole runs: exit status, terminal, JUnit, the page, and what is left behind."""

import json
import re
import signal
import subprocess
import sys
from html import unescape

import pytest

TEST_IDS = re.compile(r"(test_\w+)\[(.+)\]")
SCRIPT = "<svg/onload=alert(1)>"
NOWHERE = "ssh://127.0.0.1:1"


@pytest.fixture(scope="module")
def healthy(run):
    return run("--hosts=demo://healthy?delay=0.3")


@pytest.fixture(scope="module")
def mixed(run):
    """Hosts of all kinds, one that is not there, and a branch with a name that is a script."""
    return run(
        f"--hosts=demo://?delay=0.3,{NOWHERE}",
        "--poll-timeout=3",
        "--metadata",
        f"Owner{SCRIPT}",
        f"<b>{SCRIPT}",
        GIT_BRANCH=SCRIPT,
        BUILD_ID=f"'\"{SCRIPT}",
    )


@pytest.fixture(scope="module")
def page(mixed):
    return mixed.report.read_text()


def test_a_healthy_fleet_ends_green(healthy):
    assert healthy.status == 0
    assert set(healthy.outcomes) <= {"passed", "skipped"}
    assert healthy.err == ""
    hosts = [TEST_IDS.fullmatch(name)[2] for name in healthy.rows]
    assert set(hosts) == {"demo://demo-runbook", "demo://demo-limited", "demo://demo-vendor"}
    assert hosts == sorted(hosts, key=hosts.index), "the rows of a host stand together"
    assert len(set(map(hosts.count, hosts))) == 1


def test_the_terminal_shows_hosts_by_steps_and_the_limits(healthy):
    assert re.search(r"demo://demo-vendor( +✔){7} *\n", healthy.out)
    assert "visible only in the Qualys UI" in " ".join(healthy.out.split())
    assert "failures on purpose" not in healthy.out


@pytest.mark.parametrize("name", ["healthy", "mixed"])
def test_nothing_stays_behind_but_the_report(request, name):
    ran = request.getfixturevalue(name)
    assert ran.left_behind == []
    (report, latest) = sorted((ran.folder / "reports").iterdir())
    assert latest.name == "latest"
    assert latest.resolve() == report
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", report.name)


def test_a_fleet_with_everything_in_it(mixed):
    assert mixed.status == 1
    assert "This is the demo: it shows failures on purpose" in mixed.out
    assert "Traceback" not in mixed.out + mixed.err
    by_host = {}
    for name, outcome in mixed.rows.items():
        by_host.setdefault(TEST_IDS.fullmatch(name)[2], {}).setdefault(outcome, []).append(
            TEST_IDS.fullmatch(name)[1]
        )
    assert by_host["demo://demo-no-agent"]["failure"] == ["test_unit_exists"]
    assert by_host["demo://demo-never-assesses"]["failure"] == ["test_vulnerability_scan_was_executed"]
    assert set(by_host[NOWHERE]) == {"error"}
    assert len({sum(map(len, found.values())) for found in by_host.values()}) == 1, "every row is reported"


def test_the_reason_is_told_once_and_not_for_each_test(mixed):
    assert len(re.findall("Connection refused|connection was refused", mixed.out)) == 1


def test_the_page_stands_by_itself(page):
    assert not re.search(r"""<link|src=["']?[^"' ]""", page.partition("<script>")[0])


def test_no_name_and_no_value_is_markup_in_the_page(page):
    assert SCRIPT not in page
    assert "<svg" not in page
    assert SCRIPT in unescape(page)


def test_no_name_and_no_value_becomes_markup_when_the_page_s_script_runs(page):
    """pytest-html's script puts these into the page as HTML."""
    (blob,) = re.findall(r'data-jsonblob="([^"]*)"', page)
    data = json.loads(unescape(blob))
    assert SCRIPT not in json.dumps({key: value for key, value in data.items() if key != "environment"})
    environment = data["environment"]
    assert SCRIPT not in json.dumps(list(environment.values()))
    assert unescape(environment["GIT_BRANCH"]) == SCRIPT


def test_the_page_has_the_transcript_of_every_row_that_was_looked_at(page, mixed):
    (blob,) = re.findall(r'data-jsonblob="([^"]*)"', page)
    logs = {test: row["log"] for test, (row,) in json.loads(unescape(blob))["tests"].items()}
    assert {test.partition("::")[2] for test in logs} == set(mixed.rows)
    for test_id, log in logs.items():
        if NOWHERE in test_id:
            assert "connection was refused" in log
        else:
            assert "systemctl show qualys-cloud-agent.service" in log, test_id
    never = next(
        log for test_id, log in logs.items() if "vulnerability_scan_was_executed[demo://demo-never" in test_id
    )
    assert never.count("Last assessment: ") > 3


def test_the_page_says_what_it_does_not_show(page):
    assert "visible only in the Qualys UI" in page


def test_only_what_could_not_be_seen_is_inconclusive(run):
    ran = run(f"--hosts={NOWHERE},ssh://127.0.0.1:2")
    assert (ran.status, set(ran.outcomes)) == (6, {"error"})
    assert ran.left_behind == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["-q"],
        ["-qq"],
        ["-s"],
        ["-v"],
        ["-vv", "-ra", "--tb=short"],
        ["--color=yes"],
        ["-p", "no:html"],
        ["-p", "no:logging"],
    ],
    ids=" ".join,
)
def test_ways_of_printing(run, standin, arguments):
    ran = run(*standin("runbook").arguments, "-k", "unit_exists", *arguments)
    assert (ran.status, ran.outcomes, ran.err) == (0, {"passed": 1}, "")
    assert ran.left_behind == []


def test_without_a_terminal_reporter(run, standin):
    ran = run(*standin("runbook").arguments, "-k", "unit_exists", "-p", "no:terminal")
    assert (ran.status, ran.outcomes, ran.out) == (0, {"passed": 1}, "")


def test_the_page_may_be_put_elsewhere(run, standin, tmp_path):
    ran = run(
        *standin("runbook").arguments,
        "-k",
        "unit_exists",
        f"--html={tmp_path}/here.html",
        "--self-contained-html",
    )
    assert ran.status == 0
    assert "runbook" in (tmp_path / "here.html").read_text()


def all_have_received_requests(running):
    return len(list(running.folder.glob("tmp/*/hosts/*/var/lib/standin/requests.log"))) == 3


@pytest.fixture
def ended_by(start, until):
    """A run that is ended while it waits for scans of a minute: by a signal, or by its own deadline."""

    def make(how):
        options = ["--deadline=9"] if how == "--deadline" else []
        running = start("--hosts=demo://healthy?delay=60", *options)
        until(lambda: all_have_received_requests(running))
        if how != "--deadline":
            running.interrupt(how)
        return running.end()

    return make


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, "--deadline"], ids=str)
def test_a_run_that_is_ended_during_the_wait_reports_every_row(ended_by, healthy, how):
    """Seen is what was seen until then; the rest is inconclusive, and nobody is left waiting."""
    ran = ended_by(how)
    assert ran.status == 2
    assert ran.rows.keys() == healthy.rows.keys()
    assert {"passed", "error"} <= set(ran.outcomes) <= {"passed", "error", "skipped"}
    for name in ("runbook", "limited", "vendor"):
        assert ran.rows[f"test_unit_exists[demo://demo-{name}]"] == "passed"
        assert ran.rows[f"test_vulnerability_scan_was_executed[demo://demo-{name}]"] == "error"
    assert ran.report.exists()
    assert "interrupted" in ran.report.read_text()
    assert "Traceback" not in ran.out + ran.err
    assert ran.left_behind == []
    if how == "--deadline":
        assert "the run's time of 9 s (--deadline) is over" in " ".join(ran.out.split())


def order_of(ran):
    """What was written down, in the order in which it happened: kind and host."""
    (path,) = ran.folder.glob("reports/2*/journal.jsonl")
    records = [json.loads(line)["record"] for line in path.read_text().splitlines()]
    return [(item["kind"], item["host"]) for item in records if "host" in item]


@pytest.mark.parametrize("arguments", [[], ["-q"], ["-p", "no:terminal"]], ids=" ".join)
def test_what_was_seen_of_a_host_is_judged_while_others_are_waited_for(run, arguments):
    ran = run(f"--hosts={NOWHERE},demo://healthy?delay=2", *arguments)
    assert ran.status == 6
    order = order_of(ran)
    last_look = max(place for place, (kind, _) in enumerate(order) if kind == "observed")
    assert ("judged", NOWHERE) in order[:last_look]
    assert ran.left_behind == []


@pytest.mark.parametrize("more", [[], ["-x"]], ids=["host by host", "all first"])
def test_what_limits_the_time_of_a_test_does_not_limit_the_looking(run, more):
    """Pytest's own faulthandler ends the process, other plugins fail the test: nothing of it has begun yet."""
    limit = ("-o", "faulthandler_timeout=1", "-o", "faulthandler_exit_on_timeout=true")
    ran = run("--hosts=demo://healthy?delay=3", *limit, *more)
    assert (ran.status, ran.left_behind) == (0, [])


@pytest.mark.parametrize("arguments", [["-x"], ["--setup-show"], ["--stepwise"]], ids=" ".join)
def test_all_hosts_are_looked_at_first_where_tests_may_end_the_run_or_do_more_than_read(run, arguments):
    """Which agents are asked for a scan is not left to the verdict on another host."""
    ran = run(f"--hosts={NOWHERE},demo://healthy?delay=0.3", *arguments)
    kinds = [kind for kind, _ in order_of(ran)]
    assert "observed" not in kinds[kinds.index("judged") :]
    observed = {host for kind, host in order_of(ran) if kind == "observed"}
    assert len(observed) == 4
    assert ran.left_behind == []


def test_what_was_selected_and_not_assessed_is_listed_as_inconclusive(run, standin):
    ran = run(*standin("stuck").arguments, "--maxfail=1", "-k", "unit_exists or execut")
    assert ran.status == 1
    (path,) = ran.folder.glob("reports/2*/run.json")
    told = json.loads(path.read_text())
    assert told["coverage"]["expected"] == 4
    assert told["coverage"]["assessed"] < 4
    assert told["verdicts"]["inconclusive"] >= 1
    assert "not assessed" in " ".join(ran.out.split())


@pytest.fixture
def hostile(standins):
    """A host that prints commands wherever it can print anything, as it was before afterwards."""
    host = standins["runbook"]
    trace = host.root.parent / "run-by-us"
    said = f"$(touch {trace}) `touch {trace}` {{{{ 7*7 }}}} ; touch {trace} #"
    log, stamp = (
        host.root / "var/log/qualys/qualys-cloud-agent.log",
        host.root / "var/lib/standin/last-assessment",
    )
    name = host.root / "shims/hostname"
    saved = {path: path.read_bytes() for path in (log, stamp, name)}
    head = log.read_text().splitlines()[-1].partition("]:[Information]")[0]
    with log.open("a") as file:
        file.write(f"{head}]:[Information]:[1]:{said}\n")
    stamp.write_text(f"{said}\n")
    name.write_text(f"#!/bin/sh\nprintf '%s\\n' '{said}'\n")
    yield host, trace
    for path, data in saved.items():
        path.write_bytes(data)


def test_nothing_that_a_host_prints_is_run(run, hostile):
    host, trace = hostile
    ran = run(*host.arguments, "--read-only", "-vv", "-rA")
    assert f"touch {trace}" in "".join(
        path.read_text() for path in ran.folder.glob("reports/2*/transcripts/*")
    )
    assert not trace.exists()
    assert ran.rows["test_unit_exists[ssh://runbook]"] == "passed"
    kept = [path.read_text(errors="replace") for path in ran.folder.glob("reports/2*/*") if path.is_file()]
    assert not any(" 49 ; touch" in text for text in (*kept, ran.out))


def test_no_file_is_left_on_a_host(run, standin):
    host = standin("runbook")

    def files():
        own = ("var/lib/standin", "var/log/qualys")  # where the agent itself writes when it is asked
        found = {str(path.relative_to(host.root)) for path in host.root.rglob("*")}
        return {name for name in found if not name.startswith(own)}

    before = files()
    assert run(*host.arguments).status == 0
    assert files() == before


def test_ctrl_c_twice_ends_as_well(start, until):
    running = start("--hosts=demo://healthy?delay=60")
    until(lambda: all_have_received_requests(running))
    running.interrupt()
    running.interrupt()
    ran = running.end()
    assert ran.status == 2
    assert ran.left_behind == []


def test_the_command_warns_of_nothing_that_a_user_cannot_mend(tmp_path):
    options = ("--hosts=demo://healthy", "--collect-only", "-q")
    said = subprocess.check_output(
        [sys.executable, "-m", "qualys_verify.cli", "run", *options], cwd=tmp_path, text=True
    )
    assert "test_unit_exists" in said
    assert "Warning" not in said


def test_a_large_fleet_has_no_page_of_pytest_html_and_says_so(run):
    """Its own page opens fast; the other one is written where it is asked for."""
    hosts = ",".join(f"ssh://127.0.1.{number}:1" for number in range(1, 202))
    ran = run(f"--hosts={hosts}", "-k", "unit_exists")
    assert ran.status == 6, ran.out
    assert "no pytest.html above 50 hosts" in ran.out
    assert not ran.report.exists()
    assert (ran.report.parent / "report.html").exists()
