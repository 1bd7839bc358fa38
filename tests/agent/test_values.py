"""What holds for all values of the agent's world."""

import importlib
import inspect
import pkgutil
from dataclasses import is_dataclass

import pytest

from qualys_verify import agent

MODULES = [
    importlib.import_module(f"{agent.__name__}.{module.name}")
    for module in pkgutil.iter_modules(agent.__path__)
]
VALUES = {
    name: kind
    for module in MODULES
    for name, kind in inspect.getmembers(module, is_dataclass)
    if name != "_Case"  # a reader's state, not a value
}


@pytest.mark.parametrize("kind", VALUES.values(), ids=VALUES)
def test_what_was_seen_cannot_be_changed_afterwards(kind):
    assert kind.__dataclass_params__.frozen
    assert kind.__hash__ is not object.__hash__
