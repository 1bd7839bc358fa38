"""Hosts that OpenSSH's configuration does not tell apart: it is asked about two of them, and knows no more of the others.

One `ssh -G` for each of a thousand hosts would cost more than all else that this process does for them. What is told of
others rests on what OpenSSH itself said of two that the same `Host` lines hold for: the two answers must be the same but
for the names themselves.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import MappingProxyType

from qualys_verify.once import once
from qualys_verify.ssh.directives import BY_KEY, Effective, Support
from qualys_verify.ssh_aliases import Block, blocks_of
from qualys_verify.targets import TargetError

Ask = Callable[[str], Effective]

# Others OpenSSH may write in another way: letters as small ones, say.
_PLAIN = re.compile(r"[a-z0-9.-]+")
_WILD = re.compile("[*?]")
_NAME = "\0"
_SAMPLES = 2


@dataclass
class _Group:
    """Hosts that the same lines hold for; `pattern` is what OpenSSH said of each, where that is all the same."""

    lock: Lock = field(default_factory=Lock)
    samples: dict[str, Effective] = field(default_factory=dict)
    pattern: Effective | None = None


@dataclass(frozen=True)
class _Lines:
    """The `Host` lines of a configuration: the names in them, and those with patterns."""

    names: frozenset[str]
    patterned: tuple[Block, ...]

    def holding_for(self, name: str) -> tuple[bool, ...] | str:
        """Which of them hold for a host; one that is named itself, or not plain, is like no other."""
        if name in self.names or not _PLAIN.fullmatch(name):
            return name
        return tuple(block.holds_for(name) for block in self.patterned)


class Alike:
    """What OpenSSH says of hosts, by one configuration and one set of options."""

    def __init__(self, file: Path | None, *, is_all: bool = True) -> None:
        """`file` is None for the user's and the system's; `is_all`: no option names another. Nothing is read yet."""
        self._file = file
        self._is_all = is_all
        self._lock = Lock()
        self._groups: dict[tuple[bool, ...] | str, _Group] = {}

    def of(self, name: str, ask: Ask) -> Effective:
        """What OpenSSH makes of its configuration for a host; raises what `ask` raises."""
        group = self._group(name)
        with group.lock:
            if name in group.samples:
                return group.samples[name]
            if len(group.samples) < _SAMPLES:
                found = group.samples[name] = ask(name)
                group.pattern = _pattern(group.samples)
                return found
        return _with_name(group.pattern, name) if group.pattern else ask(name)

    def _group(self, name: str) -> _Group:
        with self._lock:
            lines = self._lines
            return self._groups.setdefault(lines.holding_for(name) if lines else name, _Group())

    @once
    def _lines(self) -> _Lines | None:
        """None where they cannot be read, or a `Match` may tell hosts apart in ways of its own: each is asked about."""
        try:
            blocks = tuple(blocks_of(self._file))
        except TargetError:
            return None
        if not self._is_all or any(block.criteria not in {(), ("all",)} for block in blocks):
            return None
        names = frozenset(pattern.removeprefix("!") for block in blocks for pattern in block.patterns)
        return _Lines(names, tuple(block for block in blocks if any(map(_WILD.search, block.patterns))))


def _pattern(samples: dict[str, Effective]) -> Effective | None:
    """What two answers have in common, with a mark for the name; None where they differ in more than that."""
    if len(samples) < _SAMPLES:
        return None
    one, other = (_without_name(effective, name) for name, effective in samples.items())
    is_as_written = one.one("canonicalizehostname", "no") in {"no", "false"}
    return one if one == other and is_as_written else None


def _without_name(effective: Effective, name: str) -> Effective:
    values = {
        key: tuple(_NAME if value == name else value for value in found)
        for key, found in effective.values.items()
        if not _makes_no_difference(key)
    }
    return Effective(MappingProxyType(values))


def _makes_no_difference(key: str) -> bool:
    """Whether a directive is none that this process does anything with, as the path of OpenSSH's own sockets."""
    return key in BY_KEY and BY_KEY[key].support is Support.HARMLESS


def _with_name(pattern: Effective, name: str) -> Effective:
    values = {
        key: tuple(name if value == _NAME else value for value in found) if _NAME in found else found
        for key, found in pattern.values.items()
    }
    return Effective(MappingProxyType(values))
