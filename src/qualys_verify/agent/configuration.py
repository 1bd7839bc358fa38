"""The agent's configuration file, `Key=Value` (facts, section 2)."""

from dataclasses import dataclass
from pathlib import PurePosixPath

_INFORMATION = 3  # LogLevel: 0 fatal … 3 information … 5 trace


@dataclass(frozen=True)
class Configuration:
    """What this suite reads of `qualys-cloud-agent.conf`; None where the file does not say."""

    activation_id: str | None = None
    customer_id: str | None = None
    log_level: int | None = None
    log_directory: PurePosixPath | None = None
    to_syslog: bool = False

    @property
    def state(self) -> str:
        """`activated`, or which id is missing, empty or all zeros (installed, never activated)."""
        ids = {"ActivationId": self.activation_id, "CustomerId": self.customer_id}
        unset = [name for name, value in ids.items() if not is_set(value)]
        return f"never activated: {' and '.join(unset)} not set or all zeros" if unset else "activated"

    @property
    def log_is_quiet(self) -> str | None:
        """Why a healthy agent's log file may be silent, or None when it should not be."""
        if self.to_syslog:
            return "the agent logs to syslog"
        if self.log_level is not None and self.log_level < _INFORMATION:
            return f"LogLevel is {self.log_level}, and activity is logged from {_INFORMATION} on"
        return None


def is_set(identity: str | None) -> bool:
    """Whether an id is one: not missing, not empty, not all zeros."""
    return any(character.isalnum() and character != "0" for character in identity or "")


def parse_configuration(text: str) -> Configuration:
    """Read the file's text. Keys are taken in any case, the last of several counts.

    A comment's key begins with `#` or `;`, and is none that is looked for.
    """
    values = {}
    for line in text.removeprefix("\ufeff").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip().lower()] = value.strip().strip("\"'")
    level, directory = values.get("loglevel", ""), values.get("logfiledir", "")
    return Configuration(
        activation_id=values.get("activationid"),
        customer_id=values.get("customerid"),
        log_level=int(level) if level.isdecimal() and len(level) == 1 else None,
        log_directory=PurePosixPath(directory) if directory.startswith("/") else None,
        to_syslog=values.get("logdesttype", "").lower() == "syslog",
    )
