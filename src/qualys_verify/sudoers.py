"""`qualys-verify sudoers`: the allow-list for a login that may do what the runbook needs, and nothing else."""

import re
from collections.abc import Iterable

from qualys_verify.agent.commands import Argv

# sudo matches the path that it finds a program at; which one that is differs between systems.
_PLACES = ("/usr/bin", "/bin")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?|%[A-Za-z_][A-Za-z0-9_.-]*|#\d+")


def allow_list(user: str, commands: Iterable[Argv], timeout: float) -> str:
    """A sudoers file's text.

    `user` is a login, `%group` or `#uid`. `timeout` is the run's --command-timeout in seconds: sudo ends what
    takes longer, because a login that may only read cannot end what runs as root. Raises ValueError for a user
    that sudoers cannot name.
    """
    if not _USER.fullmatch(user):
        raise ValueError(f"--user {user!r} is no login, %group or #uid")
    lines = dict.fromkeys(line for argv in commands for line in _forms(argv))
    tags = f"TIMEOUT={max(1, round(timeout))}s NOPASSWD:"
    return "\n".join(
        [
            "# What qualys-verify runs as root on this host, each command with just these arguments.",
            "# To install: visudo -c -f FILE && install -m 0440 FILE /etc/sudoers.d/qualys-verify",
            *(f"{user} ALL=(root) {tags} {line}" for line in lines),
            "",
        ],
    )


def _forms(argv: Argv) -> Iterable[str]:
    """A command as sudo will see it, at each place that its program may be found at."""
    programs = [argv[0]] if argv[0].startswith("/") else [f"{place}/{argv[0]}" for place in _PLACES]
    return (" ".join(map(_escape, (program, *argv[1:]))) for program in programs)


def _escape(word: str) -> str:
    """A word of a command for sudoers, where some characters separate, and `*`, `?`, `[` would match others."""
    return re.sub(r"([\\,:= *?\[\]!])", r"\\\1", word)
