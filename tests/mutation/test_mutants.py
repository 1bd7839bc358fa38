"""The mutation proof's own changes (`python -m tests.mutation.run` makes them one by one)."""

import ast
from collections import Counter

import pytest

pytest.importorskip("cosmic_ray", reason="the mutation proof is a developer's: pip install -e '.[dev]'")

from cosmic_ray.mutating import mutate_code

from tests.mutation.operators import OPERATORS
from tests.mutation.run import CHECKOUT, mutants


@pytest.mark.parametrize("operator", ["RemoveStatement", "AddNot"])
def test_each_assertion_of_the_runbook_is_removed_and_negated(operator):
    made = Counter(
        mutant.module for mutant in mutants(CHECKOUT, ["tests_agent"]) if mutant.operator == operator
    )
    for path in (CHECKOUT / "tests_agent").glob("test_*.py"):
        asserts = sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text())))
        assert made[f"tests_agent/{path.name}"] == asserts > 0


@pytest.mark.parametrize(
    ("operator", "before", "after"),
    [
        ("RemoveStatement", "def f():\n    assert seen, 'no'\n", ["def f():\n    pass\n"]),
        ("RemoveStatement", "if x:\n    raise Y(x) from z\n", ["if x:\n    pass\n"]),
        ("RemoveStatement", "host.note(x)\n", ["pass\n"]),
        ("RemoveStatement", "'text'\nx = f(y)\nreturn f(x)\n", []),
        ("ReplaceIn", "a in b\n", ["a not in b\n"]),
        ("ReplaceIn", "a not in b\n", ["a  in b\n"]),
        ("ReplaceIn", "for a in b: pass\n", []),
        ("ReplaceIn", "[a for a in b]\n", []),
        ("RemoveAlternative", "r'(?:ab|\\d+|c)'\n", ["r'(?:\\d+|c)'\n", "r'(?:ab|c)'\n"]),
        ("RemoveAlternative", "rf'(a|{b}|c|d)'\n", ["rf'({b}|c|d)'\n", "rf'(a|{b}|d)'\n"]),
        ("RemoveAlternative", "'a|b'\n", []),
        ("CatchNothing", "try: a\nexcept (b.C, D) as e: f\n", ["try: a\nexcept () as e: f\n"]),
    ],
)
def test_what_each_of_our_own_operators_changes(operator, before, after):
    made = [mutate_code(before, OPERATORS[operator], number) for number in range(len(after) + 1)]
    assert made == [*after, None]


def test_each_change_is_one():
    found = mutants(CHECKOUT, ["verdict.py"])
    assert len(set(found)) == len(found) > 0
    for mutant in found:
        source = (CHECKOUT / mutant.module).read_text()
        assert mutate_code(source, OPERATORS[mutant.operator], mutant.occurrence) not in {source, None}
