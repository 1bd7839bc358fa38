"""Everything that can be wrong with a host, by name, and the odd hosts that are healthy nevertheless.

`demo://?faults=log-silent,crash-loop` starts a stand-in host with each of these faults; `qualys-verify faults`
lists them. Those of containers are stand-in clusters instead, for the user's own kubectl.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import chain

from qualys_verify.standin.faults import (
    answers,
    clocks,
    containers,
    doors,
    execution,
    files,
    logs,
    privileges,
    units,
)
from qualys_verify.standin.faults.base import Clock, Door, Fault, Site, make_changes, make_faulty

__all__ = [
    "FAULTS",
    "ROOMS",
    "Clock",
    "Door",
    "Fault",
    "Site",
    "as_json",
    "as_text",
    "find",
    "make_changes",
    "make_faulty",
]

_MODULES = (doors, privileges, units, files, clocks, logs, answers, execution, containers)
# By what they are faults of, in the order in which a run meets them.
ROOMS: Mapping[str, tuple[Fault, ...]] = {room.TITLE: room.FAULTS for room in _MODULES}
FAULTS: Mapping[str, Fault] = {found.name: found for found in chain.from_iterable(ROOMS.values())}


def find(names: Iterable[str]) -> tuple[Fault, ...]:
    """The faults of these names, in this order. Raises ValueError with one sentence for one that is not known."""
    wanted = tuple(names)
    unknown = next((name for name in wanted if name not in FAULTS), None)
    if unknown is not None:
        raise ValueError(f"there is no fault {unknown!r}: `qualys-verify faults` lists them")
    return tuple(FAULTS[name] for name in wanted)


def as_json() -> str:
    """All of them, as a list of objects."""
    listed = [
        {"name": found.name, "healthy": found.healthy, "sentence": found.sentence}
        for found in FAULTS.values()
    ]
    return json.dumps(listed, indent=1, ensure_ascii=False) + "\n"


def as_text() -> str:
    """All of them for a terminal: the faults, and then the healthy variants."""
    width = max(map(len, FAULTS))
    groups = {
        "Faults: none of these hosts may end green.": False,
        "Odd and healthy: all of these must.": True,
    }
    return "\n".join(
        "\n".join(
            [
                title,
                "",
                *(
                    f"  {found.name:{width}}  {found.sentence}"
                    for found in FAULTS.values()
                    if found.healthy is healthy
                ),
                "",
            ]
        )
        for title, healthy in groups.items()
    )
