"""All hosts at once, with pretend hosts: no process and no network, only threads."""

import os
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qualys_verify.fleet import Fleet
from qualys_verify.host import Forgetful
from qualys_verify.observation import Observation
from qualys_verify.pace import Pace, Share
from qualys_verify.reasons import Denied, Inconclusive, Interrupted, NotApplicable, TimedOut, Unreachable
from qualys_verify.run import DeadlineOver
from qualys_verify.targets import Target


class PretendHost:
    """What an observation sees of a host, and what it did there."""

    def __init__(self, target, sleep):
        self.target = target
        self.sleep = sleep
        self.record = None
        self.waiting = None
        self.notes = []
        self.expected = []
        self.forgot = 0

    def expect(self, commands):
        self.expected.append(tuple(commands))

    def forget(self):
        self.forgot += 1

    def note(self, text):
        self.notes.append(text)

    def hang_up(self):
        pass


class Told(Forgetful):
    """A witness: what it was told, in order."""

    def __init__(self):
        self.observations = []

    def observed(self, host, name, sighting):
        self.observations.append((host, name, sighting.value))


class World:
    """A fleet with its pretend hosts; counts who was looked at, for what, and how many at the same time."""

    def __init__(self, hosts, at_once=8, pace=None):
        self.fleet = Fleet(at_once, pace)
        self.told = Told()
        self.targets = tuple(Target(f"ssh://web{number}", "ssh", f"web{number}") for number in range(hosts))
        self.looks = []
        self.opened = []
        self.closed = []
        self.most_at_once = 0
        self._awake = 0
        self._lock = threading.Lock()

    def sees(self, name, needs=(), uses=(), look=lambda _host: None, *, is_trigger=False):
        """An observation that is counted; `look` gets the host and, by name, what was seen before."""

        def counted(host, **seen):
            with self._lock:
                self.looks.append((host.target.id, name, seen))
                self._awake += 1
                self.most_at_once = max(self.most_at_once, self._awake)
            try:
                return look(host, **seen)
            finally:
                with self._lock:
                    self._awake -= 1

        return Observation(name, tuple(needs), tuple(uses), counted, is_trigger)

    def open(self, target):
        self.opened.append(target.id)
        return PretendHost(target, self.sleep)

    def sleep(self, seconds):
        with self._lock:
            self._awake -= 1
        try:
            self.fleet.sleep(seconds)
        finally:
            with self._lock:
                self._awake += 1

    def close(self, target):
        self.closed.append(target.id)

    def observe(self, *plan, report=lambda _progress: None, only=None):
        plans = dict.fromkeys(self.targets if only is None else only, plan)
        with self.fleet.observing(plans, self.open, self.close, report, self.told):
            pass

    def observing(self, *plan):
        plans = dict.fromkeys(self.targets, plan)
        return self.fleet.observing(plans, self.open, self.close, lambda _progress: None, self.told)

    def value(self, name, target=None):
        sighting = self.fleet.sighting(target or self.targets[0], name)
        return sighting.value if sighting.reason is None else type(sighting.reason)

    def reason(self, name, target=None):
        return str(self.fleet.sighting(target or self.targets[0], name).reason)

    def names(self):
        return [name for _, name, _ in self.looks]


def refuse(reason):
    def look(_host, **_seen):
        raise reason

    return look


def test_each_observation_is_made_once_on_each_host():
    world = World(hosts=20)
    world.observe(
        world.sees("one", look=lambda host: host.target.id),
        world.sees("two", ["one"], look=lambda _host, one: one),
    )
    assert Counter(world.names()) == {"one": 20, "two": 20}
    assert [world.value("two", target) for target in world.targets] == [target.id for target in world.targets]
    assert sorted(world.opened) == sorted(world.closed) == sorted(target.id for target in world.targets)


def test_what_observations_are_going_to_ask_is_told_before_the_first_of_them():
    def asks(name, _host):
        return [name]

    world, hosts = World(hosts=1), []
    first = world.sees("first", look=lambda host: hosts.append((host, list(host.expected))))
    one, two = (
        replace(world.sees(name, look=lambda host: list(host.expected)), asks=partial(asks, name))
        for name in ("one", "two")
    )
    world.observe(first, one, two, world.sees("last"))
    ((host, before),) = hosts
    assert before == []
    assert [len(world.value(name)) for name in ("one", "two")] == [1, 1]
    assert host.expected == [("one", "two")]
    assert host.forgot == 1
    assert not world.fleet._lost


