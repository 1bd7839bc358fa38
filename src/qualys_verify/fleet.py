"""All hosts at once: who is spoken to when, in which order, and what came of it.

Looking waits on the network, sometimes for minutes; so it is done for all hosts at the same time, and before what was
seen is judged. A host that only waits between two readings gives its turn to another.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from qualys_verify import memory
from qualys_verify.asked import Asked
from qualys_verify.gate import Gate, Losses
from qualys_verify.host import Claims, Host, Record, Scribe
from qualys_verify.observation import Observation, Sighting
from qualys_verify.pace import Pace
from qualys_verify.reasons import Inconclusive, Interrupted, NotApplicable, TimedOut, Unreachable
from qualys_verify.targets import Target
from qualys_verify.turns import Turns

INTERRUPTED = "not seen: the run was interrupted before this was looked at"
UNPLANNED = "not seen: nobody looked, because no test that was selected names this observation as a parameter"
_TICK = 0.2
_PROCESSORS = os.cpu_count() or 1
# In seconds. Python's own is a twentieth of it; much longer, and whoever takes long would be noticed by the others.
_SWITCH_INTERVAL = 0.1

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Visit:
    """A host that is being looked at: since when (monotonic, in seconds), and which observation is being made."""

    target_id: str
    since: float = field(default_factory=time.monotonic)
    observation: str = ""
    host: Host | None = None


@dataclass(frozen=True)
class Progress:
    """How far the fleet is, for whoever watches: hosts done, hosts in all, and those under way (which go on meanwhile)."""

    done: int
    hosts: int
    visits: Sequence[Visit]


class Witness(Scribe, Protocol):
    """Is told what happens on the hosts while it happens."""

    def observed(self, host: str, name: str, sighting: Sighting) -> None:
        """What came of an observation."""


class Fleet:
    """What is to be seen on which target, and what was seen."""

    def __init__(self, at_once: int, pace: Pace | None = None) -> None:
        """Nothing is planned and nobody is spoken to yet."""
        self.interrupted = threading.Event()
        self.claims = Claims()
        self._turns = Turns(at_once)
        self._pace = pace or Pace()
        self._losses = Losses(self._pace.max_inconclusive, 0)
        self._gate = Gate(self._pace, self._losses, self._turns, self.interrupted)
        self._sightings: dict[str, dict[str, Sighting]] = {}
        self._visits: dict[str, Visit] = {}
        self._lost: dict[str, Inconclusive] = {}
        self._roll = _Roll(())
        self._report: Callable[[Progress], None] = lambda _progress: None
        self._admitting = Future[None]()

    def sleep(self, seconds: float) -> None:
        """Wait between two readings without holding a turn. Raises Interrupted."""
        if self._turns.wait_aside(self.interrupted, seconds):
            raise Interrupted(
                "the run was interrupted while this was waited for; what was asked of the agent goes on"
            )

    def call(self) -> AbstractContextManager[None]:
        """See Company."""
        return self._turns.call()

    def clear(self, host: Host) -> None:
        """See Company."""
        self._gate.enter(host)

    def sighting(self, target: Target, name: str) -> Sighting:
        """What came of an observation; one that was never made is inconclusive, never a pass."""
        seen = self._sightings.get(target.id, {}).get(name)
        return seen or Sighting(None, self._why_unseen(target), Record(), datetime.now(UTC), 0.0)

    def _why_unseen(self, target: Target) -> Inconclusive:
        if self.interrupted.is_set():
            return Interrupted(f"{target.id}: {INTERRUPTED}")
        return self._lost.get(target.id) or Inconclusive(f"{target.id}: {UNPLANNED}")

    @contextmanager
    def observing(
        self,
        plans: Mapping[Target, Sequence[Observation]],
        open_host: Callable[[Target], Host],
        close_host: Callable[[Target], None],
        report: Callable[[Progress], None],
        journal: Witness,
    ) -> Generator[None, None, None]:
        """Make all observations on all hosts meanwhile; ends when no observer is left alive.

        `report` is called a few times a second while this thread waits (see `wait`), `journal` is told everything as it
        happens. An exception, as KeyboardInterrupt, stops every observer; what they had not seen is then inconclusive.
        """
        if not plans:
            yield
            return
        self._losses = Losses(self._pace.max_inconclusive, len(plans))
        self._gate = Gate(self._pace, self._losses, self._turns, self.interrupted)
        self._roll, self._report = _Roll(target.id for target in plans), report
        memory.keep_threads_to_one_arena()
        with _long_turns(), ThreadPoolExecutor(len(plans) + 1, "observer") as pool:
            try:
                self._admitting = pool.submit(self._admit, pool, plans, open_host, close_host, journal)
                yield
                self.wait()
            except BaseException:
                self.interrupted.set()
                raise

    def wait(self, target: Target | None = None) -> None:
        """Until all hosts are done; for one of them until it is, and looking at others leaves a processor free.

        Raises what `report` raises, and KeyboardInterrupt.
        """
        is_over = False
        while not is_over:
            is_over = self._roll.wait(partial(self._is_free_for, target), _TICK)
            self._turns.lend()
            self._report(Progress(self._roll.done, self._roll.number, tuple(self._visits.values())))
            if self._admitting.done():
                self._admitting.result()

    def _is_free_for(self, target: Target | None) -> bool:
        if target is None or target.id in self._roll.missing:
            return self.is_done
        return self.is_done or (self._admitting.done() and self._turns.taken < _PROCESSORS)

    @property
    def is_done(self) -> bool:
        """Whether all hosts are."""
        return not self._roll.missing

    def _admit(
        self,
        pool: ThreadPoolExecutor,
        plans: Mapping[Target, Sequence[Observation]],
        open_host: Callable[[Target], Host],
        close_host: Callable[[Target], None],
        journal: Witness,
    ) -> None:
        """Begin one host after another, each with its turn: a host that only queues needs no thread."""
        for target, plan in plans.items():
            self._turns.begin()
            if self.interrupted.is_set():
                return
            pool.submit(self._observe, target, plan, open_host, close_host, journal)

    def _observe(
        self,
        target: Target,
        plan: Sequence[Observation],
        open_host: Callable[[Target], Host],
        close_host: Callable[[Target], None],
        journal: Witness,
    ) -> None:
        """Make a host's observations, by who holds a turn; whatever goes wrong here is this host's, and ends nobody else's."""
        visit = self._visits[target.id] = Visit(target.id)
        try:
            with ExitStack() as at_the_end:
                visit.host = open_host(target)
                at_the_end.callback(close_host, target)
                self._look(visit.host, plan, visit, journal)
        except Exception as error:  # noqa: BLE001  # see above
            self._lost[target.id] = _defect(target, "the connection", error)
            self._losses.add(target.id)
        finally:
            self._visits.pop(target.id)
            self._gate.leave(target.id)
            self._turns.end()
            self._roll.strike(target.id)

    def _look(self, host: Host, plan: Sequence[Observation], visit: Visit, journal: Witness) -> None:
        target = host.target
        sightings = self._sightings.setdefault(target.id, {})
        asking = [item for item in plan if item.asks]
        for item in plan:
            if item in asking[:1]:
                host.expect(_foreseen(asking, host))
            visit.observation, host.waiting = item.name, None
            host.record = Record(target.id, item.name, journal)
            sightings[item.name] = self._make(host, item, sightings)
            if _is_loss(item, sightings):
                self._losses.add(target.id)
            journal.observed(target.id, item.name, sightings[item.name])
        host.forget()

    def _make(self, host: Host, item: Observation, sightings: Mapping[str, Sighting]) -> Sighting:
        """One observation, unless something that it needs was not seen: then that is its reason too."""
        started, clock = datetime.now(UTC), time.monotonic()
        value, reason = None, self._missing(host.target, item, sightings)
        if reason is None:
            seen = {name: sighting.value for name, sighting in sightings.items() if sighting.reason is None}
            value, reason = _see(host, item, seen)
        if reason is not None:
            _let_go(reason)
        return Sighting(value, reason, host.record, started, time.monotonic() - clock)

    def _missing(
        self,
        target: Target,
        item: Observation,
        sightings: Mapping[str, Sighting],
    ) -> NotApplicable | Inconclusive | None:
        if self.interrupted.is_set():
            return Interrupted(f"{target.id}: {INTERRUPTED}")
        reasons = (sightings[need].reason for need in item.needs)
        return next((reason for reason in reasons if reason is not None), None)


