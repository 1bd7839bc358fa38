"""What happens on the hosts, into the journal: at once, and without secrets."""

from collections.abc import Sequence
from datetime import UTC, datetime

from qualys_verify.evidence.events import Command, Identified, Judged, Observed, Reading
from qualys_verify.evidence.journal import Sink
from qualys_verify.evidence.redaction import Redactor
from qualys_verify.host import Record
from qualys_verify.identity import Identity
from qualys_verify.observation import Sighting
from qualys_verify.reasons import NotApplicable
from qualys_verify.transport import Reply
from qualys_verify.verdict import Finding

# The rule by which what is learned from a host's own configuration is taken out.
LEARNED = "agent-id"


class JournalScribe:
    """The fleet's witness, and the one who writes down each verdict; for several threads at once."""

    def __init__(self, journal: Sink, redactor: Redactor, *, keeps_replies: bool = True) -> None:
        """Everything goes through `redactor` into `journal`.

        Where nobody asks for replies before the journal is read again, they need not be in memory, too.
        """
        self._keeps_replies = keeps_replies
        self._journal = journal
        self._clean = redactor.clean
        self._clean_about = redactor.clean_about
        self._learn = redactor.learn

    def learn(self, *secrets: str | None) -> None:
        """See Scribe."""
        self._learn(LEARNED, *secrets)

    def commands(self, record: Record, replies: Sequence[Reply]) -> Sequence[Reply]:
        """See Scribe."""
        host = self._clean(record.host)
        events = [
            Command(
                at=reply.started,
                host=host,
                observation=record.observation,
                attempt=record.attempt,
                command=self._clean(reply.command),
                status=reply.status,
                stdout=self._clean(reply.stdout),
                stderr=self._clean(reply.stderr),
                took=round(reply.took, 3),
            )
            for reply in replies
        ]
        self._journal.write(*events)
        return list(map(reply_of, events)) if self._keeps_replies else ()

    def reading(self, record: Record, at: datetime, text: str) -> str | None:
        """See Scribe."""
        kept = self._clean_about(record.host, text)
        self._journal.write(Reading(at, self._clean(record.host), record.observation, record.attempt, kept))
        return kept if self._keeps_replies else None

    def observed(self, host: str, name: str, sighting: Sighting) -> None:
        """See Witness."""
        seen = sighting.reason is None
        shown = self._clean(host)
        if isinstance(sighting.value, Identity):
            facts = {fact: self._clean(value) for fact, value in sighting.value.facts}
            self._journal.write(Identified(datetime.now(UTC), shown, facts))
        self._journal.write(
            Observed(
                at=sighting.started,
                host=shown,
                observation=name,
                outcome="seen" if seen else _outcome(sighting),
                text=self._clean_about(host, str(sighting.value if seen else sighting.reason)),
                took=round(sighting.took, 3),
            )
        )

    def judged(self, finding: Finding) -> None:
        """Write down a verdict; the finding is redacted already."""
        self._journal.write(
            Judged(
                at=datetime.now(UTC),
                host=finding.target,
                test=finding.test,
                verdict=finding.verdict,
                observed=finding.observed,
                reason=finding.reason,
                rests_on=finding.rests_on,
                took=round(finding.took, 3),
                waiver=finding.waiver,
                assessed=finding.assessed,
            )
        )


def reply_of(event: Command) -> Reply:
    """A command as it was written down."""
    return Reply(event.command, event.status, event.stdout, event.stderr, event.at, event.took)


def _outcome(sighting: Sighting) -> str:
    return "not applicable" if isinstance(sighting.reason, NotApplicable) else "inconclusive"
