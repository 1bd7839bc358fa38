"""The agent's log: lines into entries (facts: "one header shape with optional parts")."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from hashlib import sha256

from qualys_verify.agent.clock import parse_offset

LEVELS = ("fatal", "critical", "error", "warning", "notice", "information", "debug", "trace")

# 2026-03-23 10:11:12.345 -0500 [qualys-cloud-agent.scan][1234]:[Error]:[123456789]:message
# Possessive throughout (`*+`): a line of 128 KiB is read once, whatever is in it. The year is one that an
# agent can live in: every stamp can then be reckoned with.
_HEADER = re.compile(
    r"""
    (?P<date>(?:19[7-9]|20\d|21\d)\d-\d\d-\d\d) [ T] (?P<time>\d\d:\d\d:\d\d) (?:[.,](?P<fraction>\d{1,9}))?+
    \s*+ (?P<offset>Z|GMT|UTC|[+-]\d\d:?\d\d)?+
    \s*+ \[(?P<logger>[^\]]*+)\] \s*+ \[\d++\]
    \s*+ :?+ \s*+ \[(?P<level>[a-z]{3,12})\]
    \s*+ :?+ \s*+ (?:\[\d++\] \s*+ : \s*+)?
    (?P<message>.*+)
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII | re.DOTALL,
)
# What a reader is shown of a message, in characters: there are some as long as a payload.
_SHOWN = 300


@dataclass(frozen=True)
class Entry:
    """One entry of the log.

    `stamp` carries a zone only where the line did; without one it is the target's local time. `level` is
    in lower case. `body` are the lines without a header that continue the entry: payloads, never read for
    words.
    """

    stamp: datetime
    logger: str
    level: str
    message: str
    body: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        """The entry as a line for a reader, without the payload."""
        return f"{self.stamp.isoformat(' ', 'seconds')} [{self.level}] {self.message[:_SHOWN]}"


# What is shown of a log and what is made of it are told from the same text, one soon after the other.
@lru_cache(8)
def parse_log(text: str) -> tuple[Entry, ...]:
    """All entries of a log's tail, oldest first.

    Lines before the first header belong to an entry that was cut off, and are left out. NUL bytes (a crash
    leaves them) are dropped. Never raises: what is no header is a continuation.
    """
    entries: list[Entry] = []
    body: list[str] = []
    for line in text.replace("\0", "").split("\n"):
        entry = parse_header(line)
        if entry is None:
            body.append(line)
            continue
        _close(entries, body)
        entries.append(entry)
        body = []
    _close(entries, body)
    return tuple(entries)


def _close(entries: list[Entry], body: Iterable[str]) -> None:
    """Give the last entry the lines that continued it."""
    lines = tuple(body)
    if entries and lines:
        last = entries[-1]
        entries[-1] = Entry(last.stamp, last.logger, last.level, last.message, lines)


def parse_header(line: str) -> Entry | None:
    """The entry that a line begins, or None when it is a continuation (or its date is no date)."""
    match = _HEADER.match(line.rstrip("\r"))
    level = _level(match["level"].lower()) if match else None
    if match is None or level is None:
        return None
    try:
        stamp = datetime.fromisoformat(f"{match['date']}T{match['time']}.{match['fraction'] or '0'}")
        if match["offset"]:
            stamp = stamp.replace(tzinfo=timezone(parse_offset(match["offset"])))
    except ValueError:
        return None
    return Entry(stamp, match["logger"], level, match["message"])


@lru_cache(64)
def _level(word: str) -> str | None:
    """The level that a word means, which may be shortened: `info`, `warn`."""
    return next((level for level in LEVELS if level.startswith(word)), None)


def excerpt(text: str, count: int) -> str:
    """The last entries of a log for the evidence: headers only, payloads hold ids, addresses and tokens.

    What was read is said with its size and SHA-256, so that what is not shown can still be compared.
    """
    entries = parse_log(text)
    lines = [f"{entry}{f' [+ {len(entry.body)} lines]' if entry.body else ''}" for entry in entries[-count:]]
    data = text.encode("utf-8", "surrogateescape")
    head = f"[{len(data)} bytes read, SHA-256 {sha256(data).hexdigest()}; the last {len(lines)} of {len(entries)} entries]"
    return "\n".join([head, *lines])
