"""What a large fleet would cost in memory, and need not."""

import gc
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest

_ARENAS = -8  # M_ARENA_MAX of glibc's mallopt(3)
# Of fewer items it takes longer to be rid of them than they are worth.
_MANY = 5_000


def keep() -> None:
    """All that is there now stays to the end: a fleet's need not be looked through for garbage again and again."""
    gc.freeze()


@contextmanager
def nothing_is_garbage() -> Generator[None, None, None]:
    """While a fleet's tests are made none of them is garbage, and all of them stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        keep()
        if was_enabled:
            gc.enable()


def let_go_of_earlier_runs() -> None:
    """Those of this process, which did not end with them: what they have left was kept."""
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()


def keep_threads_to_one_arena() -> None:
    """Threads that only wait shall not each leave holes in an arena of its own; to other libraries' malloc this means nothing."""
    with suppress(ImportError, AttributeError, OSError):
        import ctypes  # noqa: PLC0415  # some Pythons are built without it

        ctypes.CDLL(None).mallopt(_ARENAS, 1)


def share_callspecs(items: Sequence[pytest.Function]) -> None:
    """Tests that are about a host and nothing else are called with the same: pytest keeps it once for each."""
    shared: dict[str, Any] = {}  # pytest has no public name for what it is
    for item in items:
        own = getattr(item, "callspec", None)
        if own is not None and set(own.params) == {"target"} and shared.setdefault(own.id, own) == own:
            item.callspec = shared[own.id]


def let_go_of_items(session: pytest.Session) -> None:
    """At its end a run needs its tests no more, and `session.items` is empty; the evidence takes their place in memory."""
    if len(session.items) >= _MANY:
        session.items.clear()
        gc.unfreeze()
        gc.collect()
        gc.freeze()
