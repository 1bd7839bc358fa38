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
    and no panel is drawn where pytest would print; else when all hosts are done. After Ctrl-C, SIGTERM or --deadline nobody looks any more and
    `cut_short` is the reason; tests go on, on what was seen until then.
    """

    def __init__(
        self, session: pytest.Session, fleet: Fleet, observing: AbstractContextManager[None], ticker: Ticker
    ) -> None:
        """Nobody looks yet; `observing` lasts for as long as somebody does."""
        self.cut_short: KeyboardInterrupt | DeadlineOver | None = None
        self._fleet, self._observing, self._ticker = fleet, observing, ticker
        self._host_by_host = not ticker.has_panel and _only_reads(session.config, session.items)
        self._last: Target | None = None
        self._begun: ExitStack | None = None
        self._is_waiting, self._is_told_to_end = False, False

    def __enter__(self) -> Self:
        """Begin."""
        with ExitStack() as begun:
            begun.enter_context(self._signals())
            begun.enter_context(self._ticker)
            begun.enter_context(self._observing)
            self._begun = begun.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all hosts, unless the run was interrupted."""
        with self._waiting():
            try:
                self._go_on()
            except KeyboardInterrupt as reason:
                error = reason
            self._end(error if isinstance(error, KeyboardInterrupt) else None)

    def wait_for(self, target: Target | None) -> None:
        """Until the host of a test is done; a test that is about none waits for all."""
        if self._begun is None or (target is self._last and target is not None):
            return
        with self._waiting():
            try:
                self._go_on()
                self._fleet.wait(target if self._host_by_host else None)
                self._last = target
            except (KeyboardInterrupt, DeadlineOver) as reason:
                self._end(reason)
            else:
                if self._fleet.is_done:
                    self._end(None)

    @property
    def why_cut_short(self) -> str:
        """Why, in words; empty when it was not."""
        return "" if self.cut_short is None else str(self.cut_short) or _BY_HAND

    def _end(self, reason: KeyboardInterrupt | DeadlineOver | None) -> None:
        """Nobody looks any more: when all hosts are done, or at once for a reason. Raises KeyboardInterrupt for another one."""
        begun, self._begun, self.cut_short = self._begun, None, self.cut_short or reason
        if begun is None:
            return
        try:
            begun.__exit__(type(reason) if reason else None, reason, None)
        except (KeyboardInterrupt, DeadlineOver) as raised:
            if reason is None:  # it came only now, while all were waited for
                self.cut_short = raised
            elif raised is not reason:
                raise
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
    """Whether all tests are about what was seen of a host and nothing else, and the run goes on to its end whatever they say."""
    ends_at_a_test = any(getattr(config.option, name, False) for name in _END_AT_A_TEST)
    return not ends_at_a_test and all(
        target_of(item) is not None and protocol.only_reads(item) for item in items
    )
