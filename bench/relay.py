"""A relay before one host, which counts what goes through it."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.hosts import Hosts, Member

_BLOCK = 1 << 16
_TICK = 0.2  # seconds


class Relay:
    """Passes connections on to a host. `sent` and `received` are bytes of TCP's payload, by the client's view."""

    def __init__(self, hosts: Hosts, member: Member) -> None:
        """Listens at once; the client finds it by the configuration that `through` names."""
        told = hosts.ssh_config.read_text(encoding="utf-8")
        port = int(told.rpartition("    Port ")[2].split()[0])
        self.sent = self.received = 0
        self._address = (member.address, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_TICK)
        self._usual = str(hosts.ssh_config)
        self._config = hosts.root / "ssh_config.relay"
        self._config.write_text(
            f"Host {member.address}\n    HostName 127.0.0.1\n    Port {self._listener.getsockname()[1]}\n"
            f"    HostKeyAlias [{member.address}]:{port}\n{told}",
            encoding="utf-8",
        )
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def through(self, word: str) -> str:
        """A word of a command line, leading through the relay where it names the client's configuration."""
        return word.replace(self._usual, str(self._config)) if word.startswith("--ssh-config=") else word

    def _accept(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                server = socket.create_connection(self._address)
                for source, sink, count in (
                    (client, server, self._count_sent),
                    (server, client, self._count_received),
                ):
                    thread = threading.Thread(target=_pass_on, args=(source, sink, count))
                    thread.start()
                    self._threads.append(thread)

    def _count_sent(self, size: int) -> None:
        self.sent += size

    def _count_received(self, size: int) -> None:
        self.received += size

    def __enter__(self) -> Self:
        """It listens."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; connections end with their client."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        Path(self._config).unlink()


def _pass_on(source: socket.socket, sink: socket.socket, count: Callable[[int], None]) -> None:
    with suppress(OSError):
        while block := source.recv(_BLOCK):
            count(len(block))
            sink.sendall(block)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
    source.close()
