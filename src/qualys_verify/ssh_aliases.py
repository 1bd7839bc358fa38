"""`ssh://web*`: the names that the SSH configuration gives to hosts.

OpenSSH has no command that lists them, so its files are read here, as ssh_config(5) has it. What a name means is left to
OpenSSH.
"""

import os
import pwd
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, partial
from glob import glob
from pathlib import Path

from qualys_verify.backends import Deadline, ask
from qualys_verify.frame import text
from qualys_verify.reasons import Inconclusive
from qualys_verify.targets import AliasSpec, Target, TargetError

_SYSTEM = Path("/etc/ssh/ssh_config")
_DEEPEST = 16  # as OpenSSH
_LINE = re.compile(r"\s*(?P<keyword>[A-Za-z]+)(?:\s*=\s*|\s+)(?P<rest>.*)")
# Of `Host`, `Match` and `Include`: no comments within, escapes, variables, tokens, or other users' home directories.
_PLAIN = re.compile(r'(?!.*~[^/])[\w.,:*?!/~@=\[\]" \t\r-]*', re.ASCII)
# The criterion of a line that OpenSSH may read in another way.
DOUBTFUL = "?"
# What of OpenSSH's answer (`ssh -G`) says which machine a name leads to.
_PLACE = ("hostname", "port", "proxyjump", "proxycommand")