@pytest.mark.parametrize("error", [ValueError("a defect of ours"), NotApplicable("no"), Inconclusive("no")])
def test_what_cannot_be_told_before_is_asked_in_its_turn(error, caplog):
    def asks(_host):
        raise error

    world = World(hosts=1)
    one = replace(world.sees("one", look=lambda host: host.expected), asks=asks)
    two = replace(world.sees("two"), asks=lambda _host: ["two"])
    world.observe(one, two)
    assert world.value("one") == [("two",)]
    assert "the observation `one` does not know what it asks of ssh://web0" in caplog.text


def test_a_need_comes_with_its_value_and_only_what_is_named_is_handed_over():
    world = World(hosts=1)
    world.observe(
        world.sees("a", look=lambda _host: 1),
        world.sees("b", look=lambda _host: 2),
        world.sees("c", ["a"], look=lambda _host, a: a + 10),
    )
    assert world.looks == [("ssh://web0", "a", {}), ("ssh://web0", "b", {}), ("ssh://web0", "c", {"a": 1})]
    assert world.value("c") == 11


def test_what_is_used_is_there_when_it_was_seen_and_left_out_when_not():
    world = World(hosts=1)
    world.observe(
        world.sees("seen", look=lambda _host: 1),
        world.sees("unseen", look=refuse(Unreachable("gone"))),
        world.sees(
            "last", uses=["seen", "unseen", "unasked"], look=lambda _host, seen=0, unseen=0: (seen, unseen)
        ),
    )
    assert world.value("last") == (1, 0)


@pytest.mark.parametrize("reason", [Unreachable("no route"), NotApplicable("no agent"), Inconclusive("odd")])
def test_why_something_was_not_seen_is_why_nothing_after_it_was(reason):
    world = World(hosts=1)
    world.observe(
        world.sees("first", look=refuse(reason)),
        world.sees("second", ["first"]),
        world.sees("third", ["second"]),
        world.sees("other", look=lambda _host: "seen"),
    )
    assert world.names() == ["first", "other"]
    assert [world.value(name) for name in ("first", "second", "third")] == [type(reason)] * 3
    assert world.reason("third") == str(reason)
    assert world.value("other") == "seen"


def test_none_is_a_value_like_any_other():
    world = World(hosts=1)
    world.observe(
        world.sees("nothing"), world.sees("after", ["nothing"], look=lambda _host, nothing: nothing)
    )
    assert world.names() == ["nothing", "after"]
    assert world.fleet.sighting(world.targets[0], "after").reason is None


@pytest.mark.parametrize(
    "defect",
    [
        ZeroDivisionError("x"),
        KeyError("x"),
        SystemExit(3),
        RecursionError(),
        pytest.skip.Exception("not here"),
        MemoryError(),
    ],
    ids=lambda defect: type(defect).__name__,
)
def test_a_defect_is_one_inconclusive_observation_and_nobody_else_s(defect, caplog):
    world = World(hosts=3)

    def look(host):
        if host.target == world.targets[1]:
            raise defect
        return "seen"

    world.observe(
        world.sees("first", look=look),
        world.sees("after", ["first"]),
        world.sees("beside", look=lambda _host: 1),
    )
    assert [world.value("first", target) for target in world.targets] == ["seen", Inconclusive, "seen"]
    assert "please report it" in world.reason("after", world.targets[1])
    assert world.value("beside", world.targets[1]) == 1
    assert type(defect).__name__ in caplog.text


@pytest.mark.parametrize("hook", ["open", "close"])
def test_a_defect_in_opening_or_closing_a_host_is_that_host_s(hook, monkeypatch):
    world = World(hosts=3)

    real = getattr(world, hook)

    def broken(target):
        if target == world.targets[1]:
            raise OSError("too many open files")
        return real(target)

    monkeypatch.setattr(world, hook, broken)
    world.observe(world.sees("first", look=lambda _host: "seen"))
    lost = Inconclusive if hook == "open" else "seen"
    assert [world.value("first", target) for target in world.targets] == ["seen", lost, "seen"]
    if hook == "open":
        assert "too many open files" in world.reason("first", world.targets[1])


