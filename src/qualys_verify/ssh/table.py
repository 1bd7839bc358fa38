"""`python -m qualys_verify.ssh.table` writes docs/ssh.md: what becomes of each directive of ssh_config."""

import itertools
from pathlib import Path

from qualys_verify.ssh.directives import DIRECTIVES, Support

PAGE = Path(__file__).parents[3] / "docs" / "ssh.md"
_HEAD = """\
# SSH in this process, and OpenSSH

`ssh://` is spoken in this process (asyncssh): one connection and one shell for each host, as strict as OpenSSH. OpenSSH's
own client reads the configuration (`ssh -G HOST`: all files, `Include`, `Match`, patterns, tokens), so that there is one
reader of it and not two; known_hosts is matched as OpenSSH matches it. The table says what becomes of the result.

A host goes through OpenSSH itself

- with a directive below that says so, or one that the table does not know;
- where nothing in this process fits the algorithms that are asked for;
- where its key was refused, or the key exchange failed, here: OpenSSH is the judge, and its words are in the report;
- where the login was refused here and there is something that only OpenSSH could offer: a key that is encrypted or that
  others can read, a security key, a Kerberos ticket;
- with `--ssh-client=openssh`.

The report's `SSH client` says for each host which it was, and why. Nothing is ever sent twice: OpenSSH is asked before
the first command, never after one.

The suite insists on these, whatever a configuration says: `BatchMode yes`, `StrictHostKeyChecking yes`, nothing is
forwarded, `ServerAliveInterval 10`, `ServerAliveCountMax 3`. A server that takes no more logins at once (`MaxStartups`) is
tried five times, a little later each time.

| directive | what becomes of it | |
|---|---|---|
"""


def page() -> str:
    """The page, as Markdown."""
    lines = []
    for (support, note, plain), items in itertools.groupby(
        DIRECTIVES, key=lambda item: (item.support, item.note, item.plain)
    ):
        names = ", ".join(f"`{item.name}`" for item in items)
        lines.append(f"| {names} | {_what(support, plain)} | {note} |\n")
    return _HEAD + "".join(lines)


def _what(support: Support, plain: tuple[str, ...]) -> str:
    if support is not Support.UNSUPPORTED:
        return str(support.value)
    shown = " or ".join(f"`{value}`" for value in plain if value and value not in {"false", "none"})
    return f"{support.value}, unless {shown}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
