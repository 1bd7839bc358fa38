"""The stand-in's daemon: takes requests from their directory, waits, and writes the log.

This one file is also copied to a host as `bin/qualys-cloud-agent` and run there by whatever Python 3.9 or
later the host has, so it uses the standard library only and nothing of this package. In the demo one
process ticks the daemons of many hosts instead.

The log's header and the phrases marked [pub] follow the known facts of the agent; the other phrases are
this stand-in's own, because nothing public tells the real ones.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

LOG_LIMIT = 10 * 1024 * 1024  # bytes; a log of this size is put away
LOG_ARCHIVES = 5  # .log.0 is the newest
CHECK_IN_INTERVAL = 60.0  # seconds
TICK_INTERVAL = 0.2  # seconds

LEVELS = {"Fatal": 0, "Error": 1, "Warning": 2, "Information": 3}  # as LogLevel counts them
MANIFESTS = {  # what each type of request scans
    "vm": ("VM",),
    "pc": ("PC",),
    "sca": ("SCA",),
    "udc": ("UDC",),
    "inv": ("INV",),
    "vmpc": ("VM", "PC"),
}
MANIFEST_UUIDS = {
    name: f"feedface-0000-4000-8000-{number:012d}"
    for number, name in enumerate(("VM", "PC", "SCA", "UDC", "INV"), 1)
}

CHECK_IN = ("Start CAPI event", "CAPI event successfully completed")  # [pub]
STARTING = "Starting Scan for manifest UUID {uuid}"  # [pub]
STARTED = "Scan started for Manifest Type: {manifest}"  # [pub]
FINISHED = "Scan finished for Manifest Type: {manifest}"
FINISHED_ON_DEMAND = "Scan finished for Manifest Type: {manifest}, Control ID: {control_id}"
UPLOADED = "Upload done for Manifest Type: {manifest}"
ACCEPTED = "Request accepted, type {type}"
ACCEPTED_ON_DEMAND = "OnDemand request for Control ID: {control_id} accepted, type {type}"
LOG_LEVEL = "Ini log level: {level}"  # [pub]
VERSION = "cloud-agent stand-in, version 0.0.0"
STOPPING = "Stopping cloud-agent"  # [pub]

_THREAD = 140000000000001
_REQUEST_PREFIX = "on-demand-scan_"


def local_time(now: float, zone: tzinfo | None = None) -> str:
    """`now` (seconds since the epoch) in whole seconds of a zone; None is this process's own."""
    return datetime.fromtimestamp(now, zone).strftime("%Y-%m-%d %H:%M:%S")


def log_line(
    now: float, pid: int, message: str, level: str = "Information", zone: tzinfo | None = None
) -> str:
    """One entry as the agent writes it: local time to the millisecond, logger, pid, level, thread, text."""
    milliseconds = int(now * 1000) % 1000
    moment = f"{local_time(now, zone)}.{milliseconds:03d}"
    return f"{moment} [qualys-cloud-agent][{pid}]:[{level}]:[{_THREAD}]:{message}\n"