def test_a_trigger_whose_answer_was_lost_is_not_made_again():
    world = World(hosts=5)
    plan = (
        world.sees("scan", look=refuse(Unreachable("lost while it ran")), is_trigger=True),
        world.sees("one", ["scan"]),
        world.sees("two", ["scan"]),
        world.sees("three", uses=["scan"]),
    )
    world.observe(*plan)
    assert Counter(world.names()) == {"scan": 5, "three": 5}


@pytest.mark.parametrize("at_once", [1, 3])
def test_only_so_many_hosts_are_spoken_to_at_the_same_time(at_once):
    world = World(hosts=12, at_once=at_once)
    world.observe(world.sees("slow", look=lambda _host: time.sleep(0.02)))
    assert world.most_at_once == at_once


def test_a_host_that_sleeps_gives_its_turn_to_another():
    world = World(hosts=10, at_once=1)
    started = time.monotonic()
    world.observe(world.sees("poll", look=lambda host: host.sleep(0.5)))
    assert time.monotonic() - started < 3
    assert world.most_at_once == 1


def test_many_hosts_take_as_long_as_one():
    world = World(hosts=200, at_once=4)
    started = time.monotonic()
    world.observe(world.sees("poll", look=lambda host: [host.sleep(0.1) for _ in range(5)]))
    assert time.monotonic() - started < 5


def test_progress_counts_the_hosts_and_names_what_is_waited_for():
    world, shown = World(hosts=3), []
    go_on = threading.Event()

    def report(progress):
        shown.append(progress)
        if len(shown) == 2:
            go_on.set()

    def look(host):
        if host.target == world.targets[0]:
            go_on.wait(10)

    world.observe(world.sees("wait", look=look), report=report)
    assert [shown[1].done, shown[1].hosts] == [2, 3]
    assert [(visit.target_id, visit.observation) for visit in shown[1].visits] == [("ssh://web0", "wait")]
    assert [shown[-1].done, shown[-1].visits] == [3, ()]


def test_ctrl_c_ends_sleepers_and_those_who_wait_for_their_turn_and_reports_every_row():
    world = World(hosts=6, at_once=2)
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        world.observe(
            world.sees("seen", look=lambda _host: "seen"),
            world.sees("poll", ["seen"], look=lambda host, **_seen: host.sleep(60)),
            world.sees("after", ["poll"]),
            world.sees("beside", look=lambda _host: "seen"),
        )
    timer.join()
    assert time.monotonic() - started < 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("observer")]
    for target in world.targets:
        assert world.value("seen", target) == "seen"
        assert {world.value(name, target) for name in ("poll", "after", "beside")} == {Interrupted}
    assert len(world.closed) == 6


def test_a_terminal_that_is_gone_ends_the_looking_and_is_not_swallowed():
    world = World(hosts=2)

    def report(_progress):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        world.observe(world.sees("poll", look=lambda host: host.sleep(60)), report=report)
    assert world.value("poll") is Interrupted


@pytest.mark.parametrize("is_busy", [True, False], ids=["others are spoken to", "others only wait"])
def test_a_host_is_waited_for_until_others_leave_a_processor(monkeypatch, is_busy):
    monkeypatch.setattr("qualys_verify.fleet._PROCESSORS", 2)
    world, go_on = World(hosts=3), threading.Event()

    def look(host):
        while host.target != world.targets[0] and not go_on.is_set():
            (time.sleep if is_busy else host.sleep)(0.02)

    with world.observing(world.sees("look", look=look)):
        timer = threading.Timer(0.6, go_on.set)
        timer.start()
        world.fleet.wait(world.targets[0])
        assert go_on.is_set() is is_busy
        assert not world.fleet.is_done or is_busy
    timer.join()
    assert world.fleet.is_done


def test_threads_are_switched_as_before_when_all_was_seen():
    before, meanwhile = sys.getswitchinterval(), []
    World(hosts=1).observe(
        Observation("look", (), (), lambda: meanwhile.append(sys.getswitchinterval()), is_trigger=False)
    )
    assert sys.getswitchinterval() == before
    assert meanwhile[0] > before


def test_what_nobody_planned_was_not_seen_and_says_so():
    world = World(hosts=2)
    world.observe(world.sees("first"), only=world.targets[:1])
    assert world.value("second") is Inconclusive
    assert "nobody looked" in world.reason("first", world.targets[1])


def test_no_plans_are_no_hosts():
    world = World(hosts=2)
    world.observe(only=())
    assert world.opened == []


