"""`@observation`: how one look at a host is declared, as a pytest fixture that is a plain function of other looks.

The function's parameters are its needs: `host` is the live Host, any other name is another observation's
value. A parameter with a default is used when that observation is made anyway, and asks for nothing.

Calling the function is the fleet's business. The pytest fixture of the same name only hands a test the
finished value, or raises what kept it from being seen.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Protocol

import pytest

from qualys_verify.asked import Asked
from qualys_verify.host import Host, Record
from qualys_verify.reasons import Inconclusive, NotApplicable
from qualys_verify.targets import Target

LIVE_HOST = "host"
Asks = Callable[[Host], Iterable[Asked]]


@dataclass(frozen=True)
class Observation:
    """One way of looking: its name, what it needs, what it uses if it is there, and the function that looks.

    `asks` tells what it is going to ask of a host, as far as that is known before anything was seen there.
    """

    name: str
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    look: Callable[..., object]
    is_trigger: bool
    asks: Asks | None = None

    def make(self, host: Host, seen: Mapping[str, object]) -> object:
        """Look at a host, given the values of the other observations; returns the value or raises a reason."""
        values = {name: seen[name] for name in (*self.needs, *self.uses) if name in seen}
        if _speaks_to_the_host(self.look):
            values[LIVE_HOST] = host
        return self.look(**values)


@cache
def _speaks_to_the_host(look: Callable[..., object]) -> bool:
    return LIVE_HOST in inspect.signature(look).parameters


@dataclass(frozen=True, slots=True)
class Sighting:
    """What came of one observation of one host.

    Either `value` or `reason` (why there is none). `started` is UTC, `took` in seconds.
    """

    value: object
    reason: NotApplicable | Inconclusive | None
    record: Record
    started: datetime
    took: float


class Sightings(Protocol):
    """Where fixtures and findings get from what was seen; the fleet is one."""

    def sighting(self, target: Target, name: str) -> Sighting:
        """What came of one observation of one host."""


FLEET: pytest.StashKey[Sightings] = pytest.StashKey()
# In the order of declaration, which is that of the runbook's steps.
_DECLARED: dict[str, Observation] = {}


def observation(look: Callable[..., Any]) -> Callable[..., Any]:
    """Declare an observation that only looks."""
    return _declare(look, is_trigger=False)


def observation_that_asks(asks: Asks) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The same, where it is known what it is going to ask: that is fetched along with what others ask (see `ahead`)."""
    return lambda look: _declare(look, is_trigger=False, asks=asks)


def trigger(look: Callable[..., Any]) -> Callable[..., Any]:
    """Declare an observation that makes the agent act; a test that needs it carries the marker `trigger`."""
    return _declare(look, is_trigger=True)


def _declare(look: Callable[..., Any], *, is_trigger: bool, asks: Asks | None = None) -> Callable[..., Any]:
    parameters = [item for name, item in inspect.signature(look).parameters.items() if name != LIVE_HOST]
    needs = tuple(item.name for item in parameters if item.default is item.empty)
    uses = tuple(item.name for item in parameters if item.default is not item.empty)
    name = look.__name__
    _plan.cache_clear()
    _DECLARED[name] = Observation(name, needs, uses, look, is_trigger, asks)

    def fixture(target: Target, sightings: Sightings) -> object:
        return value_of(sightings.sighting(target, name))

    fixture.__name__, fixture.__doc__, fixture.__module__ = name, look.__doc__, look.__module__
    # Set up once for all tests of a host, without what it needs: the fleet has gone through that already.
    return pytest.fixture(fixture, scope="session")


def value_of(sighting: Sighting) -> object:
    """What a test is handed; pytest's outcomes stand for what kept it from being seen."""
    if isinstance(sighting.reason, NotApplicable):
        pytest.skip(str(sighting.reason))
    if sighting.reason is not None:
        pytest.fail(str(sighting.reason), pytrace=False)
    return sighting.value


def plan(asked: Iterable[str]) -> tuple[Observation, ...]:
    """The observations to make on a host for these fixture names, needs before what needs them.

    Other fixture names are passed over. Among observations that do not depend on each other the order of
    declaration decides, which is the order of the runbook's steps.
    """
    return _plan(frozenset(asked))


@lru_cache  # all hosts are asked for the same few
def _plan(asked: frozenset[str]) -> tuple[Observation, ...]:
    wanted = _closure(name for name in asked if name in _DECLARED)
    ordered: dict[str, Observation] = {}

    def place(name: str) -> None:
        if name in ordered or name not in wanted:
            return
        for other in (*_DECLARED[name].needs, *_DECLARED[name].uses):
            place(other)
        ordered[name] = _DECLARED[name]

    for name in _DECLARED:
        place(name)
    return tuple(ordered.values())


def _closure(names: Iterable[str]) -> frozenset[str]:
    waiting, found = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _DECLARED[name].needs
    return frozenset(found)


def is_trigger(fixture_names: Sequence[str]) -> bool:
    """Whether a test with these fixtures makes the agent act."""
    return any(item.is_trigger for item in plan(fixture_names))
