"""A run's evidence: one folder, everything in it rendered from its journal, and sealed.

The journal is written while the run goes on. What it holds is enough: a run that is killed is rendered later, and marked
incomplete.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

from qualys_verify.evidence import digests, howto, run_json, signature
from qualys_verify.evidence import journal as journal_file
from qualys_verify.evidence.controls import controls_of
from qualys_verify.evidence.grid import findings_of
from qualys_verify.evidence.hdf import render_hdf
from qualys_verify.evidence.intoto import render_intoto
from qualys_verify.evidence.journal import Chain, follow
from qualys_verify.evidence.junit import render_junit
from qualys_verify.evidence.oscal import render_oscal
from qualys_verify.evidence.page import render_page
from qualys_verify.evidence.result import Result, Transcript, file_name, result_of, transcripts_of
from qualys_verify.evidence.results_csv import render_csv
from qualys_verify.evidence.seal import Seal
from qualys_verify.evidence.still_open import still_open
from qualys_verify.evidence.transcript import render_transcript
from qualys_verify.identity import REBOOT

# What a format writes: pairs of a path in the bundle and its content, in parts.
Files = Iterator[tuple[str, Iterable[bytes]]]
LATEST = "latest"
PAGE = "report.html"


def _whole(
    name: str, render: Callable[[Result], Iterable[bytes]]
) -> Callable[[Result, Sequence[Transcript]], Files]:
    """A format that is one file about the whole run."""

    def files(result: Result, _: Sequence[Transcript]) -> Files:
        yield name, render(result)

    return files


def _transcripts(result: Result, transcripts: Sequence[Transcript]) -> Files:
    ran = {transcript.host: transcript for transcript in transcripts}
    for host in result.hosts:
        yield host.transcript, [render_transcript(host, ran[host.id], result.run)]


def _page(result: Result, transcripts: Sequence[Transcript]) -> Files:
    reboots = {host.id: host.identity.get(REBOOT, "") for host in result.hosts}
    reasons = still_open(findings_of(result), reboots, result.run.scan_types)
    controls = {check.step: controls_of(check.step) for check in result.checks}
    yield PAGE, render_page(result, transcripts, still_open=reasons, controls=controls)


def _hdf(result: Result, _: Sequence[Transcript]) -> Files:
    for host in result.hosts:
        yield f"hdf/{file_name(host.id)}.json", [render_hdf(result, host)]


FORMATS: Mapping[str, Callable[[Result, Sequence[Transcript]], Files]] = {
    "html": _page,
    "json": _whole(run_json.NAME, run_json.render_run),
    "transcripts": _transcripts,
    "junit": _whole("junit.xml", render_junit),
    "csv": _whole("results.csv", render_csv),
    "hdf": _hdf,
    "oscal": _whole("oscal-assessment-results.json", render_oscal),
    "howto": _whole(howto.NAME, lambda result: [howto.render_howto(result)]),
}
# Half of the work: those that show commands, so that a child need not hold them, too.
_HERE = ("html", "transcripts")


def read_chain(folder: Path) -> Chain:
    """The journal of a bundle. Raises JournalError, or OSError where there is none."""
    with digests.opened(folder / journal_file.NAME) as file:
        return follow(file)


def rendered(chain: Chain, names: Sequence[str]) -> Files:
    """The files of these formats, from a journal."""
    return _rendered(result_of(chain), transcripts_of(chain), names)


def _rendered(result: Result, transcripts: Sequence[Transcript], names: Sequence[str]) -> Files:
    for name in names:
        yield from FORMATS[name](result, transcripts)


def complete(folder: Path, seal: Seal) -> Result:
    """Render everything from the journal in the folder, list the digests, and seal them.

    Raises SealError when it cannot be signed or stamped: all else is written then. OSError when it cannot be written,
    ValueError for a folder that is no bundle.
    """
    refuse_what_is_no_file(folder)
    result = _render_all(folder)
    _keep_to_owner(folder)
    for name in (digests.SIGNATURE, signature.STAMPED, signature.TIMESTAMP):  # of what was here before
        (folder / name).unlink(missing_ok=True)
    found = digests.digests_of(folder)
    write(folder / signature.STAMPED, render_intoto(result, found.items()))
    try:
        if seal.timestamp_url:
            signature.stamp(folder, seal.timestamp_url)
    finally:
        about = (folder / name for name in (signature.STAMPED, signature.TIMESTAMP))
        found |= {path.name: digests.digest_of(path) for path in about if path.exists()}
        write(folder / digests.NAME, digests.listing(found).encode())
    if seal.key:
        signature.sign(folder, seal.key)
    return result


def _render_all(folder: Path) -> Result:
    """Write every format, half of the work beside the other half, on another processor if there is one."""
    chain = read_chain(folder)
    result, transcripts = result_of(chain), transcripts_of(chain)
    del chain
    others = partial(_write, folder, result, (), [name for name in FORMATS if name not in _HERE])
    with _beside(others):
        _write(folder, result, transcripts, _HERE)
    return result


def _write(folder: Path, result: Result, transcripts: Sequence[Transcript], names: Sequence[str]) -> None:
    for name, content in _rendered(result, transcripts, names):
        write_parts(folder / name, content)


def _silently(write: Callable[[], None]) -> None:
    try:
        write()
    except BaseException:  # noqa: BLE001  # it is done again where it can be told
        raise SystemExit(1) from None


def _started(write: Callable[[], None]) -> BaseProcess | None:
    """A child that does something; None where there can be none."""
    if threading.active_count() > 1 or "fork" not in multiprocessing.get_all_start_methods():
        return None
    child = multiprocessing.get_context("fork").Process(target=_silently, args=(write,), daemon=True)
    try:
        child.start()
    except OSError:  # no memory for it, or too many processes
        return None
    return child


@contextmanager
def _beside(write: Callable[[], None]) -> Iterator[None]:
    """Have a child do something meanwhile; where there can be none, or it fails, it is done here afterwards, and raises here.

    A child is a copy of this process and of one thread of it, so there must be no others.
    """
    child = _started(write)
    if child is None:
        yield
        write()
        return
    try:
        yield
        child.join()
    finally:
        child.kill()
        child.join()
    if child.exitcode:
        write()


def write(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, whole or not at all; never through a link that lies there."""
    write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """The same, for a content that comes in parts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.part")
    fresh.unlink(missing_ok=True)  # of a process that was killed
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123  # Path.open takes no mode bits
            file.writelines(parts)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def refuse_what_is_no_file(folder: Path) -> None:
    """Raise ValueError when a link or a pipe lies in a bundle: one from a stranger could lead anywhere, or never end."""
    found = next((path for path in digests.files_in(folder) if path.is_symlink() or not path.is_file()), None)
    if found is not None:
        raise ValueError(f"{found} is no file, and a bundle holds nothing else: do not trust it")


def _keep_to_owner(folder: Path) -> None:
    """Other plugins write as the umask says."""
    for path in digests.files_in(folder):
        path.chmod(0o600)


def point_latest(folder: Path) -> None:
    """Have `latest` beside a bundle point to it; where links are not possible there is none."""
    link = folder.parent / LATEST
    fresh = link.with_name(f".{LATEST}-{os.getpid()}")
    try:
        with suppress(OSError):
            fresh.symlink_to(folder.name)
            fresh.replace(link)
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)  # where `latest` is a folder of somebody's
