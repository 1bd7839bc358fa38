"""The log of an agent that has been healthy for a day, for a host on which the stand-in is installed now."""

from collections.abc import Iterator
from datetime import tzinfo

from qualys_verify.standin import daemon

DAY = 24 * 3600.0
HOUR = 3600.0
MINUTE = 60.0
LAST_ASSESSMENT_AGE = 3 * HOUR

_PID = 712
# What an agent sends and receives spans lines without a header. Words in them mean nothing: this title
# names a made-up finding, not the agent's state.
_PAYLOAD = """Received payload:
{
  "agentId": "decafbad-0000-4000-8000-00000000fa6e",
  "customerId": "cccccccc-0000-4000-8000-00000000fa6e",
  "findings": [
    {"qid": 999001, "title": "Service stops after a fatal error in a made-up parser", "state": "fixed"}
  ],
  "address": "192.0.2.10"
}"""

# Harmless by the runbook, at levels that look as if they were not.
_NOISE = (
    ("Error", "PAM-tacplus: user not authenticated by TACACS+"),
    ("Warning", "su: (to root) root on none"),
)


def healthy_log(now: float, zone: tzinfo) -> str:
    """The log's text up to `now` (epoch seconds), in the host's zone.

    Its last assessment, a VM and a PC scan, ended `LAST_ASSESSMENT_AGE` ago; a check-in is minutes old.
    """
    entries = sorted(_entries(), key=lambda entry: -entry[0])
    return "".join(daemon.log_line(now - age, _PID, message, level, zone) for age, level, message in entries)


def _entries() -> Iterator[tuple[float, str, str]]:
    """Entries as (age in seconds, level, message), in no order."""
    yield DAY, "Information", daemon.LOG_LEVEL.format(level=3)
    yield DAY, "Information", daemon.VERSION
    for hours in range(1, 24):
        yield from _check_in(hours * HOUR - 17 * MINUTE)
    yield from _check_in(4 * MINUTE)
    for age in (15 * HOUR, LAST_ASSESSMENT_AGE):
        yield from _scan("VM", age + 1.5)
        yield from _scan("PC", age)
    for hours, (level, message) in zip((20, 2), _NOISE, strict=True):
        yield hours * HOUR, level, message
    yield LAST_ASSESSMENT_AGE - 30, "Information", _PAYLOAD


def _check_in(age: float) -> Iterator[tuple[float, str, str]]:
    start, success = daemon.CHECK_IN
    yield age, "Information", start
    yield age - 1.25, "Information", success


def _scan(manifest: str, age: float) -> Iterator[tuple[float, str, str]]:
    """A scan that ended `age` seconds ago after four minutes, and its upload."""
    uuid = daemon.MANIFEST_UUIDS[manifest]
    yield age + 4 * MINUTE, "Information", daemon.STARTING.format(uuid=uuid)
    yield age + 4 * MINUTE - 0.01, "Information", daemon.STARTED.format(manifest=manifest)
    yield age, "Information", daemon.FINISHED.format(manifest=manifest)
    yield age - 8, "Information", daemon.UPLOADED.format(manifest=manifest)
