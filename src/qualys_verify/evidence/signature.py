"""Sealing a bundle: OpenSSH's own signature (SSHSIG) over SHA256SUMS, and if wanted a time stamp (RFC 3161).

The time stamp is over the in-toto statement, which holds the digests of everything rendered from the journal: so the
token itself stands in SHA256SUMS. Both are made by the programs that a stranger checks them with, `ssh-keygen` and
`openssl`.
"""

import base64
import binascii
import os
import re
import signal
import subprocess
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from qualys_verify.evidence import digests

# What the signature is for: one that was made for anything else is none of ours.
NAMESPACE = "qualys-verify-evidence"
STAMPED = "test-result.intoto.json"
TIMESTAMP = "test-result.tsr"
_SECONDS = 60
_LARGEST = 1 << 20
_ARMOUR = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\n(?P<body>[A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n"
)
_WIDTH = 70


class SealError(ValueError):
    """A bundle could not be signed, or its signature does not hold; the message is one sentence."""


def sign(folder: Path, key: Path) -> None:
    """Sign SHA256SUMS with an OpenSSH key: a private one, or a public one whose private half the agent has.

    Raises SealError. Never asks for a passphrase: a key that has one belongs into the agent.
    """
    signature = folder / digests.SIGNATURE
    signature.unlink(missing_ok=True)  # ssh-keygen asks before it writes over one
    _run(
        ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(folder / digests.NAME)],
        f"{folder.name} could not be signed with {key}",
        "load a key with a passphrase into ssh-agent and name its .pub file",
    )
    signature.chmod(0o600)


def try_key(key: Path) -> None:
    """Find out whether a key can sign, before anything is worth signing. Raises SealError."""
    with tempfile.TemporaryDirectory(prefix="qv-") as name:
        folder = Path(name)
        (folder / digests.NAME).write_text("", "utf-8")
        try:
            sign(folder, key)
        except SealError as error:
            raise SealError(str(error).replace(folder.name, "the evidence")) from error


def check_signature(folder: Path, signers: Path | None, identity: str | None) -> str:
    """Check the signature over SHA256SUMS; returns who made it, in a few words.

    With `signers` (OpenSSH's allowed_signers) and an `identity` in it, it must be theirs; without, it only is one that
    was made by the key that it names. Raises SealError when it does not hold.
    """
    _refuse_other_spelling(folder)
    listing, signature = digests.read(folder / digests.NAME), str(folder / digests.SIGNATURE)
    if signers is None:
        said = _run(
            ["ssh-keygen", "-Y", "check-novalidate", "-n", NAMESPACE, "-s", signature],
            f"the signature of {folder.name} does not hold",
            "the bundle was changed after it was signed",
            listing,
        )
        key = re.search(r"SHA256:\S+", said)
        return f"the key {key[0] if key else '?'}, which nobody has vouched for: name --allowed-signers"
    who = identity or _principals(folder, signers)
    command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", who, "-n", NAMESPACE, "-s", signature]
    _run(
        command,
        f"the signature of {folder.name} is not {who}'s by {signers}",
        "the bundle was changed, or signed by somebody else",
        listing,
    )
    return who


def _principals(folder: Path, signers: Path) -> str:
    """Whom the key that signed belongs to, by the allowed signers."""
    said = _run(
        ["ssh-keygen", "-Y", "find-principals", "-f", str(signers), "-s", str(folder / digests.SIGNATURE)],
        f"the key that signed {folder.name} is not in {signers}",
        "do not trust this bundle",
    )
    return said.splitlines()[0]


def _refuse_other_spelling(folder: Path) -> None:
    """Base64 can spell the same bytes in several ways; only the one that ssh-keygen writes is taken."""
    text = digests.read(folder / digests.SIGNATURE).decode("latin-1")
    match = _ARMOUR.fullmatch(text)
    try:
        data = base64.b64decode(match["body"].replace("\n", ""), validate=True) if match else b""
    except binascii.Error:
        data = b""
    lines = textwrap.wrap(base64.b64encode(data).decode(), _WIDTH)
    if match is None or "\n".join(lines) != match["body"]:
        raise SealError(f"the signature of {folder.name} is not one that ssh-keygen wrote")


