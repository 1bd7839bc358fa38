"""With which keys to log in, in the order in which OpenSSH offers them: files, certificates, and the agent."""

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

_OTHERS = 0o077
_CERTIFICATE = b"-cert-v01@openssh.com"


@dataclass(frozen=True)
class Wanted:
    """Which keys a configuration asks for. `agent` is a socket's path or empty; `accepted` are algorithms."""

    files: tuple[Path, ...]
    certificates: tuple[Path, ...]
    agent: str
    only_files: bool
    accepted: tuple[str, ...]


@dataclass(frozen=True)
class Identities:
    """The keys to offer, in order, and what OpenSSH could offer besides them: files that are of no use here."""

    pairs: tuple[asyncssh.SSHKeyPair, ...]
    beyond: tuple[str, ...]

    def offered(self) -> list[asyncssh.SSHKeyPair]:
        """The keys for one connection, which sets in them how it signs."""
        return [copy.copy(pair) for pair in self.pairs]


@dataclass(frozen=True)
class _File:
    """What a configured identity is: a key with its private part, or only the public one, for the agent."""

    path: Path
    private: asyncssh.SSHKey | None
    public: bytes
    trouble: str


def identities(wanted: Wanted, agent: Sequence[asyncssh.SSHKeyPair]) -> Identities:
    """The keys to offer. `agent` are the agent's keys, none where there is no agent.

    As OpenSSH has it: the agent's keys that are configured, its others (unless IdentitiesOnly), then those in files.
    """
    files = [file for path in wanted.files for file in _read(path)]
    configured = {file.public for file in files}
    certificates = [found for path in _certificate_files(wanted) for found in _certificates(path)]
    in_agent = {pair.public_data for pair in agent}
    first = [pair for pair in agent if pair.public_data in configured]
    others = [] if wanted.only_files else [pair for pair in agent if pair.public_data not in configured]
    local = [file.private for file in files if file.private is not None and file.public not in in_agent]
    pairs = (
        *_certified(first, certificates),
        *_certified(others, certificates),
        *asyncssh.load_keypairs(local, certlist=certificates),
    )
    return Identities(
        tuple(pair for pair in pairs if _is_accepted(pair, wanted.accepted)),
        tuple(
            f"{file.path} {file.trouble}" for file in files if file.trouble and file.public not in in_agent
        ),
    )


def _read(path: Path) -> Iterator[_File]:
    """A configured identity; nothing where there is no such file."""
    try:
        mode = path.stat()
        data = path.read_bytes()
    except OSError:
        yield from _public_part(path, "")
        return
    if mode.st_uid == os.getuid() and mode.st_mode & _OTHERS and b"PRIVATE KEY" in data:
        yield from _public_part(path, "can be read by others (UNPROTECTED PRIVATE KEY FILE)")
        return
    try:
        key = asyncssh.import_private_key(data)
    except asyncssh.KeyEncryptionError:
        yield from _public_part(path, "is encrypted and not in the agent")
    except (asyncssh.KeyImportError, ValueError):
        yield from _public_part(path, "is no key that is known here" if b"PRIVATE KEY" in data else "")
    else:
        if key.algorithm.startswith(b"sk-"):
            yield _File(path, None, key.public_data, "is a security key")
        else:
            yield _File(path, key, key.public_data, "")


def _public_part(path: Path, trouble: str) -> Iterator[_File]:
    """The public key of an identity whose private part is not to be had here: the agent may have it."""
    for place in (path, Path(f"{path}.pub")):
        try:
            yield _File(path, None, asyncssh.read_public_key(place).public_data, trouble)
        except (OSError, asyncssh.KeyImportError, ValueError):
            continue
        else:
            return
    if trouble:
        yield _File(path, None, b"", trouble)


def _certificate_files(wanted: Wanted) -> Iterator[Path]:
    yield from (Path(f"{path}-cert.pub") for path in wanted.files)
    yield from wanted.certificates


def _certificates(path: Path) -> Iterator[asyncssh.SSHCertificate]:
    try:
        yield asyncssh.read_certificate(path)
    except (OSError, asyncssh.KeyImportError, ValueError):
        return


def _certified(
    pairs: Sequence[asyncssh.SSHKeyPair], certificates: Sequence[asyncssh.SSHCertificate]
) -> Iterator[asyncssh.SSHKeyPair]:
    """The agent's keys, and after each the certificates that are configured for it."""
    for pair in pairs:
        yield pair
        for certificate in certificates:
            if certificate.key.public_data == pair.public_data:
                certified = copy.copy(pair)
                certified.set_certificate(certificate)
                yield certified


def _is_accepted(pair: asyncssh.SSHKeyPair, accepted: Sequence[str]) -> bool:
    """Whether one of the ways in which a key can sign is in PubkeyAcceptedAlgorithms."""
    suffix = _CERTIFICATE if pair.algorithm.endswith(_CERTIFICATE) else b""
    names = {pair.algorithm, *(algorithm.removesuffix(suffix) + suffix for algorithm in pair.sig_algorithms)}
    return any(name.decode("ascii") in accepted for name in names)
