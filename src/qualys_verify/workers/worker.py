"""A worker: it looks at the hosts that the controller gives it, and sends everything there as it happens."""

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock

import pytest

from qualys_verify import memory
from qualys_verify.evidence.events import AnyEvent
from qualys_verify.evidence.redaction import Redactor
from qualys_verify.findings import missed
from qualys_verify.fleet import Progress
from qualys_verify.host import Claims
from qualys_verify.observation import Observation
from qualys_verify.reasons import Interrupted
from qualys_verify.recorder import redacted
from qualys_verify.run import DeadlineOver, Run
from qualys_verify.scribe import JournalScribe
from qualys_verify.settings import Settings
from qualys_verify.targets import Selection, Target
from qualys_verify.verdict import Finding
from qualys_verify.workers import wire

GONE = "the controller is gone"
_EVERY = 1.0  # seconds between two words on how far a worker is


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


class Link(Claims):
    """A worker's end of the channel to the controller; for several threads at once."""

    def __init__(self, channel: wire.Channel) -> None:
        """Listens from now on."""
        self._channel = channel
        self._sending = Lock()
        self._begin: SimpleQueue[tuple[Target, ...]] = SimpleQueue()
        self._told_to_end = Event()
        self._reason = ""
        self._numbers = count()
        self._claims: dict[int, Future[str]] = {}
        channel.setcallback(self._hear, endmarker=None)

    def send(self, message: wire.ToController) -> None:
        """Tell the controller. Raises OSError when it is gone."""
        data = wire.encode(message)
        with self._sending:
            self._channel.send(data)

    def write(self, *events: AnyEvent) -> None:
        """See evidence.journal.Sink: the controller has the journal."""
        for event in events:
            self.send(wire.Recorded(event))

    def own_hosts(self) -> tuple[Target, ...]:
        """Wait for the hosts that are this worker's; none when it is told to end instead."""
        return self._begin.get()

    def go_on(self) -> None:
        """Raises KeyboardInterrupt when the controller says that this is the end, or is gone."""
        if self._told_to_end.is_set():
            raise KeyboardInterrupt(self._reason)

    def claim(self, machine: object, target_id: str) -> str:
        """See Claims: one machine is triggered under one name, whichever worker looks at it."""
        answer: Future[str] = Future()
        number = next(self._numbers)
        self._claims[number] = answer
        if self._told_to_end.is_set():
            raise Interrupted(f"{target_id}: not triggered, {self._reason}")
        self.send(wire.Claim(number, sha256(repr(machine).encode()).hexdigest(), target_id))
        return answer.result()

    def _hear(self, data: bytes | None) -> None:
        message = wire.End(GONE) if data is None else wire.read_by_worker(data)
        match message:
            case wire.Begin(places):
                self._begin.put(places)
            case wire.Claimed(number, owner):
                self._claims.pop(number).set_result(owner)
            case wire.End(reason):
                self._end(reason)

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._told_to_end.set()
        self._begin.put(())
        if reason == GONE:
            for answer in list(self._claims.values()):
                answer.set_exception(Interrupted(f"not triggered: {reason}"))


class WorkerRun(Run):
    """The run as a worker has it: who is looked at was found out by the controller, and how they are reached as well."""

    def __init__(self, settings: Settings, handed: wire.Handed) -> None:
        """Finds nothing out itself."""
        at_once = max(1, settings.at_once // handed.workers)
        triggers = settings.pace.at_once and max(1, settings.pace.at_once // handed.workers)
        pace = replace(settings.pace, at_once=triggers)
        super().__init__(
            replace(settings, at_once=at_once, pace=pace, shard=None, deadline=None),
            Selection(()),
            Path("nowhere"),
        )
        self.id, self.started, self.targets, self.demo = (
            handed.run,
            handed.started,
            handed.targets,
            handed.demo,
        )
        self.settings = replace(self.settings, deadline=settings.deadline)
        if handed.left is not None:
            self._ends = time.monotonic() + handed.left
        self.places: dict[str, Target] = {}

    def start_demo(self, targets: Iterable[Target]) -> None:
        """The controller has it."""

    def place_of(self, target: Target) -> Target:
        """As the controller said."""
        return self.places[target.id]


class LinkScribe(JournalScribe):
    """The fleet's witness in a worker: redacts here, and has the controller write."""

    def __init__(self, link: Link, redactor: Redactor) -> None:
        """Everything goes through `redactor` into `link`."""
        super().__init__(link, redactor, keeps_replies=False)  # the controller has the page that shows them
        self._link = link

    def judged(self, finding: Finding) -> None:
        """The controller counts it, too."""
        self._link.send(wire.Judged(finding))


Plans = Callable[[list[pytest.Item]], dict[Target, tuple[Observation, ...]]]


class Worker:
    """pytest's hooks in a worker."""

    def __init__(self, run: WorkerRun, link: Link, handed: wire.Handed, plans: Plans) -> None:
        """`plans` tells what selected tests ask for."""
        self._run = run
        self._link = link
        self._handed = handed
        self._plans = plans
        self._told = 0.0
        self.scribe = LinkScribe(link, run.redactor)

    @pytest.hookimpl(tryfirst=True)  # before xdist says that the collection is done
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """One worker says what is expected; the others found the same."""
        if self._handed.speaks_of_all:
            found = (missed(item) for item in session.items)
            self._link.send(
                wire.Plan(tuple(redacted(item, self._run.redactor) for item in found if item is not None))
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Look at this worker's hosts at once, then have xdist's loop judge what was seen.

        A worker that is told to end reports every row, and ends like any other: the controller knows why.
        """
        try:
            self._run.places = {place.id: place for place in self._link.own_hosts()}
            plans = self._plans(session.items)
            mine = {target: plan for target, plan in plans.items() if target.id in self._run.places}
            self._link.go_on()
            with self._run.observing(mine, self._show, self.scribe):
                pass
        except (KeyboardInterrupt, DeadlineOver) as reason:
            self._run.fleet.interrupted.set()
            said = str(reason) or "stopped by the user or a signal"
            with suppress(OSError):  # it is the controller that is gone
                self._link.send(wire.CutShort(said, isinstance(reason, DeadlineOver)))
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """This process ends now: pytest's own end, which collects garbage five times over, has nothing to look through."""
        memory.keep()

    def _show(self, progress: Progress) -> None:
        self._link.go_on()
        if time.monotonic() >= self._told + _EVERY:
            self._told = time.monotonic()
            visits = tuple(
                wire.Visited(visit.target_id, self._told - visit.since, visit.observation)
                for visit in progress.visits
            )
            self._link.send(wire.Looking(progress.done, progress.hosts, visits))
