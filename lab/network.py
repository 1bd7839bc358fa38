"""The lab's own network: a hub namespace with a bridge, one namespace per host, and no way out of it."""

from collections.abc import Iterable, Sequence

from lab.host import NAMESPACES, NET, Host
from lab.machine import call

HUB_ADDRESS = f"{NET}.254"


def make(hub: str, hosts: Sequence[Host]) -> None:
    """Make the namespaces and wire every host to the bridge; no veth ever appears outside the lab."""
    _batch([f"netns add {hub}", *(f"netns add {host.netns}" for host in hosts)])
    ports = [
        line
        for host in hosts
        for line in (
            f"link add {host.name} type veth peer name eth0 address {host.mac} netns {host.netns}",
            f"link set {host.name} master bridge up",
        )
    ]
    _batch(
        [
            "link set lo up",
            "link add bridge type bridge",
            f"address add {HUB_ADDRESS}/24 dev bridge",
            "link set bridge up",
            *ports,
        ],
        hub,
    )
    for host in hosts:
        _batch(["link set lo up", f"address add {host.address}/24 dev eth0", "link set eth0 up"], host.netns)


def remove(names: Iterable[str]) -> None:
    """Delete network namespaces, those that exist."""
    present = [name for name in names if (NAMESPACES / name).exists()]
    if present:
        _batch([f"netns delete {name}" for name in present])


def inside(hub: str) -> list[str]:
    """Return the words to put before a command so that it runs in the hub's network.

    Not `ip netns exec`, which hides the cgroup mounts from the command.
    """
    return ["nsenter", f"--net={NAMESPACES / hub}", "--"]


def _batch(lines: list[str], netns: str = "") -> None:
    where = ["-netns", netns] if netns else []
    call(["ip", *where, "-batch", "-"], feed="".join(f"{line}\n" for line in lines))
