"""The channels of `kubectl exec` over WebSocket (`v5.channel.k8s.io`): each message begins with its channel's number."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

from aiohttp import WSMsgType, web

from qualys_verify.standin.channels import STDIN

_PROTOCOL = "v5.channel.k8s.io"
_CLOSE = 255  # the channel that says which channel is closed


class WebSocket:
    """See Channels."""

    def __init__(self, request: web.Request, response: web.WebSocketResponse) -> None:
        """Made by `accept`."""
        self.response: web.WebSocketResponse = response
        self._request = request

    @classmethod
    async def accept(cls, request: web.Request) -> Self:
        """Switch to WebSocket. Raises HTTPBadRequest where the client asked for none."""
        response = web.WebSocketResponse(protocols=(_PROTOCOL,), max_msg_size=0)
        await response.prepare(request)
        return cls(request, response)

    async def opened(self) -> bool:
        """See Channels; here they are open from the start."""
        return True

    async def send(self, channel: int, data: bytes) -> None:
        """See Channels."""
        with suppress(ConnectionError):
            await self.response.send_bytes(bytes([channel]) + data)

    async def typed(self) -> AsyncIterator[bytes]:
        """See Channels."""
        async for message in self.response:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == STDIN and data:
                yield data
            elif channel == _CLOSE and data == bytes([STDIN]):
                yield b""

    async def close(self) -> None:
        """See Channels."""
        await self.response.close()

    def abort(self) -> None:
        """See Channels."""
        if self._request.transport is not None:
            self._request.transport.abort()
