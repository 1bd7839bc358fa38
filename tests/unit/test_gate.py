"""What a host passes before it is triggered: limits, a random time, and too many that cannot be looked at."""

import random
import re
import threading
import time
from types import SimpleNamespace

import pytest

from qualys_verify.gate import Gate, Losses
from qualys_verify.pace import Pace, Share
from qualys_verify.reasons import Inconclusive, Interrupted
from qualys_verify.turns import Turns


@pytest.mark.parametrize(
    ("share", "hosts", "most"),
    [("0", 5, 0), ("3", 100, 3), ("10%", 100, 10), ("10%", 7, 0), ("34%", 3, 1), ("0%", 3, 0), ("50%", 3, 1)],
)
def test_a_share_is_exceeded_by_one_more_and_not_reached(share, hosts, most):
    limit = Share(int(share.strip("%")), is_percent=share.endswith("%"))
    assert not limit.is_exceeded(most, hosts)
    assert limit.is_exceeded(most + 1, hosts)
    assert str(limit) == share


def test_without_a_limit_all_may_be_lost():
    losses = Losses(Pace().max_inconclusive, 3)
    for number in range(3):
        losses.add(f"web{number}")
    losses.check("web4")


def test_a_host_is_lost_once_and_the_sentence_stays_the_same():
    losses = Losses(Share(1, is_percent=False), 40)
    for host in ("web1", "web1", "web1"):
        losses.add(host)
    losses.check("web9")
    for host in ("web2", "web3", "web4"):
        losses.add(host)
    sentence = (
        r"^web9: not triggered: 2 of 40 hosts could not be looked at, more than --max-inconclusive=1: see why"
    )
    with pytest.raises(Inconclusive, match=sentence):
        losses.check("web9")


class PretendHost:
    """As much of a host as passes the gate."""

    def __init__(self, name):
        self.target = SimpleNamespace(id=name)
        self.waiting = None
        self.notes = []
        self.was_hung_up = False

    def note(self, text):
        self.notes.append(text)

    def hang_up(self):
        self.was_hung_up = True


class World:
    """A gate, and hosts that pass it in threads of their own, each by a turn."""

    def __init__(self, pace, at_once=8, hosts=10):
        self.interrupted = threading.Event()
        self.turns = Turns(at_once)
        self.losses = Losses(pace.max_inconclusive, hosts)
        self.gate = Gate(pace, self.losses, self.turns, self.interrupted)
        self.passed, self.refused, self.threads = [], {}, []

    def send(self, name):
        host = PretendHost(name)
        self.threads.append(threading.Thread(target=self._enter, args=[host]))
        self.threads[-1].start()
        return host

    def _enter(self, host):
        self.turns.begin()
        try:
            self.gate.enter(host)
            self.passed.append(host.target.id)
        except Inconclusive as reason:
            self.refused[host.target.id] = reason
        finally:
            self.turns.end()

    def interrupt(self):
        """As Ctrl-C: those who have passed leave."""
        self.interrupted.set()
        for name in self.passed:
            self.gate.leave(name)


