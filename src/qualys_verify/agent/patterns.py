"""The phrases of the agent's log, as data that a site can override (`patterns.toml` is the built-in set)."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

Regexes = tuple[re.Pattern[str], ...]

# What of a message phrases are looked for in: its beginning, in characters. A phrase stands there, and an
# expression that takes the square of the length takes milliseconds.
_READ = 1000
# In the place of a request's own ControlId, so that phrases need not be compiled for each request.
_OWN = "{control_id}"
_CONTROL_ID = re.compile(r"(?<!\d)\d{14}\.\d+", re.ASCII)

_LISTS = (
    "noise",
    "harmless",
    "negated",
    "assessment",
    "communication",
    "communication_failure",
    "communication_trouble",
    "disabled",
    "fatal",
)
_TABLES = {
    "request": (
        "delayed",
        "started",
        "pending",
        "done",
        "unfinished",
        "failed",
        "failed_unnamed",
        "single",
        "manifest_missing",
    ),
    "types": ("vm", "pc", "sca", "udc", "inv"),
}


@dataclass(frozen=True)
class RequestPatterns:
    """What the log says of one request; each tuple is searched in an entry's message."""

    delayed: Regexes
    started: Regexes
    pending: Regexes
    done: Regexes
    unfinished: Regexes
    failed: Regexes
    failed_unnamed: Regexes
    single: Regexes
    manifest_missing: Regexes
    own_types: Regexes
    other_types: Regexes

    def names_own(self, message: str) -> bool:
        """Whether a message names our application."""
        return matches(self.own_types, message)

    def names_other_only(self, message: str) -> bool:
        """Whether a message names applications, and ours is none of them."""
        return matches(self.other_types, message) and not self.names_own(message)


@dataclass(frozen=True)
class Patterns:
    """The phrases of `patterns.toml`, compiled; `request` and `types` stay text until a request fills them."""

    noise: Regexes
    harmless: Regexes
    negated: Regexes
    assessment: Regexes
    communication: Regexes
    communication_failure: Regexes
    communication_trouble: Regexes
    disabled: Regexes
    fatal: Regexes
    request: tuple[tuple[str, tuple[str, ...]], ...]
    types: tuple[tuple[str, tuple[str, ...]], ...]

    def of_request(self, scan_types: Sequence[str]) -> RequestPatterns:
        """The phrases about a request for these scan types, in lower case, that the log may name it by."""
        return _of_request(self.request, self.types, tuple(scan_types))

    def gist(self, message: str) -> str:
        """What phrases are looked for in: the beginning of a message, without what is not meant as it sounds."""
        text = message[:_READ]
        for regex in self.harmless:
            text = regex.sub("", text)
        return text


@cache
def _of_request(
    request: tuple[tuple[str, tuple[str, ...]], ...],
    types: tuple[tuple[str, tuple[str, ...]], ...],
    scan_types: tuple[str, ...],
) -> RequestPatterns:
    own = _names(names for scan_type, names in types if scan_type in scan_types)
    others = _names(names for scan_type, names in types if scan_type not in scan_types)
    return RequestPatterns(
        **{name: _compile(_fill(texts, own)) for name, texts in request},
        own_types=_compile((own,)),
        other_types=_compile((others,)),
    )


def _names(groups: Iterable[tuple[str, ...]]) -> str:
    """Any of the names as a word; `_` ends a word here, as in INTERVAL_EVENT_VM."""
    names = "|".join(name for group in groups for name in group)
    return rf"(?<![^\W_])(?:{names})(?![^\W_])"


def _fill(texts: tuple[str, ...], types: str) -> tuple[str, ...]:
    return tuple(text.replace(_OWN, re.escape(_OWN)).replace("{types}", types) for text in texts)


def name_own(message: str, control_id: str | None) -> str:
    """The message with `{control_id}` in the place of this ControlId; that of another request stays."""

    def rename(match: re.Match[str]) -> str:
        return _OWN if match[0] == control_id else match[0]

    return _CONTROL_ID.sub(rename, message)


def is_own(message: str) -> bool:
    """Whether a message, as `name_own` returned it, names our request."""
    return _OWN in message


def is_of_another(message: str) -> bool:
    """Whether a message, as `name_own` returned it, names another request and not ours."""
    return not is_own(message) and _CONTROL_ID.search(message) is not None


def matches(regexes: Regexes, message: str) -> bool:
    """Whether any of the phrases occurs in a message."""
    return any(regex.search(message) for regex in regexes)


def load_patterns(override: Path | None = None) -> Patterns:
    """The built-in phrases, with the lists of `override` in the place of the built-in ones.

    Raises ValueError with one sentence when the file cannot be read, is not TOML, names a list that does
    not exist, or holds something that is no regular expression.
    """
    built_in = resources.files("qualys_verify.agent").joinpath("patterns.toml").read_text("utf-8")
    if override is None:
        return _built_in(built_in)
    try:
        own = tomllib.loads(override.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{override} cannot be used: {error}") from error
    return _patterns(_merge(tomllib.loads(built_in), own, override))


@cache
def _built_in(text: str) -> Patterns:
    return _patterns(tomllib.loads(text))


def _merge(base: Mapping[str, object], own: Mapping[str, object], source: Path) -> dict[str, object]:
    """`base` with the lists of `own`; ValueError for a name that `base` does not have or a value of another kind."""
    merged = dict(base)
    for name, value in own.items():
        known = base.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[name] = _merge(known, value, source)
        elif (
            isinstance(known, list)
            and isinstance(value, list)
            and all(isinstance(text, str) for text in value)
        ):
            merged[name] = value
        else:
            raise ValueError(
                f"{source}: {name!r} is not a list of phrases that exists; see agent/patterns.toml"
            )
    return merged


def _patterns(data: Mapping[str, object]) -> Patterns:
    lists = {name: _compile(_texts(data[name])) for name in _LISTS}
    request, types = (_table(data[name], keys) for name, keys in _TABLES.items())
    patterns = Patterns(**lists, request=request, types=types)
    for scan_type, _ in types:
        # An expression that cannot be compiled is found now, not in the middle of a run.
        patterns.of_request([scan_type])
    return patterns


def _table(value: object, keys: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    assert isinstance(value, dict)  # noqa: S101  # the built-in file has tables here, and _merge keeps their kind
    return tuple((key, _texts(value[key])) for key in keys)


def _texts(value: object) -> tuple[str, ...]:
    assert isinstance(value, list)  # noqa: S101  # as above
    return tuple(value)


def _compile(texts: tuple[str, ...]) -> Regexes:
    try:
        return tuple(re.compile(text, re.IGNORECASE) for text in texts)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{texts!r} are not all regular expressions: {error}") from error
