"""Every command that this suite runs as root on a target, in one place: a site can allow exactly these.

Pure argument vectors. What uses sudo nowhere (`systemctl show`, `date` …) is not here,
except what takes the place of one of them in a container.
"""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from qualys_verify.agent.configuration import Configuration
from qualys_verify.agent.dialect import VERBS, Dialect
from qualys_verify.agent.layout import Layout
from qualys_verify.agent.request import ScanType, Step, demands

Argv = tuple[str, ...]

# A configuration or a script is some KiB; what is larger is none.
FILE_LIMIT = 1 << 18
# Some 50 entries are 10 KiB; payloads and a talkative LogLevel need more.
TAIL = 1 << 17
# As root, because hardened hosts hide other users' processes.
PROCESSES: Argv = ("ps", "-eo", "pid,ppid,pidns,args")
# The same in a container, where no sudo stands before it, with the mounts by which its own are told; and what
# stands in for it where there is no `ps` (or busybox's): a walk through /proc that prints the same columns.
CONTAINED_PROCESSES: Argv = ("ps", "-eo", "pid,ppid,pidns,mntns,args")
OWN_MOUNTS: Argv = ("readlink", "/proc/self/ns/mnt")
OWN_SPACE: Argv = ("readlink", "/proc/self/ns/pid")
WALK: Argv = (
    "/bin/sh",
    "-c",
    r"""for d in /proc/[0-9]*; do
{ [ -r "$d/stat" ] && IFS= read -r s <"$d/stat"; } 2>/dev/null || continue
set -- ${s##*) }
a=$(tr '\0' ' ' <"$d/cmdline") 2>/dev/null
p=$(readlink "$d/ns/pid" 2>/dev/null) m=$(readlink "$d/ns/mnt" 2>/dev/null)
printf '%s %s %s %s %s\n' "${d#/proc/}" "$2" "${p:--}" "${m:--}" "$a"
done""",
)
FILTER: Argv = ("tail", "-c", str(TAIL))


def beginning(path: PurePosixPath) -> Argv:
    """Read a small file; never more of it than a small file has."""
    return ("head", "-c", str(FILE_LIMIT), str(path))


def end(path: PurePosixPath | str) -> Argv:
    """Read the end of a log, however long it or its last line is."""
    return ("tail", "-c", str(TAIL), str(path))


def unpacked(path: str) -> Argv:
    """Unpack a rotated log to stdout; its end is taken by FILTER, which needs no root."""
    return ("gzip", "-dc", path)


def listing(directory: PurePosixPath) -> Argv:
    """What lies in a folder."""
    return ("ls", "-l", str(directory))


def newest(paths: Iterable[PurePosixPath]) -> Argv:
    """Those of these files that are there, the one that was written to last before the others."""
    return ("ls", "-t", *map(str, paths))


def logs(log: PurePosixPath) -> tuple[Argv, Argv, Argv]:
    """The log's end after that of its newest archive, which may be packed (facts, section 2: `.log.0`)."""
    return unpacked(f"{log}.0.gz"), end(f"{log}.0"), end(log)


def as_root(
    layout: Layout, logs_at: PurePosixPath, types: Iterable[ScanType], throttle: int
) -> Iterator[Argv]:
    """All of them, for an agent with this layout and these requests; reading first, then triggers."""
    for place in layout.configuration_places:
        yield beginning(place)
        yield beginning(layout.hostid_beside(place))
    for path in (layout.script, layout.control):
        yield beginning(path)
    yield from logs(logs_at)
    places = layout.log_places(Configuration())
    if len(places) > 1:
        yield newest(places)
        for place in places:
            yield from logs(place)
    yield listing(layout.requests)
    yield listing(layout.script.parent)
    yield PROCESSES
    wanted = tuple(types)
    yield from ((str(layout.script), verb) for verb in VERBS)
    for step in Step:
        yield from (demand.argv for demand in demands(step, wanted, Dialect.VENDOR, layout, throttle))
