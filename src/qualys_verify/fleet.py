"""All hosts at once: who is spoken to when, in which order, and what came of it.

Looking waits on the network, sometimes for minutes; so it is done for all hosts at the same time, before
pytest runs the first test. A host that only waits between two readings gives its turn to another.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from qualys_verify.host import Claims, Host, Record, Scribe
from qualys_verify.observation import Observation, Sighting
from qualys_verify.reasons import Inconclusive, Interrupted, NotApplicable
from qualys_verify.targets import Target

INTERRUPTED = "not seen: the run was interrupted before this was looked at"
UNPLANNED = "not seen: nobody looked, because no test that was selected names this observation as a parameter"
_TICK = 0.2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far the fleet is, for a line on the terminal. `waiting` maps a target's id to what it is at."""

    done: int
    hosts: int
    waiting: Mapping[str, str]


class Witness(Scribe, Protocol):
    """Is told what happens on the hosts while it happens."""

    def observed(self, host: str, name: str, sighting: Sighting) -> None:
        """What came of an observation."""


class Turns:
    """At most so many hosts are spoken to at a time."""

    def __init__(self, at_once: int, interrupted: threading.Event) -> None:
        """`interrupted` ends every wait."""
        self._free = threading.BoundedSemaphore(at_once)
        self._interrupted = interrupted

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it."""
        with self._free:
            yield

    def sleep(self, seconds: float) -> None:
        """Wait without holding the turn; for use inside `turn`. Raises Interrupted."""
        self._free.release()
        try:
            self._interrupted.wait(seconds)
        finally:
            self._free.acquire()
        if self._interrupted.is_set():
            raise Interrupted(
                "the run was interrupted while this was waited for; what was asked of the agent goes on"
            )


class Fleet:
    """What is to be seen on which target, and what was seen."""

    def __init__(self, at_once: int) -> None:
        """Nothing is planned and nobody is spoken to yet."""
        self.interrupted = threading.Event()
        self.claims = Claims()
        self._turns = Turns(at_once, self.interrupted)
        self._sightings: dict[str, dict[str, Sighting]] = {}
        self._busy: dict[str, str] = {}
        self._lost: dict[str, Inconclusive] = {}

    @property
    def sleep(self) -> Callable[[float], None]:
        """How a host waits between two readings (tenacity's `sleep=`)."""
        return self._turns.sleep

    def sighting(self, target: Target, name: str) -> Sighting:
        """What came of an observation; one that was never made is inconclusive, never a pass."""
        seen = self._sightings.get(target.id, {}).get(name)
        return seen or Sighting(None, self._why_unseen(target), Record(), datetime.now(UTC), 0.0)

    def _why_unseen(self, target: Target) -> Inconclusive:
        if self.interrupted.is_set():
            return Interrupted(f"{target.id}: {INTERRUPTED}")
        return self._lost.get(target.id) or Inconclusive(f"{target.id}: {UNPLANNED}")

    def observe(
        self,
        plans: Mapping[Target, Sequence[Observation]],
        open_host: Callable[[Target], Host],
        close_host: Callable[[Target], None],
        report: Callable[[Progress], None],
        journal: Witness,
    ) -> None:
        """Make all observations on all hosts; returns when no observer is left alive.

        `report` is called a few times a second, `journal` is told everything as it happens. A KeyboardInterrupt stops every observer, and is raised when
        they have ended; what they had not seen is then inconclusive.
        """
        if not plans:
            return
        with ThreadPoolExecutor(len(plans), "observer") as pool:
            try:
                futures = [
                    pool.submit(self._observe, target, plan, open_host, close_host, journal)
                    for target, plan in plans.items()
                ]
                self._wait(futures, report)
            except BaseException:
                self.interrupted.set()
                raise

    def _wait(self, futures: Sequence[Future[None]], report: Callable[[Progress], None]) -> None:
        waiting = set(futures)
        while waiting:
            _, waiting = wait(waiting, timeout=_TICK)
            report(Progress(len(futures) - len(waiting), len(futures), dict(self._busy)))

    def _observe(
        self,
        target: Target,
        plan: Sequence[Observation],
        open_host: Callable[[Target], Host],
        close_host: Callable[[Target], None],
        journal: Witness,
    ) -> None:
        """Make a host's observations; whatever goes wrong here is this host's, and ends nobody else's."""
        sightings = self._sightings.setdefault(target.id, {})
        try:
            with self._turns.turn(), ExitStack() as at_the_end:
                host = open_host(target)
                at_the_end.callback(close_host, target)
                for item in plan:
                    self._busy[target.id] = item.name
                    host.record = Record(target.id, item.name, journal)
                    sightings[item.name] = self._make(host, item, sightings)
                    journal.observed(target.id, item.name, sightings[item.name])
        except Exception as error:  # noqa: BLE001  # see above
            self._lost[target.id] = _defect(target, "the connection", error)
        finally:
            self._busy.pop(target.id, None)

    def _make(self, host: Host, item: Observation, sightings: Mapping[str, Sighting]) -> Sighting:
        """One observation, unless something that it needs was not seen: then that is its reason too."""
        started, clock = datetime.now(UTC), time.monotonic()
        value, reason = None, self._missing(host.target, item, sightings)
        if reason is None:
            seen = {name: sighting.value for name, sighting in sightings.items() if sighting.reason is None}
            value, reason = _look(host, item, seen)
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


def _look(
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


def _defect(target: Target, what: str, error: BaseException) -> Inconclusive:
    """A defect of ours is no verdict, and must not be silent either."""
    _log.error("%s of %s", what, target.id, exc_info=error)
    return Inconclusive(f"{target.id}: {what} failed inside qualys-verify ({error!r}): please report it")
