"""The channels of `kubectl exec` over SPDY/3.1 (`v4.channel.k8s.io`): a stream for each, named by its `streamtype`.

Neither of Kubernetes' own two sides counts windows: what is sent is held back by the connection alone, and kubectl
never grants more. So it is here; what was typed is granted again for whoever does count.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Self

from aiohttp import web

from qualys_verify.standin.channels import STATUS, STDERR, STDIN, STDOUT
from qualys_verify.standin.spdyframe import (
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Data,
    Frame,
    GoAway,
    Ping,
    ProtocolError,
    Reader,
    RstStream,
    SynReply,
    SynStream,
    WindowUpdate,
    Writer,
)

_PROTOCOL = "v4.channel.k8s.io"
_VERSION = "SPDY/3.1"
_OFFERS = "X-Stream-Protocol-Version"
_RESIZE = 4  # the size of a terminal, which no process here has
_CHANNELS = {"error": STATUS, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": _RESIZE}
_OPEN_LIMIT = 30.0  # seconds until all streams must be open, as the kubelet has it
_END_LIMIT = 2.0  # seconds that a client may take to go when all is said
_READ_AHEAD = 64  # pieces of input that may wait before no more is read


def is_asked(request: web.Request) -> bool:
    """Whether a client asks for SPDY."""
    return request.headers.get("Upgrade", "").upper() == _VERSION


def _wanted(query: Mapping[str, str]) -> set[int]:
    """The channels that a client will open, as its request says."""
    return {STATUS, *(_CHANNELS[name] for name in ("stdin", "stdout", "stderr") if query.get(name) == "true")}


class Spdy(asyncio.Protocol):
    """See Channels. It takes the connection over from the HTTP server's own protocol."""

    def __init__(
        self, request: web.Request, transport: asyncio.Transport, response: web.StreamResponse
    ) -> None:
        """Made by `accept`."""
        self.response = response
        self._http = request.protocol
        self._transport = transport
        self._reader, self._writer = Reader(), Writer()
        self._wanted = _wanted(request.query)
        self._streams: dict[int, int] = {}  # by channel
        self._opened, self._lost, self._may_write = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._may_write.set()
        self._typed = asyncio.Queue[bytes | None]()

    @classmethod
    async def accept(cls, request: web.Request) -> Self:
        """Switch to SPDY. Raises HTTPForbidden, as Kubernetes does, for a client too old for `v4.channel.k8s.io`."""
        offered = [word.strip() for line in request.headers.getall(_OFFERS, ()) for word in line.split(",")]
        if _PROTOCOL not in offered:
            raise web.HTTPForbidden(text=f"the stand-in speaks {_PROTOCOL}, the client {offered}")
        told = {"Connection": "Upgrade", "Upgrade": _VERSION, _OFFERS: _PROTOCOL}
        response = web.StreamResponse(status=101, headers=told)
        await response.prepare(request)
        response.force_close()
        if not isinstance(request.transport, asyncio.Transport):
            raise ConnectionResetError("the client has gone")
        channels = cls(request, request.transport, response)
        request.transport.set_protocol(channels)
        return channels

    async def opened(self) -> bool:
        """See Channels."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._opened.wait(), _OPEN_LIMIT)
        return self._opened.is_set() and not self._lost.is_set()

    async def send(self, channel: int, data: bytes) -> None:
        """See Channels. The status is the last that is said of how the process ended."""
        if channel in self._streams:
            await self._may_write.wait()
            self._write(Data(self._streams[channel], data))

    async def typed(self) -> AsyncIterator[bytes]:
        """See Channels."""
        while (data := await self._typed.get()) is not None:
            self._transport.resume_reading()
            if data and STDIN in self._streams:
                self._write(WindowUpdate(self._streams[STDIN], len(data)))
            yield data

    async def close(self) -> None:
        """See Channels. The client goes first: to close with something of its unread would lose what was sent."""
        for stream in self._streams.values():
            self._write(Data(stream, b"", is_last=True))
        self._write(GoAway(max(self._streams.values(), default=0)))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._lost.wait(), _END_LIMIT)
        self._transport.close()

    def abort(self) -> None:
        """See Channels."""
        self._transport.abort()

    # --- as asyncio calls it ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Do what whole frames say; what is no SPDY ends the connection."""
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except ProtocolError:
            self._write(GoAway(max(self._streams.values(), default=0), PROTOCOL_ERROR))
            self._transport.close()

    def pause_writing(self) -> None:
        """The client takes no more for now."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Have whoever waits know, the HTTP server too."""
        self._lost.set()
        self._opened.set()
        self._may_write.set()
        self._typed.put_nowait(None)
        self._http.connection_lost(exc)

    # --- frames ----------------------------------------------------------------------------------------------

    def _write(self, frame: Frame) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._writer.encode(frame))

    def _take(self, frame: Frame) -> None:
        match frame:
            case SynStream(stream, headers, is_last):
                self._open(stream, headers.get("streamtype", ""))
                if is_last:
                    self._end_of(stream)
            case Data(stream, data, is_last):
                if data and stream == self._streams.get(STDIN):
                    self._type(data)
                if is_last:
                    self._end_of(stream)
            case RstStream(stream):
                self._end_of(stream)
                self._streams = {key: value for key, value in self._streams.items() if value != stream}
            case Ping(number) if number % 2:
                self._write(frame)
            case GoAway():
                self._typed.put_nowait(None)
            case _:  # answers to what is not asked here, and windows, see above
                pass

    def _open(self, stream: int, kind: str) -> None:
        channel = _CHANNELS.get(kind)
        if channel is None or channel in self._streams or not stream % 2:
            self._write(RstStream(stream, REFUSED_STREAM))
            return
        self._streams[channel] = stream
        self._write(SynReply(stream, {}))
        if self._wanted <= self._streams.keys():
            self._opened.set()

    def _end_of(self, stream: int) -> None:
        """The client sends no more of a stream, which matters for what it types only."""
        if stream == self._streams.get(STDIN):
            self._type(b"")

    def _type(self, data: bytes) -> None:
        self._typed.put_nowait(data)
        if self._typed.qsize() > _READ_AHEAD:
            self._transport.pause_reading()
