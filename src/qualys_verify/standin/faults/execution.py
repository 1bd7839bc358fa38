"""Faults of carrying out what was asked for (runbook step 5)."""

import gzip
import re
from pathlib import Path

from qualys_verify.standin.daemon import (
    CHECK_IN_INTERVAL,
    LOG_LEVEL,
    STARTED,
    STOPPING,
    Daemon,
    Scan,
    local_time,
)
from qualys_verify.standin.faults.base import Fault, assessed, before, edit, fault, variant
from qualys_verify.standin.install import Personality

_DELAYED = "OnDemand request for Control ID: {} will be delayed."
_BUSY = "Interval Event of same type is in progress with state INTERVAL_EVENT_SCAN"


class NeverTakes(Daemon):
    """It checks in, and leaves requests where they lie."""

    def _take(self, path: Path, now: float) -> None:
        pass


class _Forgets(Daemon):
    """It takes requests, and neither says nor does anything more."""

    def _take(self, path: Path, now: float) -> None:  # noqa: ARG002  # as Daemon has it
        path.unlink()


class NeverEnds(Daemon):
    """Its scans start and do not end."""

    def __init__(self, root: Path) -> None:
        """See Daemon."""
        super().__init__(root)
        self._delay = float("inf")


class _StampsAFailure(Daemon):
    """Its scans fail, and `status` shows when."""

    message = "Scan failed for Manifest Type: {}"

    def _finish(self, scan: Scan, now: float) -> None:
        self._running.remove(scan)
        self._write(now, self.message.format(scan.manifest), level="Error")
        self._note_assessment(local_time(now, self.zone))


class _StampsANamelessFailure(_StampsAFailure):
    message = "Scan failed: database is locked"


class _FailsOnce(Daemon):
    """The first scan fails, is tried again and done."""

    _failed = False

    def _finish(self, scan: Scan, now: float) -> None:
        if self._failed:
            super()._finish(scan, now)
            return
        self._failed = True
        self._write(now, f"{scan.manifest} scan failed: database is locked", level="Warning")
        self._running.remove(scan)
        self._write(now, STARTED.format(manifest=scan.manifest))
        self._running.append(Scan(scan.manifest, now + 1, scan.control_id))


class _CannotEvaluateAll(Daemon):
    """Some controls cannot be evaluated, as on every host."""

    def _finish(self, scan: Scan, now: float) -> None:
        for text in (
            f"{scan.manifest} evaluation failed for control 1045",
            "Control 2387: evaluation failed",
        ):
            self._write(now, text, level="Warning")
        super()._finish(scan, now)


_SHARED = "20260101000000.0"


class _TellsOfOneEnd(Daemon):
    """Of two requests that it gave one ControlId it tells the end of the scan only."""

    def _take(self, path: Path, now: float) -> None:
        super()._take(path, now)
        self._running = [Scan(scan.manifest, scan.due, _SHARED) for scan in self._running]

    def _finish(self, scan: Scan, now: float) -> None:
        if scan.manifest == "VM":
            super()._finish(scan, now)
        else:
            self._running.remove(scan)


class _EndsInSilence(Daemon):
    """Its scans end, and nothing tells of it."""

    def _finish(self, scan: Scan, now: float) -> None:  # noqa: ARG002  # as Daemon has it
        self._running.remove(scan)


class Delays(Daemon):
    """An interval scan runs, and requests wait for its end."""

    wait = 2.0

    def __init__(self, root: Path) -> None:
        """See Daemon."""
        super().__init__(root)
        self._waiting: dict[str, float] = {}

    def _take(self, path: Path, now: float) -> None:
        control_id = path.stem.rpartition("_")[2]
        if control_id not in self._waiting:
            self._waiting[control_id] = now
            self._write(now, _BUSY, _DELAYED.format(control_id))
        if now - self._waiting[control_id] >= self.wait:
            super()._take(path, now)


class DelaysForEver(Delays):
    """An interval scan runs all the time."""

    wait = float("inf")


class _EndsAnothersScan(DelaysForEver):
    """The interval scan's end is all that is seen."""

    def _take(self, path: Path, now: float) -> None:
        first = not self._waiting
        super()._take(path, now)
        if first:
            self._write(now, "Scan finished for Manifest Type: VM", "Scan finished for Manifest Type: PC")


