"""The agent's systemd unit, as `systemctl show` describes it."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Result",
    "NRestarts",
    "MainPID",
    "ControlGroup",
    "ActiveEnterTimestampMonotonic",
    "ExecStart",
    "WantedBy",
    "RequiredBy",
    "TriggeredBy",
)

# RestartSec is 60 s (facts, section 2): an agent that crashes at its start comes by three restarts in some
# four minutes. Fewer, or a long run since, is a stumble and not a loop.
LOOP_RESTARTS = 3
LOOP_UPTIME = timedelta(minutes=10)


@dataclass(frozen=True)
class Service:
    """The unit's state (runbook steps 1 and 2.1).

    `state` reads as `systemctl status` prints it. `restarts` counts automatic restarts since the last
    start by hand. `running_for` is None when it is not active. `executable` is the daemon's path as the
    unit names it, `main_pid` its process (0: none), `control_group` where systemd keeps what it started.
    """

    unit: str
    load: str
    state: str
    startup: str
    result: str
    restarts: int
    running_for: timedelta | None
    wanted: bool
    executable: PurePosixPath | None
    main_pid: int
    control_group: str

    @property
    def is_installed(self) -> bool:
        """False only where systemd does not know the unit: "Unit … not found"."""
        return self.load != "not-found"

    @property
    def presence(self) -> str:
        """`installed`, or systemd's own sentence for a unit that it does not know."""
        return "installed" if self.is_installed else f"Unit {self.unit} not found"

    @property
    def boot(self) -> str:
        """`starts at boot`, or the unit file's state.

        `enabled` says so; for units whose file cannot be enabled (static, generated from an init script,
        linked …) the boot is sure when something that is started at boot wants the unit.
        """
        never = self.startup in {
            "disabled",
            "masked",
            "masked-runtime",
            "enabled-runtime",
            "linked-runtime",
            "transient",
            "bad",
        }
        if self.startup == "enabled" or (self.wanted and not never):
            return "starts at boot"
        return f"does not start at boot: {self.startup or 'no unit file'}"

    @property
    def stability(self) -> str:
        """`stable`, or that systemd keeps starting it: it waits to do so, or has done it often and just now.

        A unit that was stopped by hand keeps its count of restarts, and is not in a loop.
        """
        briefly = self.running_for is None or self.running_for < LOOP_UPTIME
        often = self.restarts >= LOOP_RESTARTS and not self.state.startswith("inactive")
        if "auto-restart" in self.state or (often and briefly):
            return f"crash loop: {self}"
        return "stable"

    def __str__(self) -> str:
        """What the report shows as observed."""
        if not self.is_installed:
            return self.presence
        restarts = f", {self.restarts} automatic restarts" if self.restarts else ""
        uptime = f" for {rough(self.running_for)}" if self.running_for is not None else ""
        return f"{self.state}{uptime}, {self.boot}{restarts}"


def parse_service(unit: str, text: str, uptime: timedelta) -> Service:
    """Read `systemctl show UNIT --property=…` ([src] section 2; systemd's own Key=Value format).

    `uptime` is the host's time since boot, which the unit's monotonic timestamps count from. Raises
    ValueError when the answer has no LoadState: then it is no answer of systemd's.
    """
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if not values.get("LoadState"):
        raise ValueError("`systemctl show` did not answer with properties")
    active, sub = values.get("ActiveState", "unknown"), values.get("SubState", "unknown")
    since = _number(values.get("ActiveEnterTimestampMonotonic", ""))
    running = active == "active" and since > 0
    return Service(
        unit=unit,
        load=values["LoadState"],
        state=f"{active} ({sub})",
        startup=values.get("UnitFileState", ""),
        result=values.get("Result", ""),
        restarts=_number(values.get("NRestarts", "")),
        running_for=max(uptime - timedelta(microseconds=since), timedelta(0)) if running else None,
        wanted=any(values.get(key) for key in ("WantedBy", "RequiredBy", "TriggeredBy")),
        executable=_executable(values.get("ExecStart", "")),
        main_pid=_number(values.get("MainPID", "")),
        control_group=values.get("ControlGroup", "").rstrip("/"),
    )


def _number(text: str) -> int:
    """A count; 0 where systemd is too old to know it or has none (`[not set]`)."""
    return int(text) if re.fullmatch(r"\d{1,19}", text, re.ASCII) else 0


def _executable(exec_start: str) -> PurePosixPath | None:
    """The path in `{ path=/usr/… ; argv[]=… }`, or None."""
    _, found, rest = exec_start.partition("path=")
    path = rest.partition(" ;")[0].strip()
    return PurePosixPath(path) if found and path.startswith("/") else None


def rough(time: timedelta) -> str:
    """A duration as people say it: `45 s`, `12 min`, `5 h`, `3 d`."""
    seconds = int(time.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
