"""Waivers: findings that are known and accepted until a date, with who accepted them (`waivers.toml`).

A waiver never hides anything: what it covers is looked at and judged all the same, and shown with its approver. It
covers what is *non-compliant*; what could not be seen is not known, so nobody can have accepted it, unless the waiver
says so itself (`covers`).
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from qualys_verify.names import without_pod
from qualys_verify.verdict import Finding, Verdict

_COVERABLE = (Verdict.NON_COMPLIANT, Verdict.INCONCLUSIVE)
_NEEDED = ("id", "hosts", "reason", "approver", "ticket", "effective", "expires", "risk")


class Waiver(msgspec.Struct, frozen=True):
    """One accepted finding.

    `hosts` are patterns (`*`, `?`, `[…]`) for target ids or the names of hosts and nodes in them, `step` a step's number or `check` a
    test's name; exactly one of the two is set. It counts from `effective` until just before `expires` (UTC).
    """

    id: str
    hosts: tuple[str, ...]
    step: str
    check: str
    reason: str
    approver: str
    ticket: str
    effective: datetime
    expires: datetime
    risk: str
    covers: tuple[Verdict, ...] = (Verdict.NON_COMPLIANT,)

    def concerns(self, host: str, step: str, test: str) -> bool:
        """Whether it speaks of this sentence on this host, at whatever time."""
        names = (host, place_of(host), place_of(without_pod(host)))
        return (test == self.check if self.check else step == self.step) and any(
            fnmatchcase(name, pattern) for name in names for pattern in self.hosts
        )

    def cleaned(self, clean: Callable[[str], str]) -> "Waiver":
        """Without secrets; what took one out of a pattern for hosts is no pattern itself."""
        texts = {key: clean(getattr(self, key)) for key in ("id", "reason", "approver", "ticket", "risk")}
        hosts = tuple(clean(host).replace("[redacted: ", "[[]redacted: ") for host in self.hosts)
        return msgspec.structs.replace(self, hosts=hosts, **texts)

    def is_in_force(self, at: datetime) -> bool:
        """Whether it counts at this instant."""
        return self.effective <= at < self.expires


def place_of(host: str) -> str:
    """The host's name in a target's id: `web1` of `ssh://ops@web1:2222`, as an inventory or a ticket calls it."""
    rest = host.partition("://")[2].partition("?")[0].rpartition("@")[2]
    return rest[1:].partition("]")[0] if rest.startswith("[") else rest.partition(":")[0]


def covering(waivers: Iterable[Waiver], finding: Finding, at: datetime) -> Waiver | None:
    """The first waiver in force at `at` (UTC) that covers this finding, or None."""
    return next(
        (
            waiver
            for waiver in waivers
            if finding.verdict in waiver.covers
            and waiver.is_in_force(at)
            and waiver.concerns(finding.target, finding.step, finding.test)
        ),
        None,
    )


def load_waivers(path: Path) -> tuple[Waiver, ...]:
    """Read `waivers.toml`: a list of `[[waiver]]` tables.

    Raises ValueError with one sentence for everything that cannot be meant: an unknown or missing key, an id that is
    used twice, dates in the wrong order.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}): name a file with [[waiver]] tables"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
    tables = data.pop("waiver", [])
    if data or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"{path} holds something else than [[waiver]] tables: {', '.join(data) or 'waiver'}")
    found = tuple(_waiver(path, number, table) for number, table in enumerate(tables, 1))
    _refuse_twins(path, found)
    return found


def _waiver(path: Path, number: int, table: Mapping[str, object]) -> Waiver:
    name = f"{path}: waiver {table.get('id') or number}"
    known = {*_NEEDED, "step", "check", "covers"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(
            f"{name} has the unknown key {unknown[0]!r}: a waiver has {', '.join(sorted(known))}"
        )
    missing = [key for key in _NEEDED if not _says_something(table.get(key))]
    if missing:
        raise ValueError(f"{name} has no {missing[0]}: nobody can check a waiver without it")
    if _says_something(table.get("step")) == _says_something(table.get("check")):
        raise ValueError(f"{name} needs either a step, such as '2.2', or a check, such as 'test_unit_exists'")
    effective, expires = (_instant(name, key, table[key]) for key in ("effective", "expires"))
    if effective >= expires:
        raise ValueError(f"{name} expires before it is effective")
    hosts = table["hosts"]
    return Waiver(
        hosts=_texts(name, "hosts", [hosts] if isinstance(hosts, str) else hosts),
        effective=effective,
        expires=expires,
        covers=tuple(
            _verdict(name, text) for text in _texts(name, "covers", table.get("covers", ["non-compliant"]))
        ),
        **{
            key: _text(name, key, table.get(key, ""))
            for key in ("id", "step", "check", "reason", "approver", "ticket", "risk")
        },
    )


def _says_something(value: object) -> bool:
    """Whether there is more than white space: a pattern of nothing, for one, would be the host without a name."""
    if isinstance(value, list):
        return bool(value) and all(map(_says_something, value))
    return bool(value.strip() if isinstance(value, str) else value)


def _text(name: str, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: {key} is a text in quotes, not {value!r}")  # noqa: TRY004  # a value of the user's, not an argument
    return value.strip()


def _texts(name: str, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name}: {key} is a list of texts, not {value!r}")
    return tuple(_text(name, key, item) for item in value)


def _verdict(name: str, text: str) -> Verdict:
    if text not in _COVERABLE:
        raise ValueError(f"{name}: covers is a list out of {', '.join(_COVERABLE)}, not {text!r}")
    return Verdict(text)


def _instant(name: str, key: str, value: object) -> datetime:
    """A date (its first instant) or a time; one without an offset is UTC.

    `expires` as a date means that the waiver still counts on that day, as on a ticket or a passport.
    """
    try:
        if isinstance(value, datetime):
            return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
        if isinstance(value, date):
            day = timedelta(days=1) if key == "expires" else timedelta(0)
            return datetime.combine(value, time(), UTC) + day
    except OverflowError:
        raise ValueError(
            f"{name}: {key} is no date that a calendar has: every waiver comes to its end"
        ) from None
    raise ValueError(f"{name}: {key} is a date such as 2026-01-31, without quotes, not {value!r}")


def _refuse_twins(path: Path, waivers: Sequence[Waiver]) -> None:
    seen: set[str] = set()
    for waiver in waivers:
        if waiver.id in seen:
            raise ValueError(f"{path}: the waiver {waiver.id} is there twice: give each an id of its own")
        seen.add(waiver.id)
