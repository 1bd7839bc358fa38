"""Before a host is asked for scans: how many at a time, when, and whether at all when too much is unreachable."""

import random
import time
from threading import Event, Lock

from qualys_verify.host import Host, Waiting
from qualys_verify.pace import Pace, Share
from qualys_verify.reasons import Inconclusive, Interrupted
from qualys_verify.turns import Tickets, Turns

# How the readings of a wait begin; the evidence's timeline knows them by it.
WAITS, WAITED = "waits:", "waited:"
_NOT_ASKED = "not triggered: the run was interrupted before this host was asked"
# A host that waits longer than this is not kept connected meanwhile, in seconds.
_HANG_UP = 10.0


class Losses:
    """The hosts that could not be looked at, and whether they are too many; for several threads at once."""

    def __init__(self, limit: Share, planned: int) -> None:
        """`planned` is how many hosts there are in this process's run."""
        self._limit = limit
        self._planned = planned
        self._lock = Lock()
        self._hosts: set[str] = set()
        self._too_many = ""

    def add(self, target_id: str) -> None:
        """Count a host, once."""
        with self._lock:
            self._hosts.add(target_id)
            lost = len(self._hosts)
            if not self._too_many and self._limit.is_exceeded(lost, self._planned):
                # Said as it was then: the same sentence for all hosts that are not triggered.
                self._too_many = f"{lost} of {self._planned} hosts could not be looked at, more than --max-inconclusive={self._limit}"

    def check(self, target_id: str) -> None:
        """Raise Inconclusive where the hosts that could not be looked at are too many to go on."""
        if self._too_many:
            raise Inconclusive(
                f"{target_id}: not triggered: {self._too_many}: see why they could not, then run again (--lf), or raise the limit"
            )


class Gate:
    """What a host passes before its first trigger, once; it leaves when its observations are done."""

    def __init__(self, pace: Pace, losses: Losses, turns: Turns, interrupted: Event) -> None:
        """`interrupted` ends every wait: those who have a slot leave then, and so does the next one at once."""
        self._pace = pace
        self._losses = losses
        self._turns = turns
        self._interrupted = interrupted
        self._slots = Tickets(pace.at_once) if pace.at_once else None
        self._inside: set[str] = set()

    def enter(self, host: Host) -> None:
        """Wait until this host may be asked.

        Raises Inconclusive when nothing more is to be asked for, and Interrupted when the run ended first.
        """
        began = time.monotonic()
        try:
            self._losses.check(host.target.id)
            self._wait_at_random(host)
            self._wait_for_slot(host)
            self._losses.check(host.target.id)
        except Inconclusive:
            self.leave(host.target.id)
            raise
        if host.waiting is not None:
            host.note(f"{WAITED} {time.monotonic() - began:.1f} s")
            host.waiting = None

    def leave(self, target_id: str) -> None:
        """The host's observations are done; the next one may be asked."""
        if self._slots and target_id in self._inside:
            self._inside.remove(target_id)
            self._slots.give_back()

    def _wait_at_random(self, host: Host) -> None:
        if not self._pace.jitter:
            return
        seconds = random.uniform(0, self._pace.jitter)  # noqa: S311  # no secret
        host.note(f"{WAITS} {seconds:.1f} s, at random (--trigger-jitter={self._pace.jitter:g})")
        host.waiting = Waiting("waiting a random time")
        if seconds > _HANG_UP:
            host.hang_up()
        self._turns.wait_aside(self._interrupted, seconds)
        self._check_interrupted(host)

    def _wait_for_slot(self, host: Host) -> None:
        if not self._slots:
            return
        slot = self._slots.ask()
        self._inside.add(host.target.id)
        if not slot.is_set():
            limit = self._pace.at_once
            host.note(
                f"{WAITS} {limit} host{'s are' if limit != 1 else ' is'} being scanned (--max-triggers-at-once={limit})"
            )
            host.waiting = Waiting("waiting to be scanned")
            if not self._turns.wait_aside(slot, _HANG_UP):
                host.hang_up()
                self._turns.wait_aside(slot)
        self._check_interrupted(host)

    def _check_interrupted(self, host: Host) -> None:
        if self._interrupted.is_set():
            raise Interrupted(f"{host.target.id}: {_NOT_ASKED}")
