"""What a hundred thousand hosts would take: a calculation from what was measured, with its assumptions in the open. Pure."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What one more host costs a controller: CPU seconds in a read-only run and for each minute of waiting, and bytes.

    `start` is the CPU of a run before its first host, in seconds. `memory` is bytes for each host, `memory_start` those of
    a run without one. `sent` and `received` are bytes for a full run.
    """

    cpu: float
    poll_cpu: float
    start: float
    memory: float
    memory_start: float
    sent: float
    received: float


@dataclass(frozen=True)
class Network:
    """How far the hosts are: seconds for a round trip, and how many of them a host's look takes one after another.

    `trips` holds TCP's and SSH's handshakes as well. `host` is seconds that the host itself takes for all commands.
    """

    name: str
    rtt: float
    trips: int
    host: float


@dataclass(frozen=True)
class Assumptions:
    """`scan` is seconds that the agent needs, `at_once` how many hosts one process speaks to, `headroom` what part of a core it may use.

    `per_process` is how many hosts one process looks after.
    """

    scan: float = 600.0
    at_once: int = 256
    headroom: float = 0.7
    per_process: int = 1000
    cores: int = 8


@dataclass(frozen=True)
class Need:
    """What it takes: processes, machines, seconds of looking and of the whole run, and what flows.

    `bits` are bits a second, both ways, while all machines look; `memory` is bytes on one machine; `logins` are logins a
    second of all machines together; `waiting` is the part of a core that polls need in one process.
    """

    hosts: int
    processes: int
    machines: int
    looking: float
    whole: float
    cpu: float
    waiting: float
    memory: float
    bytes: float
    bits: float
    logins: float


def looking_time(measured: Measured, network: Network, assumed: Assumptions, hosts: int) -> float:
    """Seconds until one process has looked at its hosts: bound by its one core, or by waiting for answers in turns."""
    busy = measured.start + hosts * measured.cpu / assumed.headroom
    answers = network.trips * network.rtt + network.host
    return max(busy, math.ceil(hosts / assumed.at_once) * answers + measured.start)


def need(measured: Measured, network: Network, assumed: Assumptions, hosts: int) -> Need:
    """What a full run over so many hosts takes, all processes at the same time."""
    processes = math.ceil(hosts / assumed.per_process)
    machines = math.ceil(processes / assumed.cores)
    own = min(hosts, assumed.per_process)
    looking = looking_time(measured, network, assumed, own)
    flow = hosts * (measured.sent + measured.received)
    minutes = assumed.scan / 60
    return Need(
        hosts=hosts,
        processes=processes,
        machines=machines,
        looking=looking,
        whole=looking + assumed.scan,
        cpu=processes * measured.start + hosts * (measured.cpu + measured.poll_cpu * minutes),
        waiting=own * measured.poll_cpu / 60,
        memory=min(processes, assumed.cores) * (measured.memory_start + own * measured.memory),
        bytes=flow,
        bits=8 * flow / looking,
        logins=hosts / looking,
    )


def through_bastion(max_startups: int, handshake: float) -> float:
    """Logins a second that one jump host takes when it holds so many unfinished ones, each for so many seconds."""
    return max_startups / handshake
