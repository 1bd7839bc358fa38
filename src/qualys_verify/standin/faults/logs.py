"""Faults of the agent's log (runbook step 2.2)."""

import gzip
import re

from qualys_verify.standin.daemon import Daemon, log_line
from qualys_verify.standin.faults.base import (
    HOUR,
    MINUTE,
    Change,
    Said,
    Site,
    Stuck,
    content,
    edit,
    fault,
    log,
    may_not_look,
    remove,
    variant,
)

_FATAL = "Fatal error in scan engine: database disk image is malformed"


class _Quiet(Daemon):
    """It works, and says nothing of its start and its check-ins."""

    def start(self, now: float) -> None:  # noqa: ARG002  # as Daemon has it
        """Leave the pid file, and nothing in the log."""
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        self._pid_file.write_text(f"{self._pid}\n", encoding="ascii")

    def tick(self, now: float) -> None:
        """Work, and never check in."""
        self._next_check_in = now + HOUR
        super().tick(now)


def _worded(line: "re.Pattern[str] | str", by: str) -> type[Daemon]:
    """An agent whose lines look otherwise: a regular expression over the line, and what comes in its place."""

    class Worded(Daemon):
        def _line(self, now: float, message: str, level: str) -> str:
            return re.sub(line, by, super()._line(now, message, level))

    return Worded


def _rewritten(line: str, by: str) -> Change:
    """The log so far, its lines replaced in the same way."""

    def change(site: Site) -> None:
        text = site.log.read_text(encoding="utf-8")
        site.log.write_text(
            re.sub(line, by, text, flags=re.MULTILINE), encoding="utf-8", errors="surrogateescape"
        )

    return change


def _without(phrase: str) -> Change:
    """The log so far, without the lines that hold a phrase."""
    return _rewritten(rf"^.*(?:{phrase}).*\n", "")


class _NoCheckIn(_Quiet):
    """It assesses, and no line tells of the platform."""

    def _line(self, now: float, message: str, level: str) -> str:
        return "" if "Upload" in message or "CAPI" in message else super()._line(now, message, level)


def _fails_to_check_in(*messages: str) -> type[Daemon]:
    """An agent each of whose check-ins fails, and whose uploads do, too."""

    class Failing(Daemon):
        def _line(self, now: float, message: str, level: str) -> str:
            if "successfully" in message:
                return "".join(log_line(now, self._pid, text, "Error", self.zone) for text in messages)
            return "" if "Upload" in message else super()._line(now, message, level)

    return Failing


def _check_in_fails(*messages: str) -> tuple[Change, ...]:
    """The log of the last two hours, in which every check-in failed."""
    said = (Said(ago * MINUTE, "Error", text) for ago in (90, 60, 30, 5) for text in messages)
    return (log(*said, until=2 * HOUR),)


def _becomes_link(*, dangling: bool) -> Change:
    def change(site: Site) -> None:
        elsewhere = site.log.with_name("elsewhere.log")
        site.log.rename(elsewhere)
        site.log.symlink_to(elsewhere)
        if dangling:
            elsewhere.unlink()

    return change


def _rotated(*, packed: bool) -> Change:
    """The log was put away a moment ago: it is empty, and all is in the newest archive."""

    def change(site: Site) -> None:
        archive = site.log.with_name(f"{site.log.name}.0")
        text = site.log.read_bytes()
        if packed:
            archive.with_name(f"{archive.name}.gz").write_bytes(gzip.compress(text))
        else:
            archive.write_bytes(text)
        site.log.write_bytes(b"")

    return change


def _archives_only(site: Site) -> None:
    """Only the oldest archive holds what happened: `.0` is from yesterday as its name says, `.4` is older."""
    archive = site.log.with_name(f"{site.log.name}.4")
    archive.write_bytes(site.log.read_bytes())
    site.log.write_bytes(b"")


def _appended(data: bytes, *, size: int = 1) -> Change:
    """Bytes after the log's last entry."""

    def change(site: Site) -> None:
        with site.log.open("ab") as file:
            for _ in range(size):
                file.write(data)

    return change


def _said(*entries: Said) -> Change:
    """More entries at the end of the log as it is."""

    def change(site: Site) -> None:
        with site.log.open("a", encoding="utf-8") as file:
            file.writelines(entry.line(site) for entry in entries)

    return change


def _huge(site: Site) -> None:
    """A log of 1 GiB, nearly all of it a hole."""
    text = site.log.read_bytes()
    with site.log.open("r+b") as file:
        file.seek(1 << 30)
        file.write(b"\n" + text)


def _is_directory(site: Site) -> None:
    site.log.unlink()
    site.log.mkdir()


