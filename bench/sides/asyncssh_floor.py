"""`python -m bench.sides.asyncssh_floor ROOT FOLDER`: nothing but asyncssh, one connection and one command a host."""

import asyncio
import re
import sys
from pathlib import Path

import asyncssh

_AT_ONCE = 64  # 16 and 32 took a tenth longer, a hundred as long: tried with 100 hosts on two cores


async def _all(root: Path, folder: Path) -> None:
    config = (root / "ssh_config").read_text(encoding="utf-8")
    port, user = (re.findall(rf"^ +{key} (\S+)$", config, re.MULTILINE)[-1] for key in ("Port", "User"))
    options = asyncssh.SSHClientConnectionOptions(
        config=None,
        username=user,
        client_keys=[str(root / "client_key_ed25519")],
        known_hosts=asyncssh.read_known_hosts(str(root / "known_hosts")),
        agent_path=None,
    )
    script = (folder / "facts.sh").read_text(encoding="utf-8")
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(address: str) -> None:
        async with turns, asyncssh.connect(address, int(port), options=options) as connection:
            done = await connection.run(script, stdin=asyncssh.DEVNULL, encoding=None)
            assert isinstance(done.stdout, bytes)  # noqa: S101  # no encoding was asked for
            (folder / address).write_bytes(done.stdout)

    async with asyncio.TaskGroup() as group:
        for address in (root / "fleet.txt").read_text(encoding="ascii").split():
            group.create_task(one(address))


if __name__ == "__main__":
    asyncio.run(_all(Path(sys.argv[1]), Path(sys.argv[2])))
