"""Runs that are out of the ordinary: with one text in every place, with nothing in them, with very many hosts."""

from datetime import timedelta

import msgspec

from qualys_verify.evidence.events import (
    AnyEvent,
    Check,
    Command,
    Ended,
    Expected,
    Identified,
    Judged,
    Observed,
    Planned,
)
from qualys_verify.evidence.result import Result, Transcript, transcripts_of
from qualys_verify.verdict import Verdict
from tests.evidence import sample

# What hosts, inventories and people may call things, or put into their output.
HOSTILE = (
    "a\nb",
    "\r\n== 99. forged, attempt 1",
    "\n  $ forged\nexit status 0",
    "x\u2028== 9. forged\u2029y\x85z",
    "]]><script>alert(1)</script>&amp;<!--",
    "\x00\x01\x1b[31mred\x7f\x9b",
    "\u202egnp.exe\u202c",
    "=cmd|' /C calc'!A0",
    '  "=HYPERLINK(1)',
    "'=1+1",
    "\t+1",
    "\uff1d1",
    "   ",
    "[a](javascript:x) ![b](c) `d` *e* {{ insert: param, f }}",
    "\ufffe\uffff\ufeff",
    "é漢\U0001f4a5",
    "-" * 200_000,
)
VERDICTS = tuple(Verdict)


def records(text: str) -> list[AnyEvent]:
    """A run of one host with one check for each verdict, in which every text is this one."""
    tests = tuple(f"test_{number}" for number in range(len(VERDICTS)))
    waiver = msgspec.structs.replace(
        sample.WAIVER,
        id=text,
        hosts=("*", text),
        check=tests[VERDICTS.index(Verdict.WAIVED)],
        reason=text,
        approver=text,
        ticket=text,
        risk=text,
    )
    changes = dict.fromkeys(("user", "controller", "version", "commit", "runbook"), text)
    return [
        sample.started(
            **changes, command=(text,), options={text: text}, tools={text: text}, waivers=(waiver,)
        ),
        Planned(sample.NOON, tuple(Check(test, "1", text, text) for test in tests), (Expected(text, tests),)),
        Identified(sample.at(1), text, {text: text, "host name": text, "system": text}),
        Command(sample.at(1), text, text, 1, text, 0, text, text, 0.1),
        Observed(sample.at(1), text, text, "seen", text, 0.1),
        *(
            Judged(sample.at(2), text, test, verdict, text, text, (text,), 0.1, _waiver(verdict, text))
            for test, verdict in zip(tests, VERDICTS, strict=True)
        ),
        Ended(sample.at(3), 1, text),
    ]


def _waiver(verdict: Verdict, text: str) -> str:
    return text if verdict is Verdict.WAIVED else ""


def hostile(text: str) -> Result:
    """Its result."""
    return sample.result(records(text))


def transcript(text: str) -> Transcript:
    """Its transcript."""
    return transcripts_of(sample.chain(records(text)))[0]


def empty() -> Result:
    """A run for which nothing was selected."""
    return sample.result([sample.started(), Planned(sample.NOON, (), ()), Ended(sample.at(1), 5)])


def killed() -> Result:
    """A run that was killed while it looked."""
    return sample.result(sample.events()[:8])


def clean(verdict: Verdict = Verdict.COMPLIANT, status: int = 0) -> Result:
    """A run of one check on one host that came to this verdict."""
    host, check = "ssh://web2", sample.CHECKS[2]
    waiver = sample.WAIVER.id if verdict is Verdict.WAIVED else ""
    return sample.result(
        [
            sample.started(),
            Planned(sample.NOON, (check,), (Expected(host, (check.test,)),)),
            Observed(sample.at(1), host, "activity", "seen", "5 s ago", 0.1),
            Judged(sample.at(2), host, check.test, verdict, "5 s ago", "why", ("activity",), 0.1, waiver),
            Ended(sample.at(3), status),
        ]
    )


def expired() -> Result:
    """A run after its waiver had expired: what it covered counts again."""
    old = msgspec.structs.replace(sample.WAIVER, expires=sample.NOON - timedelta(days=1))
    events = sample.events(waivers=(old,))
    return sample.result([_counted(event) for event in events])


def _counted(event: AnyEvent) -> AnyEvent:
    if isinstance(event, Judged) and event.verdict is Verdict.WAIVED:
        return msgspec.structs.replace(
            event, verdict=Verdict.NON_COMPLIANT, waiver="", reason="5 h are too long"
        )
    return event


def fleet(hosts: int) -> Result:
    """A run of so many hosts."""
    names = tuple(f"ssh://web{number}" for number in range(hosts))
    judged = (
        Judged(sample.at(2), name, test, VERDICTS[(n + m) % 2], "failed (failed)", "x" * 100, ("unit",), 0.4)
        for n, name in enumerate(names)
        for m, test in enumerate(sample.TESTS)
    )
    return sample.result(
        [
            sample.started(),
            Planned(sample.NOON, sample.CHECKS, tuple(Expected(name, sample.TESTS) for name in names)),
            *(Observed(sample.at(1), name, "unit", "seen", "failed (failed)", 0.1) for name in names),
            *judged,
            Ended(sample.at(3), 1),
        ]
    )
