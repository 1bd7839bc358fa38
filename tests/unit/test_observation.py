"""Declaring observations, and the order in which they are made."""

import importlib

import pytest

from qualys_verify import observation as module
from qualys_verify.observation import is_trigger, observation, plan, trigger

for _room in ("service", "activity", "command_line", "requests", "execution"):
    importlib.import_module(f"fixtures.{_room}")


@pytest.fixture
def declared(monkeypatch):
    """No observations but those of the test."""
    monkeypatch.setattr(module, "_DECLARED", {})
    return module._DECLARED


def names(*asked):
    return [item.name for item in plan(asked)]


def test_needs_come_first_and_nobody_else_comes():
    assert names("scan") == [
        "identity",
        "unit",
        "service",
        "installation",
        "command_line",
        "assessment_before",
        "scan",
    ]
    assert names("unit") == ["identity", "unit"]
    assert names() == []


def test_fixtures_that_are_no_observations_are_passed_over():
    assert names("request", "target", "tmp_path", "unit") == ["identity", "unit"]


def test_nothing_is_triggered_before_the_state_to_compare_with_was_read():
    everything = names(*module._DECLARED)
    assert sorted(everything) == sorted(module._DECLARED)
    assert (
        everything.index("assessment_before")
        < everything.index("scan")
        < everything.index("policy_evaluation")
    )
    assert everything.index("activity") < everything.index("scan")


def test_the_order_does_not_depend_on_who_asks_first():
    assert names("policy_execution", "scan_execution") == names("scan_execution", "policy_execution")


def test_the_scan_comes_before_the_evaluation_that_only_uses_it_and_is_not_brought_in_by_it():
    assert "scan" not in names("policy_execution")
    both = names("policy_execution", "scan")
    assert both.index("scan") < both.index("policy_evaluation")


@pytest.mark.parametrize(
    ("asked", "acts"),
    [
        ([], False),
        (["target", "request"], False),
        (["unit", "activity", "status"], False),
        (["scan"], True),
        (["policy_evaluation"], True),
        (["scan_execution"], True),
        (["policy_execution"], True),
    ],
)
def test_what_rests_on_a_trigger_makes_the_agent_act(asked, acts):
    assert is_trigger(asked) is acts


def test_only_requests_are_triggers():
    acting = {name for name, item in module._DECLARED.items() if item.is_trigger}
    assert acting == {"scan", "policy_evaluation"}


def test_every_need_is_itself_an_observation():
    for item in module._DECLARED.values():
        assert set(item.needs) | set(item.uses) <= set(module._DECLARED), item.name


def test_parameters_are_needs_and_those_with_a_default_are_uses(declared):
    @observation
    def one(host):
        return f"one of {host}"

    @trigger
    def two(one, host, other="default", *, third=3):
        return host, one, other, third

    assert (declared["two"].needs, declared["two"].uses) == (("one",), ("other", "third"))
    assert (declared["one"].is_trigger, declared["two"].is_trigger) == (False, True)
    assert declared["two"].make("web1", {"one": 1, "third": 4, "unasked": 5}) == ("web1", 1, "default", 4)


def test_an_observation_need_not_speak_to_the_host(declared):
    @observation
    def one(host):
        return host

    @observation
    def derived(one):
        return one * 2

    assert declared["derived"].make("web1", {"one": 21}) == 42
    assert names("derived") == ["one", "derived"]


@pytest.mark.usefixtures("declared")
def test_the_fixture_has_the_name_and_the_words_of_the_observation():
    @observation
    def one(host):
        """What it sees."""

    assert one.name in {None, "one"}
    assert one.__doc__ == "What it sees."
