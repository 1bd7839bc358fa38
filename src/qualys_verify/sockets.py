"""How many connections this process may keep open."""

import resource

# What the process has open besides: its journal, its clients, the standard streams, a demo.
_OWN = 200


def make_room(connections: int) -> bool:
    """Raise this process's limit of open files (`ulimit -n`), usually 1,024, as far as it may be; whether all have room.

    A host that waits for its agent keeps its connection, and a fleet of a thousand does so at the same time.
    """
    needed = connections + _OWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_enough(soft, needed):
        return True
    if not _is_enough(hard, needed):
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return True


def _is_enough(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