def stamp(folder: Path, url: str) -> None:
    """Have a time-stamping authority confirm that the in-toto statement exists now (RFC 3161). Raises SealError."""
    query = _run_bytes(
        ["openssl", "ts", "-query", "-data", str(folder / STAMPED), "-sha256", "-cert"],
        f"no time stamp for {folder.name}",
        "install openssl",
    )
    from http.client import HTTPException  # noqa: PLC0415  # with TLS, which takes its time, and few ask for a stamp

    try:
        token = _answer(url, query)
    except (OSError, HTTPException, ValueError) as error:
        raise SealError(f"no time stamp for {folder.name}: {url} does not answer ({error})") from error
    path = folder / TIMESTAMP
    try:
        path.write_bytes(token)
        path.chmod(0o600)
        _refuse_what_is_no_stamp(path, url)
    except (OSError, SealError):
        path.unlink(missing_ok=True)
        raise


def _refuse_what_is_no_stamp(path: Path, url: str) -> None:
    said = _run(
        ["openssl", "ts", "-reply", "-in", str(path), "-text"],
        f"what {url} answered is no time stamp",
        "name another --timestamp-url",
    )
    if "Status: Granted" not in said:
        raise SealError(f"no time stamp for {path.parent.name}: {url} did not grant it")


def _answer(url: str, query: bytes) -> bytes:
    """What an authority answers, within its time as a whole: urllib's own is for every single byte."""
    from urllib.request import Request, urlopen  # noqa: PLC0415  # as the caller

    headers = {"Content-Type": "application/timestamp-query"}
    request = Request(url, data=query, headers=headers)  # noqa: S310  # the scheme is checked where the option is read
    answers: Queue[bytes | Exception] = Queue()

    def ask() -> None:
        try:
            with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310  # see above
                answers.put(answer.read(_LARGEST))
        except Exception as error:  # noqa: BLE001  # raised where it is waited for
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        found = answers.get(timeout=_SECONDS)
    except Empty:
        raise TimeoutError(f"not within {_SECONDS} s") from None
    if isinstance(found, Exception):
        raise found
    return found


def check_stamp(folder: Path, authorities: Path | None) -> str:
    """Check the time stamp over the in-toto statement; returns when it was made, in openssl's words. Raises SealError.

    Without `authorities` (PEM certificates that are trusted) it is only said that nobody has checked it.
    """
    path = str(folder / TIMESTAMP)
    for name in (TIMESTAMP, STAMPED):
        digests.read(folder / name)  # openssl would wait for a pipe
    if authorities is None:
        return "there, and not checked: name the authority's certificate with --timestamp-ca"
    _run(
        [
            "openssl",
            "ts",
            "-verify",
            "-data",
            str(folder / STAMPED),
            "-in",
            path,
            "-CAfile",
            str(authorities),
        ],
        f"the time stamp of {folder.name} does not hold",
        "the bundle was changed after it was stamped, or another authority stamped it",
    )
    text = _run(
        ["openssl", "ts", "-reply", "-in", path, "-text"], "the time stamp cannot be read", "ask its maker"
    )
    found = re.search(r"^Time stamp: (.+)$", text, re.MULTILINE)
    return found[1] if found else "at a time that openssl does not show"


def _run(argv: Sequence[str], what: str, mend: str, stdin: bytes = b"") -> str:
    return _run_bytes(argv, what, mend, stdin).decode("utf-8", "replace").strip()


def _run_bytes(argv: Sequence[str], what: str, mend: str, stdin: bytes = b"") -> bytes:
    """What a program printed. SealError with `what` happened, why and how to `mend` it where it fails."""
    try:
        with subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # no terminal: it must not ask
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"},  # nor in a window
        ) as process:
            try:
                stdout, stderr = process.communicate(stdin, _SECONDS)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # with the helper that waits for a touch
                raise
    except subprocess.TimeoutExpired as error:
        raise SealError(f"{what} (no end within {_SECONDS} s): {mend}") from error
    except OSError as error:
        raise SealError(f"{what}: {argv[0]} cannot be run ({error})") from error
    if process.returncode:
        printed = (stderr or stdout).decode("utf-8", "replace")
        said = " ".join(printed.replace("Enter passphrase: ", "").split())[-200:]
        raise SealError(f"{what} ({said}): {mend}")
    return stdout