@pytest.fixture
def world():
    """Make a world; everybody in it is let go at the end."""
    made = []

    def make(*args, **kwargs):
        made.append(World(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.interrupt()
        for thread in one.threads:
            thread.join(5)
            assert not thread.is_alive()


def until(true):
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_without_a_pace_nobody_waits_and_nothing_is_noted(world):
    gate = world(Pace())
    host = gate.send("web1")
    until(lambda: gate.passed == ["web1"])
    assert (host.notes, host.waiting) == ([], None)


def test_hosts_pass_in_the_order_of_their_coming_when_others_leave(world):
    gate = world(Pace(at_once=1), at_once=1)
    gate.send("web0")
    until(lambda: gate.passed == ["web0"])
    for number in range(1, 5):
        host = gate.send(f"web{number}")
        until(lambda host=host: host.waiting is not None)
    for number in range(1, 5):
        time.sleep(0.01)
        assert len(gate.passed) == number
        gate.gate.leave(f"web{number - 1}")
        until(lambda number=number: len(gate.passed) == number + 1)
    assert gate.passed == [f"web{number}" for number in range(5)]
    begins, ends = host.notes
    assert begins == "waits: 1 host is being scanned (--max-triggers-at-once=1)"
    assert ends.startswith("waited: ")
    assert host.waiting is None


def test_who_waits_long_for_a_slot_is_not_kept_connected(world, monkeypatch):
    monkeypatch.setattr("qualys_verify.gate._HANG_UP", 0.05)
    gate = world(Pace(at_once=1))
    gate.send("web0")
    until(lambda: gate.passed)
    host = gate.send("web1")
    until(lambda: host.was_hung_up)
    gate.gate.leave("web0")
    until(lambda: gate.passed == ["web0", "web1"])


def test_an_interruption_ends_the_wait_for_a_slot_and_says_that_nothing_was_asked(world):
    gate = world(Pace(at_once=1))
    gate.send("web0")
    until(lambda: gate.passed)
    hosts = [gate.send(f"web{number}") for number in range(1, 4)]
    until(lambda: all(host.waiting for host in hosts))
    gate.interrupt()
    until(lambda: len(gate.refused) == 3)
    assert gate.passed == ["web0"]
    for name, reason in gate.refused.items():
        assert isinstance(reason, Interrupted)
        assert str(reason).startswith(f"{name}: not triggered: the run was interrupted")


def test_each_host_waits_a_random_time_without_a_turn(world, monkeypatch):
    seconds = iter([0.3, 0.1, 0.2])
    asked_for = []
    monkeypatch.setattr(random, "uniform", lambda *bounds: asked_for.append(bounds) or next(seconds))
    gate = world(Pace(jitter=60), at_once=1)
    hosts = []
    for number in range(3):
        hosts.append(gate.send(f"web{number}"))
        until(lambda: hosts[-1].waiting)
    until(lambda: len(gate.passed) == 3)
    assert gate.passed == ["web1", "web2", "web0"]
    assert asked_for == [(0, 60)] * 3
    assert hosts[0].notes[0] == "waits: 0.3 s, at random (--trigger-jitter=60)"
    assert re.fullmatch(r"waited: \d+\.\d s", hosts[0].notes[1])
    assert not any(host.was_hung_up for host in hosts)


def test_an_interruption_ends_the_random_wait(world, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda *_bounds: 1800)
    gate = world(Pace(jitter=3600))
    host = gate.send("web1")
    until(lambda: host.waiting)
    until(lambda: host.was_hung_up)
    gate.interrupt()
    until(lambda: gate.refused)
    assert isinstance(gate.refused["web1"], Interrupted)


def test_when_too_many_are_lost_nobody_passes_and_who_waited_neither(world):
    gate = world(Pace(at_once=1, max_inconclusive=Share(10, is_percent=True)))
    gate.losses.add("dead1")
    gate.send("web0")
    until(lambda: gate.passed == ["web0"])
    waits = gate.send("web1")
    until(lambda: waits.waiting)
    gate.losses.add("dead2")
    gate.send("web2")
    until(lambda: "web2" in gate.refused)
    gate.gate.leave("web0")
    until(lambda: "web1" in gate.refused)
    assert gate.passed == ["web0"]
    assert "2 of 10 hosts" in str(gate.refused["web1"])
    assert gate.gate._slots.ask().is_set(), "a host that is refused keeps no slot"


def test_a_host_leaves_once():
    gate = Gate(Pace(at_once=1), Losses(Share(0, is_percent=False), 1), Turns(2), threading.Event())
    gate.leave("web0")
    gate.enter(PretendHost("web1"))
    gate.leave("web1")
    gate.leave("web1")
    assert [gate._slots.ask().is_set() for _ in range(2)] == [True, False]
