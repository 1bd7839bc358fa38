"""What a large fleet would cost in memory: what is shared is the same, and what is let go of is needed no more."""

import ctypes
import gc
import weakref
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from qualys_verify import memory


@dataclass(frozen=True)
class Callspec:
    id: str
    params: tuple[str, ...]


def test_tests_of_one_host_share_what_they_are_called_with():
    specs = [Callspec(host, (host,)) for host in ("web1", "web2", "web1", "web2")]
    items = [SimpleNamespace(callspec=spec) for spec in specs]
    memory.share_callspecs(items)
    assert [item.callspec for item in items] == specs
    assert items[0].callspec is items[2].callspec
    assert items[0].callspec is not items[1].callspec


def test_what_is_called_with_something_else_keeps_its_own():
    other, items = Callspec("web1", ("web1", "2")), [SimpleNamespace(callspec=Callspec("web1", ("web1",)))]
    items += [SimpleNamespace(callspec=other), SimpleNamespace()]
    memory.share_callspecs(items)
    assert items[1].callspec is other
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
@pytest.mark.parametrize(("number", "is_there"), [(5000, False), (4999, True)])
def test_the_items_of_a_large_fleet_are_gone_before_the_evidence_is_made(number, is_there):
    session = SimpleNamespace(items=[Item() for _ in range(number)])
    first = weakref.ref(session.items[0])
    memory.keep()
    memory.let_go_of_items(session)
    assert (first() is not None) is is_there
    assert gc.get_freeze_count()


def test_another_c_library_has_no_such_setting(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    memory.keep_threads_to_one_arena()
