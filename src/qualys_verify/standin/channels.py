"""A client's way into a pod: what it types comes in, what the process prints and how it ended goes out."""

from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import web

STDIN, STDOUT, STDERR, STATUS = range(4)  # as Kubernetes numbers them; it calls the last one `error`


class Channels(Protocol):
    """One connection of `kubectl exec`, by whichever protocol the client asked for."""

    @property
    def response(self) -> web.StreamResponse:
        """The answer that the connection began with."""

    async def opened(self) -> bool:
        """Wait until the client has opened its channels; False where it went instead, or did not in time."""

    async def send(self, channel: int, data: bytes) -> None:
        """Send on a channel; to a client that is gone, nothing."""

    def typed(self) -> AsyncIterator[bytes]:
        """What the client types, until it is gone; empty when it closes its input, which is not that it goes."""

    async def close(self) -> None:
        """End the connection when all is sent."""

    def abort(self) -> None:
        """Lose it, as when a machine in between is switched off."""
