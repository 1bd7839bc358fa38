"""An agent in a container: what the engine or the cluster says of the container, and what runs in it.

Pure: the JSON of `kubectl get pod`, `docker inspect` and `podman inspect` in, values out (facts, section 4).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from qualys_verify.agent.processes import Process
from qualys_verify.agent.unit import LOOP_RESTARTS, LOOP_UPTIME, rough

RUNNING = "running and ready"
BOOT = "starts at boot"
_INITS = {"systemd", "init"}
_RESTARTED_AT_BOOT = {"always", "unless-stopped"}
# Set by `podman generate systemd` and Quadlet: a unit of the host's starts the container.
_UNIT_LABEL = "PODMAN_SYSTEMD_UNIT"
_LONGEST = 200


@dataclass(frozen=True)
class Container:
    """A container as its engine or its cluster tells of it.

    `trouble` is why nothing can be said from inside it now; empty when it is running and ready. `instance`
    changes when it is restarted or replaced. `running_for` is None when that is not told. `ended` is how it
    ended the last time. `boot` is BOOT, or why it is not started again after a reboot; None where that cannot
    be seen from here. `is_machine`: an init system of its own runs in it, with units. `is_leaving`: its pod is being deleted, and is not coming back.
    """

    name: str
    instance: str = field(repr=False)  # an id of the cluster's, which says nothing to a reader
    trouble: str
    restarts: int
    running_for: timedelta | None
    ended: str
    boot: str | None
    image: str
    image_id: str
    node: str = ""
    phase: str = ""
    is_machine: bool = False
    is_leaving: bool = False

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What a report shows of it: pairs of a name and a value, without what is not known."""
        pairs = (
            ("container", self.name),
            ("node", self.node),
            ("phase", self.phase),
            ("restarts", str(self.restarts)),
            ("last end", self.ended),
            ("image", self.image),
            ("image digest", self.image_id),
        )
        return tuple((name, value) for name, value in pairs if value)

    def __str__(self) -> str:
        """What the report shows as observed."""
        state = self.trouble or RUNNING
        since = f" for {rough(self.running_for)}" if self.running_for is not None else ""
        restarts = f", {self.restarts} restarts" if self.restarts else ""
        ended = f", last end: {self.ended}" if self.ended else ""
        return f"{state}{since}{restarts}{ended}"


@dataclass(frozen=True)
class ContainedProcesses:
    """The agent's processes in a container.

    `daemons` are process ids, without the children that a daemon starts for its scans. `program` is what runs, and
    `elsewhere` how many agents are seen beside the container's, on its node. `untold` are those of which the kernel does
    not tell this login whether they are the container's.
    """

    daemons: tuple[int, ...]
    program: PurePosixPath | None = None
    elsewhere: int = 0
    untold: tuple[int, ...] = ()

    @property
    def state(self) -> str:
        """`no second agent`, unless several run beside each other in the container."""
        if len(self.daemons) > 1:
            return f"{len(self.daemons)} agents: processes {', '.join(map(str, self.daemons))}"
        return "no second agent"

    def __str__(self) -> str:
        """What the report shows as observed."""
        return f"{self.state}; {self.elsewhere} elsewhere on the node" if self.elsewhere else self.state


@dataclass(frozen=True)
class ContainedAgent:
    """The agent in a container, where there is no unit (runbook steps 1 and 2.1).

    It reads as `Service` does for a unit. `has_program`: the daemon's file is there.
    """

    container: Container
    processes: ContainedProcesses
    has_program: bool

    @property
    def is_installed(self) -> bool:
        """False only where neither the agent's program nor a process of it is in the container."""
        return self.has_program or bool(self.processes.daemons)

    @property
    def presence(self) -> str:
        """`installed`, or that this container is none of the agent's."""
        return "installed" if self.is_installed else "no agent in this container"

    @property
    def state(self) -> str:
        """`running and ready`: the container is, and the agent's process is in it."""
        if self.container.trouble:
            return self.container.trouble
        return RUNNING if self.processes.daemons else f"{RUNNING}, without the agent's process"

    @property
    def stability(self) -> str:
        """`stable`, or that the container is started again and again, by the measure that a unit has."""
        age = self.container.running_for
        if self.container.restarts >= LOOP_RESTARTS and (age is None or age < LOOP_UPTIME):
            return f"crash loop: {self.container}"
        return "stable"

    @property
    def boot(self) -> str | None:
        """`starts at boot`, or why not; None where it cannot be seen."""
        return self.container.boot

    @property
    def executable(self) -> PurePosixPath | None:
        """The daemon's path, as its process shows it."""
        return self.processes.program

    def __str__(self) -> str:
        """What the report shows as observed."""
        if not self.is_installed:
            return self.presence
        boot = f", {self.boot}" if self.boot else ""
        agent = "" if self.processes.daemons else ", without the agent's process"
        return f"{self.container}{agent}{boot}"