def test_each_observation_keeps_its_own_record_and_time():
    world = World(hosts=1)

    def look(host, **_seen):
        host.record.readings.append("read")
        time.sleep(0.05)

    world.observe(world.sees("one", look=look), world.sees("two", ["one"], look=look))
    for name in ("one", "two"):
        sighting = world.fleet.sighting(world.targets[0], name)
        assert sighting.record.readings == ["read"]
        assert 0.05 <= sighting.took < 1


# --- dead hosts, and who goes first ----------------------------------------------------------------------


def test_a_host_that_wakes_goes_before_those_that_have_not_begun():
    """One turn, and each newcomer holds it for 200 ms: a sleeper of 10 ms is served next, not after all of them."""
    world, order = World(hosts=6, at_once=1), []

    def look(host):
        order.append(("begins", host.target.id))
        if host.target == world.targets[0]:
            host.sleep(0.01)
            order.append(("wakes", host.target.id))
        else:
            time.sleep(0.2)

    world.observe(world.sees("poll", look=look))
    assert order[:3] == [("begins", "ssh://web0"), ("begins", "ssh://web1"), ("wakes", "ssh://web0")]


@pytest.mark.parametrize("at_once", [1, 4])
def test_dead_hosts_cost_their_own_time_only(at_once, monkeypatch):
    """Sixteen hang to their deadline of 1 s, before eight quick ones in the list."""
    world = World(hosts=24, at_once=at_once)
    monkeypatch.setattr(world.fleet._turns, "_patience", 0.1)
    monkeypatch.setattr("qualys_verify.fleet._TICK", 0.02)
    dead, done, started = world.targets[:16], {}, time.monotonic()

    def look(host):
        with world.fleet.call():
            time.sleep(1.0 if host.target in dead else 0.01)
        done[host.target] = time.monotonic() - started
        if host.target in dead:
            raise TimedOut("no answer")

    world.observe(world.sees("identity", look=look))
    behind = len(dead) / at_once * 0.12  # each of them is waited for no longer than the patience
    assert max(done[target] for target in world.targets[16:]) < behind + 2
    assert time.monotonic() - started < behind + 2, (
        "16 s of hanging, one turn at a time, it would be otherwise"
    )


def test_a_host_that_only_queues_has_no_thread():
    world, most = World(hosts=200, at_once=4), []

    def look(_host):
        most.append(sum(thread.name.startswith("observer") for thread in threading.enumerate()))

    world.observe(world.sees("quick", look=look))
    assert len(most) == 200
    assert max(most) < 50


# --- the pace of triggers --------------------------------------------------------------------------------


def triggers(world, scan=0.05):
    """A plan that triggers: what is seen before, the trigger, and the wait for its end."""
    under_way, lock = set(), threading.Lock()
    world.most_scans = 0

    def ask(host, **_seen):
        world.fleet.clear(host)
        with lock:
            under_way.add(host.target)
            world.most_scans = max(world.most_scans, len(under_way))
        return "asked"

    def wait(host, **_seen):
        host.sleep(scan)
        with lock:
            under_way.remove(host.target)

    return (
        world.sees("identity", look=lambda _host: "there"),
        world.sees("scan", ["identity"], look=ask, is_trigger=True),
        world.sees("execution", ["scan"], look=wait),
    )


@pytest.mark.parametrize("at_once", [1, 3, 8])
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_never_more_scans_than_allowed_whatever_the_number_of_turns(limit, at_once):
    world = World(hosts=12, at_once=at_once, pace=Pace(at_once=limit))
    world.observe(*triggers(world))
    assert world.most_scans == limit
    assert [world.value("scan", target) for target in world.targets] == ["asked"] * 12


def test_without_a_limit_all_are_scanned_at_once():
    world = World(hosts=12, at_once=4)
    world.observe(*triggers(world, scan=0.5))
    assert world.most_scans == 12


def test_a_host_that_will_not_trigger_waits_for_no_slot():
    world = World(hosts=6, at_once=2, pace=Pace(at_once=1))
    identity, scan, execution = triggers(world, scan=0.3)
    looked = []
    only_looks = world.sees("identity", look=lambda host: looked.append((host.target, time.monotonic())))
    started = time.monotonic()
    plans = dict.fromkeys(world.targets[:3], (identity, scan, execution))
    plans |= dict.fromkeys(world.targets[3:], (only_looks,))
    with world.fleet.observing(plans, world.open, world.close, lambda _progress: None, world.told):
        pass
    assert [target for target, _ in looked] == list(world.targets[3:])
    assert all(at - started < 0.3 for _, at in looked)


