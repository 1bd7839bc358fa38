"""Redaction: what is taken out of every text before it is written to a disk or shown on a terminal.

The rules are data (`redaction.toml`). In the place of a secret stands the id of the rule that took it out.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import pairwise
from pathlib import Path

_MARKER_START = "[redacted: "
_MARKER = re.compile(r"\[redacted: ([a-z0-9-]{1,40})\]")
_RULE_ID = re.compile(r"[a-z0-9-]{1,40}")
# Shorter ones would be found in innocent words.
_SHORTEST = 6
# Long enough to be a secret, and none by itself.
_PROBE = "something"
ADDRESSES = "address"
# Switched on by --redact-addresses.
_ADDRESS = (
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]|\.\d)",
    # Whole, or shortened by `::`: a time of day has two colons as well.
    r"(?<![\w:.])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])",
    r"(?<![\w:.])(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])",
)


@dataclass(frozen=True)
class Rule:
    """What one rule takes out: its id, and the forms in which the secret appears."""

    id: str
    forms: tuple[re.Pattern[str], ...]


class Redactor:
    """Takes secrets out of texts: by rules, and those that were learned from a host's own configuration."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Nothing is learned yet."""
        self._rules = tuple(rules)
        self._learned: dict[str, str] = {}

    def learn(self, rule: str, *secrets: str | None) -> None:
        """Take these texts out from now on, wherever they appear and in whichever case."""
        for secret in secrets:
            if secret and len(secret.strip()) >= _SHORTEST:
                self._learned[secret.strip().lower()] = rule

    def clean(self, text: str) -> str:
        """The text without secrets; and without what no file can hold (halves of surrogate pairs)."""
        text = text.encode("utf-8", "backslashreplace").decode()
        for each in self._rules:
            for form in each.forms:
                text = form.sub(partial(_without_secret, rule=each.id), text)
        lower = text.lower()
        for secret, rule in tuple(self._learned.items()):  # last: it may be a part of what a rule takes out
            if secret in lower:
                text = re.sub(re.escape(secret), marker(rule), text, flags=re.IGNORECASE)
        return text

    def clean_about(self, host: str, text: str) -> str:
        """A text in which a host is named: its name may end like that of a secret (`reset-password: the login …`)."""
        return self.clean(host).join(map(self.clean, text.split(host))) if host else self.clean(text)

    def clean_words(self, words: Iterable[str]) -> tuple[str, ...]:
        """The words of a command line without secrets: a word may be one by the name before it (`--password WORD`)."""
        return tuple(self._clean_word(before, word) for before, word in pairwise(("", *words)))

    def clean_value(self, name: str, value: str) -> str:
        """What belongs to a name: nothing of it is left where the name alone tells that it is a secret."""
        probed = self.clean(f"{name}={_PROBE}").removeprefix(f"{name}=")
        return probed if _MARKER.fullmatch(probed) else self.clean(value)

    def _clean_word(self, before: str, word: str) -> str:
        name, is_set, value = word.partition("=")
        if is_set and name.startswith("-"):
            return f"{self.clean(name)}={self.clean_value(name, value)}"
        if "=" in before or word.startswith("-"):
            return self.clean(word)
        return self.clean_value(before.lstrip("-"), word)


def marker(rule: str) -> str:
    """What stands in the place of a secret."""
    return f"[redacted: {rule}]"


def markers(text: str) -> Iterable[str]:
    """The rules that took something out of a text, once for each time."""
    return _MARKER.findall(text)


def _without_secret(match: re.Match[str], rule: str) -> str:
    secrets = [name for name, value in match.groupdict().items() if value is not None]
    if not secrets:
        return marker(rule)
    if _MARKER.fullmatch(match[secrets[0]].strip("\\")):
        return match[0]  # another rule was here before
    start, end = (position - match.start() for position in match.span(secrets[0]))
    return f"{match[0][:start]}{marker(rule)}{match[0][end:]}"


def load_rules(override: Path | None = None, *, addresses: bool = False) -> tuple[Rule, ...]:
    """The built-in rules, with those of `override` added or in the place of one with the same id.

    Raises ValueError with one sentence when the file cannot be read or holds something else than lists of regular
    expressions.
    """
    built_in = resources.files("qualys_verify.evidence").joinpath("redaction.toml").read_text("utf-8")
    rules = dict(tomllib.loads(built_in))
    if addresses:
        rules[ADDRESSES] = list(_ADDRESS)
    if override is not None:
        try:
            rules |= tomllib.loads(override.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"{override} cannot be used: {error}") from error
    return _rules(rules, override)


def _rules(rules: Mapping[str, object], source: Path | None) -> tuple[Rule, ...]:
    found = []
    for name, forms in rules.items():
        if not _RULE_ID.fullmatch(name) or not isinstance(forms, list):
            raise ValueError(
                f"{source}: {name!r} is no list of regular expressions under a rule's id (a-z, 0-9, -)"
            )
        try:
            found.append(
                Rule(name, tuple(re.compile(str(form), re.IGNORECASE | re.DOTALL) for form in forms))
            )
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{source}: the rule {name!r} holds no regular expression: {error}") from error
    return tuple(found)
