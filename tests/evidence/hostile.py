"""A result in which every text is hostile that a host, a user or an environment has a say in."""

from enum import StrEnum

import msgspec

from qualys_verify.evidence.result import transcripts_of
from qualys_verify.evidence.still_open import OpenReason
from tests.evidence import sample
from tests.evidence.whole import render_page

WORDS = (
    "<svg/onload=alert(1)>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "</style><style>*{display:none}",
    "</title></svg><img src=http://evil.example/x onerror=alert(1)>",
    "--><!--",
    "{{7*7}}{% raw %}{#",
    "javascript:alert(1)",
    "\u202egnp.exe\u2066",
    "]]></text></svg><script>",
    "&lt;b&gt;&#60;",
    "\x00\x1b[31m\ud800",
)
# What is one of a few words of ours, by which the page knows what it has before it.
_OURS = {"name", "outcome", "state", "format", "verdicts"}


class Control(msgspec.Struct, frozen=True):
    """A control as the page takes it."""

    framework: str
    id: str
    title: str
    partial: bool


def page_of(word: str) -> str:
    """The sample's page with this word after every text."""
    result = sample.result()
    result = msgspec.structs.replace(result, run=msgspec.structs.replace(result.run, redacted={"token": 1}))
    return render_page(
        _spoiled(result, word),
        _spoiled(transcripts_of(sample.chain()), word),
        still_open=[OpenReason(f"reboot{word}", (f"ssh://web2{word}",))],
        controls={f"1{word}": [_spoiled(Control("CIS", "7.5", "Scans", partial=True), word)]},
    )


def _spoiled(value, word):
    match value:
        case msgspec.Struct():
            texts = {key: getattr(value, key) for key in value.__struct_fields__ if key not in _OURS}
            return msgspec.structs.replace(
                value, **{key: _spoiled(item, word) for key, item in texts.items()}
            )
        case tuple():
            return tuple(_spoiled(item, word) for item in value)
        case dict():
            return {f"{key}{word}": _spoiled(item, word) for key, item in value.items()}
        case str() if not isinstance(value, StrEnum):
            return f"{value}{word}"
    return value
