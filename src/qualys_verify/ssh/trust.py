"""Which host keys known_hosts vouches for, as OpenSSH reads it. Pure: text in, keys out.

asyncssh has a reader of its own, which is more generous than OpenSSH's: it takes networks for patterns, trusts a name's
address, and tells capital letters apart, in revocations too.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha1

import asyncssh

SSH_PORT = 22


@dataclass(frozen=True)
class Line:
    """One line of known_hosts. `marker` is `@cert-authority`, `@revoked` or empty; `key` is its type and Base64."""

    marker: str
    hosts: str
    key: str


@dataclass(frozen=True)
class Trust:
    """The keys that known_hosts names for one host."""

    keys: tuple[asyncssh.SSHKey, ...]
    authorities: tuple[asyncssh.SSHKey, ...]
    revoked: tuple[asyncssh.SSHKey, ...]


@dataclass(frozen=True)
class KnownHosts:
    """The lines of some known_hosts files: those that name a host plainly by its name, and the others in order."""

    plain: dict[str, tuple[Line, ...]]
    others: tuple[Line, ...]

    def trust(self, name: str, port: int = SSH_PORT) -> Trust:
        """What is known of a host; `port` is left out where the host goes by an alias.

        Capital letters make a difference to hashes only, which are made of small ones: `name` is as `ssh -G` prints it.

        A key for another port than 22 is looked for as `[name]:port`, and where there is none as `name`. What is revoked
        is revoked by either.
        """
        if port == SSH_PORT:
            return _trust(self._naming(name))
        own, any_port = self._naming(f"[{name}]:{port}"), self._naming(name)
        found = _trust(own if any(line.marker != "@revoked" for line in own) else any_port)
        return Trust(found.keys, found.authorities, _trust((*own, *any_port)).revoked)

    def _naming(self, name: str) -> tuple[Line, ...]:
        return (
            *self.plain.get(name.lower(), ()),
            *(line for line in self.others if is_named(name, line.hosts)),
        )


def read_known_hosts(texts: Iterable[str]) -> KnownHosts:
    """Read the texts of known_hosts files; lines that OpenSSH passes over are passed over."""
    plain: dict[str, list[Line]] = {}
    others: list[Line] = []
    for line in (found for text in texts for found in map(_line, text.split("\n")) if found):
        if re.search(r"[|*?!]", line.hosts):
            others.append(line)
        else:
            for name in line.hosts.lower().split(","):
                plain.setdefault(name, []).append(line)
    return KnownHosts({name: tuple(lines) for name, lines in plain.items()}, tuple(others))


def _line(text: str) -> Line | None:
    text = text.strip(" \t\r")
    marker, rest = "", text
    if text.startswith("@"):  # ends with a space; with a tab only where there is no space at all
        marker, _, rest = text.partition(" " if " " in text else "\t")
    words = re.split(r"[ \t]+", rest.strip(" \t"))
    if marker not in {"", "@cert-authority", "@revoked"} or len(words) < 3 or words[0].startswith("#"):  # noqa: PLR2004  # names, type, key
        return None
    return Line(marker, words[0], f"{words[1]} {words[2]}")


def is_named(name: str, hosts: str) -> bool:
    """Whether the first field of a line names a host: hashed, or patterns of which none says `!`."""
    if hosts.startswith("|"):
        return _is_hash_of(name, hosts)
    name = name.lower()
    patterns = hosts.lower().split(",")
    if any(pattern.startswith("!") and _matches(name, pattern[1:]) for pattern in patterns):
        return False
    return any(_matches(name, pattern) for pattern in patterns if not pattern.startswith("!"))


def _matches(name: str, pattern: str) -> bool:
    parts = (
        ".*" if character == "*" else "." if character == "?" else re.escape(character)
        for character in pattern
    )
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None


def _is_hash_of(name: str, hosts: str) -> bool:
    try:
        _, version, salt, digest = hosts.split("|")
        expected = base64.b64decode(digest, validate=True)
        made = hmac.new(base64.b64decode(salt, validate=True), name.encode(), sha1).digest()
    except (ValueError, binascii.Error):
        return False
    return version == "1" and hmac.compare_digest(made, expected)


def _trust(lines: Sequence[Line]) -> Trust:
    def marked(marker: str) -> tuple[asyncssh.SSHKey, ...]:
        keys = (_key(line.key) for line in lines if line.marker == marker)
        return tuple(key for key in keys if key is not None)

    return Trust(marked(""), marked("@cert-authority"), marked("@revoked"))


def _key(text: str) -> asyncssh.SSHKey | None:
    """A key, or None for one of a kind that is not known here: OpenSSH passes over what it cannot read, too."""
    try:
        return asyncssh.import_public_key(text)
    except (asyncssh.KeyImportError, ValueError):
        return None
