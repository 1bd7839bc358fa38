"""The process behind the benchmark's hosts: the SSH server, the broken doors, and the agents of all hosts.

`python -m bench.ground DIR` ends when its standard input does, so never later than the process that started it,
and ends then all that it has started.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.processes import adopt, bury_orphans, descendants
from qualys_verify.standin import serving
from qualys_verify.standin.brokendoors import broken_doors
from qualys_verify.standin.daemon import Daemon

_TICK = 1.0  # seconds; a thousand agents that look more often would be what is measured
_BURY = 0.2  # seconds
_PRIVILEGE_SEPARATION = Path(
    "/run/sshd"
)  # where the server of a distribution has it; it wants it to be there
_COME_UP = 10.0  # seconds


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end; return the exit status."""
    if os.getuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    return serving.run(__spec__.name, __doc__, _serve, arguments)


async def _serve(directory: Path, ended: asyncio.Event) -> None:
    told = json.loads((directory / "ground.json").read_text(encoding="utf-8"))
    adopt()  # sessions outlive the server that forked them
    server = await asyncio.create_subprocess_exec(
        *(
            "setpriv",
            "--pdeathsig",
            "TERM",
            "/usr/sbin/sshd",
            "-D",
            "-e",
            "-f",
            str(directory / "sshd_config"),
        ),
        stdin=asyncio.subprocess.DEVNULL,
    )
    (directory / "sshd.pid").write_text(f"{server.pid}\n", encoding="ascii")
    try:
        await _until_it_listens(server, told["port"])
        async with broken_doors(told["port"]) as ports:
            (directory / "ports.json").write_text(
                json.dumps({door.name: port for door, port in ports.items()})
            )
            agents = [Daemon(Path(root)) for root in told["agents"]]
            for agent in agents:
                agent.start(time.time())
            print("ready", flush=True)  # noqa: T201  # the line that `Hosts.start` waits for
            burying = asyncio.create_task(_keep_burying(server.pid))
            await _keep_ticking(agents, ended)
            burying.cancel()
    finally:
        await _end(server)


async def _until_it_listens(server: asyncio.subprocess.Process, port: int) -> None:
    """RuntimeError when the server ends or does not listen in time; what it said stands in the log."""
    async with asyncio.timeout(_COME_UP):
        while server.returncode is None:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.77.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
    raise RuntimeError("sshd did not start")


async def _keep_ticking(agents: Sequence[Daemon], ended: asyncio.Event) -> None:
    while not ended.is_set():
        for agent in agents:
            agent.tick(time.time())
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _TICK)


async def _keep_burying(own: int) -> None:
    while True:
        bury_orphans(own)
        await asyncio.sleep(_BURY)


async def _end(server: asyncio.subprocess.Process) -> None:
    """End the server, then every session that is left."""
    with suppress(ProcessLookupError):
        server.terminate()
    await server.wait()
    for pid in descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
