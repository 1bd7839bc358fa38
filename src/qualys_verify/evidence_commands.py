"""`qualys-verify verify`, `merge`, `compare` and `render`: what is done with the evidence of runs that have ended."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, TextIO, TypeAlias

import pytest

from qualys_verify.evidence import bundle, comparison_text, digests
from qualys_verify.evidence import journal as journal_file
from qualys_verify.evidence.bundle import FORMATS
from qualys_verify.evidence.compare import compare
from qualys_verify.evidence.journal import write_journal
from qualys_verify.evidence.merge import Prefer, merge, missing_shards
from qualys_verify.evidence.plain import for_encoding, one_line
from qualys_verify.evidence.result import Result
from qualys_verify.evidence.run_json import read_result, schema
from qualys_verify.evidence.seal import Seal
from qualys_verify.evidence.signature import try_key
from qualys_verify.evidence.verify import Trust, check, counted
from qualys_verify.verdict import INCONCLUSIVE_STATUS

# Its parsers are of the caller's own class.
Commands: TypeAlias = "argparse._SubParsersAction[Any]"  # noqa: SLF001  # has no public name
_USAGE = int(pytest.ExitCode.USAGE_ERROR)
_WIDTH = 100


def add_commands(commands: Commands) -> None:
    """Declare them."""
    _add_verify(commands)
    _add_merge(commands)
    _add_compare(commands)
    _add_render(commands)
    shown = commands.add_parser("schema", help="print the JSON Schema of run.json")
    shown.set_defaults(command=print_schema)


def _add_verify(commands: Commands) -> None:
    verify = commands.add_parser(
        "verify",
        help="check a run's evidence: hashes, chain, signature, and the verdicts derived anew from the journal",
        description="Ends 0 when the evidence is what the run left, 1 when it is not, 4 when there is none.",
    )
    verify.add_argument("bundle", type=Path, help="a run's folder, such as reports/latest")
    verify.add_argument(
        "--at", type=_instant, help="a date (UTC) at which it is to be relied on: is it still valid then?"
    )
    verify.add_argument(
        "--allowed-signers",
        type=Path,
        metavar="FILE",
        help="whose signatures are trusted, as ssh-keygen(1) has it",
    )
    verify.add_argument("--identity", metavar="WHO", help="the one of them whose signature it must be")
    verify.add_argument(
        "--timestamp-ca", type=Path, metavar="FILE", help="the time-stamping authority's certificate"
    )
    verify.set_defaults(command=run_verify)


def _add_merge(commands: Commands) -> None:
    merged = commands.add_parser(
        "merge",
        help="make one evidence of several runs: shards, or jobs of a pipeline",
        description="Ends 0 when it is made, 4 when it cannot be, and 6 when it is made and a shard is missing (pytest --shard): its "
        "hosts are inconclusive.",
    )
    merged.add_argument(
        "bundles", type=Path, nargs="+", metavar="BUNDLE", help="the runs' folders, or a folder of them"
    )
    merged.add_argument("--to", type=Path, required=True, metavar="DIR", help="the folder to be made")
    merged.add_argument(
        "--prefer",
        type=Prefer,
        choices=list(Prefer),
        help="which run counts for a host that is in several (without it that is an error)",
    )
    merged.add_argument("--sign-key", type=Path, metavar="FILE", help="sign it with this OpenSSH key")
    merged.set_defaults(command=run_merge)


def _add_compare(commands: Commands) -> None:
    compared = commands.add_parser(
        "compare",
        help="what is fixed, still failing, regressed or newly inconclusive between two runs",
        description="Ends 0 when nothing is worse than before, 1 when something regressed, 6 when something that was "
        "assessed before cannot be seen any more.",
    )
    compared.add_argument("old", type=Path, help="the run before: its folder or run.json")
    compared.add_argument("new", type=Path, help="the run after")
    compared.add_argument(
        "--json", type=Path, metavar="FILE", help="write it as JSON, too (- for the terminal)"
    )
    compared.add_argument("--html", type=Path, metavar="FILE", help="write it as a page, too")
    compared.set_defaults(command=run_compare)


def _add_render(commands: Commands) -> None:
    render = commands.add_parser(
        "render",
        help="render a run's evidence from its journal, as for a run that was killed",
        description="With `all` the folder is completed and its digests are listed anew.",
    )
    render.add_argument("bundle", type=Path, help="a run's folder with a journal.jsonl")
    render.add_argument(
        "--to",
        action="append",
        choices=[*FORMATS, "all"],
        help="which format; may be repeated (default: all)",
    )
    render.add_argument(
        "--sign-key", type=Path, metavar="FILE", help="sign it with this OpenSSH key (with `all`)"
    )
    render.set_defaults(command=run_render)


def _instant(text: str) -> datetime:
    """A date is meant to its end: what expires on that day is still valid then at its beginning only."""
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1, seconds=-1)
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            "is a date such as 2026-01-31 or a time such as 2026-01-31T12:00Z"
        ) from error
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)


def _refusing(command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """What cannot be done ends as a usage error, in one sentence."""

    def run(parsed: argparse.Namespace) -> int:
        try:
            return command(parsed)
        except OSError as error:
            _say(f"qualys-verify: {error.filename or 'the evidence'}: {error.strerror or error}", sys.stderr)
        except (ValueError, OverflowError) as error:
            _say(f"qualys-verify: {error}", sys.stderr)
        return _USAGE

    return run


@_refusing
def run_verify(parsed: argparse.Namespace) -> int:
    """`qualys-verify verify BUNDLE`."""
    folder: Path = parsed.bundle
    _refuse_what_is_no_evidence(folder)
    if parsed.identity and not parsed.allowed_signers:
        raise ValueError("--identity is looked up in --allowed-signers: name that file, too")
    checked = check(folder, Trust(parsed.allowed_signers, parsed.identity, parsed.timestamp_ca), parsed.at)
    if checked.result:
        _say(_told(checked.result))
    for note in checked.notes:
        _say(f"- {note}")
    for problem in checked.problems:
        _say(f"✘ {problem}")
    if not (folder / digests.NAME).is_file():
        _say(
            f"- a run that was killed leaves its journal alone: `qualys-verify render {folder}` makes the rest"
        )
    _say("The evidence does NOT hold." if checked.problems else "✔ The evidence holds.")
    return 1 if checked.problems else 0


def _refuse_what_is_no_evidence(folder: Path) -> None:
    if not (folder / journal_file.NAME).is_file():
        raise ValueError(f"{folder} holds no evidence: name a run's folder, such as reports/latest")


def _told(result: Result) -> str:
    run = result.run
    ended = "incomplete" if run.exit_status is None else f"exit status {run.exit_status}"
    return (
        f"run {run.id} of {run.started:%Y-%m-%d %H:%M} UTC by {run.user or 'somebody'} on {run.controller}, "
        f"{result.coverage.hosts} hosts: {counted(result)}; {ended}; "
        f"valid until {run.expires:%Y-%m-%d %H:%M} UTC"
    )


@_refusing
def run_merge(parsed: argparse.Namespace) -> int:
    """`qualys-verify merge BUNDLE… --to DIR`."""
    folder: Path = parsed.to
    if folder.exists():
        raise ValueError(f"{folder} is there already: name a folder to be made")
    sources = [source for named in parsed.bundles for source in _bundles_in(named)]
    for source in sources:
        _refuse_what_does_not_hold(source)
    chains = [bundle.read_chain(source) for source in sources]
    missing = missing_shards(chains)
    events = merge(chains, parsed.prefer)
    if parsed.sign_key:
        try_key(parsed.sign_key)
    folder.mkdir(mode=0o700, parents=True)
    try:
        write_journal(folder / journal_file.NAME, events)
        result = bundle.complete(folder, Seal(parsed.sign_key))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _say(f"{_told(result)}: {folder}")
    for shard in missing:
        _say(f"? {shard.sentence}")
    return INCONCLUSIVE_STATUS if missing else 0


def _bundles_in(folder: Path) -> list[Path]:
    """A run's folder, or the runs in a folder that is none."""
    if (folder / journal_file.NAME).is_file() or not folder.is_dir():
        return [folder]
    inside = sorted(path.parent for path in folder.glob(f"*/{journal_file.NAME}"))
    return [path for path in inside if not path.is_symlink()] or [folder]


