"""Every fault through the real suite over real SSH, compared with the table."""

import json

import pytest

from qualys_verify.cli import main
from qualys_verify.standin.faults import FAULTS
from tests.faults.matrix import load
from tests.faults.render import PAGE, page

EXPECTED = load()
HEALTHY = {name for name, fault in FAULTS.items() if fault.healthy}


def test_the_table_has_a_row_for_each_fault():
    assert list(EXPECTED) == list(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_the_suite_says_what_the_table_says(observed, name):
    assert observed[name] == EXPECTED[name]


def test_no_fault_ends_without_a_failure_or_an_error(observed):
    assert [name for name in FAULTS if name not in HEALTHY and not (observed[name].fail or observed[name].err)] == []


def test_no_healthy_variant_has_a_failure_or_an_error(observed):
    assert [name for name in FAULTS if name in HEALTHY and (observed[name].fail or observed[name].err)] == []


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(EXPECTED)


def test_there_are_enough_of_both():
    assert len(FAULTS) - len(HEALTHY) >= 85
    assert len(HEALTHY) >= 30


def test_the_command_lists_them(capsys):
    assert main(["faults"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and fault.sentence in text for name, fault in FAULTS.items())
    assert main(["faults", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": fault.name, "healthy": fault.healthy, "sentence": fault.sentence} for fault in FAULTS.values()
    ]