def test_a_slot_comes_back_from_a_host_that_was_lost():
    world = World(hosts=4, at_once=2, pace=Pace(at_once=1))

    def ask(host):
        world.fleet.clear(host)
        raise {0: Unreachable("lost"), 1: ZeroDivisionError(), 2: SystemExit()}.get(
            world.targets.index(host.target), Inconclusive("odd")
        )

    world.observe(world.sees("scan", look=ask, is_trigger=True))
    assert world.names() == ["scan"] * 4


@pytest.mark.parametrize("pace", [Pace(at_once=1), Pace(jitter=3600)], ids=["slot", "jitter"])
def test_ctrl_c_ends_the_wait_before_a_trigger_and_nothing_more_is_asked(pace):
    world = World(hosts=5, at_once=2, pace=pace)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        world.observe(*triggers(world, scan=60))
    timer.join()
    assert time.monotonic() - started < 5
    asked = 1 if pace.at_once else 0
    values = Counter(world.value("scan", target) for target in world.targets)
    assert values == Counter({Interrupted: 5 - asked, "asked": asked}) - Counter()
    refused = [target for target in world.targets if world.value("scan", target) is Interrupted]
    assert all("not triggered: the run was interrupted" in world.reason("scan", target) for target in refused)
    assert sorted(world.closed) == sorted(world.opened)


def test_the_end_of_the_run_s_own_time_ends_the_wait_as_well():
    world, started = World(hosts=3, at_once=1, pace=Pace(at_once=1)), time.monotonic()

    def report(_progress):
        if time.monotonic() - started > 0.5:
            raise DeadlineOver("over")

    with pytest.raises(DeadlineOver):
        world.observe(*triggers(world, scan=60), report=report)
    assert time.monotonic() - started < 5
    assert [world.value("scan", target) for target in world.targets] == ["asked", Interrupted, Interrupted]
    assert "not triggered" in world.reason("scan", world.targets[2])


def lose(world, lost, reason):
    """What a preflight comes to where these hosts are lost; the others come to it when those are."""
    counted = threading.Barrier(len(world.targets))

    def look(host):
        counted.wait(5)
        if host.target in lost:
            raise reason
        time.sleep(0.1)
        return "there"

    return look


@pytest.mark.parametrize("reason", [Unreachable("no route"), TimedOut("no answer"), Denied("no sudo")])
@pytest.mark.parametrize(("limit", "asked"), [("2", 0), ("3", 7), ("29%", 0), ("30%", 7), ("100%", 7)])
def test_nothing_is_triggered_once_more_than_so_many_hosts_could_not_be_looked_at(reason, limit, asked):
    share = Share(int(limit.strip("%")), is_percent="%" in limit)
    world = World(hosts=10, at_once=10, pace=Pace(max_inconclusive=share))
    _, scan, execution = triggers(world)
    preflight = world.sees("identity", look=lose(world, world.targets[:3], reason))
    beside = world.sees("log", ["identity"], look=lambda _host, **_seen: "read")
    world.observe(preflight, scan, execution, beside)
    values = [world.value("scan", target) for target in world.targets]
    assert values == [type(reason)] * 3 + (["asked"] * 7 if asked else [Inconclusive] * 7)
    assert world.value("log", world.targets[9]) == "read", "looking goes on"
    if not asked:
        said = {world.reason("scan", target).partition(": ")[2] for target in world.targets[3:]}
        assert len(said) == 1
        assert f"3 of 10 hosts could not be looked at, more than --max-inconclusive={limit}" in said.pop()


def test_hosts_that_were_triggered_before_are_followed_to_their_end():
    world = World(hosts=4, at_once=4, pace=Pace(max_inconclusive=Share(0, is_percent=False)))
    was_asked = threading.Event()

    def ask(host, **_seen):
        world.fleet.clear(host)
        was_asked.set()
        return "asked"

    def identify(host):
        if host.target != world.targets[0]:
            was_asked.wait(5)
        if host.target == world.targets[1]:
            raise Unreachable("dead")
        if host.target != world.targets[0]:
            time.sleep(0.1)

    def wait(host, **_seen):
        host.sleep(0.5)
        return "executed"

    world.observe(
        world.sees("identity", look=identify),
        world.sees("scan", ["identity"], look=ask, is_trigger=True),
        world.sees("execution", ["scan"], look=wait),
    )
    values = [world.value("execution", target) for target in world.targets]
    assert values == ["executed", Unreachable, Inconclusive, Inconclusive]