def _refuse_what_does_not_hold(folder: Path) -> None:
    problems = check(folder, Trust(), None).problems
    if problems:
        raise ValueError(f"{folder} cannot be merged: {problems[0]} (see `qualys-verify verify {folder}`)")


@_refusing
def run_compare(parsed: argparse.Namespace) -> int:
    """`qualys-verify compare OLD NEW`."""
    comparison = compare(read_result(parsed.old), read_result(parsed.new))
    if parsed.json == Path("-"):
        sys.stdout.write(comparison_text.as_json(comparison).decode())
    else:
        width = shutil.get_terminal_size((_WIDTH, 24)).columns
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        sys.stdout.write(comparison_text.as_text(comparison, width=width, colour=colour))
        if parsed.json:
            bundle.write(parsed.json, comparison_text.as_json(comparison))
    if parsed.html:
        bundle.write(parsed.html, comparison_text.as_page(comparison))
    return comparison.exit_status


@_refusing
def run_render(parsed: argparse.Namespace) -> int:
    """`qualys-verify render BUNDLE --to FORMAT`."""
    folder: Path = parsed.bundle
    _refuse_what_is_no_evidence(folder)
    names = parsed.to or ["all"]
    if "all" in names:
        if (folder / digests.SIGNATURE).exists() and not parsed.sign_key:
            raise ValueError(
                f"{folder} is signed, and rendering it anew would end that: render single formats, or sign again with "
                "--sign-key"
            )
        result = bundle.complete(folder, Seal(parsed.sign_key))
        _say(f"{_told(result)}: {folder}")
        return 0
    bundle.refuse_what_is_no_file(folder)
    for name, content in bundle.rendered(bundle.read_chain(folder), names):
        bundle.write_parts(folder / name, content)
        _say(str(folder / name))
    return 0


def print_schema(_: argparse.Namespace) -> int:
    """`qualys-verify schema`."""
    sys.stdout.write(schema())
    return 0


def _say(text: str, stream: TextIO | None = None) -> None:
    """A line for the terminal: what a stranger's bundle says can neither steer it nor pass for a line of ours."""
    stream = stream or sys.stdout
    stream.write(for_encoding(one_line(text), getattr(stream, "encoding", None)) + "\n")
