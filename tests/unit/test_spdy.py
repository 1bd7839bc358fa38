"""A pod's channels over SPDY, asked by a client that is no kubectl: what kubectl does not do, or not when it should."""

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from qualys_verify.standin import spdy
from qualys_verify.standin.channels import STATUS, STDERR, STDOUT
from qualys_verify.standin.spdy import Spdy
from qualys_verify.standin.spdyframe import (
    Data,
    GoAway,
    Ping,
    Reader,
    RstStream,
    SynReply,
    SynStream,
    WindowUpdate,
    Writer,
)

OFFERS = "v4.channel.k8s.io, v3.channel.k8s.io"
ERROR, STDIN_, OUT, ERR = 1, 3, 5, 7  # the streams, in kubectl's order
KINDS = {ERROR: "error", STDIN_: "stdin", OUT: "stdout", ERR: "stderr"}
DONE = json.dumps({"status": "Success"}).encode()


class Client:
    """One connection, asked for as kubectl asks."""

    def __init__(self, reader, writer):
        self._in, self._out = reader, writer
        self._reader, self._writer = Reader(), Writer()
        self.got = []

    @classmethod
    async def connect(cls, port, offers=OFFERS, query="stdin=true&stdout=true&stderr=true"):
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client._out.write(
            f"POST /?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            f"X-Stream-Protocol-Version: {offers}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        client.head = (await client._in.readuntil(b"\r\n\r\n")).decode()
        return client

    def send(self, *frames):
        self._out.write(b"".join(map(self._writer.encode, frames)))

    def send_raw(self, data):
        self._out.write(data)

    async def until(self, wanted):
        """Read until a frame has come that fits; None where the connection ended before."""
        while True:
            for index, frame in enumerate(self.got):
                if wanted(frame):
                    return self.got.pop(index)
            data = await self._in.read(1 << 16)
            if not data:
                return None
            self.got += self._reader.feed(data)

    async def rest(self):
        """Everything until the connection ends."""
        await self.until(lambda _: False)
        return self.got

    async def open(self, *streams):
        for stream in streams:
            self.send(SynStream(stream, {"streamtype": KINDS[stream]}))
            assert await self.until(lambda frame: isinstance(frame, SynReply))

    def leave(self):
        self._out.close()


class Served:
    """What the server's side saw."""

    def __init__(self):
        self.typed = []
        self.opened = None
        self.channels = None
        self.ended = asyncio.Event()


@pytest.fixture
def talk(monkeypatch):
    """Run a client's side against a server that sends back what is typed, and then that all is well."""
    monkeypatch.setattr(spdy, "_END_LIMIT", 0.05)

    def run(client_side, **connect):
        async def both():
            served = Served()

            async def handle(request):
                channels = served.channels = await Spdy.accept(request)
                try:
                    served.opened = await channels.opened()
                    if served.opened:
                        async for data in channels.typed():
                            served.typed.append(data)
                            if not data:
                                break
                            await channels.send(STDOUT, data)
                        await channels.send(STDERR, b"said")
                        await channels.send(STATUS, DONE)
                    await channels.close()
                finally:
                    served.ended.set()
                return channels.response

            app = web.Application()
            app.router.add_post("/", handle)
            async with TestServer(app) as server:
                client = await Client.connect(server.port, **connect)
                try:
                    async with asyncio.timeout(10):
                        await client_side(client, served)
                        client.leave()
                        if served.channels:
                            await served.ended.wait()
                finally:
                    client.leave()
            return served

        return asyncio.run(both())

    return run


def test_what_is_typed_and_printed_and_how_it_ends(talk):
    async def side(client, _):
        assert client.head.startswith("HTTP/1.1 101 ")
        assert "X-Stream-Protocol-Version: v4.channel.k8s.io" in client.head
        await client.open(ERROR, STDIN_, OUT, ERR)
        client.send(Data(STDIN_, b"typed"))
        assert await client.until(lambda frame: frame == Data(OUT, b"typed"))
        assert await client.until(lambda frame: frame == WindowUpdate(STDIN_, 5))
        client.send(Data(STDIN_, b"", is_last=True))
        rest = await client.rest()
        assert rest[:2] == [Data(ERR, b"said"), Data(ERROR, DONE)]
        assert {frame.stream for frame in rest if isinstance(frame, Data) and frame.is_last} == set(KINDS)
        assert rest[-1] == GoAway(ERR)

    assert talk(side).typed == [b"typed", b""]


def test_nothing_runs_before_all_streams_are_open(talk):
    async def side(client, served):
        await client.open(ERROR, OUT)
        client.send(Ping(1))
        assert await client.until(lambda frame: frame == Ping(1))
        assert served.opened is None
        await client.open(STDIN_, ERR)
        client.send(Data(STDIN_, b"", is_last=True))
        await client.rest()
        assert served.opened

    talk(side)


def test_streams_that_are_not_asked_for_are_not_waited_for_and_nothing_is_sent_on_them(talk):
    async def side(client, _):
        await client.open(ERROR, STDIN_)
        client.send(Data(STDIN_, b"x"), Data(STDIN_, b"", is_last=True))
        rest = await client.rest()
        assert {frame.stream for frame in rest if isinstance(frame, Data)} == {ERROR, STDIN_}

    talk(side, query="stdin=true")


def test_a_client_that_opens_no_streams_is_not_served(talk, monkeypatch):
    monkeypatch.setattr(spdy, "_OPEN_LIMIT", 0.1)

    async def side(client, served):
        assert await client.rest() == [GoAway(0)]
        assert served.opened is False

    talk(side)


def test_a_client_that_goes_before_all_streams_are_open_is_not_served(talk):
    async def side(client, served):
        await client.open(ERROR)
        client.leave()
        await served.ended.wait()
        assert served.opened is False

    talk(side)


@pytest.mark.parametrize(
    "opened",
    [
        SynStream(9, {"streamtype": "video"}),
        SynStream(9, {}),
        SynStream(9, {"streamtype": "stdin"}),
        SynStream(8, {"streamtype": "resize"}),
    ],
    ids=["unknown", "none", "twice", "a server's number"],
)
def test_a_stream_that_makes_no_sense_is_refused_and_the_others_go_on(talk, opened):
    async def side(client, _):
        await client.open(ERROR, STDIN_, OUT, ERR)
        client.send(opened, Data(STDIN_, b"on"))
        assert await client.until(lambda frame: frame == RstStream(opened.stream, 3))
        assert await client.until(lambda frame: frame == Data(OUT, b"on"))

    talk(side)


def test_input_that_is_closed_when_it_is_opened(talk):
    async def side(client, _):
        await client.open(ERROR, OUT, ERR)
        client.send(SynStream(STDIN_, {"streamtype": "stdin"}, is_last=True))
        assert Data(ERROR, DONE) in await client.rest()

    assert talk(side).typed == [b""]


def test_input_that_is_reset_has_ended_and_output_that_is_reset_is_not_sent(talk):
    async def side(client, _):
        await client.open(ERROR, STDIN_, OUT, ERR)
        client.send(RstStream(ERR, 5), RstStream(STDIN_, 5))
        rest = await client.rest()
        assert Data(ERROR, DONE) in rest
        assert not [frame for frame in rest if isinstance(frame, Data) and frame.stream in {ERR, STDIN_}]

    assert talk(side).typed == [b""]


def test_a_client_that_says_good_bye_types_no_more(talk):
    async def side(client, _):
        await client.open(ERROR, STDIN_, OUT, ERR)
        client.send(GoAway(0))
        assert Data(ERROR, DONE) in await client.rest()

    assert talk(side).typed == []


def test_windows_and_pings_of_our_own_number_ask_for_nothing(talk):
    async def side(client, _):
        await client.open(ERROR, STDIN_, OUT, ERR)
        client.send(WindowUpdate(OUT, 9), Ping(2), Ping(3))
        assert await client.until(lambda frame: isinstance(frame, Ping)) == Ping(3)

    talk(side)


def test_what_is_no_spdy_ends_the_connection(talk):
    async def side(client, _):
        await client.open(ERROR, STDIN_, OUT, ERR)
        client.send_raw(b"\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01")
        assert GoAway(ERR, 1) in await client.rest()

    talk(side)


def test_a_client_that_knows_only_older_ways_is_refused(talk):
    async def side(client, served):
        assert client.head.startswith("HTTP/1.1 403 ")
        assert served.channels is None

    talk(side, offers="channel.k8s.io")


def test_more_than_a_window_and_than_may_wait_comes_through_whole(talk):
    piece = b"x" * 30_000

    async def side(client, _):
        await client.open(ERROR, STDIN_, OUT, ERR)
        client.send(*[Data(STDIN_, piece)] * 200, Data(STDIN_, b"", is_last=True))
        echoed = [
            frame.data for frame in await client.rest() if isinstance(frame, Data) and frame.stream == OUT
        ]
        assert b"".join(echoed) == piece * 200

    talk(side)


def test_an_aborted_connection_is_lost(talk):
    async def side(client, served):
        await client.open(ERROR, STDIN_, OUT, ERR)
        served.channels.abort()
        assert await client.rest() == []
        await served.ended.wait()

    talk(side)
