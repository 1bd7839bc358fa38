"""What a fault is, and the tools to make one: a `Site` is a demo host that is installed and does not run yet."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum, auto
from pathlib import Path
from typing import TypedDict, Unpack

from qualys_verify.standin import daemon, history
from qualys_verify.standin.daemon import Daemon
from qualys_verify.standin.install import CONFIGURATION, HOME, LOGS, NOTES, Personality
from qualys_verify.standin.pods import Trait
from qualys_verify.standin.shims import DIRECTORY

MINUTE = 60.0
HOUR = 60 * MINUTE
_PID = 712


class Door(Enum):
    """How the demo's SSH server treats who knocks for a host."""

    OPEN = auto()
    REFUSED = auto()  # nothing listens on the port
    CLOSED = auto()  # the connection is closed before a word
    SILENT = auto()  # it is taken, and nothing is ever said
    NOT_SSH = auto()  # another protocol answers
    NAMELESS = auto()  # the host's name does not resolve
    UNKNOWN_KEY = auto()  # no host key in known_hosts
    CHANGED_KEY = auto()  # another host key in known_hosts
    REVOKED_KEY = auto()  # the host key marked as revoked in known_hosts
    NO_LOGIN = auto()  # the client's key is refused


class _Zone(tzinfo):
    """A zone whose distance from UTC changes once."""

    def __init__(self, before: timedelta, after: timedelta, change: float) -> None:
        self._before, self._after, self._change = before, after, change

    def fromutc(self, dt: datetime) -> datetime:
        """Local time, as the host's clock on the wall shows it."""
        past = dt.replace(tzinfo=UTC).timestamp() >= self._change
        return dt + (self._after if past else self._before)

    def utcoffset(self, dt: datetime | None) -> timedelta:  # noqa: ARG002  # as tzinfo has it
        """As it is now."""
        return self._after

    def dst(self, dt: datetime | None) -> timedelta:  # noqa: ARG002  # as tzinfo has it
        """Which part of it is summer time is not told."""
        return timedelta(0)

    def tzname(self, dt: datetime | None) -> str:  # noqa: ARG002  # as tzinfo has it
        """As the host's `date` names it."""
        return "LOC"


@dataclass(frozen=True)
class Clock:
    """A host's clock: seconds ahead of this machine's, and minutes east of UTC, before and after a change."""

    ahead: float = 0
    east: int = 0
    east_before: int | None = None
    changed_ago: float = 0

    def zone(self, now: float) -> tzinfo:
        """The zone for a host whose clock shows `now` when the demo starts."""
        before = self.east if self.east_before is None else self.east_before
        return _Zone(timedelta(minutes=before), timedelta(minutes=self.east), now - self.changed_ago)

    def program(self, now: float) -> str:
        """The host's `date`: knows `-d @SECONDS` and the machine's other options."""
        before = self.east if self.east_before is None else self.east_before
        return f"""#!/bin/sh
PATH=${{PATH#*:}}
at=$(($(date +%s) + {self.ahead:.0f}))
[ "$1" != -d ] || {{ at=${{2#@}}; shift 2; }}
TZ={_posix(self.east)}
[ "$at" -ge {now - self.changed_ago:.0f} ] || TZ={_posix(before)}
export TZ
exec date -d "@$at" "$@"
"""


def _posix(east: int) -> str:
    """A zone as POSIX writes it: west is positive."""
    hours, minutes = divmod(abs(east), 60)
    return f"'<LOC>{'-' if east >= 0 else '+'}{hours:02d}:{minutes:02d}'"


