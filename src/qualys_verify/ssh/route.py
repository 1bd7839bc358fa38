"""The way to a host as OpenSSH would take it: which hosts are jumped over, where each is, with which keys and what trust.

OpenSSH is asked (`ssh -G`), and names are resolved; nothing is connected. Runs in the thread that looks at the host.
"""

import os
import pwd
import re
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from qualys_verify.backends import NOT_INSTALLED, Deadline, ask
from qualys_verify.reasons import TimedOut
from qualys_verify.ssh.alike import Alike
from qualys_verify.ssh.directives import Effective, read_effective, why_openssh
from qualys_verify.ssh.keys import Wanted

_ANSWER_LIMIT = 30.0  # seconds; `Match exec` runs programs
_MOST_JUMPS = 10
_JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<name>\[[^\]]+\]|[^:@/]+)(?::(?P<port>\d+))?/?")
_TOKEN = re.compile(r"%(.)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{(\w+)\}")

Address = tuple[int, tuple[object, ...]]


class NeedsOpenSsh(Exception):  # noqa: N818  # a decision, no error
    """Only OpenSSH can go this way, or judge it; the message says why."""


class NoWay(Exception):  # noqa: N818  # what OpenSSH says of it is the message
    """The way cannot be gone, in OpenSSH's words."""


@dataclass(frozen=True)
class Asking:
    """What OpenSSH is called with, besides a host's name: options that are insisted on, a configuration file, others.

    `turn` limits how many are asked at the same time; `known` keeps what was said, for all that is asked in the same way;
    `jumped` counts the hosts that are jumped over.
    """

    strict: tuple[str, ...]
    file: Path | None
    others: tuple[str, ...]
    environment: Mapping[str, str]
    turn: threading.Semaphore
    deadline: Deadline
    known: "Known"
    jumped: int = 0

    @property
    def arguments(self) -> tuple[str, ...]:
        """OpenSSH takes the first value that it is given of each directive."""
        file = ("-F", str(self.file)) if self.file else ()
        return (*(part for option in self.strict for part in ("-o", option)), *file, *self.others)

    def of_jump(self, others: Sequence[str]) -> "Asking":
        """For a jump host: OpenSSH hands it nothing but the file; what is insisted on is insisted on there, too."""
        return replace(self, others=tuple(others), jumped=self.jumped + 1)


class Known:
    """What OpenSSH has said, by the file and the options that it was asked with."""

    def __init__(self) -> None:
        """Nothing was asked."""
        self._lock = threading.Lock()
        self._alike: dict[tuple[Path | None, tuple[str, ...]], Alike] = {}

    def alike(self, asking: Asking) -> Alike:
        """What is known of hosts that are asked about in this way."""
        with self._lock:
            key = (asking.file, asking.others)
            if key not in self._alike:
                names_another = any(word.startswith("-F") for word in asking.others)
                self._alike[key] = Alike(asking.file, is_all=not names_another)
            return self._alike[key]