@dataclass(frozen=True)
class Absence:
    """An agent that is expected and missing: there is no pod on a node that should have one."""

    presence: str

    @property
    def is_installed(self) -> bool:
        """No."""
        return False

    def __str__(self) -> str:
        """What the report shows as observed."""
        return self.presence


# --- pods ------------------------------------------------------------------------------------------------


def parse_pod(text: str, wanted: str | None, usual: str, now: datetime) -> Container:
    """Read one object of `kubectl get pod -o json`.

    `wanted` is the container that the user names; without it the one of the `usual` name counts, or the only
    one. `now` is UTC. Raises ValueError with one sentence when it is no pod, or has no such container.
    """
    try:
        pod = json.loads(text)
        return _pod(pod, wanted, usual, now)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"the cluster's answer is no pod ({' '.join(text.split())[:80]!r})") from error


def _pod(pod: Mapping[str, Any], wanted: str | None, usual: str, now: datetime) -> Container:
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    name = container_of(spec, wanted, usual)
    own: Mapping[str, Any] = next(
        (item for item in status.get("containerStatuses") or [] if item["name"] == name), {}
    )
    state = own.get("state") or {}
    image = next(item.get("image", "") for item in spec["containers"] if item["name"] == name)
    return Container(
        name=name,
        instance=f"{meta.get('uid', '')} {own.get('containerID', '')}",
        trouble=_trouble(pod, own, state),
        restarts=int(own.get("restartCount") or 0),
        running_for=_age((state.get("running") or {}).get("startedAt"), now),
        ended=_ending((own.get("lastState") or {}).get("terminated")),
        boot=BOOT
        if (spec.get("restartPolicy") or "Always") == "Always"
        else f"does not start at boot: restartPolicy {spec['restartPolicy']}",
        image=printable(own.get("image") or image),
        image_id=printable((own.get("imageID") or "").rpartition("://")[2]),
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "unknown",
        is_leaving="deletionTimestamp" in meta,
    )


def container_of(spec: Mapping[str, Any], wanted: str | None, usual: str) -> str:
    """The name of the container that is meant. Raises ValueError when it is not in the pod, or not clear."""
    names = [item["name"] for item in spec["containers"]]
    if wanted is None and usual not in names and len(names) == 1:
        return str(names[0])
    name = usual if wanted is None else wanted
    if name not in names:
        raise ValueError(
            f"the pod has no container {name!r}, it has {', '.join(names)}: name one with container=…"
        )
    return name


