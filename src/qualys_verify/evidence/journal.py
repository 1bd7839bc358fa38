"""The journal: written while things happen, one line a record, each carrying the SHA-256 of the line before it.

A run that is killed leaves it as far as it came. A line that was changed, dropped, doubled or moved breaks the chain,
and anyone can follow it with `sha256sum`.
"""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Protocol, Self, TypeVar

import msgspec

from qualys_verify.evidence.events import AnyEvent

NAME = "journal.jsonl"
# What the first line carries in the place of a digest.
GENESIS = "0" * 64

Kind = TypeVar("Kind", bound=AnyEvent)


class Line(msgspec.Struct, frozen=True):
    """One line: its number from 0, the digest of the line before it, and the record."""

    number: int
    previous: str
    record: AnyEvent


class JournalError(ValueError):
    """A journal that cannot be read or was changed; the message says where."""


class Sink(Protocol):
    """Where records go."""

    def write(self, *events: AnyEvent) -> None:
        """Write them down, one after another."""


@dataclass(frozen=True)
class _End:
    """Where a journal that is being written ends: its lines, its size in bytes, and the digest of its last line."""

    lines: int
    size: int
    head: str


class Journal:
    """A journal that is being written; for several threads at once."""

    def __init__(self, path: Path) -> None:
        """Begin a new file, for its owner alone. Raises OSError where there is one, or none can be."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._lock = Lock()
        self._end = _End(0, 0, GENESIS)
        self._is_torn = False

    def write(self, *events: AnyEvent) -> None:
        """Append records, past every buffer of this process. Raises OSError when they cannot be written whole.

        A full disk or Ctrl-C may end this anywhere: whatever was not written to its end is taken off by the next one.
        """
        with self._lock:
            if self._is_torn:
                os.ftruncate(self._file, self._end.size)
            self._is_torn = True
            text, end = _continued(self._end, events)
            _write_whole(self._file, text)
            self._end = end
            self._is_torn = False

    def close(self) -> None:
        """No record comes after this."""
        os.close(self._file)

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _continued(end: _End, events: Iterable[AnyEvent]) -> tuple[bytes, _End]:
    """The lines of these records after others, and where the journal ends with them."""
    lines, head = [], end.head
    for number, event in enumerate(events, end.lines):
        line = encode(Line(number, head, event))
        head = digest(line)
        lines.append(line + b"\n")
    text = b"".join(lines)
    return text, _End(end.lines + len(lines), end.size + len(text), head)


def _write_whole(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def encode(line: Line) -> bytes:
    """A line as it stands in the file, without its end."""
    return msgspec.json.encode(line)


def digest(line: bytes) -> str:
    """What the next line carries of this one."""
    return sha256(line).hexdigest()


@dataclass(frozen=True)
class Chain:
    """A journal that was read: its records in order, and the digest of the last line."""

    events: tuple[AnyEvent, ...]
    head: str
    # The beginning of a line that a killed run did not write to its end.
    torn: bool = False


def read_journal(data: bytes) -> Chain:
    """Read a journal and follow its chain.

    Raises JournalError for a line that is no record, or that does not follow the one before it. The last line may be
    cut off: a run that is killed, or a full disk, leaves it so.
    """
    return follow(io.BytesIO(data))


def follow(lines: Iterable[bytes]) -> Chain:
    """The same, for a file that is open for reading: one of a thousand hosts need not be in memory as well."""
    decoder = msgspec.json.Decoder(Line)
    events: list[AnyEvent] = []
    known: dict[str, str] = {}
    previous = GENESIS
    for number, whole in enumerate(lines):
        text = whole.removesuffix(b"\n")
        if text == whole:
            return Chain(tuple(events), previous, torn=True)
        try:
            line = decoder.decode(text)
            _share(line.record, known)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise JournalError(f"line {number + 1} of the journal is no record ({error})") from error
        # Written anew and compared: a second spelling of the same record is a change, too.
        if line.number != number or line.previous != previous or encode(line) != text:
            raise JournalError(
                f"line {number + 1} of the journal does not follow from the one before it: lines were changed, dropped, "
                "doubled or moved"
            )
        events.append(line.record)
        previous = digest(text)
    return Chain(tuple(events), previous)


def _share(record: AnyEvent, known: dict[str, str]) -> None:
    """Keep a text once that stands in many records: the name of a host, a command, what many hosts print."""
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if type(value) is str:
            msgspec.structs.force_setattr(record, name, known.setdefault(value, value))


def write_journal(path: Path, events: Iterable[AnyEvent]) -> None:
    """Write a whole journal at once, as for several that are merged."""
    with Journal(path) as journal:
        for event in events:
            journal.write(event)


def of_kind(events: Sequence[AnyEvent], kind: type[Kind]) -> Iterator[Kind]:
    """The records of one kind, in order."""
    return (event for event in events if isinstance(event, kind))
