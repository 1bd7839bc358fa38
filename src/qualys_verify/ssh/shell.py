"""One `/bin/sh` on a target, kept open in a channel for all that is run there: a script in, what it printed out."""

import asyncio
import os
import time
from contextlib import suppress

import asyncssh

from qualys_verify.backends import OUTPUT_LIMIT, give_up_after, no_answer, too_much
from qualys_verify.frame import RawResult

# How long a shell may take to begin before it is told that nothing more comes, in seconds. What only repeats its input,
# or offers a menu, ends then, and is found out; a slow shell has its script already.
_PATIENCE = 5.0
_LOST = 255  # OpenSSH's status for a connection that was lost


class Shell(asyncssh.SSHClientSession[bytes]):
    """A session that collects what a shell prints. A script that was cut short is not run: see `deliver`."""

    def __init__(self) -> None:
        """Nothing is open yet."""
        self._streams = {None: bytearray(), asyncssh.EXTENDED_DATA_STDERR: bytearray()}
        self._last = b""
        self._heard = asyncio.Event()
        self._status = _LOST
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._too_much = False
        self.is_open = False
        self._may_ask = True

    @property
    def is_ready(self) -> bool:
        """Whether another script can be sent."""
        return self.is_open and self._may_ask

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel is there."""
        self._channel, self.is_open = chan, True

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Keep what came, up to a limit."""
        kept = self._streams[datatype]
        kept += data
        if len(kept) > OUTPUT_LIMIT:
            self._too_much = True
            self.close()
        self._heard.set()

    def eof_received(self) -> bool:
        """The other side has said all; its status comes yet."""
        self._may_ask = False
        return False

    def exit_status_received(self, status: int) -> None:
        """The shell has ended."""
        self._status, self._may_ask = status, False

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is gone; where the shell has not ended, that is all that can be said."""
        if exc is not None or self._status == _LOST:
            self._streams[asyncssh.EXTENDED_DATA_STDERR] += b"\nConnection closed\n"
        self.is_open = False
        self._heard.set()

    async def deliver(self, script: str, mark: bytes, seconds: float) -> RawResult:
        """Run a script; each `mark` that it prints is another command that ended, and has `seconds` for itself.

        Raises TimedOut, and Inconclusive where too much is printed; the shell is closed then.
        """
        assert self._channel is not None  # noqa: S101  # opened before
        started = time.monotonic()
        # A shell reads `( … )` to its end first.
        with suppress(BrokenPipeError):  # it has just ended, and nothing comes
            self._channel.write(os.fsencode(f"(\n{script}\n)\n"))
        if not await self._printed(mark, started + min(_PATIENCE, seconds)) and self.is_ready:
            self._may_ask = False
            self._channel.write_eof()
        last = b"\n" + mark + b" end\n"
        while not await self._printed(last, started + give_up_after(self._count(mark), seconds)):
            if not self.is_open:
                break
            if time.monotonic() > started + give_up_after(self._count(mark), seconds):
                self.close()
                raise no_answer(seconds)
        if self._too_much:
            raise too_much()
        return RawResult(self._status, *self._taken())

    def close(self) -> None:
        """Close the channel; again is harmless."""
        self.is_open = False
        if self._channel is not None:
            self._channel.close()

    def _taken(self) -> tuple[bytes, bytes]:
        """What came until now. Not at the beginning of a script: what refuses to be a shell says so, and ends, before that."""
        stdout, stderr = (bytes(stream) for stream in self._streams.values())
        for stream in self._streams.values():
            stream.clear()
        return stdout, stderr

    def _count(self, mark: bytes) -> int:
        return self._streams[None].count(mark)

    async def _printed(self, text: bytes, until: float) -> bool:
        """Wait for a text on both streams, until a time of the monotonic clock or the end of the channel."""
        while not all(text in stream for stream in self._streams.values()):
            left = until - time.monotonic()
            if not self.is_open or left <= 0:
                return False
            self._heard.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), left)
        return True
