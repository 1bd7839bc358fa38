"""`SHA256SUMS`: what is in a bundle, in the form that `sha256sum -c` checks."""

import errno
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

NAME = "SHA256SUMS"
# Made from SHA256SUMS, so it cannot be in it.
SIGNATURE = f"{NAME}.sig"
_CHUNK = 1 << 20


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises OSError for what is no regular file, too."""
    _refuse_what_is_no_file(path)
    state = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def read(path: Path) -> bytes:
    """What a file in a bundle holds. Raises OSError for what is no regular file, too: a pipe would never end."""
    with opened(path) as file:
        return file.read()


def opened(path: Path) -> BinaryIO:
    """The same, to be read bit by bit."""
    _refuse_what_is_no_file(path)
    return path.open("rb")


def _refuse_what_is_no_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(path))


def digests_of(folder: Path) -> dict[str, str]:
    """The digests of all files in a bundle, by their path in it; those of SHA256SUMS and its signature left out."""
    names = sorted(path.relative_to(folder).as_posix() for path in files_in(folder))
    return {name: digest_of(folder / name) for name in names if name not in {NAME, SIGNATURE}}


def files_in(folder: Path) -> Iterable[Path]:
    """All files in a bundle, whatever else lies there (links, sockets) among them."""
    return (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def listing(digests: Mapping[str, str]) -> str:
    """The text of SHA256SUMS."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def parse_listing(text: str) -> dict[str, str]:
    """Read it back. Raises ValueError for anything that `listing` does not write: another spelling is a change."""
    found = {}
    for line in text.splitlines():
        digest, gap, name = line[:64], line[64:66], line[66:]
        if gap != "  " or not name:
            raise ValueError(f"{NAME} holds a line that is no digest: {line[:80]!r}")
        found[name] = digest
    if listing(found) != text:
        raise ValueError(f"{NAME} is not written as this suite writes it")
    return found
