"""The phrases of the agent's log, as data that a site can override (`patterns.toml` is the built-in set)."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

Regexes = tuple[re.Pattern[str], ...]

_LISTS = (
    "noise",
    "assessment",
    "communication",
    "communication_failure",
    "communication_trouble",
    "disabled",
    "fatal",
)
_TABLES = {
    "request": ("delayed", "started", "done", "failed", "manifest_missing"),
    "types": ("vm", "pc", "sca", "udc", "inv"),
}


@dataclass(frozen=True)
class RequestPatterns:
    """What the log says of one request; each tuple is searched in an entry's message."""

    delayed: Regexes
    started: Regexes
    done: Regexes
    failed: Regexes
    manifest_missing: Regexes
    own_types: Regexes
    other_types: Regexes

    def is_about(self, message: str) -> bool:
        """Whether a message that names applications names ours; one that names none may be about any."""
        return matches(self.own_types, message) or not matches(self.other_types, message)


@dataclass(frozen=True)
class Patterns:
    """The phrases of `patterns.toml`, compiled; `request` and `types` stay text until a request fills them."""

    noise: Regexes
    assessment: Regexes
    communication: Regexes
    communication_failure: Regexes
    communication_trouble: Regexes
    disabled: Regexes
    fatal: Regexes
    request: tuple[tuple[str, tuple[str, ...]], ...]
    types: tuple[tuple[str, tuple[str, ...]], ...]

    def of_request(self, control_id: str | None, scan_types: Sequence[str]) -> RequestPatterns:
        """The phrases about one request.

        Takes its ControlId (None where the dialect has none: phrases that need one are then left out) and
        the scan types, in lower case, that the log may name it by.
        """
        identity = re.escape(control_id) if control_id else None
        own = _names(names for scan_type, names in self.types if scan_type in scan_types)
        others = _names(names for scan_type, names in self.types if scan_type not in scan_types)
        return RequestPatterns(
            **{name: _compile(_fill(texts, identity, own)) for name, texts in self.request},
            own_types=_compile((rf"\b(?:{own})\b",)),
            other_types=_compile((rf"\b(?:{others})\b",)),
        )


def _names(groups: Iterable[tuple[str, ...]]) -> str:
    return "|".join(name for group in groups for name in group)


def _fill(texts: tuple[str, ...], control_id: str | None, types: str) -> tuple[str, ...]:
    usable = (text for text in texts if control_id is not None or "{control_id}" not in text)
    return tuple(text.replace("{control_id}", control_id or "").replace("{types}", types) for text in usable)


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
    for (
        scan_type,
        _,
    ) in types:  # an expression that cannot be compiled is found now, not in the middle of a run
        patterns.of_request("0.0", [scan_type])
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
    except re.error as error:
        raise ValueError(f"{error.pattern!r} is not a regular expression: {error}") from error
