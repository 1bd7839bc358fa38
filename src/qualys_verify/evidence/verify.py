"""Checking a bundle: is it what the run left, does it speak of what it says, and may it still be relied on?"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qualys_verify.evidence import bundle, digests, howto, run_json, signature
from qualys_verify.evidence import journal as journal_file
from qualys_verify.evidence.events import FORMAT
from qualys_verify.evidence.intoto import render_intoto
from qualys_verify.evidence.journal import Chain
from qualys_verify.evidence.result import Result, result_of
from qualys_verify.verdict import Verdict, exit_status


@dataclass(frozen=True)
class Trust:
    """Whom the reader trusts: OpenSSH's allowed_signers and one identity in it, a time-stamping authority's certificate."""

    signers: Path | None = None
    identity: str | None = None
    authorities: Path | None = None


@dataclass(frozen=True)
class Checked:
    """What came of checking a bundle: one sentence each. `result` is that of its journal, None where it has none."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    result: Result | None


def check(folder: Path, trust: Trust, at: datetime | None) -> Checked:
    """Check hashes, chain, signature and time stamp, render everything anew from the journal, and compare.

    `at` (UTC) is the day on which the evidence is to be relied on; None asks nothing of its validity.
    """
    problems = list(_wrong_files(folder))
    notes: list[str] = []
    result = None
    try:
        chain = bundle.read_chain(folder)
        result = result_of(chain)
        problems += _contradictions(folder, result, chain)
        problems += _out_of_date(result, at)
    except (OSError, ValueError) as error:
        problems.append(_sentence(error))
    if result is not None:
        for said in _renderings(folder, chain, result):
            (problems if said.is_problem else notes).append(said.sentence)
    for said in _seals(folder, trust):
        (problems if said.is_problem else notes).append(said.sentence)
    return Checked(tuple(problems), tuple(notes), result)


def _wrong_files(folder: Path) -> Iterator[str]:
    """What differs between SHA256SUMS and what lies there."""
    try:
        listed = digests.parse_listing(digests.read(folder / digests.NAME).decode())
    except (OSError, ValueError) as error:
        yield _sentence(error)
        return
    there = {path.relative_to(folder).as_posix(): path for path in digests.files_in(folder)}
    for name in sorted(set(listed) - set(there)):
        yield f"{name} is missing"
    for name in sorted(set(there) - set(listed) - {digests.NAME, digests.SIGNATURE}):
        yield f"{name} is not in {digests.NAME}: it was put there afterwards"
    for name in sorted(set(there) & set(listed)):
        path = there[name]
        if path.is_symlink() or not path.is_file():
            yield f"{name} is no file"
        elif digests.digest_of(path) != listed[name]:
            yield f"{name} was changed: its SHA-256 is not the one in {digests.NAME}"
    for name in (journal_file.NAME, run_json.NAME):
        if name not in listed:
            yield f"{name} is not in {digests.NAME}"


def _contradictions(folder: Path, derived: Result, chain: Chain) -> Iterator[str]:
    """Where run.json says something else than the journal, or the journal contradicts itself."""
    if chain.torn:
        yield f"{journal_file.NAME} ends in the middle of a record: the run was killed, or something was added"
    if not derived.run.is_complete:
        yield "the run did not come to its end: this evidence is incomplete"
    told = [Verdict(name) for name, count in derived.verdicts.items() if count]
    if derived.run.exit_status == 0 and exit_status(told, 0) != 0:
        yield f"the run is said to have ended with exit status 0, and counts {counted(derived)}"
    written = run_json.read_result(folder)
    if written.journal != derived.journal:
        yield f"{run_json.NAME} was made from another journal, or the journal was cut off or added to"
    if written.verdicts != derived.verdicts:
        yield f"{run_json.NAME} counts {counted(written)}, and the journal {counted(derived)}"
    elif written != derived:
        yield f"{run_json.NAME} does not say what the journal says"
    elif written.format == FORMAT and digests.read(folder / run_json.NAME) != b"".join(
        run_json.render_run(written)
    ):
        yield f"{run_json.NAME} says more than the journal, or something twice"


def _renderings(folder: Path, chain: Chain, result: Result) -> Iterator["_Said"]:
    """Which of the other files are not what the journal is rendered to.

    Another version of the suite may render it otherwise, so then it is only said that nothing was compared.
    """
    try:
        if howto.renderer() not in digests.read(folder / howto.NAME).decode("utf-8", "replace"):
            yield _Said(
                f"rendered by another version of qualys-verify: only {journal_file.NAME} and {run_json.NAME} were compared"
            )
            return
        made = {name: b"".join(parts) for name, parts in bundle.rendered(chain, tuple(bundle.FORMATS))}
        listed = digests.parse_listing(digests.read(folder / digests.NAME).decode())
        later = {signature.STAMPED, signature.TIMESTAMP}
        subjects = [(name, digest) for name, digest in listed.items() if name not in later]
        made[signature.STAMPED] = render_intoto(result, subjects)
        for name, content in made.items():
            if digests.read(folder / name) != content:
                yield _Said(f"{name} is not what the journal is rendered to: it was changed", is_problem=True)
    except (OSError, ValueError, OverflowError) as error:
        yield _Said(_sentence(error), is_problem=True)


def _out_of_date(result: Result, at: datetime | None) -> Iterator[str]:
    if at is not None and at > result.run.expires:
        yield f"it speaks for the present until {result.run.expires:%Y-%m-%d %H:%M} UTC only, which is before {at:%Y-%m-%d %H:%M}"
    if at is not None and at < result.run.started:
        yield f"it was begun at {result.run.started:%Y-%m-%d %H:%M} UTC, which is after {at:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class _Said:
    sentence: str
    is_problem: bool = False


def _seals(folder: Path, trust: Trust) -> Iterator[_Said]:
    """What the signature and the time stamp are worth."""
    try:
        if (folder / digests.SIGNATURE).exists():
            yield _Said(f"signed by {signature.check_signature(folder, trust.signers, trust.identity)}")
        else:
            yield _Said(
                "not signed: whoever can write here can have changed everything (--sign-key)",
                is_problem=trust.signers is not None,
            )
    except (OSError, ValueError) as error:
        yield _Said(_sentence(error), is_problem=True)
    try:
        if (folder / signature.TIMESTAMP).exists():
            yield _Said(f"time stamp: {signature.check_stamp(folder, trust.authorities)}")
        elif trust.authorities is not None:
            yield _Said("there is no time stamp", is_problem=True)
    except (OSError, ValueError) as error:
        yield _Said(_sentence(error), is_problem=True)


def counted(result: Result) -> str:
    """The verdicts in words: `12 compliant, 1 inconclusive`."""
    return ", ".join(f"{count} {verdict}" for verdict, count in result.verdicts.items() if count) or "nothing"


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{Path(error.filename).name} cannot be read ({error.strerror})"
    return str(error)