def read_keys(path: Path) -> dict[str, str]:
    """A file of `Key=Value` lines; lines without `=` are passed over."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


@dataclass(frozen=True)
class Scan:
    """A scan under way: of what, when it will be done (epoch seconds), and for which id ("": for a verb)."""

    manifest: str
    due: float
    control_id: str


class Daemon:
    """One host's agent, moved along by `tick`.

    `root` is the host's tree as `install` wrote it; `pid` stands in the log and in the pid file. `zone` is
    the host's, None that of this process. Subclasses are agents with a fault.
    """

    zone: tzinfo | None = None

    def __init__(self, root: Path, *, pid: int | None = None, log_limit: int = LOG_LIMIT) -> None:
        """Read the host's settings; OSError or ValueError when `root` holds no installed agent."""
        self._notes = root / "var/lib/standin"
        self._requests = root / "usr/local/qualys/cloud-agent/.on-demand-scan"
        self._configuration = root / "etc/qualys/cloud-agent/qualys-cloud-agent.conf"
        self._log = root / "var/log/qualys/qualys-cloud-agent.log"
        self._pid_file = root / "run/qualys-cloud-agent.pid"
        self._pid = os.getpid() if pid is None else pid
        self._log_limit = log_limit
        host = json.loads((self._notes / "host.json").read_text(encoding="utf-8"))
        self._assesses = bool(host["assesses"])
        self._delay = float(host["delay"])
        self._answers_status = host["personality"] == "runbook"
        self._log_level = int(read_keys(self._configuration).get("LogLevel", "3"))
        self._running: list[Scan] = []
        self._next_check_in = 0.0

    def start(self, now: float) -> None:
        """Say in the pid file and in the log that the agent runs; check in with the next tick."""
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        self._pid_file.write_text(f"{self._pid}\n", encoding="ascii")
        self._write(now, LOG_LEVEL.format(level=self._log_level), VERSION)
        self._next_check_in = now

    def tick(self, now: float) -> None:
        """Do all that is due at `now` (seconds since the epoch): take requests, end scans, check in."""
        if self._assesses:
            for path in sorted(self._requests.glob(f"{_REQUEST_PREFIX}*.conf")):
                self._take(path, now)
        done = [scan for scan in self._running if scan.due <= now]
        for scan in done:
            self._finish(scan, now)
        if done or now >= self._next_check_in:
            self._write(now, *CHECK_IN)
            self._next_check_in = now + CHECK_IN_INTERVAL

    def stop(self, now: float) -> None:
        """Say in the log that the agent ends and remove its pid file; scans under way are lost."""
        self._write(now, STOPPING)
        self._pid_file.unlink(missing_ok=True)

    def _take(self, path: Path, now: float) -> None:
        """Take one request up: its file goes, its scans start. One that somebody withdrew is none."""
        try:
            request = read_keys(path)
            path.unlink()
        except FileNotFoundError:
            return
        kind = request.get("Type", "")
        by_tool = request.get("RequestedBy") == "cloudagentctl.sh"
        control_id = path.stem[len(_REQUEST_PREFIX) :] if by_tool else ""
        accepted = ACCEPTED_ON_DEMAND if by_tool else ACCEPTED
        self._write(now, accepted.format(control_id=control_id, type=kind))
        for manifest in MANIFESTS.get(kind, ()):
            uuid = MANIFEST_UUIDS[manifest]
            self._write(now, STARTING.format(uuid=uuid), STARTED.format(manifest=manifest))
            self._running.append(Scan(manifest, now + self._delay, control_id))

    def _finish(self, scan: Scan, now: float) -> None:
        self._running.remove(scan)
        finished = FINISHED_ON_DEMAND if scan.control_id else FINISHED
        self._write(
            now,
            finished.format(manifest=scan.manifest, control_id=scan.control_id),
            UPLOADED.format(manifest=scan.manifest),
        )
        if self._answers_status:
            self._note_assessment(local_time(now, self.zone))

    def _note_assessment(self, stamp: str) -> None:
        """What `status` shows from now on."""
        fresh = self._notes / "last-assessment.new"  # a reader sees the old time or the new, never half
        fresh.write_text(f"{stamp}\n", encoding="utf-8")
        fresh.replace(self._notes / "last-assessment")

    def _write(self, now: float, *messages: str, level: str = "Information") -> None:
        """Append entries; what is above the LogLevel stays unsaid."""
        if self._log_level < LEVELS[level]:
            return
        lines = "".join(self._line(now, message, level) for message in messages)
        with self._log.open("a", encoding="utf-8", errors="surrogateescape") as log:
            log.write(lines)
            size = log.tell()
        if size >= self._log_limit:
            self._rotate()

    def _line(self, now: float, message: str, level: str) -> str:
        """One message as it stands in the log."""
        return log_line(now, self._pid, message, level, self.zone)

    def _rotate(self) -> None:
        """Shift `.log` to `.log.0`, `.log.0` to `.log.1`, and so on; begin a new file."""
        for number in range(LOG_ARCHIVES - 2, -1, -1):
            archive = self._archive(number)
            if archive.exists():
                archive.replace(self._archive(number + 1))
        self._log.replace(self._archive(0))
        self._log.touch(mode=0o600)

    def _archive(self, number: int) -> Path:
        return self._log.with_name(f"{self._log.name}.{number}")


def _show_as(script: Path) -> None:
    """Let `ps` show the process as it shows the real, compiled daemon.

    Its arguments begin with the path of `script`: when they do not, run again so that they do. Its name is
    that of `script`, of which the kernel keeps 15 characters. (Linux only: by /proc.)
    """
    if Path("/proc/self/cmdline").read_bytes().split(b"\0")[0] != os.fsencode(script):
        os.execv(sys.executable, [str(script), str(script)])  # noqa: S606  # this very program
    Path("/proc/self/comm").write_text(script.name, encoding="ascii")


def main() -> int:
    """Be the daemon of the tree that this file is installed in, until SIGTERM or SIGINT."""
    script = Path(__file__).absolute()
    _show_as(script)
    os.umask(0o077)
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    daemon = Daemon(script.parents[5])
    daemon.start(time.time())
    while True:
        caught = signal.sigtimedwait(ends, TICK_INTERVAL)
        if caught is not None and caught.si_signo in ends:  # a thaw after a freeze wakes it without a signal
            break
        daemon.tick(time.time())
    daemon.stop(time.time())
    return 0


if __name__ == "__main__":
    sys.exit(main())