_HEADER = r"^(\S+ \S+) (\[qualys-cloud-agent)\]"
_PAYLOAD = """Sending payload:
{"events": [
  {"level": "FATAL", "text": "fatal error"},
  {"level": "FATAL", "text": "fatal error: CAPI event failed, manifest missing"}
]}
2 fatal errors follow: Fatal Fatal Fatal"""

TITLE = "The agent's log"
FAULTS = (
    fault(
        "log-silent",
        "LogLevel is 1: a healthy agent would write nothing, and neither does this one.",
        edit("configuration", "LogLevel=3", "LogLevel=1"),
        log(until=5 * HOUR),
        personality="vendor",
    ),
    fault(
        "log-to-syslog",
        "The agent logs to syslog, and its log file has been silent since.",
        edit("configuration", "LogLevel=3", "LogLevel=3\nLogDestType=syslog"),
        log(until=5 * HOUR),
        daemon=_Quiet,
    ),
    fault("log-absent", "There is no log.", remove("log"), daemon=Stuck),
    fault("log-unreadable", "Not even root may read the log.", may_not_look("log")),
    fault("log-empty", "The log is empty, and there is no archive.", content("log", ""), daemon=Stuck),
    fault(
        "log-only-in-oldest-archive",
        "The log is empty, and so are the newest archives.",
        _archives_only,
        daemon=Stuck,
    ),
    fault("log-is-directory", "There is a directory in the place of the log.", _is_directory, daemon=Stuck),
    fault(
        "log-link-dangles",
        "The log is a link to a file that is gone.",
        _becomes_link(dangling=True),
        daemon=Stuck,
    ),
    fault(
        "log-old",
        "The agent hangs: its process is there, and its last log entry is five hours old.",
        log(until=5 * HOUR),
        daemon=Stuck,
    ),
    fault(
        "log-in-future",
        "The host's clock was put back by two days: the log's last entry lies in the future.",
        log(until=-48 * HOUR),
        daemon=Stuck,
        personality="vendor",
    ),
    fault(
        "log-endless-line",
        "The log is one line without end.",
        content("log", "x" * 300_000),
        daemon=Stuck,
    ),
    fault(
        "log-garbage",
        "The log holds bytes that are no text.",
        content("log", b"\xff\x00\x80\x01\x02" * 5000),
        daemon=Stuck,
    ),
    fault(
        "log-nul-only",
        "A crash has filled the log with NUL bytes.",
        content("log", "\0" * 200_000),
        daemon=Stuck,
    ),
    fault(
        "log-other-format",
        "The log is in another format than the agent's.",
        content(
            "log",
            '{"time": "2026-01-01T00:00:00Z", "level": "info", "text": "CAPI event successfully completed"}\n'
            * 50,
        ),
        daemon=Stuck,
    ),
    fault(
        "fatal-repeated",
        "Fatal errors repeat in the log.",
        log(*(Said(ago * MINUTE, "Fatal", _FATAL) for ago in (40, 30, 20, 10))),
    ),
    fault(
        "fatal-repeated-as-error",
        "Entries of level Error repeat that call themselves fatal.",
        log(*(Said(ago * MINUTE, "Error", f"FATAL: {_FATAL}") for ago in (40, 30))),
        personality="vendor",
    ),
    fault(
        "critical-repeated",
        "Critical errors repeat in the log.",
        log(*(Said(ago * MINUTE, "Critical", "Out of memory") for ago in (40, 20))),
        personality="limited",
    ),
    fault(
        "check-in-fails",
        "The agent cannot reach the platform: each check-in fails.",
        *_check_in_fails("CAPI event failed"),
        daemon=_fails_to_check_in("CAPI event failed"),
    ),
    fault(
        "http-fails",
        "The agent's proxy refuses it.",
        *_check_in_fails("Http request failed: 407 Proxy Authentication Required", "CAPI request failed"),
        daemon=_fails_to_check_in("Http request failed: 407 Proxy Authentication Required"),
    ),
    fault(
        "certificate-fails",
        "Somebody on the way to the platform shows a certificate of their own.",
        *_check_in_fails("SSL certificate problem: unable to get local issuer certificate"),
        daemon=_fails_to_check_in("SSL certificate problem: unable to get local issuer certificate"),
        personality="vendor",
    ),
    fault(
        "check-in-not-shown",
        "The log tells of scans, and neither of an upload nor of a check-in.",
        _without("CAPI|Upload"),
        _said(Said(5 * MINUTE, "Information", "Database compacted")),
        daemon=_NoCheckIn,
    ),
    fault(
        "assessment-not-shown",
        "The log tells of check-ins, and of no assessment.",
        _without("Manifest|manifest"),
    ),
    fault(
        "log-drowned",
        "LogLevel is 5, and traces have pushed everything else out of what one reading holds.",
        edit("configuration", "LogLevel=3", "LogLevel=5"),
        log(*(Said(60 - n / 50, "Trace", f"Reading entry {n} of the package database") for n in range(2000))),
        personality="vendor",
    ),
    fault(
        "module-disabled",
        "The platform has switched the application off for this agent.",
        _without("Manifest|manifest"),
        _said(Said(5 * MINUTE, "Information", "VM module is disabled")),
    ),
    variant(
        "log-rotated",
        "The log was put away a moment ago and is empty.",
        _rotated(packed=False),
        daemon=_Quiet,
    ),
    variant(
        "log-rotated-and-packed",
        "The log was put away a moment ago, is empty, and its newest archive is packed.",
        _rotated(packed=True),
        daemon=_Quiet,
        personality="vendor",
    ),
    variant("log-link", "The log is a link to another place.", _becomes_link(dangling=False)),
    variant(
        "log-with-offset",
        "The log's times carry an offset.",
        _rewritten(_HEADER, r"\1 +0000 \2]"),
        daemon=_worded(_HEADER, r"\1 +0000 \2]"),
        personality="vendor",
    ),
    variant(
        "log-with-gmt",
        "The log's times carry the word GMT.",
        _rewritten(_HEADER, r"\1 GMT \2]"),
        daemon=_worded(_HEADER, r"\1 GMT \2]"),
        personality="vendor",
    ),
    variant(
        "log-other-logger",
        "The log's loggers have a dotted suffix, and there is no thread id.",
        _rewritten(_HEADER + r"(.*?\]:\[\w+\]:)(?:\[\d+\]:)?", r"\1 \2.scan]\3"),
        daemon=_worded(_HEADER + r"(.*?\]:\[\w+\]:)(?:\[\d+\]:)?", r"\1 \2.scan]\3"),
        personality="vendor",
    ),
    variant(
        "log-with-crlf",
        "The log's lines end with CRLF.",
        _rewritten(r"$(?<=[^\n])", "\r"),
        daemon=_worded(r"\n\Z", "\r\n"),
        personality="vendor",
    ),
    variant("log-with-nul", "A crash has left NUL bytes in the log.", _appended(b"\0" * 5000)),
    variant(
        "log-with-invalid-utf8",
        "The log has entries with bytes that are no UTF-8.",
        _appended(b"\xff\xfe\x80\xc3 caf\xe9\n"),
        daemon=_worded("Control ID", "\udce9 Control ID"),
        personality="vendor",
    ),
    variant(
        "log-with-escapes",
        "The log has ANSI escapes in it.",
        _appended(b"\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J\n"),
    ),
    variant(
        "log-with-endless-line",
        "An entry goes on for 100,000 characters before the next one.",
        _appended(b"x" * 100_000 + b"\n"),
    ),
    variant(
        "log-with-fatal-payload",
        "Payloads of several lines hold the words `fatal error`.",
        log(*(Said(ago * MINUTE, "Information", _PAYLOAD) for ago in (30, 20, 10))),
    ),
    variant(
        "log-with-noise",
        "PAM-tacplus and su fill the log, at levels Error and Fatal.",
        log(
            *(
                Said(ago * MINUTE, "Fatal", "PAM-tacplus: user not authenticated by TACACS+")
                for ago in range(30, 10, -1)
            ),
            *(Said(ago * MINUTE, "Error", "su: (to root) root on none") for ago in range(9, 1, -1)),
        ),
    ),
    variant("fatal-once", "One fatal error, and never again.", log(Said(40 * MINUTE, "Fatal", _FATAL))),
    variant(
        "fatal-denied",
        "Entries say that there were no fatal errors.",
        log(
            *(
                Said(ago * MINUTE, "Error", "Database check: 3 warnings, 0 fatal, non-fatal")
                for ago in (40, 30, 20)
            )
        ),
    ),
    variant(
        "check-in-recovered",
        "Check-ins failed for an hour, and succeed again.",
        log(
            *(Said(ago * MINUTE, "Error", "CAPI event failed") for ago in (90, 70, 50)),
            Said(20 * MINUTE, "Information", "CAPI event successfully completed"),
            until=2 * HOUR,
        ),
    ),
    variant("log-huge", "The log had grown to 1 GiB before it was put away.", _huge),
    variant(
        "log-talkative",
        "LogLevel is 5: hundreds of entries of level Trace come between.",
        edit("configuration", "LogLevel=3", "LogLevel=5"),
        log(*(Said(60 - n / 50, "Trace", f"Reading entry {n} of the package database") for n in range(600))),
        personality="vendor",
    ),
)
