"""The evidence of one run while it goes on: from the first record of its journal to the last."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from qualys_verify.evidence import journal as journal_file
from qualys_verify.evidence.events import (
    FORMAT,
    AnyEvent,
    Check,
    Ended,
    Expected,
    Inventory,
    Planned,
    Started,
)
from qualys_verify.evidence.journal import Journal
from qualys_verify.evidence.redaction import Redactor
from qualys_verify.provenance import Provenance
from qualys_verify.scribe import JournalScribe
from qualys_verify.settings import EvidenceSettings
from qualys_verify.shard import Shard
from qualys_verify.verdict import Finding


@dataclass(frozen=True)
class Opening:
    """What is known of a run before it looks at anything."""

    id: str
    started: datetime
    command: tuple[str, ...]
    options: Mapping[str, str]
    provenance: Provenance
    version: str
    scan_types: tuple[str, ...]
    read_only: bool
    shard: Shard | None
    inventory: Inventory


class Recorder:
    """Writes a run's journal."""

    def __init__(
        self, folder: Path, redactor: Redactor, settings: EvidenceSettings, *, keeps_replies: bool = True
    ) -> None:
        """Begin the journal in a folder; for `keeps_replies` see JournalScribe. Raises OSError when it cannot be written."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it speaks of real hosts
        self.folder = folder
        self._journal = Journal(folder / journal_file.NAME)
        self._redactor = redactor
        self._settings = settings
        self.scribe = JournalScribe(self._journal, redactor, keeps_replies=keeps_replies)

    def begin(self, opening: Opening, planned: Iterable[Finding]) -> None:
        """Write down who runs what, and what is expected of which host; before any host is touched."""
        clean, provenance = self._redactor.clean, opening.provenance
        self._journal.write(
            Started(
                at=opening.started,
                format=FORMAT,
                run=opening.id,
                user=clean(provenance.user),
                controller=clean(provenance.controller),
                command=self._redactor.clean_words(opening.command),
                version=opening.version,
                commit=provenance.commit,
                runbook=provenance.runbook,
                options={name: clean(value) for name, value in opening.options.items()},
                tools=dict(provenance.tools),
                expires=opening.started + timedelta(seconds=self._settings.valid_for),
                scan_types=opening.scan_types,
                read_only=opening.read_only,
                waivers=self._settings.waivers,
                shard=str(opening.shard or ""),
                inventory=opening.inventory,
            )
        )
        self._journal.write(_plan(planned, clean))

    def write(self, event: AnyEvent) -> None:
        """Write down what a worker has seen; it is redacted already."""
        self._journal.write(event)

    def end(self, exit_status: int, interrupted: str) -> None:
        """Write down how the run ended; no record comes after this."""
        self._journal.write(Ended(datetime.now(UTC), exit_status, self._redactor.clean(interrupted)))
        self._journal.close()


def _plan(planned: Iterable[Finding], clean: Callable[[str], str]) -> Planned:
    checks: dict[str, Check] = {}
    expected: dict[str, dict[str, None]] = {}
    for item in planned:
        checks.setdefault(item.test, Check(item.test, item.step, item.title, item.remedy))
        expected.setdefault(item.target, {})[item.test] = None
    return Planned(
        at=datetime.now(UTC),
        checks=tuple(checks.values()),
        expected=tuple(Expected(clean(host), tuple(tests)) for host, tests in expected.items()),
    )


def redacted(finding: Finding, redactor: Redactor) -> Finding:
    """The finding without secrets."""
    target = redactor.clean(finding.target)
    observed = redactor.clean_about(finding.target, finding.observed)
    reason = redactor.clean_about(finding.target, finding.reason)
    if (target, observed, reason) == (finding.target, finding.observed, finding.reason):
        return finding
    return replace(finding, target=target, observed=observed, reason=reason)