class _ServesAnother(_Forgets):
    """It carries out the request of somebody else."""

    def _take(self, path: Path, now: float) -> None:
        super()._take(path, now)
        self._running += [Scan(manifest, now + 1, "20200101000000.0") for manifest in ("VM", "PC")]


class _Restarts(Daemon):
    """It is restarted in the middle of the first scan, and goes on with it."""

    _restarted = False

    def tick(self, now: float) -> None:
        if self._running and not self._restarted:
            self._restarted = True
            self._restart(now)
        super().tick(now)

    def _restart(self, now: float) -> None:
        self._write(now, STOPPING, LOG_LEVEL.format(level=3))


class _RestartsAndForgets(_Restarts):
    """Each scan makes it restart."""

    def _restart(self, now: float) -> None:
        super()._restart(now)
        self._running.clear()
        self._restarted = False


class _CarriesOutScanOnly(_EndsInSilence):
    """Policy evaluations are taken and not carried out."""

    def _finish(self, scan: Scan, now: float) -> None:
        if scan.manifest == "VM":
            super(_EndsInSilence, self)._finish(scan, now)
        else:
            super()._finish(scan, now)


def fails(message: str, level: str = "Error") -> type[Daemon]:
    """An agent whose scans end with a message; `{manifest}` and `{control_id}` are filled in."""

    class Fails(Daemon):
        def _finish(self, scan: Scan, now: float) -> None:
            self._running.remove(scan)
            self._write(now, message.format(manifest=scan.manifest, control_id=scan.control_id), level=level)

    return Fails


def _says(start: str, end: str) -> type[Daemon]:
    """An agent that words a request's start and end in its own way; `{…}` as above, no `{control_id}` is another's."""

    class Says(Daemon):
        def _take(self, path: Path, now: float) -> None:
            running = len(self._running)
            log_level, self._log_level = self._log_level, 0
            super()._take(path, now)
            self._log_level = log_level
            for scan in self._running[running:]:
                self._write(now, start.format(manifest=scan.manifest, control_id=scan.control_id))

        def _finish(self, scan: Scan, now: float) -> None:
            self._running.remove(scan)
            self._write(now, end.format(manifest=scan.manifest, control_id=scan.control_id))

    return Says


class _Rotates(Daemon):
    """Its log is put away while the scan runs, after the start of it."""

    packs = False
    _rotated = False

    def _take(self, path: Path, now: float) -> None:
        super()._take(path, now)
        self._put_away()

    def _finish(self, scan: Scan, now: float) -> None:
        super()._finish(scan, now)
        self._put_away()

    def _put_away(self) -> None:
        if self._rotated:
            return
        self._rotated = True
        self._rotate()
        if self.packs:
            archive = self._archive(0)
            archive.with_name(f"{archive.name}.gz").write_bytes(gzip.compress(archive.read_bytes()))
            archive.unlink()


class _RotatesAndPacks(_Rotates):
    packs = True


def _stamps(text: str) -> type[Daemon]:
    """An agent that shows something else as last assessment after a scan."""

    class Stamps(Daemon):
        def _note_assessment(self, stamp: str) -> None:  # noqa: ARG002  # as Daemon has it
            super()._note_assessment(text)

    return Stamps


class _StampsEarlier(Daemon):
    """After a scan it shows the end of one that ended before the request."""

    def _finish(self, scan: Scan, now: float) -> None:
        self._running.remove(scan)
        self._note_assessment(local_time(now - self._delay - CHECK_IN_INTERVAL, self.zone))


class _StampsLater(_StampsEarlier):
    """First the end of a scan from before the request, then that of the scan that was asked for."""

    _first = True

    def _finish(self, scan: Scan, now: float) -> None:
        if not self._first:
            super(_StampsEarlier, self)._finish(scan, now)
            return
        self._first = False
        super()._finish(scan, now)
        self._running.append(Scan(scan.manifest, now + 1, scan.control_id))


class _StampsInFuture(Daemon):
    """After a scan it shows a time that has not come."""

    def _note_assessment(self, stamp: str) -> None:
        super()._note_assessment(re.sub(r"^\d{4}", "2099", stamp))


_AFTER_REQUEST = 'if [ "${1-}" = status ] && [ -s @NOTES@/requests.log ]; then'


