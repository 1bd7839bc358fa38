"""Every fault through the real suite over real SSH, compared with the table."""

import json
import subprocess
import sys

import pytest

from qualys_verify.cli import main
from qualys_verify.standin.demo import plan
from qualys_verify.standin.faults import FAULTS
from qualys_verify.targets import select
from tests.faults.conftest import BY_SSH, NO_KUBECTL, PLAYABLE
from tests.faults.matrix import CHECKOUT, load
from tests.faults.render import PAGE, page

EXPECTED = load()
HEALTHY = {name for name, fault in FAULTS.items() if fault.healthy}


def test_the_table_has_a_row_for_each_fault():
    assert list(EXPECTED) == list(FAULTS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(name not in PLAYABLE, reason=NO_KUBECTL or "never"))
        for name in FAULTS
    ],
)
def test_the_suite_says_what_the_table_says(observed, name):
    assert observed[name] == EXPECTED[name]


@pytest.mark.parametrize("name", BY_SSH)
def test_it_says_the_same_when_openssh_speaks_to_the_host(observed_by_openssh, name):
    assert observed_by_openssh[name] == EXPECTED[name]


def test_no_fault_ends_without_a_failure_or_an_error(observed):
    assert [
        name for name in PLAYABLE if name not in HEALTHY and not (observed[name].fail or observed[name].err)
    ] == []


def test_no_healthy_variant_has_a_failure_or_an_error(observed):
    assert [
        name for name in PLAYABLE if name in HEALTHY and (observed[name].fail or observed[name].err)
    ] == []


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(EXPECTED)


def test_there_are_enough_of_both():
    assert len(FAULTS) - len(HEALTHY) >= 85
    assert len(HEALTHY) >= 30
    contained = {name for name, fault in FAULTS.items() if fault.trait is not None}
    assert len(contained - HEALTHY) >= 15
    assert len(contained & HEALTHY) >= 5


def test_the_command_lists_them(capsys):
    assert main(["faults"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and fault.sentence in text for name, fault in FAULTS.items())
    assert main(["faults", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": fault.name, "healthy": fault.healthy, "sentence": fault.sentence}
        for fault in FAULTS.values()
    ]


def test_a_host_for_each_fault_in_turn():
    assert [host.name for host in plan("", None, 1.0, ("log-silent", "crash-loop"))] == [
        "demo-log-silent",
        "demo-crash-loop",
    ]
    assert [host.name for host in plan("", 3, None, ("log-silent", "crash-loop"))] == [
        "demo-log-silent",
        "demo-crash-loop",
        "demo-log-silent-002",
    ]
    assert [host.fault for host in plan("", 1, None, ("log-silent", "crash-loop"))] == ["log-silent"]


@pytest.mark.parametrize(
    ("specs", "faults", "targets"),
    [
        ("demo://?faults=log-silent", ("log-silent",), []),
        ("demo://?faults=log-silent,crash-loop&hosts=2", ("log-silent", "crash-loop"), []),
        (
            "demo://?hosts=2&faults=log-silent,crash-loop,ssh://web1",
            ("log-silent", "crash-loop"),
            ["ssh://web1"],
        ),
        ("demo://?faults=log-silent&hosts=2,web1", ("log-silent",), ["ssh://web1"]),
        ("web1,demo://?faults=log-silent,crash-loop", ("log-silent", "crash-loop"), ["ssh://web1"]),
        ("demo://?hosts=2,web1", (), ["ssh://web1"]),
    ],
)
def test_commas_between_faults_are_no_commas_between_hosts(specs, faults, targets):
    selection = select([specs])
    assert selection.demo.faults == faults
    assert [target.id for target in selection.targets] == targets


def test_an_inventory_may_name_faults(tmp_path):
    (tmp_path / "fleet").write_text("demo://?faults=log-silent,crash-loop # both\n")
    assert select([f"@{tmp_path / 'fleet'}"]).demo.faults == ("log-silent", "crash-loop")


@pytest.mark.parametrize(
    "spec", ["demo://?faults=no-such", "demo://?faults=", "demo://?faults=log-silent,web1"]
)
def test_an_unknown_fault_is_one_sentence_that_names_the_list(spec):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"--hosts={spec}", "tests_agent"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.strip().startswith("ERROR: there is no fault ")
    assert "`qualys-verify faults` lists them" in done.stderr


def test_a_selection_has_no_faults():
    with pytest.raises(ValueError, match="demo://healthy has no faults"):
        plan("healthy", None, None, ("log-silent",))
