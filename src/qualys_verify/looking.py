"""Hosts are looked at while pytest runs the tests of those that are done: a test waits here for the host that it is about."""

import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FrameType, TracebackType
from typing import Self

import pytest

from qualys_verify import memory, protocol
from qualys_verify.findings import target_of
from qualys_verify.fleet import Fleet
from qualys_verify.progress import Ticker
from qualys_verify.run import DeadlineOver
from qualys_verify.targets import Target

_BY_HAND = "stopped by the user or a signal"
# Whoever ends a run at a failed test must not decide which hosts are looked at, and which agents are asked.
_END_AT_A_TEST = ("maxfail", "stepwise")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Looking:
    """A fleet that is being looked at, for the one thread that runs the tests.

    The tests of a host are run when it is done, and others need the processor less, where all tests only read what was seen,
    and no panel is drawn where pytest would print; else when all hosts are done. After Ctrl-C, SIGTERM or --deadline nobody
    looks any more and `cut_short` is the reason; tests go on, on what was seen until then.
    """

    def __init__(
        self, session: pytest.Session, fleet: Fleet, observing: AbstractContextManager[None], ticker: Ticker
    ) -> None:
        """Nobody looks yet; `observing` lasts for as long as somebody does."""
        self.cut_short: KeyboardInterrupt | DeadlineOver | None = None
        self._session, self._fleet, self._observing, self._ticker = session, fleet, observing, ticker
        self._host_by_host = not ticker.has_panel and _only_reads(session.config, session.items)
        self._last: Target | None = None
        self._begun: ExitStack | None = None
        self._is_waiting, self._is_told_to_end = False, False

    def __enter__(self) -> Self:
        """Begin; where tests are not run host by host, all hosts are done afterwards."""
        with self._waiting():
            try:
                self._begin()
            except KeyboardInterrupt as reason:
                self._fleet.interrupted.set()
                self.cut_short = reason
        if not self._host_by_host:
            self.wait_for(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all hosts, unless the run was interrupted. That a test ends the run is no reason to look no further."""
        is_reason = isinstance(error, KeyboardInterrupt) and not isinstance(error, pytest.Session.Interrupted)
        with self._waiting():
            if self._is_told_to_end and not is_reason:
                self._end(KeyboardInterrupt())
            else:
                self._end(error if is_reason else None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Before anything is done for a test, and any time of its own begins."""
        self.wait_for(target_of(item))
        return (yield)

    def wait_for(self, target: Target | None) -> None:
        """Until the host of a test is done; a test that is about none waits for all."""
        if self._begun is None or (target is self._last and target is not None):
            return
        with self._waiting():
            try:
                self._go_on()
                self._fleet.wait(target)
            except BaseException as reason:
                self._end(reason)
                if not isinstance(reason, KeyboardInterrupt | DeadlineOver):
                    raise
            else:
                self._last = target
                if self._fleet.is_done:
                    self._end(None)

    @property
    def why_cut_short(self) -> str:
        """Why, in words; empty when it was not."""
        return "" if self.cut_short is None else str(self.cut_short) or _BY_HAND

    def _begin(self) -> None:
        with ExitStack() as begun:
            begun.enter_context(self._signals())
            begun.enter_context(self._ticker)
            begun.enter_context(self._observing)
            # The last that is registered is the first that is asked, whatever other plugins there are.
            if self._host_by_host:
                self._session.config.pluginmanager.register(self)
            self._begun = begun.pop_all()

    def _end(self, reason: BaseException | None) -> None:
        """Nobody looks any more: when all hosts are done, or at once for a reason. Another signal meanwhile changes nothing."""
        if self._begun is None:
            return
        if isinstance(reason, KeyboardInterrupt | DeadlineOver):
            self.cut_short = reason
        try:
            self._begun.__exit__(type(reason) if reason else None, reason, None)
        except (KeyboardInterrupt, DeadlineOver) as raised:
            self.cut_short = self.cut_short or raised  # it came only now, while all were waited for
        finally:
            self._begun = None
        memory.keep()

    def _go_on(self) -> None:
        """Raises KeyboardInterrupt where the run was told to end while a test was run."""
        if self._is_told_to_end:
            raise KeyboardInterrupt

    @contextmanager
    def _waiting(self) -> Generator[None, None, None]:
        """Meanwhile signals end the wait; otherwise a test is run to its end first, so that no row of it is torn."""
        self._is_waiting = True
        try:
            yield
        finally:
            self._is_waiting = False

    @contextmanager
    def _signals(self) -> Generator[None, None, None]:
        """Have those that end the run end a wait; a second one ends whatever it meets."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ours = [number for number in _SIGNALS if signal.getsignal(number) is signal.default_int_handler]
        for number in ours:
            signal.signal(number, self._tell)
        try:
            yield
        finally:
            for number in ours:
                signal.signal(number, signal.default_int_handler)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        if self._is_waiting or self._is_told_to_end:
            signal.default_int_handler(number, frame)
        self._is_told_to_end = True


def _only_reads(config: pytest.Config, items: Sequence[pytest.Item]) -> bool:
    """Whether all tests are about what was seen of a host and nothing else, and the run goes on to its end whatever they say.

    Where warnings are to be errors, they would be some of those who look as well, while a test is run.
    """
    ends_at_a_test = any(getattr(config.option, name, False) for name in _END_AT_A_TEST)
    warnings = (*(getattr(config.option, "pythonwarnings", None) or ()), *config.getini("filterwarnings"))
    return not (ends_at_a_test or any(text.startswith("error") for text in warnings)) and all(
        target_of(item) is not None and protocol.only_reads(item) for item in items
    )
