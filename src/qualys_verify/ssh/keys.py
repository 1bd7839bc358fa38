"""With which keys to log in, in the order in which OpenSSH offers them: files, certificates, and the agent."""

import base64
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
    """Which keys a configuration asks for. `agent` is a socket's path or empty; `accepted` are algorithms.

    RSA keys have `rsa_bits` at least.
    """

    files: tuple[Path, ...]
    certificates: tuple[Path, ...]
    agent: str
    only_files: bool
    accepted: tuple[str, ...]
    rsa_bits: int


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

    As OpenSSH has it: the certificates that are named, the agent's keys that are configured, its others (unless
    IdentitiesOnly), then those in files, each with the certificate beside it (where none is named).
    """
    files = [file for path in wanted.files for file in _read(path)]
    named = [found for path in wanted.certificates for found in _certificates(path)]
    beside = (
        {} if wanted.certificates else {path: tuple(_certificates(_beside(path))) for path in wanted.files}
    )
    configured = {
        *(file.public for file in files),
        *(found.public_data for certificates in beside.values() for found in certificates),
    }
    in_agent = {pair.public_data for pair in agent}
    first = [pair for pair in agent if pair.public_data in configured]
    others = [] if wanted.only_files else [pair for pair in agent if pair.public_data not in configured]
    local = {file.path: pair for file in files for pair in asyncssh.load_keypairs(file.private or ())}
    signers = (*first, *others, *local.values())
    rest: list[asyncssh.SSHKeyPair] = []
    for path in wanted.files:
        rest += [local[path]] if path in local else []
        rest += _certified(beside.get(path, ()), signers)
    pairs = (
        *_certified(named, signers),
        *first,
        *others,
        *(pair for pair in rest if pair.public_data not in in_agent),
    )
    return Identities(
        tuple(pair for pair in pairs if _is_accepted(pair, wanted)),
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


def _beside(path: Path) -> Path:
    """Where the certificate of a key is looked for."""
    return Path(f"{path}-cert.pub")


def _certificates(path: Path) -> Iterator[asyncssh.SSHCertificate]:
    try:
        yield asyncssh.read_certificate(path)
    except (OSError, asyncssh.KeyImportError, ValueError):
        return


def _certified(
    certificates: Sequence[asyncssh.SSHCertificate], signers: Sequence[asyncssh.SSHKeyPair]
) -> Iterator[asyncssh.SSHKeyPair]:
    """The certificates for whose keys there is one that signs, each with the first of those."""
    for certificate in certificates:
        for pair in signers:
            if pair.public_data == certificate.key.public_data:
                certified = copy.copy(pair)
                certified.set_certificate(certificate)
                yield certified
                break


def is_long_enough(key: asyncssh.SSHKey, bits: int) -> bool:
    """Whether a key is none of RSA, or one with so many bits (RequiredRSASize)."""
    return key.algorithm != b"ssh-rsa" or int(getattr(key.pyca_key, "key_size", 0)) >= bits


def _is_accepted(pair: asyncssh.SSHKeyPair, wanted: Wanted) -> bool:
    """Whether a key is long enough, and one of the ways in which it can sign in PubkeyAcceptedAlgorithms."""
    if pair.key_algorithm.startswith(b"ssh-rsa") and not is_long_enough(_public(pair), wanted.rsa_bits):
        return False
    suffix = _CERTIFICATE if pair.algorithm.endswith(_CERTIFICATE) else b""
    names = {pair.algorithm, *(algorithm.removesuffix(suffix) + suffix for algorithm in pair.sig_algorithms)}
    return any(name.decode("ascii") in wanted.accepted for name in names)


def _public(pair: asyncssh.SSHKeyPair) -> asyncssh.SSHKey:
    """The public key of a pair; the agent may have it in a certificate only."""
    text = pair.key_algorithm + b" " + base64.b64encode(pair.key_public_data)
    return asyncssh.import_certificate(text).key if _CERTIFICATE in text else asyncssh.import_public_key(text)