@dataclass(frozen=True)
class Site:
    """A host's tree, and the moment and the zone of its clock when the demo starts."""

    name: str
    root: Path
    now: float
    zone: tzinfo | None

    @property
    def script(self) -> Path:
        """`qualys-cloud-agent.sh`."""
        return self.root / HOME / "bin/qualys-cloud-agent.sh"

    @property
    def control(self) -> Path:
        """`cloudagentctl.sh`."""
        return self.root / HOME / "bin/cloudagentctl.sh"

    @property
    def daemon(self) -> Path:
        """The agent's executable."""
        return self.root / HOME / "bin/qualys-cloud-agent"

    @property
    def configuration(self) -> Path:
        """`qualys-cloud-agent.conf`."""
        return self.root / CONFIGURATION / "qualys-cloud-agent.conf"

    @property
    def hostid(self) -> Path:
        """The agent's id."""
        return self.root / "etc/qualys/hostid"

    @property
    def log(self) -> Path:
        """The agent's log."""
        return self.root / LOGS / "qualys-cloud-agent.log"

    @property
    def notes(self) -> Path:
        """Where the stand-in keeps what is its own."""
        return self.root / NOTES

    def shim(self, name: str) -> Path:
        """A program that comes first on the host's PATH."""
        return self.root / DIRECTORY / name

    def fill(self, text: str) -> str:
        """Shell text with `@SCRIPT@`, `@LOG@` … replaced by the host's paths, quoted."""
        places = ("script", "control", "daemon", "configuration", "hostid", "log", "notes", "root")
        for place in places:
            text = text.replace(f"@{place.upper()}@", shlex.quote(str(getattr(self, place))))
        return text

    def write_log(self, *entries: "Said", until: float = 0) -> None:
        """The log of a healthy agent up to `until` seconds ago, and these entries after it."""
        text = history.healthy_log(self.now - until, self.zone or UTC)
        self.log.write_text(text + "".join(entry.line(self) for entry in entries), encoding="utf-8")


@dataclass(frozen=True)
class Said:
    """A log entry: how many seconds before the demo starts, the level, the message."""

    ago: float
    level: str
    message: str

    def line(self, site: Site) -> str:
        """As it stands in the log."""
        return daemon.log_line(site.now - self.ago, _PID, self.message, self.level, site.zone or UTC)


Change = Callable[[Site], None]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a host, or, when `healthy`, odd and harmless.

    `changes` are made to the installed tree, `daemon` is how its agent behaves, `door` how it lets clients
    in. `agent` False: there is none. `opt` says that it has the layout below /opt. `trait` is that of the
    cluster, for a fault of containers: then it is no host behind SSH.
    """

    name: str
    sentence: str
    healthy: bool
    changes: tuple[Change, ...]
    personality: Personality = "runbook"
    daemon: type[Daemon] = Daemon
    clock: Clock | None = None
    door: Door = Door.OPEN
    agent: bool = True
    opt: bool = False
    trait: Trait | None = None


class Traits(TypedDict, total=False):
    """What of a Fault is usual unless it is said."""

    personality: Personality
    daemon: type[Daemon]
    clock: Clock
    door: Door
    agent: bool
    opt: bool
    trait: Trait


def fault(name: str, sentence: str, *changes: Change, **traits: Unpack[Traits]) -> Fault:
    """Something that is wrong with a host: it may never end green."""
    return Fault(name, sentence, healthy=False, changes=changes, **traits)


def variant(name: str, sentence: str, *changes: Change, **traits: Unpack[Traits]) -> Fault:
    """A host that is odd and healthy: nothing may be held against it."""
    return Fault(name, sentence, healthy=True, changes=changes, **traits)


# --- changes -----------------------------------------------------------------------------------------------


def unit(**properties: str) -> Change:
    """What systemd says of the unit."""

    def change(site: Site) -> None:
        path = site.notes / "unit.properties"
        lines = [line.partition("=") for line in path.read_text(encoding="utf-8").splitlines()]
        values = {key: value for key, _, value in lines} | properties
        path.write_text("".join(f"{key}={value}\n" for key, value in values.items()), encoding="utf-8")

    return change


def program(name: str, text: str) -> Change:
    """Another program in the place of one; `text` is shell, with the host's paths as `@LOG@` and the like."""

    def change(site: Site) -> None:
        path = site.shim(name)
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{site.fill(text)}\n", encoding="utf-8")
        path.chmod(0o700)

    return change


