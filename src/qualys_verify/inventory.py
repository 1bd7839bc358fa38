"""What `--hosts` names, looked up where it stands for several: the run's inventory, and where it comes from."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from qualys_verify import ansible_inventory, ssh_aliases
from qualys_verify.backends import Deadline
from qualys_verify.evidence.events import Inventory, Source
from qualys_verify.targets import AliasSpec, AnsibleSpec, Entry, Target, inventory_digest


def look_up(
    entries: Sequence[Entry], ssh_config: Path | None, deadline: Deadline
) -> tuple[tuple[str, Target], ...]:
    """Every target after the source that named it: in the order in which it was written, sorted where one stands for several.

    Raises TargetError when nothing answers to one, and when it cannot be looked up.
    """
    specs = [entry.named for entry in entries if isinstance(entry.named, AnsibleSpec)]
    hosts = ansible_inventory.find(specs, deadline) if specs else {}

    def targets(named: Target | AnsibleSpec | AliasSpec) -> Iterable[Target]:
        match named:
            case AnsibleSpec():
                return hosts[named]
            case AliasSpec():
                return ssh_aliases.find(named, ssh_config, deadline)
            case Target():
                return (named,)

    return tuple((entry.source, target) for entry in entries for target in targets(entry.named))


def record(targets: Sequence[Target], sources: Iterable[str]) -> Inventory:
    """What evidence says of it; the ids are those that it shows, and each target has its source."""
    count = Counter(sources)
    return Inventory(
        inventory_digest(targets), len(targets), tuple(Source(text, hosts) for text, hosts in count.items())
    )
