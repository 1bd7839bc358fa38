"""Ports behind which no SSH server answers as it should, for the demo's faults of the network."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from qualys_verify.standin.faults import Door

_LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def broken_doors(open_port: int) -> AsyncIterator[Mapping[Door, int]]:
    """A port for each kind of door that has one of its own; all others share the SSH server's."""
    answers = {Door.CLOSED: _close, Door.SILENT: _listen_only, Door.NOT_SSH: _speak_http}
    with socket.socket() as refusing:
        refusing.bind((_LOOPBACK, 0))  # taken, and nobody listens
        servers = {door: await asyncio.start_server(answer, _LOOPBACK, 0) for door, answer in answers.items()}
        own = {door: server.sockets[0].getsockname()[1] for door, server in servers.items()}
        try:
            yield {Door.OPEN: open_port, Door.REFUSED: refusing.getsockname()[1], **own}
        finally:
            for server in servers.values():
                server.close()


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()  # what is closed with something unread in it is reset instead
    writer.close()


async def _listen_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client gives up
    writer.close()


async def _speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    writer.close()