def _wordings(*pairs: tuple[str, str, Personality, str, str]) -> tuple[Fault, ...]:
    return tuple(
        variant(f"wording-{name}", sentence, daemon=_says(start, end), personality=on)
        for name, sentence, on, start, end in pairs
    )


TITLE = "Carrying it out"
FAULTS = (
    fault(
        "accepted-never-executed",
        "The agent accepts requests and never carries them out: the stamp stays.",
        daemon=_Forgets,
    ),
    fault(
        "request-not-picked-up",
        "Requests stay where the agent should pick them up.",
        daemon=NeverTakes,
        personality="vendor",
    ),
    fault(
        "request-forgotten",
        "Requests are picked up, and the log says nothing of them.",
        daemon=_Forgets,
        personality="vendor",
    ),
    fault(
        "verb-forgotten",
        "An agent that cannot tell its status accepts requests, and its log says nothing of them.",
        daemon=_Forgets,
        personality="limited",
    ),
    fault(
        "scan-never-ends",
        "The scan starts and does not end in time.",
        daemon=NeverEnds,
        personality="vendor",
    ),
    fault(
        "scan-ends-in-silence",
        "The scan starts, and the log does not tell of its end.",
        daemon=_EndsInSilence,
        personality="limited",
    ),
    fault(
        "delayed-for-ever",
        "An interval scan runs, and the request waits for it until the time is over.",
        daemon=DelaysForEver,
        personality="vendor",
    ),
    fault(
        "interval-scan-ends",
        "The log shows the end of an interval scan, and not of the request that waits for it.",
        daemon=_EndsAnothersScan,
        personality="vendor",
    ),
    fault(
        "another-request-done",
        "The log shows that another ControlId was done.",
        daemon=_ServesAnother,
        personality="vendor",
    ),
    fault(
        "restart-forgets-request",
        "Each scan makes the agent restart, and forget it.",
        daemon=_RestartsAndForgets,
        personality="vendor",
    ),
    fault(
        "policy-never-executed",
        "The scan is carried out, the policy evaluation is not.",
        daemon=_CarriesOutScanOnly,
        personality="vendor",
    ),
    fault(
        "scan-fails",
        "The log says that the scan failed.",
        daemon=fails("Scan failed for Manifest Type: {manifest}, Control ID: {control_id}"),
        personality="vendor",
    ),
    fault(
        "scan-fails-by-verb",
        "The log of an agent that cannot tell its status says that the scan failed.",
        daemon=fails("Scan failed for Manifest Type: {manifest}"),
        personality="limited",
    ),
    fault(
        "manifest-missing",
        "The log says that there is no manifest for the request.",
        daemon=fails("Manifest not found for OnDemand request, Control ID: {control_id}"),
        personality="vendor",
    ),
    fault(
        "stamp-gone-back",
        "After the scan `status` shows an earlier assessment than before.",
        daemon=_stamps("2020-01-01 00:00:00"),
    ),
    fault(
        "stamp-lost",
        "After the scan `status` says that the agent has never assessed.",
        daemon=_stamps("never"),
    ),
    fault(
        "stamp-becomes-malformed",
        "After the scan `status` shows something that is no timestamp.",
        daemon=_stamps("%Y-%m-%d"),
    ),
    fault("stamp-becomes-empty", "After the scan `status` shows nothing.", daemon=_stamps("")),
    fault(
        "stamp-before-request",
        "The stamp advances to an assessment that ended before the request.",
        daemon=_StampsEarlier,
    ),
    fault(
        "stamp-is-time-of-asking",
        "`status` shows the time at which it is asked, and nothing is carried out.",
        before("SCRIPT", '[ "${1-}" != status ] || exec date "+Last assessment: %Y-%m-%d %H:%M:%S"'),
        daemon=_Forgets,
    ),
    fault(
        "stamp-of-failed-scan",
        "The stamp advances, and the log says that the scan failed.",
        daemon=_StampsAFailure,
    ),
    fault(
        "stamp-of-nameless-failure",
        "The stamp advances, and the log says that a scan failed, without its name.",
        daemon=_StampsANamelessFailure,
    ),
    fault(
        "control-id-shared",
        "Both requests get one ControlId, and the log shows the end of the scan only.",
        edit("control", "ControlId: $control_id", f"ControlId: {_SHARED}"),
        daemon=_TellsOfOneEnd,
        personality="vendor",
    ),
    fault(
        "stamp-in-future", "After the scan `status` shows a time that has not come.", daemon=_StampsInFuture
    ),
    fault(
        "status-lost-after-request",
        "`status` works once, and after the request never again.",
        before("SCRIPT", f'{_AFTER_REQUEST} echo "database is locked" >&2; exit 1; fi'),
    ),
    fault(
        "script-removed-after-request",
        "The agent is removed after it has accepted the request.",
        before(
            "SCRIPT",
            '[ "${1-}" != policy_eval ] || { echo "Policy evaluation started"; rm -f "$0"; exit 0; }',
        ),
        daemon=_Forgets,
    ),
    variant(
        "delayed-then-done",
        "The request waits for an interval scan, and is done after it.",
        daemon=Delays,
        personality="vendor",
    ),
    variant(
        "restart-in-poll",
        "The agent restarts in the middle of the scan and goes on with it.",
        daemon=_Restarts,
        personality="vendor",
    ),
    variant(
        "restart-in-poll-runbook",
        "The agent restarts in the middle of the scan and goes on with it.",
        daemon=_Restarts,
    ),
    variant(
        "log-rotates-in-poll",
        "The log is put away while the scan runs.",
        daemon=_Rotates,
        personality="vendor",
    ),
    variant(
        "log-rotates-in-poll-limited",
        "The log is put away while a scan without ControlId runs.",
        daemon=_Rotates,
        personality="limited",
    ),
    variant(
        "log-rotates-and-packs-in-poll",
        "The log is put away and packed while the scan runs.",
        daemon=_RotatesAndPacks,
        personality="vendor",
    ),
    variant(
        "stamp-advances-twice",
        "An interval scan ends just before the request, and the scan asked for after it.",
        daemon=_StampsLater,
    ),
    variant(
        "scan-tried-again",
        "The scan fails, is tried again at once and done.",
        daemon=_FailsOnce,
    ),
    variant(
        "controls-not-evaluated",
        "The log warns of single controls that could not be evaluated.",
        daemon=_CannotEvaluateAll,
        personality="vendor",
    ),
    variant(
        "controls-not-evaluated-runbook",
        "The log warns of single controls that could not be evaluated.",
        daemon=_CannotEvaluateAll,
    ),
    variant("never-assessed-n-a", "The agent has never assessed and shows `N/A`.", assessed("N/A")),
    *_wordings(
        (
            "completed",
            "The log says that the on-demand scan has completed.",
            "vendor",
            "OnDemand scan started for Control ID: {control_id}",
            "OnDemand scan completed successfully for Control ID: {control_id}",
        ),
        (
            "control-id-first",
            "The log begins with the ControlId.",
            "vendor",
            "Control ID {control_id}: execution started",
            "Control ID {control_id}: done",
        ),
        (
            "type-first",
            "The log begins with the manifest type.",
            "vendor",
            "{manifest} scan started, Control ID: {control_id}",
            "{manifest} scan finished, Control ID: {control_id}",
        ),
        (
            "event-state",
            "The log tells states of events.",
            "vendor",
            "OnDemand Event [{control_id}] state changed to ONDEMAND_EVENT_SCAN: started",
            "OnDemand Event [{control_id}] has ended, state ONDEMAND_EVENT_DONE",
        ),
        (
            "finished-with-zero-errors",
            "The log says that the scan finished with 0 errors.",
            "vendor",
            "Starting scan for Control ID: {control_id}",
            "Scan for Control ID: {control_id} finished with 0 errors, no failures",
        ),
        (
            "without-control-id",
            "The log tells of start and end without a ControlId.",
            "limited",
            "{manifest} scan started",
            "{manifest} scan completed",
        ),
        (
            "evaluation",
            "The log calls both of them evaluations.",
            "limited",
            "Started evaluation for {manifest}",
            "Finished evaluation for {manifest}",
        ),
        (
            "manifest-type",
            "The log ends a scan by its manifest type.",
            "limited",
            "Scan started for Manifest Type: {manifest}",
            "Scan completed for Manifest Type: {manifest}",
        ),
    ),
)
