"""Redaction: what is taken out of every text before it is written to a disk or shown on a terminal.

The rules are data (`redaction.toml`). In the place of a secret stands the id of the rule that took it out.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import resources
from itertools import pairwise
from pathlib import Path
from threading import Lock

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


def _run_of(length: int) -> re.Pattern[str]:
    """A run of letters and digits that is at least so long."""
    return re.compile(rf"[0-9a-z]{{{length},}}")


_RUN = _run_of(_SHORTEST)
# Texts up to this long are often the same on all hosts, and are gone through once.
_SHORT, _REMEMBERED = 1_000, 4_096


@dataclass(frozen=True)
class Form:
    """How a secret appears. One of `words` (in lower case) is in whatever it matches; without any it is always tried."""

    pattern: re.Pattern[str]
    words: tuple[str, ...] = ()

    def may_match(self, text: str, lower: str) -> bool:
        """Whether it is worth trying. Beyond ASCII there are letters that `lower` leaves, and a pattern folds."""
        return not self.words or not text.isascii() or any(map(lower.__contains__, self.words))


@dataclass(frozen=True)
class Rule:
    """What one rule takes out: its id, and the forms in which the secret appears."""

    id: str
    forms: tuple[Form, ...]


class Learned:
    """Secrets that were learned, found in a text without looking for each of them: a fleet has as many as hosts.

    They are looked up by the longest run of letters and digits in each. In a text that holds the secret, that run lies
    within one as long or longer.
    """

    def __init__(self) -> None:
        """Nothing is learned yet."""
        self._lock = Lock()
        self._rules: dict[str, str] = {}
        self._places: dict[str, int] = {}
        self._by_run: dict[str, tuple[str, ...]] = {}
        self._without_run: tuple[str, ...] = ()
        self._lengths = frozenset[int]()
        self._long_run = re.compile("(?!)")  # one that is long enough to hold one of a secret
        self._shortest = sys.maxsize

    def add(self, secret: str, rule: str) -> None:
        """Learn a secret, in lower case."""
        with self._lock:
            self._rules[secret] = rule
            self._shortest = min(self._shortest, len(secret))
            if secret not in self._places:
                self._places[secret] = len(self._places)
                self._index(secret)

    def _index(self, secret: str) -> None:
        run = max(_RUN.findall(secret), key=len, default="")
        if not run:
            self._without_run += (secret,)
            return
        self._by_run[run] = (*self._by_run.get(run, ()), secret)
        if len(run) not in self._lengths:
            self._lengths |= {len(run)}
            self._long_run = _run_of(min(self._lengths))

    def within(self, lower: str) -> list[tuple[str, str]]:
        """Those that are in a text (in lower case), each with its rule, in the order in which they were learned."""
        if len(lower) < self._shortest:
            return []
        runs, lengths = set(self._long_run.findall(lower)), self._lengths
        parts = {
            run[place : place + length]
            for run in runs
            for length in lengths
            for place in range(len(run) - length + 1)
        }
        maybe = [secret for part in parts for secret in self._by_run.get(part, ())]
        found = [secret for secret in (*maybe, *self._without_run) if secret in lower]
        return [(secret, self._rules[secret]) for secret in sorted(found, key=self._places.__getitem__)]


class Redactor:
    """Takes secrets out of texts: by rules, and those that were learned from a host's own configuration."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Nothing is learned yet."""
        self._rules = tuple(rules)
        self._learned = Learned()
        self._remembered = lru_cache(_REMEMBERED)(self._by_rules)

    def learn(self, rule: str, *secrets: str | None) -> None:
        """Take these texts out from now on, wherever they appear and in whichever case."""
        for secret in secrets:
            if secret and len(secret.strip()) >= _SHORTEST:
                self._learned.add(secret.strip().lower(), rule)

    def clean(self, text: str) -> str:
        """The text without secrets; and without what no file can hold (halves of surrogate pairs)."""
        text = self._remembered(text) if len(text) <= _SHORT else self._by_rules(text)
        for secret, rule in self._learned.within(
            text.lower()
        ):  # last: it may be a part of what a rule takes out
            text = re.sub(re.escape(secret), marker(rule), text, flags=re.IGNORECASE)
        return text

    def _by_rules(self, text: str) -> str:
        text = text.encode("utf-8", "backslashreplace").decode()
        lower = text.lower()
        for each in self._rules:
            for form in each.forms:
                if form.may_match(text, lower):
                    text = form.pattern.sub(partial(_without_secret, rule=each.id), text)
                    lower = text.lower()
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
    expressions, or of tables of one (`form`) and the words of which one is in whatever it matches (`words`).
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
            found.append(Rule(name, tuple(map(_form, forms))))
        except (re.error, RecursionError, OverflowError, KeyError, TypeError) as error:
            raise ValueError(f"{source}: the rule {name!r} holds no regular expression: {error}") from error
    return tuple(found)


def _form(form: object) -> Form:
    """A form as the file has it: an expression, or a table of one and its words."""
    if not isinstance(form, dict):
        return Form(re.compile(str(form), re.IGNORECASE | re.DOTALL))
    words = tuple(str(word).lower() for word in form["words"])
    return Form(re.compile(str(form["form"]), re.IGNORECASE | re.DOTALL), words)
