"""What the renderers share: times, texts and names as every format can hold them."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache, wraps
from uuid import NAMESPACE_URL, UUID, uuid5

from qualys_verify.evidence.result import Assessment, Host, Run, WaiverUse

# All UUIDs of a result come from its run's id and the names in it, so that the same result gives the same bytes.
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:qualys-verify:evidence")
# Control characters but tab and newline; what XML 1.0 cannot hold; ends of lines that only some programs see; and
# characters that turn the direction of what follows.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)

# The statuses of pytest's for a run that was ended, and for one that broke.
_CUT_SHORT = (2, 3)
# Texts up to this long often stand beside each check or host, and are made once.
_SHORT, _REMEMBERED = 1_000, 256
# What stands for the symbols where the terminal's encoding has none for them.
_PLAIN = str.maketrans({"✔": "+", "✘": "x", "…": "..."})


@lru_cache(256)  # those of the run itself stand beside each check
def utc(at: datetime) -> str:
    """A time as every format here writes it: ISO 8601, UTC, `Z`, with microseconds where there are any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def name_of(run: Run, *parts: str) -> UUID:
    """The UUID of something in this run; `parts` are told apart from each other wherever they are cut."""
    return _uuid(run.id, parts)


@lru_cache(256)  # those of the tool and of a host stand beside each check
def _uuid(run: str, parts: tuple[str, ...]) -> UUID:
    return uuid5(_NAMESPACE, "\0".join((run, *(f"{len(part)}:{part}" for part in parts))))


def remembered(make: Callable[[str], str]) -> Callable[[str], str]:
    """The same function of a text, which keeps what it made of short ones."""
    kept = lru_cache(_REMEMBERED)(make)
    return wraps(make)(lambda text: kept(text) if len(text) <= _SHORT else make(text))


def printable(text: str) -> str:
    """The text with what cannot be seen, or be kept in a file, spelled out by its number in hexadecimal."""
    if text.isprintable():  # nearly always; what is unprintable here is so for Python, too
        return text
    return _UNPRINTABLE.sub(_spelled, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The text in one line, without what cannot be seen; empty for nothing but white space."""
    return " ".join(printable(text).split())


def shortened(text: str, length: int) -> str:
    """The text, cut to so many characters, with a word on how long it was."""
    if len(text) <= length:
        return text
    return f"{text[:length]} … (the first {length} of {len(text)} characters; run.json has all)"


def for_encoding(text: str, encoding: str | None) -> str:
    """The text as a terminal of this encoding can show it."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return text.translate(_PLAIN).encode("ascii", "replace").decode()
    return text


def said(assessment: Assessment) -> str:
    """What was observed and why the verdict is what it is, each once."""
    return "\n".join(dict.fromkeys(text for text in (assessment.observed, assessment.reason) if text))


def looked(host: Host, assessment: Assessment) -> tuple[datetime, datetime] | None:
    """From when until when the host was looked at for this, UTC; None where it never was."""
    spans = [host.spans[name] for name in assessment.rests_on if name in host.spans]
    if not spans:
        return None
    return min(started for started, _ in spans), max(ended for _, ended in spans)


def state_of(run: Run) -> str:
    """How the run ended, in a word or a sentence."""
    if not run.is_complete:
        return "incomplete: the run was killed before its end"
    if not is_cut_short(run):
        return "complete"
    return f"interrupted: {run.interrupted or 'before its end'}"


def is_cut_short(run: Run) -> bool:
    """Whether a run was ended before it had judged everything, or broke."""
    return bool(run.interrupted) or run.exit_status in _CUT_SHORT


def waiver_on(uses: Iterable[WaiverUse], host: Host, assessment: Assessment) -> WaiverUse | None:
    """The waiver that covers this; of what is not as it should be else one that would, were it in force; else None."""
    if assessment.waiver:
        return next((use for use in uses if use.waiver.id == assessment.waiver), None)
    return next(
        (
            use
            for use in uses
            if use.state in {"expired", "not yet effective"}
            and assessment.verdict in use.waiver.covers
            and use.waiver.concerns(host.id, assessment.step, assessment.test)
        ),
        None,
    )


def _spelled(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
