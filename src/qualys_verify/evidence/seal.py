"""How a bundle is sealed, as its user wants it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Seal:
    """The key that signs, and the authority that stamps the time; None for neither."""

    key: Path | None = None
    timestamp_url: str | None = None
