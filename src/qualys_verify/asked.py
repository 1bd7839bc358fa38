"""What a host is asked: commands, who may run them, and what of their output the evidence keeps."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import PurePosixPath

from qualys_verify.agent.clock import ASK_CLOCK
from qualys_verify.agent.commands import beginning
from qualys_verify.once import once


def whole(output: str) -> str:
    """Keep a command's output for the evidence as it is."""
    return output


def digest(output: str) -> str:
    """Keep only its size and SHA-256: configuration files hold ids and tokens, which no report may show."""
    data = output.encode("utf-8", "surrogateescape")
    return f"[{len(data)} bytes, SHA-256 {sha256(data).hexdigest()}; not shown, it may hold ids and tokens]"


@dataclass(frozen=True)
class Command:
    """One command for a target.

    `as_root` puts `sudo -n` before exactly it, where the login is not root already. `show` says what of its
    output is kept for the evidence. `filter` is what the output goes through, without root; the status is then
    the filter's.
    """

    argv: tuple[str, ...]
    as_root: bool = False
    filter: tuple[str, ...] = ()
    show: Callable[[str], str] = whole

    def after(self, words: Sequence[str]) -> str:
        """The command for a shell, with these words before it."""
        text = _quoted((*words, *self.argv))
        return f"{text} | {_quoted(self.filter)}" if self.filter else text

    @once
    def text(self) -> str:
        """The command by itself."""
        return self.after(())


@dataclass(frozen=True)
class Line:
    """A line for the target's shell, for any login; it takes no time that is worth a deadline."""

    text: str
    show: Callable[[str], str] = whole


Asked = Command | Line
CLOCK = Line(ASK_CLOCK)


@lru_cache(1_024)  # all hosts are asked the same
def _quoted(words: tuple[str, ...]) -> str:
    return shlex.join(words)


def user(*argv: str) -> Command:
    """A command that any login may run."""
    return Command(argv)


def root(*argv: str, show: Callable[[str], str] = whole) -> Command:
    """A command that needs root: the agent's files cannot even be seen otherwise (facts, section 2)."""
    return Command(argv, as_root=True, show=show)


def beginnings(*paths: PurePosixPath) -> tuple[Command, ...]:
    """What reads the beginnings of files that only root may read, and that no evidence shows."""
    return tuple(root(*beginning(path), show=digest) for path in paths)
