"""What a large fleet would cost in memory: what is shared is the same, and what is let go of is needed no more."""

import ctypes
import gc
import sys
import weakref
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from qualys_verify import memory


@dataclass(frozen=True)
class Callspec:
    id: str
    params: dict[str, object]


def test_tests_of_one_host_share_what_they_are_called_with():
    specs = [Callspec(host, {"target": host}) for host in ("web1", "web2", "web1", "web2")]
    items = [SimpleNamespace(callspec=spec) for spec in specs]
    memory.share_callspecs(items)
    assert [item.callspec for item in items] == specs
    assert items[0].callspec is items[2].callspec
    assert items[0].callspec is not items[1].callspec


class Array:
    """It cannot be told whether two are the same."""

    def __eq__(self, other):
        raise ValueError("ambiguous")

    __hash__ = None


@pytest.mark.parametrize(
    ("one", "other"), [(True, 1), ([], []), (Array(), Array())], ids=["equal", "mutable", "not comparable"]
)
def test_what_is_called_with_something_else_keeps_its_own(one, other):
    specs = [Callspec("web1-x0", {"target": "web1", "x": value}) for value in (one, other)]
    items = [*(SimpleNamespace(callspec=spec) for spec in specs), SimpleNamespace()]
    memory.share_callspecs(items)
    assert [item.callspec.params["x"] for item in items[:2]][1] is other
    assert vars(items[2]) == {}


class Item:
    """Of a cycle, as pytest's are."""

    def __init__(self):
        self.request = self


@pytest.fixture
def kept():
    """Nothing else is kept, before or after."""
    memory.let_go_of_earlier_runs()
    yield
    memory.let_go_of_earlier_runs()


@pytest.mark.usefixtures("kept")
def test_garbage_is_looked_for_again_when_all_tests_are_there():
    with suppress(KeyboardInterrupt), memory.nothing_is_garbage():
        assert not gc.isenabled()
        item = Item()
        raise KeyboardInterrupt
    assert gc.isenabled()
    assert not any(found is item for found in gc.get_objects()), "it is not looked through again"


@pytest.mark.usefixtures("kept")
def test_who_does_without_collecting_garbage_still_does():
    gc.disable()
    try:
        with memory.nothing_is_garbage():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("number", "is_there"), [(5000, False), (4999, True)])
def test_the_items_of_a_large_fleet_are_gone_before_the_evidence_is_made(number, is_there):
    session = SimpleNamespace(items=[Item() for _ in range(number)])
    first = weakref.ref(session.items[0])
    memory.keep()
    memory.let_go_of_items(session)
    assert (first() is not None) is is_there
    assert gc.get_freeze_count()


def test_glibc_is_told_to_keep_to_one_arena(monkeypatch):
    told = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *what: told.append(what)))
    memory.keep_threads_to_one_arena()
    assert told == [(-8, 1)], "M_ARENA_MAX of <malloc.h>"


def test_another_c_library_has_no_such_setting(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    memory.keep_threads_to_one_arena()


def test_a_python_without_ctypes_does_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctypes", None)
    memory.keep_threads_to_one_arena()
