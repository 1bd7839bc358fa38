"""What a run writes down while it goes on: the records of its journal, and all that its evidence is made from.

Times are UTC, durations in seconds. Every text has been through redaction before it is put into one of these.
"""

from datetime import datetime

import msgspec

from qualys_verify.verdict import Verdict
from qualys_verify.waivers import Waiver

# The version of the journal and of run.json. A reader refuses another major version; a new field is a minor one.
FORMAT = "1.1"


class Event(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True):
    """One record; `kind` in the file says which."""

    at: datetime


class Source(msgspec.Struct, frozen=True):
    """Where hosts of an inventory come from (a file, a pattern, or `single names`), and how many."""

    text: str
    hosts: int


class Inventory(msgspec.Struct, frozen=True):
    r"""All hosts that were meant, before any were left out: the SHA-256 over their sorted ids, one a line, and how many.

    `jq -r '.hosts[].id' run.json | LC_ALL=C sort | sha256sum` gives it where nothing was left out.
    """

    digest: str
    hosts: int
    sources: tuple[Source, ...]


class Started(Event, frozen=True, tag="started"):
    """A run began: who started it, where, how, with what.

    `commit` is that of the suite's checkout, empty outside one. `runbook` is the SHA-256 of the runbook's files.
    `options` are those that differ from their defaults, `scan_types` what the agents are asked for, `tools` the versions that had a part in it. `expires` is
    until when this evidence speaks for the present. `inventory` is the SHA-256 of the ids of all `inventory_hosts` hosts that
    were meant, of which a run with a `shard` (`2/8`) looks at a part.
    """

    format: str
    run: str
    user: str
    controller: str
    command: tuple[str, ...]
    version: str
    commit: str
    runbook: str
    options: dict[str, str]
    tools: dict[str, str]
    expires: datetime
    scan_types: tuple[str, ...] = ()
    read_only: bool = False
    waivers: tuple[Waiver, ...] = ()
    shard: str = ""
    inventory: Inventory | None = None


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sentence of the runbook: the test that checks it, the step, and what to do when it does not hold."""

    test: str
    step: str
    title: str
    remedy: str


class Expected(msgspec.Struct, frozen=True):
    """What was selected for one host: the ledger that coverage is counted against."""

    host: str
    tests: tuple[str, ...]


class Planned(Event, frozen=True, tag="planned"):
    """What the run is to assess; written before any host is touched."""

    checks: tuple[Check, ...]
    expected: tuple[Expected, ...]


class Identified(Event, frozen=True, tag="identified"):
    """Who answered on a host, as pairs of a name and a value."""

    host: str
    facts: dict[str, str]


class Command(Event, frozen=True, tag="command"):
    """One command as it was run on a host, sudo included; `at` is when it was sent.

    `observation` is what it was run for, `attempt` the number of the look in a poll. The output is what the evidence
    keeps of it. `took` is how long its round trip took.
    """

    host: str
    observation: str
    attempt: int
    command: str
    status: int
    stdout: str
    stderr: str
    took: float


class Reading(Event, frozen=True, tag="reading"):
    """What one look of an observation came to, in a line; a poll has many."""

    host: str
    observation: str
    attempt: int
    text: str


class Observed(Event, frozen=True, tag="observed"):
    """An observation was made; `at` is when it began.

    `outcome` is `seen`, `not applicable` or `inconclusive`; `text` what was seen, or why nothing was.
    """

    host: str
    observation: str
    outcome: str
    text: str
    took: float


class Judged(Event, frozen=True, tag="judged"):
    """The verdict on one sentence for one host.

    `reason` says why it is not compliant, `observed` what was seen; `rests_on` names the observations, and `waiver`
    the waiver that covers it. `assessed` is false for what the run did not come to.
    """

    host: str
    test: str
    verdict: Verdict
    observed: str = ""
    reason: str = ""
    rests_on: tuple[str, ...] = ()
    took: float = 0.0
    waiver: str = ""
    assessed: bool = True


class Ended(Event, frozen=True, tag="ended"):
    """The run came to its end, with this exit status; `interrupted` says why it ended early, empty if it did not."""

    exit_status: int
    interrupted: str = ""


class Part(msgspec.Struct, frozen=True):
    """One of the runs that were merged: its id, and the SHA-256 of its journal's last line."""

    run: str
    journal: str
    left_out: tuple[str, ...] = ()


class Merged(Event, frozen=True, tag="merged"):
    """The journals of several runs follow, one after another, as one; `run` is the whole's id."""

    format: str
    run: str
    parts: tuple[Part, ...]


AnyEvent = Started | Planned | Identified | Command | Reading | Observed | Judged | Ended | Merged
