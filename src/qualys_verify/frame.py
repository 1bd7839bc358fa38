"""Proof that commands ran on the target: a nonce around the output of each, with its real exit status.

What a banner, a `.bashrc` or a dead container prints is outside the frame, and without a frame nothing ran.
"""

import itertools
import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

# Control characters but tab and newline, and the marks that reverse the direction of text: what a target
# prints must not move a terminal's cursor or disguise a line.
_UNPRINTABLE = re.compile(
    r"[\x01-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@dataclass(frozen=True)
class RawResult:
    """What the local client process ended with."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Outcome:
    """What came between the two marks of one command."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Frame:
    """The marks of one round trip.

    The nonce crosses the wire in two halves that only a shell puts together: a target that echoes what it
    is sent proves nothing.
    """

    first: str
    second: str

    @classmethod
    def new(cls) -> "Frame":
        """A frame with a nonce of its own."""
        return cls(secrets.token_hex(8), secrets.token_hex(8))

    @property
    def mark(self) -> bytes:
        """What stands at the beginning of each mark's line."""
        return f"{self.first}{self.second}".encode()

    def script(self, commands: Sequence[str], guard: Sequence[str] = ()) -> str:
        """The script for `/bin/sh`: messages in English, the zone of the machine, lines of any length, the system's programs on PATH.

        Each command has a shell of its own, so that `exit` or a variable in it is no end of the frame. `guard` is what
        all of them together are run by: a program that may end them.
        """
        lines = [
            "LC_ALL=C; LANGUAGE=; export LC_ALL LANGUAGE; unset TZ COLUMNS",
            'PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"; export PATH',
            *self._marks,
            "mark begin",
        ]
        marked = [f"( {command}\n) </dev/null; mark $?" for command in commands]
        if guard:
            # It outlives what it waits for: a guard that sees it end would not go on to kill what ignores a request to end.
            guarded = [*self._marks, "trap 'exit 143' TERM", *marked]
            # Not as an argument: those are everybody's to read on the target, and the nonce is not.
            marked = [f"{shlex.join(guard)} /bin/sh <<'{self.first}'", *guarded, self.first]
        lines += marked
        # The last mark is followed by another: some clients strip what ends the output.
        return "\n".join([*lines, "mark end", "exit 0", ""])

    @property
    def _marks(self) -> tuple[str, str]:
        return (
            f"a={self.first}; b={self.second}",
            r"""mark() { printf '\n%s%s %s\n' "$a" "$b" "$1"; printf '\n%s%s %s\n' "$a" "$b" "$1" >&2; }""",
        )

    def has_begun(self, raw: RawResult) -> bool:
        """Whether a shell of the target's ran our script at all."""
        return self._parts(raw.stdout) != []

    def has_ended(self, raw: RawResult) -> bool:
        """Whether it ran to its end; where a guard ended what it guards, not all commands have."""
        return [status for status, _ in self._parts(raw.stdout)].count(None) > 1

    def outcomes(self, raw: RawResult) -> list[Outcome]:
        """The commands that ran to their end, in order."""
        stdout, stderr = self._parts(raw.stdout), self._parts(raw.stderr)
        return [
            Outcome(status, out, err)
            for (status, out), (_, err) in zip(stdout[1:], stderr[1:], strict=False)
            if status is not None
        ]

    def _parts(self, stream: bytes) -> list[tuple[int | None, bytes]]:
        """For each mark in a stream, the status in it (None for `begin`) and what came before it."""
        pieces = stream.split(b"\n" + self.mark + b" ")
        parts: list[tuple[int | None, bytes]] = []
        for before, after in itertools.pairwise(pieces):
            word, newline, _ = after.partition(b"\n")
            if newline:
                parts.append(
                    (
                        int(word) if word.isdigit() else None,
                        before if not parts else before.partition(b"\n")[2],
                    )
                )
        return parts


def text(data: bytes) -> str:
    """Text for parsers and transcripts: bytes that are no UTF-8 and control characters are shown as escapes.

    NUL bytes, which a crash leaves in files, are dropped.
    """
    decoded = data.decode("utf-8", "backslashreplace").replace("\0", "").replace("\r\n", "\n")
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), decoded)
