"""Who may go on and who waits: tickets of which there are only so many, and the turns by which hosts are spoken to."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from threading import Event, Lock

# A host that goes on comes before one that begins: what has been asked of it may be over.
GOES_ON, BEGINS = 0, 1
# A host that has been silent for so many seconds is most likely dead: others need not queue behind it.
PATIENCE = 3.0
# So many turns may be lent at a time, or this many times those that there are: each may be a client process here.
_MOST_LENT, _LENT_FACTOR = 64, 4


class Tickets:
    """So many there are; the next free one goes to the lowest rank, and among equals to who asked first."""

    def __init__(self, number: int) -> None:
        """All are free."""
        self._lock = Lock()
        self._free = number
        self._order = count()
        self._queue: list[tuple[int, int, Event]] = []

    @property
    def free(self) -> int:
        """How many nobody has."""
        return self._free

    def ask(self, rank: int = GOES_ON) -> Event:
        """Queue for a ticket; the event is set when it is there. Each asker gets one, and gives it back."""
        granted = Event()
        with self._lock:
            heappush(self._queue, (rank, next(self._order), granted))
            self._grant()
        return granted

    def give_back(self) -> None:
        """Hand a ticket to the next one who waits."""
        with self._lock:
            self._free += 1
            self._grant()

    def _grant(self) -> None:
        while self._free and self._queue:
            self._free -= 1
            heappop(self._queue)[2].set()


@dataclass(eq=False)
class _Call:
    """A command under way: since when (monotonic, in seconds), and whether the host's turn was lent meanwhile."""

    since: float
    lent: bool = False


class Turns:
    """At most so many hosts are spoken to at a time; one that does not answer does not count for long."""

    def __init__(self, at_once: int, patience: float = PATIENCE, most_lent: int = 0) -> None:
        """`patience` is in seconds; at most `most_lent` turns are lent at a time. All are free."""
        self._tickets = Tickets(at_once)
        self._number = at_once
        self._patience = patience
        self._most_lent = most_lent or max(_MOST_LENT, _LENT_FACTOR * at_once)
        self._lock = Lock()
        self._calls: set[_Call] = set()

    @property
    def taken(self) -> int:
        """How many hosts are spoken to, without those that are silent."""
        return self._number - self._tickets.free

    def begin(self) -> None:
        """Wait for a host's first turn, after all hosts that go on."""
        self._tickets.ask(BEGINS).wait()

    def end(self) -> None:
        """Give the turn back."""
        self._tickets.give_back()

    def wait_aside(self, event: Event, seconds: float | None = None) -> bool:
        """Wait for an event without the turn, by who holds one, and then for the next turn; whether it came in time."""
        self._tickets.give_back()
        try:
            return event.wait(seconds)
        finally:
            self._tickets.ask().wait()

    @contextmanager
    def call(self) -> Iterator[None]:
        """A command under way, by who holds a turn. Its turn may be lent; then it ends with the next one."""
        call = _Call(time.monotonic())
        with self._lock:
            self._calls.add(call)
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)
            if call.lent:
                self._tickets.ask().wait()

    def lend(self) -> None:
        """Give the turns of hosts that are silent for longer than the patience to others. Called now and then."""
        now = time.monotonic()
        with self._lock:
            free = self._most_lent - sum(call.lent for call in self._calls)
            silent = [call for call in self._calls if not call.lent and now - call.since > self._patience]
            for call in silent[:free]:
                call.lent = True
        for _ in silent[:free]:
            self._tickets.give_back()
