"""Who waits for which host, and what signals do meanwhile: with a real fleet of pretend hosts, and no pytest around it."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from qualys_verify.fleet import Fleet
from qualys_verify.looking import Looking
from qualys_verify.observation import Observation
from qualys_verify.run import DeadlineOver
from qualys_verify.targets import Target

FAST, SLOW = (Target(f"ssh://{name}", "ssh", name) for name in ("fast", "slow"))


class Ticker:
    """As far as somebody who looks has to do with it."""

    def __init__(self, *, has_panel=False):
        self.has_panel = has_panel
        self.is_shown = False

    def __enter__(self):
        self.is_shown = True
        return self

    def __exit__(self, *_):
        self.is_shown = False


class World:
    """Two hosts: one is done at once, the other when it may."""

    def __init__(self, **options):
        self.fleet = Fleet(8)
        self.may = threading.Event()
        self.closed = threading.Event()
        self.ticker = Ticker(has_panel=options.pop("has_panel", False))
        self.registered = []
        filters = options.pop("filterwarnings", [])
        self.config = SimpleNamespace(
            option=SimpleNamespace(**options),
            getini=lambda _name: filters,
            pluginmanager=SimpleNamespace(register=self.registered.append),
        )
        self.report = lambda _progress: None

    def look(self, host):
        while host.target == SLOW and not self.may.is_set():
            self.fleet.sleep(0.05)
        return host.target.id

    @contextmanager
    def observing(self):
        told = SimpleNamespace(observed=lambda *_: None)
        plans = dict.fromkeys((FAST, SLOW), (Observation("seen", (), (), self.look, is_trigger=False),))

        def open_host(target):
            return SimpleNamespace(target=target, record=None, waiting=None, forget=lambda: None)

        try:
            with self.fleet.observing(plans, open_host, lambda _target: None, self.report, told):
                yield
        finally:
            self.closed.set()

    def looking(self, items=()):
        session = SimpleNamespace(config=self.config, items=items)
        return Looking(session, self.fleet, self.observing(), self.ticker)

    def seen(self, target):
        return self.fleet.sighting(target, "seen").value


@pytest.fixture
def handlers():
    """As they are in a run (see `_end_in_order`), and as they were before afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield lambda: {signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_host_that_is_done_is_not_kept_waiting_by_another():
    world = World()
    with world.looking() as looking:
        looking.wait_for(FAST)
        assert (world.seen(FAST), world.seen(SLOW)) == (FAST.id, None)
        world.may.set()
        looking.wait_for(SLOW)
        assert world.seen(SLOW) == SLOW.id
        assert world.closed.is_set()
    assert looking.why_cut_short == ""


@pytest.mark.parametrize(
    "options",
    [
        {"has_panel": True},
        {"maxfail": 1},
        {"stepwise": True},
        {"pythonwarnings": ["error"]},
        {"filterwarnings": ["error::DeprecationWarning"]},
    ],
    ids=str,
)
def test_all_are_waited_for_where_tests_would_disturb_the_panel_or_end_the_looking(options):
    world = World(**options)
    threading.Timer(0.3, world.may.set).start()
    with world.looking():
        assert world.seen(SLOW) == SLOW.id
        assert not world.ticker.is_shown
        assert world.registered == []


def test_a_test_that_is_about_no_host_has_all_of_them_waited_for():
    """As one of a user's own, which may ask for what was seen of all."""
    world = World()
    threading.Timer(0.3, world.may.set).start()
    with world.looking(items=[SimpleNamespace()]):
        assert world.seen(SLOW) == SLOW.id


@pytest.mark.parametrize("error", [RuntimeError, pytest.Session.Interrupted, pytest.Session.Failed])
def test_hosts_that_no_test_waited_for_are_looked_at_to_the_end(error):
    """As after `pytest.exit`, and where another plugin ends the run at a test: what was asked of an agent is seen through."""
    world = World()
    threading.Timer(0.3, world.may.set).start()
    with pytest.raises(error), world.looking():
        raise error("over")
    assert world.seen(SLOW) == SLOW.id


def test_ctrl_c_while_a_host_is_waited_for_ends_the_looking_and_not_the_tests(handlers):
    world = World()
    with world.looking() as looking:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        looking.wait_for(SLOW)
        assert world.closed.is_set()
        assert handlers() == {signal.default_int_handler}
        looking.wait_for(FAST)
    assert world.seen(SLOW) is None
    assert isinstance(looking.cut_short, KeyboardInterrupt)
    assert looking.why_cut_short == "stopped by the user or a signal"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_test_is_run_ends_the_looking_when_the_next_one_waits(handlers, number):
    world = World()
    with world.looking() as looking:
        looking.wait_for(FAST)
        os.kill(os.getpid(), number)
        time.sleep(0.1)  # the test goes on
        assert not world.closed.is_set()
        looking.wait_for(FAST)
        looking.wait_for(SLOW)
        assert world.closed.is_set()
    assert world.seen(SLOW) is None
    assert looking.why_cut_short
    assert handlers() == {signal.default_int_handler}


def test_a_signal_during_the_last_test_ends_the_looking(handlers):
    world = World()
    with world.looking() as looking:
        looking.wait_for(FAST)
        os.kill(os.getpid(), signal.SIGINT)
    assert looking.why_cut_short
    assert world.seen(SLOW) is None
    assert handlers() == {signal.default_int_handler}


def test_another_signal_while_observers_end_loses_no_row(handlers):
    """As tox sends them: SIGINT, and SIGTERM soon after it."""
    world = World()
    world.look = lambda host: time.sleep(0.8 if host.target == SLOW else 0)
    with world.looking() as looking:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        looking.wait_for(SLOW)
        time.sleep(0.5)
        looking.wait_for(FAST)
    assert looking.why_cut_short
    assert world.closed.is_set()
    assert handlers() == {signal.default_int_handler}


def test_ctrl_c_before_anybody_looks_is_a_reason_too(handlers):
    """As while the demo's hosts come up."""
    world = World()

    @contextmanager
    def observing():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        yield

    world.observing = observing
    with world.looking() as looking:
        looking.wait_for(SLOW)
    assert looking.why_cut_short
    assert world.fleet.interrupted.is_set()
    assert handlers() == {signal.default_int_handler}


def test_a_terminal_that_is_gone_ends_the_looking_at_once():
    world, told = World(), []

    def report(_progress):
        told.append(time.monotonic())
        if len(told) == 1:
            raise BrokenPipeError

    world.report = report

    def run():
        with world.looking() as looking:
            looking.wait_for(SLOW)

    with pytest.raises(BrokenPipeError):
        run()
    assert world.closed.is_set()
    assert world.seen(SLOW) is None


def test_a_second_signal_is_not_held_back(handlers):
    world = World()
    looking = world.looking()

    def run():
        with looking:
            looking.wait_for(FAST)
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert looking.why_cut_short
    assert world.closed.is_set()
    assert world.seen(SLOW) is None
    assert handlers() == {signal.default_int_handler}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_that_the_run_ignores_are_ignored_still(number):
    """As with `nohup`, or in the background of a script."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        world = World()
        with world.looking() as looking:
            os.kill(os.getpid(), number)
            world.may.set()
            looking.wait_for(SLOW)
        assert looking.cut_short is None
        assert world.seen(SLOW) == SLOW.id
    finally:
        signal.signal(number, before)


def test_the_end_of_the_runs_time_is_its_own_reason():
    world = World()

    def report(_progress):
        raise DeadlineOver("the run's time is over")

    world.report = report
    with world.looking() as looking:
        looking.wait_for(SLOW)
    assert isinstance(looking.cut_short, DeadlineOver)
    assert looking.why_cut_short == "the run's time is over"
    assert world.seen(SLOW) is None


def test_a_run_in_another_thread_has_no_signals():
    world, seen = World(), []

    def run():
        with world.looking() as looking:
            looking.wait_for(FAST)
            world.may.set()
            looking.wait_for(SLOW)
            seen.append(world.seen(SLOW))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert seen == [SLOW.id]