@dataclass(frozen=True)
class Hop:
    """One host on the way. `addresses` is empty where another hop or a ProxyCommand leads there."""

    asked: str
    effective: Effective
    addresses: tuple[Address, ...] = ()

    @property
    def host(self) -> str:
        """The name or address to connect to."""
        return self.effective.values.get("hostname", (self.asked,))[0]

    @property
    def port(self) -> int:
        """The port to connect to."""
        return int(self.effective.one("port", "22"))

    @property
    def user(self) -> str:
        """The login."""
        return self.effective.one("user")

    @property
    def proxy_command(self) -> str:
        """The command line that leads there, for a shell, which has its `${VARIABLES}` to itself; empty where there is none."""
        return self._with_tokens(self.effective.one("proxycommand"))

    @property
    def jumps(self) -> tuple[str, ...]:
        """The hosts to jump over, the nearest first."""
        return tuple(map(self._with_tokens, self.effective.listed("proxyjump")))

    @property
    def known_hosts(self) -> tuple[Path, ...]:
        """The files with host keys."""
        lines = (*self.effective.all("userknownhostsfile"), *self.effective.all("globalknownhostsfile"))
        return tuple(path for line in lines for path in self._files(line))

    @property
    def wanted(self) -> Wanted:
        """The keys to log in with."""
        return Wanted(
            files=tuple(dict.fromkeys(map(self._path, self.effective.all("identityfile")))),
            certificates=tuple(map(self._path, self.effective.all("certificatefile"))),
            agent=self._agent,
            only_files=self.effective.is_on("identitiesonly"),
            accepted=self.effective.listed("pubkeyacceptedalgorithms"),
            rsa_bits=int(self.effective.one("requiredrsasize", "1024")),
        )

    @property
    def environment(self) -> dict[str, str]:
        """SendEnv and SetEnv: what is set for what runs there."""
        patterns = [pattern for line in self.effective.all("sendenv") for pattern in line.split()]
        sent = {name: value for name, value in os.environ.items() if _is_sent(name, patterns)}
        pairs = (pair.partition("=") for pair in self.effective.all("setenv"))
        return {**sent, **{name: value for name, _, value in pairs}}

    @property
    def _agent(self) -> str:
        """The agent's socket. IdentityAgent may be `none`, `SSH_AUTH_SOCK`, `$NAME` or a path."""
        value = self.effective.values.get("identityagent", ("SSH_AUTH_SOCK",))[0]
        if value.lower() == "none":
            return ""
        if value == "SSH_AUTH_SOCK" or re.fullmatch(r"\$\w+", value):
            return os.environ.get(value.lstrip("$"), "")
        return str(self._path(value))

    def _files(self, line: str) -> tuple[Path, ...]:
        """The files of a list that OpenSSH prints without quotes: one with spaces in it is only told by being there.

        Raises NeedsOpenSsh where that does not tell: a key that is revoked in a file must not be missed.
        """
        whole, parts = self._path(line), tuple(map(self._path, line.split()))
        if whole.exists():
            return (whole,)
        if len(parts) > 1 and not all(part.is_absolute() for part in parts):
            raise NeedsOpenSsh(f"known_hosts files with spaces in their names: {line}")
        return parts

    def _path(self, text: str) -> Path:
        """As OpenSSH does: the home directory is that of the user's entry, whatever `$HOME` is."""
        path = self._expanded(text.strip('"'))
        if path == "~" or path.startswith("~/"):
            return Path(_user().pw_dir + path[1:])
        return Path(os.path.expanduser(path))  # noqa: PTH111  # Path's own raises where there is no such user

    def _expanded(self, text: str) -> str:
        """A value with its `${VARIABLES}` and tokens."""
        return self._with_tokens(_VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), text))

    def _with_tokens(self, text: str) -> str:
        """A value with its tokens. Raises NeedsOpenSsh for one that is not known here."""
        if "%" not in text:
            return text
        values = {
            "%": "%",
            "d": _user().pw_dir,
            "h": self.host,
            "i": str(os.getuid()),
            "k": self.effective.one("hostkeyalias", self.asked),
            "l": socket.gethostname(),
            "L": socket.gethostname().partition(".")[0],
            "n": self.asked,
            "p": str(self.port),
            "r": self.user,
            "u": _user().pw_name,
        }

        def value(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise NeedsOpenSsh(f"the token {match[0]}")
            return values[match[1]]

        return _TOKEN.sub(value, text)


@cache
def _user() -> pwd.struct_passwd:
    return pwd.getpwuid(os.getuid())


def find_route(asking: Asking, name: str) -> tuple[Hop, ...]:
    """The hops to a host, the nearest first. Raises NoWay and NeedsOpenSsh."""
    hop = Hop(name, asking.known.alike(asking).of(name, partial(ask_openssh, asking)))
    reason = why_openssh(hop.effective)
    if reason:
        raise NeedsOpenSsh(reason)
    if hop.jumps:
        return (*_jumps(asking, hop.jumps), hop)
    return (hop if hop.proxy_command else Hop(name, hop.effective, _addresses(hop)),)


def ask_openssh(asking: Asking, name: str) -> Effective:
    """What OpenSSH makes of its configuration for a host. Raises NoWay where it cannot be read, and Interrupted."""
    deadline = replace(asking.deadline, seconds=_ANSWER_LIMIT)
    try:
        with asking.turn:
            done = ask(("ssh", "-G", *asking.arguments, "--", name), deadline, environment=asking.environment)
    except TimedOut as error:
        raise NoWay(f"`ssh -G {name}` timed out: what does `Match exec` in ssh_config run?") from error
    if done.status == NOT_INSTALLED:
        raise NeedsOpenSsh(os.fsdecode(done.stderr).strip())
    if done.status != 0:
        raise NoWay(os.fsdecode(done.stderr).strip())
    return read_effective(os.fsdecode(done.stdout))


def _jumps(asking: Asking, jumps: Sequence[str]) -> tuple[Hop, ...]:
    """The hops of ProxyJump: as OpenSSH does, the last is configured for itself and reached through those before it."""
    *before, last = jumps
    if asking.jumped >= _MOST_JUMPS:
        raise NoWay(f"ProxyJump {last}: more than {_MOST_JUMPS} jump hosts: does one lead back to another?")
    match = _JUMP.fullmatch(last)
    if match is None:
        raise NeedsOpenSsh(f"ProxyJump {','.join(jumps)}")
    own = ["-o", f"ProxyJump={','.join(before)}"] if before else []
    own += ["-l", match["user"]] if match["user"] else []
    own += ["-p", match["port"]] if match["port"] else []
    return find_route(asking.of_jump(own), match["name"].strip("[]"))


def _addresses(hop: Hop) -> tuple[Address, ...]:
    families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
    family = families.get(hop.effective.one("addressfamily"), socket.AF_UNSPEC)
    try:
        found = socket.getaddrinfo(hop.host, hop.port, family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no name"
        raise NoWay(f"Could not resolve hostname {hop.host}: {said}") from error
    return tuple((int(family), tuple(address)) for family, _, _, _, address in found)


def _is_sent(name: str, patterns: Sequence[str]) -> bool:
    """Whether SendEnv names a variable; one with `-` before it takes others back."""
    sent = False
    for pattern in patterns:
        text = re.escape(pattern.lstrip("-")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(text, name):
            sent = not pattern.startswith("-")
    return sent
