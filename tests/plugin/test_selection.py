"""Only what is asked for is triggered, and nothing twice: counted where the agent receives it."""

import os

import pytest

STEP_3 = "tests_agent/test_step_3_vulnerability_scan.py::test_vulnerability_scan_is_accepted"
STEP_4 = "tests_agent/test_step_4_policy_evaluation.py::test_policy_evaluation_is_accepted"
EACH_THRICE = """
import pytest

@pytest.fixture(autouse=True)
def again(request):
    pass

def pytest_generate_tests(metafunc):
    metafunc.parametrize("again", range(3), indirect=True)
"""


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("runbook", {"qualys-cloud-agent.sh scan": 1, "qualys-cloud-agent.sh policy_eval": 1}),
        (
            "vendor",  # whose qualys-cloud-agent.sh is never called: a verb would cost pending settings
            {
                "cloudagentctl.sh action=demand type=vm cputhrottle=0": 1,
                "cloudagentctl.sh action=demand type=pc cputhrottle=0": 1,
            },
        ),
    ],
)
def test_the_whole_runbook_asks_for_each_once(run, standin, name, calls):
    host = standin(name)
    ran = run(*host.arguments)
    assert ran.status == 0, ran.out
    assert host.requests == {"vm": 1, "pc": 1}
    assert {call: count for call, count in host.calls.items() if not call.endswith(" status")} == calls


@pytest.mark.parametrize(
    ("selection", "requests"),
    [
        (["-k", "scan_is_accepted"], {"vm": 1}),
        (["-k", "policy_evaluation_was_executed"], {"pc": 1}),
        (["-k", "step_1 or step_2"], {}),
        (["-m", "not trigger"], {}),
        (["-m", "trigger", "-k", "accepted"], {"vm": 1, "pc": 1}),
        (["--read-only"], {}),
        (["--deselect=tests_agent/test_step_3_vulnerability_scan.py", "-k", "accepted"], {"pc": 1}),
        (["--scan-type=pc", "-k", "accepted"], {"pc": 1}),
        (
            ["--scan-type=vm", "--scan-type=vm,pc,sca", "-k", "accepted"],
            {"vm": 1, "pc": 1, "sca": 1},
        ),
        (["--scan-type=vmpc", "-k", "accepted"], {"vmpc": 1}),
    ],
    ids=" ".join,
)
def test_a_selection(run, standin, selection, requests):
    host = standin("vendor")
    ran = run(*host.arguments, *selection)
    assert ran.status == 0, ran.out
    assert host.requests == requests


def test_a_read_only_run_says_what_it_did_not_do(run, standin):
    host = standin("runbook")
    ran = run(*host.arguments, "--read-only", "-rs")
    assert ran.status == 0
    assert host.calls == {"qualys-cloud-agent.sh status": 1}
    assert {name.partition("[")[0] for name, outcome in ran.rows.items() if outcome == "skipped"} == {
        "test_vulnerability_scan_is_accepted",
        "test_policy_evaluation_is_accepted",
        "test_vulnerability_scan_was_executed",
        "test_policy_evaluation_was_executed",
    }
    assert "--read-only" in ran.out


def test_a_node_id(run, standin):
    host = standin("runbook")
    assert run(*host.arguments, f"{STEP_4}[ssh://runbook]").status == 0
    assert host.requests == {"pc": 1}


def test_the_same_test_named_again_and_again(run, standin):
    host = standin("runbook")
    ran = run(*host.arguments, "--keep-duplicates", STEP_3, STEP_3, f"{STEP_3}[ssh://runbook]")
    assert ran.status == 0
    assert host.requests == {"vm": 1}


def test_each_test_repeated_by_a_plugin(run, standin, tmp_path):
    (tmp_path / "each_thrice.py").write_text(EACH_THRICE)
    host = standin("runbook")
    modules = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ran = run(*host.arguments, "-p", "each_thrice", "-k", "accepted", PYTHONPATH=modules)
    assert (ran.status, ran.outcomes) == (0, {"passed": 6})
    assert host.requests == {"vm": 1, "pc": 1}


def test_one_machine_under_two_names_is_triggered_once(run, standin, tmp_path):
    host = standin("runbook")
    config = tmp_path / "ssh_config"
    config.write_text(host.ssh_config.read_text().replace("Host runbook\n", "Host runbook alias\n"))
    ran = run(*host.places, f"--ssh-config={config}", "--hosts=runbook,alias", "-k", "accepted")
    assert (ran.status, ran.outcomes) == (6, {"passed": 2, "error": 2})
    assert "is the same machine as" in ran.out
    assert host.requests == {"vm": 1, "pc": 1}


def test_only_what_failed_last_time(run, standin):
    host = standin("stuck")
    first = run(*host.arguments, "--poll-timeout=1")
    assert first.status == 1
    assert host.requests == {"vm": 1, "pc": 1}
    assert [name for name, outcome in first.rows.items() if outcome == "failure"] == [
        "test_vulnerability_scan_was_executed[ssh://stuck]"
    ]
    host.forget()
    again = run(*host.arguments, "--poll-timeout=1", "--lf", "-o", f"cache_dir={first.folder}/cache")
    assert (again.status, list(again.rows.values())) == (1, ["failure"])
    assert host.requests == {"vm": 1}


@pytest.mark.parametrize(
    "look",
    [
        "--collect-only",
        "--setup-plan",
        "--fixtures",
        "--markers",
        "--help",
        "--version",
    ],
)
def test_to_be_shown_what_there_is_touches_no_host(run, canary, look):
    ran = run(*canary.arguments, "--hosts=web1", look)
    assert ran.status == 0
    assert not canary.was_touched
    assert ran.left_behind == []


def test_a_node_id_of_another_host_touches_none(run, canary):
    ran = run(*canary.arguments, "--hosts=web1", f"{STEP_3}[ssh://web2]")
    assert ran.status == 4
    assert not canary.was_touched


def test_nothing_selected_is_not_compliant(run, canary):
    ran = run(*canary.arguments, "--hosts=web1", "-k", "no_such_test")
    assert ran.status == 5
    assert not canary.was_touched


def test_nothing_that_applies_is_not_compliant_either(run, standin):
    ran = run(*standin("bare").arguments, "-k", "service")
    assert (ran.status, set(ran.outcomes)) == (5, {"skipped"})


def test_a_host_without_an_agent_fails_step_1_and_nothing_else(run, standin):
    host = standin("bare")
    ran = run(*host.arguments)
    assert ran.status == 1
    assert ran.outcomes == {"failure": 1, "skipped": len(ran.rows) - 1}
    assert ran.rows["test_unit_exists[ssh://bare]"] == "failure"


def test_a_test_file_that_cannot_be_read_is_no_reason_to_trigger(run, standin, tmp_path):
    (tmp_path / "test_broken.py").write_text("import no_such_module_at_all\n")
    host = standin("runbook")
    ran = run(
        *host.arguments,
        "tests_agent",
        str(tmp_path / "test_broken.py"),
        "--rootdir=.",
        "-c",
        "pyproject.toml",
    )
    assert ran.status == 2
    assert (host.requests, host.calls) == ({}, {})


def test_workers_do_not_trigger_what_another_worker_triggers(run, standin):
    host = standin("runbook")
    run(*host.arguments, "-n", "2", "-k", "accepted")
    assert set(host.requests.values()) <= {1}
