"""Who goes first: tickets by rank and order, turns that are lent where a host is silent."""

import threading
import time

import pytest

from qualys_verify.turns import BEGINS, GOES_ON, Tickets, Turns


def test_tickets_go_to_who_goes_on_first_and_then_by_the_order_of_asking():
    tickets = Tickets(1)
    first = tickets.ask(BEGINS)
    queue = [tickets.ask(BEGINS), tickets.ask(GOES_ON), tickets.ask(BEGINS), tickets.ask(GOES_ON)]
    order = []
    assert first.is_set()
    for _ in queue:
        assert not any(event.is_set() for number, event in enumerate(queue) if number not in order)
        tickets.give_back()
        order.append(
            next(number for number, event in enumerate(queue) if event.is_set() and number not in order)
        )
    assert order == [1, 3, 0, 2]


def test_no_more_tickets_than_there_are():
    tickets = Tickets(3)
    assert [tickets.ask().is_set() for _ in range(5)] == [True, True, True, False, False]


@pytest.fixture
def begin_another():
    """Begin a host on other turns; the event is set when it has begun."""
    started = []

    def make(turns):
        has_begun = threading.Event()

        def begin():
            turns.begin()
            has_begun.set()
            turns.end()

        started.append(threading.Thread(target=begin))
        started[-1].start()
        return has_begun

    yield make
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()


def test_the_turn_of_a_host_that_is_silent_goes_to_another_and_is_waited_for_afterwards(begin_another):
    turns = Turns(1, patience=0.05)
    turns.begin()
    with turns.call():
        other = begin_another(turns)
        turns.lend()
        assert not other.wait(0.02), "it has not been silent for long"
        time.sleep(0.06)
        turns.lend()
        turns.lend()  # once is enough
        assert other.wait(5)
    turns.end()
    assert [turns._tickets.ask().is_set() for _ in range(2)] == [True, False], "one turn, as before"


def test_the_turn_of_a_host_that_answers_is_its_own(begin_another):
    turns = Turns(1, patience=0.05)
    turns.begin()
    for _ in range(5):
        with turns.call():
            time.sleep(0.02)
        turns.lend()
    other = begin_another(turns)
    turns.lend()
    assert not other.wait(0.02)
    turns.end()


def test_a_host_whose_turn_was_lent_goes_on_only_with_another_one():
    turns = Turns(1, patience=0.0)
    gone_on = threading.Event()
    silent, answers = threading.Event(), threading.Event()

    def host():
        turns.begin()
        with turns.call():
            silent.set()
            answers.wait(5)
        gone_on.set()
        turns.end()

    thread = threading.Thread(target=host)
    thread.start()
    silent.wait(5)
    time.sleep(0.01)
    turns.lend()
    turns.begin()  # another one has it now
    answers.set()
    assert not gone_on.wait(0.1)
    turns.end()
    assert gone_on.wait(5)
    thread.join(5)


def test_only_so_many_turns_are_lent_at_a_time():
    turns = Turns(3, patience=0.0, most_lent=2)
    for _ in range(3):
        turns.begin()
    with turns.call(), turns.call(), turns.call():
        time.sleep(0.01)
        turns.lend()
        turns.lend()
        assert [turns._tickets.ask().is_set() for _ in range(3)] == [True, True, False]
        for _ in range(3):
            turns.end()  # of those who asked just now


def test_who_waits_aside_has_no_turn_and_learns_whether_it_came_in_time(begin_another):
    turns, event = Turns(1), threading.Event()
    turns.begin()
    assert not turns.wait_aside(event, 0.01)
    threading.Timer(0.1, event.set).start()
    other = begin_another(turns)
    assert turns.wait_aside(event, 5)
    assert other.is_set()
    turns.end()
