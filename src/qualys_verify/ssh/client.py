"""The SSH client of a run: an event loop in a thread of its own, and the way to each host through it.

Observers are threads; each asks here, and waits. There is one connection for each host, with one shell in it.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

import asyncssh

from qualys_verify.backends import Backend, Deadline, cut_short, no_answer
from qualys_verify.frame import RawResult
from qualys_verify.ssh.connection import REFUSALS, Connection, Connector
from qualys_verify.ssh.route import Asking, Known, NeedsOpenSsh, NoWay, find_route
from qualys_verify.ssh.shell import Shell

Result = TypeVar("Result")

# How often a look is taken whether the run was interrupted, in seconds.
_TICK = 0.2
# How long the end of all connections may take, in seconds.
_GOODBYE = 5.0
# The status with which OpenSSH ends when no command ran.
_FAILED = 255


class SshClient:
    """The event loop. Starts with the first host, and ends with `close`."""

    def __init__(self, at_once: int, deadline: Deadline, *, keeps_connections: bool = True) -> None:
        """At most `at_once` hosts log in at the same time. `keeps_connections`: there is room for one to each host.

        The environment is a copy, because pytest changes the live one.
        """
        self.keeps_connections = keeps_connections
        self.deadline = deadline
        self.environment = dict(os.environ)
        self.known = Known()
        self.asked_at_once = threading.Semaphore(2 * (os.cpu_count() or 1))
        self.connector = Connector(at_once, deadline.seconds, self.environment)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing: set[Future[object]] = set()

    def call(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Have the loop do something, and wait for it in this thread. Raises Interrupted."""
        future = asyncio.run_coroutine_threadsafe(self._kept(coroutine), self._running())
        try:
            return future.result()
        except CancelledError as error:
            raise cut_short() from error

    def soon(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Have the loop do something; it is not waited for before `close`."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._running())
        self._closing.add(future)
        future.add_done_callback(self._closing.discard)

    def close(self) -> None:
        """Close what is open, and end the loop; again is harmless."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    async def _kept(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Known as long as it runs, so that an interruption ends it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # this is one
        self._tasks.add(task)
        try:
            return await coroutine
        finally:
            self._tasks.discard(task)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name="ssh", daemon=True)
                self._thread.start()
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        watch = loop.create_task(self._watch())
        loop.run_forever()
        watch.cancel()
        with suppress(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(self._farewell(), _GOODBYE))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    async def _farewell(self) -> None:
        """What still runs ends; then what is shared is closed."""
        for task in self._tasks:
            task.cancel()
        closing = map(asyncio.wrap_future, tuple(self._closing))
        await asyncio.gather(*self._tasks, *closing, return_exceptions=True)
        await self.connector.close()

    async def _watch(self) -> None:
        """When the run is interrupted, end what is waited for, and whatever is asked for afterwards."""
        while True:
            await asyncio.sleep(_TICK)
            if self.deadline.interrupted.is_set():
                for task in tuple(self._tasks):
                    task.cancel()


class SshSession:
    """The way to one host: a shell over a connection of this process, or OpenSSH's client where only that can go it."""

    def __init__(self, client: SshClient, asking: Asking, name: str, openssh: Callable[[], Backend]) -> None:
        """Nothing is connected yet. `openssh` makes the other way."""
        self._client = client
        self._asking = asking
        self._name = name
        self._openssh = openssh
        self._other: Backend | None = None
        self._connection: Connection | None = None
        self._shell: Shell | None = None
        self._environment: dict[str, str] = {}
        self.why_openssh = ""

    @property
    def host_key(self) -> str:
        """The fingerprint of the key that was verified; empty before that."""
        return self._connection.host_key if self._connection else ""

    def deliver(self, script: str, mark: bytes) -> RawResult:
        """See Backend. Nothing is sent twice: what was lost with a connection stays lost."""
        try:
            self._prepare()
        except NoWay as reason:
            return RawResult(_FAILED, b"", os.fsencode(str(reason)))
        except OSError as reason:
            said = os.strerror(reason.errno) if reason.errno else str(reason)
            return RawResult(_FAILED, b"", os.fsencode(f"ssh: {self._name}: {said}"))
        except REFUSALS as reason:
            return RawResult(_FAILED, b"", os.fsencode(_in_openssh_words(reason)))
        if self._other is not None:
            return self._other.deliver(script, mark)
        assert self._shell is not None  # noqa: S101  # prepared
        return self._client.call(self._shell.deliver(script, mark, self._client.deadline.seconds))

    def rest(self) -> None:
        """Nothing is asked for a while: let others have the room, where there is not enough for all."""
        if not self._client.keeps_connections:
            self.close()

    def close(self) -> None:
        """Close the connection; again is harmless."""
        connection, self._connection, self._shell = self._connection, None, None
        if connection is not None:
            self._client.soon(connection.close())

    def _prepare(self) -> None:
        """Make sure of a shell, or of the other way."""
        if self._other is not None or (self._shell is not None and self._shell.is_ready):
            return
        try:
            if not self._has_opened_another():
                self.close()
                route = find_route(self._asking, self._name)
                self._environment = {**route[-1].environment}
                self._connection = self._client.call(self._client.connector.connect(route))
                self._shell = self._client.call(self._opened(self._connection))
        except NeedsOpenSsh as reason:
            self._go_through_openssh(str(reason))
        except REFUSALS:
            raise
        except (
            asyncssh.Error,
            ValueError,
        ) as reason:  # whatever was refused here, OpenSSH is the judge of it
            self._go_through_openssh(str(reason))

    def _has_opened_another(self) -> bool:
        """Whether another shell could be had over the connection that there is; if not, another login may get one.

        A server lets no more in (`MaxSessions`) while what ran in the shell before has not ended.
        """
        if self._connection is None or not self._connection.is_open:
            return False
        try:
            self._shell = self._client.call(self._opened(self._connection))
        except (asyncssh.ChannelOpenError, asyncssh.ConnectionLost):
            return False
        return True

    def _go_through_openssh(self, reason: str) -> None:
        self.why_openssh = reason or "the server ended the login without a word"
        self._other = self._openssh()

    async def _opened(self, connection: Connection) -> Shell:
        """A shell. Raises TimedOut where there is none in time."""
        seconds = self._client.deadline.seconds
        shell = Shell()
        opening = connection.ssh.create_session(
            lambda: shell, "exec /bin/sh", encoding=None, env=tuple(self._environment.items()), send_env=None
        )
        try:
            await asyncio.wait_for(opening, seconds)
        except TimeoutError as error:
            raise no_answer(seconds) from error
        return shell


def _in_openssh_words(reason: asyncssh.Error) -> str:
    """What OpenSSH would say of it, as far as its words are known (see `unreachable`)."""
    words = "Connection closed: " if isinstance(reason, asyncssh.ConnectionLost) else ""
    return f"{words}{reason.reason}"