def before(name: str, text: str) -> Change:
    """Shell text that comes before all that a program does: a shim's, or the agent's SCRIPT or CONTROL."""

    def change(site: Site) -> None:
        path = {"SCRIPT": site.script, "CONTROL": site.control}.get(name, site.shim(name))
        shebang, _, rest = path.read_text(encoding="utf-8").partition("\n")
        path.write_text(f"{shebang}\n{site.fill(text)}\n{rest}", encoding="utf-8")

    return change


def edit(place: str, old: str, new: str) -> Change:
    """Replace text in one of the site's files, where it must be."""

    def change(site: Site) -> None:
        path: Path = getattr(site, place)
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{place} of {site.name} does not hold {old!r}")
        path.write_text(text.replace(old, site.fill(new)), encoding="utf-8")

    return change


def remove(place: str) -> Change:
    """Delete one of the site's files."""

    def change(site: Site) -> None:
        path: Path = getattr(site, place)
        path.unlink()

    return change


def mode(place: str, bits: int) -> Change:
    """Set the mode of one of the site's files."""

    def change(site: Site) -> None:
        path: Path = getattr(site, place)
        path.chmod(bits)

    return change


def content(place: str, data: str | bytes) -> Change:
    """Write one of the site's files anew; its mode stays. `@ROOT@` in text is the host's root directory."""

    def change(site: Site) -> None:
        path: Path = getattr(site, place)
        raw = data.replace("@ROOT@", str(site.root)).encode() if isinstance(data, str) else data
        path.write_bytes(raw)

    return change


def may_not_look(place: str) -> Change:
    """Even root is refused (NFS, SELinux), whoever runs the demo."""
    refusal = "echo \"head: cannot open '$last' for reading: Permission denied\" >&2; exit 1"
    return before("sudo", f'for last; do :; done; case "$last" in @{place.upper()}@) {refusal} ;; esac')


def log(*entries: Said, until: float = 0) -> Change:
    """A healthy agent's log up to `until` seconds ago, and these entries."""

    def change(site: Site) -> None:
        site.write_log(*entries, until=until)

    return change


def assessed(text: str) -> Change:
    """What `status` shows as last assessment, until the agent assesses."""

    def change(site: Site) -> None:
        (site.notes / "last-assessment").write_text(f"{text}\n", encoding="utf-8")

    return change


def make_faulty(fault: Fault, site: Site) -> None:
    """Make an installed host one that has this fault.

    Its login is an ordinary one, whoever runs the demo, so that everything that needs root goes by sudo.
    """
    program(
        "id",
        f'case "$*" in -u) echo 1000 ;; -un) echo {site.name} ;; *) echo "uid=1000({site.name})" ;; esac',
    )(site)
    if fault.clock:
        site.shim("date").write_text(fault.clock.program(site.now), encoding="utf-8")
        site.shim("date").chmod(0o700)
    make_changes(fault, site)


def make_changes(fault: Fault, site: Site) -> None:
    """Only what the fault changes in its tree; a pod's login and clock stay what they are."""
    if fault.agent:
        site.write_log()
    if fault.personality == "runbook":
        assessed(daemon.local_time(site.now - history.LAST_ASSESSMENT_AGE, site.zone))(site)
    for change in fault.changes:
        change(site)


# --- agents ------------------------------------------------------------------------------------------------


class Dead(Daemon):
    """It does not run: no pid file, nothing in the log, nothing taken."""

    def start(self, now: float) -> None:
        """Nothing."""

    def tick(self, now: float) -> None:
        """Nothing."""

    def stop(self, now: float) -> None:
        """Nothing."""


class Stuck(Dead):
    """The process is there and does nothing any more."""

    def start(self, now: float) -> None:  # noqa: ARG002  # as Daemon has it
        """Leave the pid file of before."""
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        self._pid_file.write_text(f"{self._pid}\n", encoding="ascii")