def _trouble(pod: Mapping[str, Any], own: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Why the pod is not running and ready; empty when it is."""
    status = pod.get("status") or {}
    phase = status.get("phase") or "Unknown"
    waiting, ended = state.get("waiting"), state.get("terminated")
    if pod["metadata"].get("deletionTimestamp"):
        return f"the pod is being deleted{_said(status)}"
    if waiting:
        before = _ending((own.get("lastState") or {}).get("terminated"))
        last = f", last end: {before}" if before else ""
        return f"the pod is {phase}, its container waits{_said(waiting)}{last}"
    if ended:
        return f"the pod is {phase}, its container has ended: {_ending(ended)}"
    conditions = {item.get("type"): item for item in status.get("conditions") or []}
    ready, placed = conditions.get("Ready") or {}, conditions.get("PodScheduled") or {}
    if phase != "Running":
        return f"the pod is {phase}{_said(placed if placed.get('status') == 'False' else status)}"
    if not own.get("ready") or not state.get("running") or ready.get("status", "True") != "True":
        return f"the pod is Running and not ready{_said(ready) or _said(status)}"
    return ""


def _said(item: Mapping[str, Any]) -> str:
    """`: reason (message)` of a state, a condition or a status."""
    reason = printable(item.get("reason") or "")
    message = printable(" ".join((item.get("message") or "").split()))[:_LONGEST]
    return (f": {reason}" if reason else "") + (f" ({message})" if message else "")


def printable(text: str) -> str:
    """Text of a cluster's for a report: what would move a terminal's cursor or reverse a line is shown as `?`."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _ending(ended: Mapping[str, Any] | None) -> str:
    """`OOMKilled, exit status 137`."""
    if not ended:
        return ""
    return printable(f"{ended.get('reason') or 'Error'}, exit status {ended.get('exitCode', '?')}")


# --- plain containers ------------------------------------------------------------------------------------


def parse_inspect(text: str, now: datetime) -> Container:
    """Read `docker inspect` or `podman inspect` of one container. `now` is UTC.

    Raises ValueError when it is none.
    """
    try:
        (found,) = json.loads(text)
        return _inspected(found, now)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the engine's answer is no container ({' '.join(text.split())[:80]!r})") from error


def _inspected(found: Mapping[str, Any], now: datetime) -> Container:
    state, host, config = found["State"], found.get("HostConfig") or {}, found.get("Config") or {}
    restarts, started = int(found.get("RestartCount") or 0), state.get("StartedAt") or ""
    command = PurePosixPath(found.get("Path") or "").name
    return Container(
        name=str(found["Name"]).removeprefix("/"),
        instance=f"{found['Id']} {restarts} {started}",
        trouble=_idle(state),
        restarts=restarts,
        running_for=_age(started, now) if state.get("Running") else None,
        ended=_last_exit(state, restarts),
        boot=_policy(host.get("RestartPolicy") or {}, config.get("Labels") or {}),
        image=config.get("Image") or "",
        image_id=str(found.get("ImageDigest") or found.get("Image") or ""),
        phase=state.get("Status") or "",
        is_machine=command in _INITS and host.get("PidMode") != "host",
    )


def _idle(state: Mapping[str, Any]) -> str:
    """Why a container is not running and ready; empty when it is."""
    health = (state.get("Health") or state.get("Healthcheck") or {}).get("Status") or ""
    if state.get("Paused"):
        return "the container is paused"
    if state.get("Restarting") or not state.get("Running"):
        ended = f" ({_exit(state)})" if state.get("FinishedAt") else ""
        return f"the container does not run, it is {state.get('Status') or 'stopped'}{ended}: start it, or look why it ended"
    if health in {"starting", "unhealthy"}:
        return f"the container is not ready: its health check says {health}"
    return ""


def _exit(state: Mapping[str, Any]) -> str:
    return f"{'OOMKilled, ' if state.get('OOMKilled') else ''}exit status {state.get('ExitCode', '?')}"


def _last_exit(state: Mapping[str, Any], restarts: int) -> str:
    """How it ended before; a container that was never restarted carries no end."""
    return _exit(state) if restarts or state.get("OOMKilled") else ""


def _policy(policy: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    """What starts it after a reboot: its restart policy; a unit of the host's is not seen from here."""
    name = policy.get("Name") or "no"
    return BOOT if name in _RESTARTED_AT_BOOT or labels.get(_UNIT_LABEL) else None


def _age(stamp: str | None, now: datetime) -> timedelta | None:
    """How long ago a timestamp of RFC 3339 lies; engines write up to nine digits of a second."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)$", stamp or "")
    if not match:
        return None
    zone = "+00:00" if match[2] == "Z" else match[2]
    return max(now - datetime.fromisoformat(match[1] + zone).astimezone(UTC), timedelta(0))


# --- processes -------------------------------------------------------------------------------------------


def parse_contained(listing: str, own_mounts: str, own_space: str) -> ContainedProcesses:
    """Read `ps -eo pid,ppid,pidns,mntns,args` of a container, or the walk through /proc that stands in for it.

    `own_mounts` and `own_space` are what /proc/self/ns/mnt and …/pid point to. With `hostPID` the node's other
    processes are listed as well: an agent counts when it has this container's mounts or, where the kernel does
    not tell those, its pid namespace.
    """
    agents: dict[int, Process] = {}
    elsewhere: dict[int, Process] = {}
    untold: list[int] = []
    for process, mounts in _rows(listing):
        own, its = (own_mounts, mounts) if _inode(own_mounts) else (own_space, process.space)
        is_own = not _inode(own) or _inode(own) == _inode(its)
        if _inode(own) and not _inode(its):
            untold.append(process.pid)
        (agents if is_own else elsewhere)[process.pid] = process
    daemons = [process for process in agents.values() if process.parent not in agents]
    first = daemons[0] if daemons else None
    # The same program with other arguments is a helper that has lost its parent.
    beside = [
        item.pid for item in daemons if first and (item.program != first.program or item.args == first.args)
    ]
    others = sum(process.parent not in elsewhere for process in elsewhere.values())
    return ContainedProcesses(tuple(beside), first.program if first else None, others, tuple(untold))


def _rows(listing: str) -> Iterator[tuple[Process, str]]:
    """The agent's processes, each with its mounts."""
    for line in listing.splitlines():
        words = line.split(None, 4)
        if len(words) == 5 and (words[0] + words[1]).isdecimal():  # noqa: PLR2004  # the columns asked for
            process = Process(int(words[0]), int(words[1]), words[2], words[4])
            if process.is_agent:
                yield process, words[3]


def _inode(namespace: str) -> str:
    """The number in `4026531836` or `mnt:[4026531836]`; empty where it is not told."""
    match = re.search(r"\d+", namespace)
    return match[0] if match else ""
