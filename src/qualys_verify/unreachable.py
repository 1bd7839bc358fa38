"""Why no command ran on a target, out of what the client program said."""

import re

from qualys_verify.frame import RawResult, text
from qualys_verify.targets import Target

# The shell's status for a program that it does not find.
_NOT_INSTALLED = 127

# What the client says of a key that it accepted, what login says of a missing home, and the end of what an echo repeats.
_CHATTER = re.compile(r"[+|]|\)$|Host key fingerprint is |Could not chdir to home")

_PASSWORD = "(the inventory has a password for it, and passwords are never used: give it a key)"  # noqa: S105  # a sentence

_REASONS = (
    (
        b"REMOTE HOST IDENTIFICATION HAS CHANGED",
        (
            "its host key is not the one in known_hosts: somebody may be in between; if the host was rebuilt, check the "
            "new key's fingerprint with its owner and replace it (`ssh-keygen -R`)"
        ),
    ),
    (
        b"marked as revoked",
        "its host key is marked as revoked in known_hosts: do not connect, ask the host's owner",
    ),
    (
        b"Host key verification failed",
        "its host key is not in known_hosts: log in once by hand (`ssh HOST`), compare the fingerprint, and run again",
    ),
    (b"No matching host key", "no host key algorithm in common: see `ssh -vv HOST`"),
    (
        b"Permission denied",
        "the login was refused: check the user and that the key is loaded (`ssh -o BatchMode=yes HOST true`)",
    ),
    (
        b"Too many authentication failures",
        "the login was refused after too many keys: name the right one with --ssh-identity-file",
    ),
    (b"Could not resolve hostname", "its name does not resolve: check the spelling, DNS and ~/.ssh/config"),
    (b"Connection refused", "the connection was refused: is sshd running there, and on this port?"),
    (b"No route to host", "there is no route to it: check the network and the firewall"),
    (b"Network is unreachable", "the network is unreachable: check the route and the VPN"),
    (b"timed out", "the connection timed out: is the host up, and does a firewall let this machine in?"),
    (
        b"Connection closed",
        "the connection was closed before a command ran: see sshd's log on the host (MaxStartups, AllowUsers)",
    ),
    (b"Connection reset", "the connection was reset before a command ran: see sshd's log on the host"),
    (b"currently not available", "the login shell runs no commands: use an account with a shell"),
    (b"No such container", "there is no such container: `docker ps` or `podman ps` shows those that run"),
    (b"no such object", "there is no such container: `docker ps` or `podman ps` shows those that run"),
    (b"no container with name or ID", "there is no such container: `podman ps` shows those that run"),
    (
        b"is not running",
        "the container does not run: start it, or look why it ended (`docker logs`, `podman logs`)",
    ),
    (
        b"container state improper",
        "the container does not run: start it, or look why it ended (`podman logs`)",
    ),
    (
        b"Cannot connect to the Docker daemon",
        "the Docker daemon does not answer: is it running, and may this user use it?",
    ),
    (
        b"OCI runtime exec failed",
        "its container has no /bin/sh to run commands with: nothing can be seen from inside it",
    ),
    (b"UNPROTECTED PRIVATE KEY", "the key file can be read by others, and ssh refuses it: `chmod 600` it"),
)


def why_unreachable(target: Target, raw: RawResult) -> str:
    """One sentence: why no command ran on the target, and what to do."""
    said = raw.stderr + raw.stdout
    if raw.status == _NOT_INSTALLED and b"OCI runtime" not in said:
        return f"{target.id} cannot be reached: the client program is not installed on this machine ({text(said).strip()[:160]})"
    for phrase, sentence in _REASONS:
        if phrase.lower() in said.lower():
            unused = f" {_PASSWORD}" if target.has_password and phrase == b"Permission denied" else ""
            return f"{target.id} cannot be reached: {sentence}{unused}"
    lines = [line for line in text(said).splitlines() if line.strip() and not _CHATTER.match(line)]
    last = f" and said: {lines[-1].strip()[:160]}" if lines else ""
    return f"{target.id} cannot be reached: no command ran there; the client ended with status {raw.status}{last}"
