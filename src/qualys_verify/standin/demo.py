"""Hosts to try the suite on: on this machine's loopback, without root, gone when the demo ends.

with Demo.start(plan("healthy", hosts=None, delay=None)) as demo:
    subprocess.run(["ssh", "-F", demo.ssh_config, "demo-vendor", "systemctl is-active qualys-cloud-agent"])
"""

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from types import TracebackType
from typing import Self

from qualys_verify.standin.faults import FAULTS, Fault, find
from qualys_verify.standin.install import CONFIGURATION, HOME, StandinHost
from qualys_verify.standin.process import DemoError, start_server, stop_server, wait_until_ready

__all__ = ["SELECTIONS", "Demo", "DemoError", "DemoHost", "plan"]

_HEALTHY = (
    StandinHost("demo-runbook", "runbook"),
    StandinHost("demo-limited", "limited"),
    StandinHost("demo-vendor", "vendor"),
)
_ALL = (
    *_HEALTHY,
    StandinHost("demo-no-agent", "runbook", agent=False),
    StandinHost("demo-never-assesses", "runbook", assesses=False),
)
SELECTIONS: Mapping[str, tuple[StandinHost, ...]] = {"": _ALL, "healthy": _HEALTHY}

CLUSTER = "bottlerocket"  # the selection whose hosts are pods; see `bottlerocket.py`
_SERVER = "qualys_verify.standin.server"


@dataclass(frozen=True)
class DemoHost:
    """A host of a running demo: `ssh -F <ssh_config> <name>` reaches it, and its tree is at `root`.

    `home` and `configuration` are where its agent lives; `home` is None where that is to be found out.
    """

    name: str
    root: Path
    home: Path | None
    configuration: Path


def plan(
    selection: str, hosts: int | None, delay: float | None, faults: Sequence[str] = ()
) -> tuple[StandinHost, ...]:
    """The hosts of a demo.

    `selection` is a key of `SELECTIONS`; `hosts`, if given, how many there are to be: the selection's kinds
    in turn, numbered; `delay` how many seconds a scan takes. `faults` names, instead of a selection, what is
    wrong with a host each; faults of containers are no hosts here. Raises ValueError with one sentence.
    """
    if faults and selection:
        raise ValueError(f"demo://{selection} has no faults: write demo://?faults={','.join(faults)}")
    if selection == CLUSTER:
        return ()
    if selection not in SELECTIONS:
        known = ", ".join(name for name in (*SELECTIONS, CLUSTER) if name)
        raise ValueError(f"there is no demo {selection!r}: leave it empty for all hosts, or use {known}")
    if hosts is not None and hosts < 1:
        raise ValueError(f"a demo has at least one host, not {hosts}")
    found = [fault for fault in find(dict.fromkeys(faults)) if fault.trait is None]
    kinds = tuple(map(_with_fault, found)) if faults else SELECTIONS[selection]
    if delay is not None:
        kinds = tuple(replace(kind, delay=delay) for kind in kinds)
    if hosts is None or not kinds:
        return kinds
    numbered = (
        replace(kind, name=_numbered(kind, position // len(kinds) + 1))
        for position, kind in enumerate(cycle(kinds))
    )
    return tuple(islice(numbered, hosts))


def _with_fault(fault: Fault) -> StandinHost:
    return StandinHost(f"demo-{fault.name}", fault.personality, agent=fault.agent, fault=fault.name)


def _numbered(kind: StandinHost, number: int) -> str:
    """The name of the kind's host of this number; the first one with a fault is named by it alone."""
    return kind.name if kind.fault and number == 1 else f"{kind.name}-{number:03d}"


class Demo:
    """A running demo. Made by `start`, ended by `close`, by leaving its `with`, or with this process.

    `ssh_config` is what a client needs to reach the hosts: `ssh -F`.
    """

    def __init__(
        self, hosts: tuple[DemoHost, ...], ssh_config: Path, server: subprocess.Popen[bytes]
    ) -> None:
        """Take over a server that is ready; for `start` only."""
        self.hosts = hosts
        self.ssh_config = ssh_config
        self._server = server
        self._owner = os.getpid()
        self._directory: Path | None = None
        atexit.register(self.close)

    @classmethod
    def start(cls, hosts: tuple[StandinHost, ...], directory: Path | None = None) -> Self:
        """Bring the hosts up, each in a tree of its own below `directory`.

        `directory` must be empty or not exist, and stays when the demo ends; None is a temporary one, which
        goes. Returns when all hosts can be reached. Raises DemoError when they cannot.
        """
        temporary = directory is None
        place = Path(tempfile.mkdtemp(prefix="qualys-verify-demo-")) if directory is None else directory
        place = place.absolute()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place / "hosts.json").write_text(json.dumps([asdict(host) for host in hosts]), encoding="utf-8")
        server = start_server(_SERVER, place, temporary=temporary)
        demo = cls(
            tuple(_demo_host(host, place / "hosts" / host.name) for host in hosts),
            place / "ssh_config",
            server,
        )
        if temporary:
            demo._directory = place
        try:
            wait_until_ready(server, place / "server.log")
        except BaseException:
            demo.close()
            raise
        return demo

    def close(self) -> None:
        """End the hosts and all that runs on them, and remove what was temporary; again is harmless."""
        if os.getpid() != self._owner:  # a fork of the owner: the demo is not its to end
            return
        atexit.unregister(self.close)
        stop_server(self._server)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        """The demo itself, which runs already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def _demo_host(host: StandinHost, root: Path) -> DemoHost:
    if host.fault and FAULTS[host.fault].opt:
        return DemoHost(host.name, root, None, root / "etc/opt/qualys/cloud-agent/qualys-cloud-agent.conf")
    return DemoHost(host.name, root, root / HOME, root / CONFIGURATION / "qualys-cloud-agent.conf")