@dataclass(frozen=True)
class Block:
    """The patterns of one `Host` line, or the criteria of a `Match`.

    `outer` are the patterns around the `Include` that it came by, `address` its `HostName`.
    """

    patterns: tuple[str, ...]
    outer: tuple[tuple[str, ...], ...] = ()
    address: str = ""
    criteria: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts that it names and does not exclude: neither patterns nor negations."""
        concrete = (pattern for pattern in self.patterns if not re.search(r"[*?!]", pattern))
        return tuple(name for name in concrete if self.holds_for(name))

    def holds_for(self, name: str) -> bool:
        """Whether the line holds for a host."""
        return all(_applies(part, name) for part in (self.patterns, *self.outer))


def find(spec: AliasSpec, config: Path | None, deadline: Deadline) -> tuple[Target, ...]:
    """The targets whose names match, sorted by name.

    Where names that stand in one `Host` line lead to one machine, the first one counts. Raises TargetError when none
    matches, and where the configuration cannot be read.
    """
    blocks = tuple(blocks_of(config))
    known = dict.fromkeys(name for block in blocks for name in block.names)
    wanted = _expression(spec.pattern)
    found = [name for name in known if wanted.fullmatch(name)]
    if not found:
        place = f"the SSH configuration {config}" if config else "your SSH configuration"
        raise TargetError(f"{spec.text} matches no Host of {place}: {_hint(spec.pattern, tuple(known))}")
    again = _second_names(blocks, found, partial(_place_of, config=config, deadline=deadline))
    return tuple(spec.named(name) for name in sorted(found) if name not in again)


def _hint(pattern: str, known: Sequence[str]) -> str:
    plain = re.sub(r"[*?]+", "", pattern)
    close = get_close_matches(plain, known, 3, 0.5) or sorted(known)[:3]
    return f"did you mean {' or '.join(close)}?" if close else "it names no host, only patterns"


def _second_names(
    blocks: Iterable[Block], found: Iterable[str], place_of: Callable[[str], object]
) -> set[str]:
    """Further names of machines that have one already, as in `Host web1 web1.example.org`."""
    wanted = set(found)
    fixed = (block for block in blocks if block.address and "%" not in block.address)
    groups = [names for block in fixed if len(names := [name for name in block.names if name in wanted]) > 1]
    again: set[str] = set()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for names in groups:
            first: dict[object, str] = {}
            for name, place in zip(names, pool.map(place_of, names), strict=True):
                if first.setdefault(place, name) != name:
                    again.add(name)
    return again


def _place_of(name: str, *, config: Path | None, deadline: Deadline) -> object:
    """What OpenSSH would connect to; the name itself where it does not say, or where a proxy is told the name."""
    where = ("-F", str(config)) if config else ()
    try:
        raw = ask(("ssh", *where, "-G", "--", name), deadline)
    except Inconclusive:
        return name
    pairs = dict(line.split(" ", 1) for line in text(raw.stdout).splitlines() if " " in line)
    place = tuple(pairs.get(keyword, "") for keyword in _PLACE)
    return name if raw.status or "%n" in pairs.get("proxycommand", "") else place


def blocks_of(config: Path | None) -> Iterator[Block]:
    """The `Host` lines of a configuration and its includes, in order; of the user's and the system's where it is None.

    Raises TargetError for a file that cannot be read.
    """
    if config is not None:
        yield from _blocks(config, _home() / ".ssh", ())
        return
    for file, base in ((_home() / ".ssh/config", _home() / ".ssh"), (_SYSTEM, _SYSTEM.parent)):
        if file.exists():
            yield from _blocks(file, base, ())


def _blocks(file: Path, base: Path, outer: tuple[tuple[str, ...], ...], depth: int = 0) -> Iterator[Block]:
    """`base` is where relative includes are looked for."""
    if depth > _DEEPEST:
        raise TargetError(
            f"the SSH configuration {file} is included more than {_DEEPEST} files deep: mend it"
        )
    around, block = outer, Block(())
    for number, line in enumerate(_lines_of(file), 1):
        match = _LINE.fullmatch(line)
        keyword = match["keyword"].lower() if match else ""
        if not _is_plain(line):
            yield Block((), outer, criteria=(DOUBTFUL,))
        if match is None or keyword not in {"host", "match", "include", "hostname"}:
            continue
        try:
            words = tuple(shlex.split(match["rest"], comments=True))
        except ValueError as error:
            raise TargetError(
                f"line {number} of the SSH configuration {file} has an open quote: mend it"
            ) from error
        if keyword == "include":
            for included in (path for word in words for path in _included(word, base)):
                yield from _blocks(included, base, around, depth + 1)
        elif keyword == "hostname":
            block = replace(block, address=block.address or " ".join(words))
        else:
            yield block
            if keyword == "host":
                around, block = (*outer, words), Block(words, outer)
            else:  # whether it holds is only known of a host
                around, block = outer, Block((), outer, criteria=words)
    yield block


def _lines_of(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "surrogateescape").split("\n")
    except OSError as error:
        raise TargetError(
            f"the SSH configuration {file} cannot be read ({error.strerror}): mend it"
        ) from error


def _is_plain(line: str) -> bool:
    """Whether OpenSSH, of whichever version, reads a line as it is read here."""
    match = _LINE.fullmatch(line)
    if match is None:
        return not line.strip() or line.lstrip().startswith("#")
    tells_apart = match["keyword"].lower() in {"host", "match", "include"}
    return not tells_apart or _PLAIN.fullmatch(match["rest"]) is not None


def _included(word: str, base: Path) -> Iterator[Path]:
    """The files of an `Include`, sorted as OpenSSH's glob does; none is no error there either."""
    home = str(_home())
    path = re.sub(r"^~(?=/|$)|%d", home.replace("\\", r"\\"), os.path.expandvars(word))
    yield from map(Path, sorted(glob(str(base / path))))  # noqa: PTH207  # Path.glob knows no absolute patterns


def _home() -> Path:
    """OpenSSH asks the user database, not the environment."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def _applies(patterns: Iterable[str], name: str) -> bool:
    """Whether a `Host` line holds for a name: one of its patterns matches, and none of the negated ones."""
    told = [pattern for pattern in patterns if _expression(pattern.removeprefix("!")).fullmatch(name)]
    return bool(told) and not any(pattern.startswith("!") for pattern in told)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    """A pattern of ssh_config(5): `*` is any text, `?` one character."""
    parts = (
        ".*" if part == "*" else "." if part == "?" else re.escape(part)
        for part in re.split(r"([*?])", pattern)
    )
    return re.compile("".join(parts), re.DOTALL)