class _Roll:
    """Which hosts are not done yet, for those who wait for some."""

    def __init__(self, names: Iterable[str]) -> None:
        """None is done."""
        self.missing = set(names)
        self.number = len(self.missing)
        self._one_less = threading.Condition()

    @property
    def done(self) -> int:
        """How many are."""
        return self.number - len(self.missing)

    def strike(self, name: str) -> None:
        """This one is done."""
        with self._one_less:
            self.missing.discard(name)
            self._one_less.notify_all()

    def wait(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Whether something comes to hold within so many seconds; looked at whenever one is done."""
        with self._one_less:
            return self._one_less.wait_for(holds, seconds)


@contextmanager
def _long_turns() -> Generator[None, None, None]:
    """Threads that only look at a few replies each shall not be switched in the middle of it: that costs more than it takes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _foreseen(asking: Sequence[Observation], host: Host) -> Iterator[Asked]:
    """What observations tell that they are going to ask. One that cannot tell asks in its turn: this is never a reason."""
    for item in asking:
        try:
            yield from item.asks(host) if item.asks else ()
        except Exception:  # noqa: BLE001  # see above
            _log.exception("the observation `%s` does not know what it asks of %s", item.name, host.target.id)


def _is_loss(item: Observation, sightings: Mapping[str, Sighting]) -> bool:
    """Whether this observation shows that its host cannot be looked at: no answer, or nothing that a trigger could rest on."""
    reason = sightings[item.name].reason
    if isinstance(reason, Unreachable | TimedOut):
        return True
    needs = (sightings[need].reason for need in item.needs)
    return (
        item.is_trigger and isinstance(reason, Inconclusive) and any(reason is missing for missing in needs)
    )


def _see(
    host: Host, item: Observation, seen: Mapping[str, object]
) -> tuple[object, NotApplicable | Inconclusive | None]:
    try:
        return item.make(host, seen), None
    except Interrupted as reason:
        return None, reason if host.target.id in str(reason) else Interrupted(f"{host.target.id}: {reason}")
    except (NotApplicable, Inconclusive) as reason:
        return None, reason
    except BaseException as error:  # noqa: BLE001  # pytest.skip and SystemExit are no Exception
        return None, _defect(host.target, f"the observation `{item.name}`", error)


def _let_go(reason: BaseException) -> None:
    """Where a reason was raised is of no interest any more, and would keep the host with all its connections in memory."""
    reason.__traceback__ = reason.__context__ = reason.__cause__ = None


def _defect(target: Target, what: str, error: BaseException) -> Inconclusive:
    """A defect of ours is no verdict, and must not be silent either."""
    _log.error("%s of %s", what, target.id, exc_info=error)
    return Inconclusive(f"{target.id}: {what} failed inside qualys-verify ({error!r}): please report it")