@pytest.mark.parametrize(
    "end",
    [refuse(NotApplicable("no agent")), refuse(Inconclusive("the log is silent")), lambda _host, **_seen: 1],
    ids=["no agent", "silent log", "seen"],
)
def test_a_host_that_could_be_looked_at_is_not_counted(end):
    """One without an agent, or of which something cannot be told that no trigger rests on."""
    world = World(hosts=3, at_once=1, pace=Pace(max_inconclusive=Share(0, is_percent=False)))
    identity, scan, execution = triggers(world)
    world.observe(identity, world.sees("log", ["identity"], look=end), scan, execution)
    assert [world.value("scan", target) for target in world.targets] == ["asked"] * 3


@settings(deadline=None, max_examples=25)
@given(
    ends=st.lists(st.sampled_from(["quick", "dead", "lost", "defect"]), min_size=1, max_size=12),
    at_once=st.integers(1, 4),
    limit=st.none() | st.integers(1, 4),
    jitter=st.sampled_from([0.0, 0.02]),
    most=st.sampled_from(["100%", "20%", "0"]),
)
def test_whatever_the_limits_every_host_comes_to_its_end(ends, at_once, limit, jitter, most):
    share = Share(int(most.strip("%")), is_percent="%" in most)
    world = World(len(ends), at_once, Pace(limit, jitter, share))
    world.fleet._turns._patience = 0.01
    _, scan, execution = triggers(world, scan=0.01)
    how = dict(zip(world.targets, ends, strict=True))

    def identify(host):
        with world.fleet.call():
            time.sleep(0.05 if how[host.target] == "dead" else 0.001)
        if how[host.target] == "dead":
            raise TimedOut("no answer")

    def end(host, **seen):
        try:
            execution.look(host, **seen)
        finally:
            if how[host.target] == "lost":
                raise Unreachable("lost")
            if how[host.target] == "defect":
                raise ValueError("defect")

    world.observe(world.sees("identity", look=identify), scan, world.sees("execution", ["scan"], look=end))
    assert world.most_scans <= (limit or len(ends))
    for target in world.targets:
        expected = {TimedOut} if how[target] == "dead" else {"asked", Inconclusive}
        assert world.value("scan", target) in expected
    if most == "100%":
        asked = {host for host, name, _ in world.looks if name == "execution"}
        assert len(asked) == len(ends) - ends.count("dead")
    assert world.fleet._visits == {}


ENDS = {
    "seen": lambda _host, **_others: 1,
    "unseen": refuse(Inconclusive("unseen")),
    "not applicable": refuse(NotApplicable("not applicable")),
    "defect": refuse(ValueError("defect")),
}


@settings(deadline=None, max_examples=50)
@given(st.data(), st.lists(st.sampled_from(sorted(ENDS)), min_size=1, max_size=6), st.integers(1, 3))
def test_an_observation_is_made_exactly_when_all_that_it_needs_was_seen(data, ends, at_once):
    world, plan, needs = World(hosts=3, at_once=at_once), [], []
    for number, end in enumerate(ends):
        needs.append(data.draw(st.sets(st.integers(0, number - 1)) if number else st.just(set())))
        plan.append(world.sees(str(number), [str(need) for need in needs[-1]], look=ENDS[end]))
    world.observe(*plan)
    seen = []
    for number, end in enumerate(ends):
        possible = all(seen[need] for need in needs[number])
        seen.append(possible and end == "seen")
        assert world.names().count(str(number)) == (3 if possible else 0)
        assert {world.value(str(number), target) == 1 for target in world.targets} == {seen[-1]}


def test_the_witness_is_told_each_observation_when_it_is_made():
    world = World(hosts=1)
    told = []

    def look(_host, **_seen):
        told.append(list(world.told.observations))
        return "seen"

    world.observe(world.sees("one", look=look), world.sees("two", ["one"], look=look))
    host = world.targets[0].id
    assert told == [[], [(host, "one", "seen")]]
    assert world.told.observations == [(host, "one", "seen"), (host, "two", "seen")]
