"""Which hosts: specs and inventories into targets, each with a unique and honest id."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv6Address
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

from qualys_verify.agent.layout import Layout

EXAMPLE = "--hosts=ssh://ops@web1,ssh://ops@web2"
CONTAINERS = ("docker", "podman")
ONE_BY_ONE = "single names"  # where a target comes from that is not looked up, and in no file
NO_POD = "no-pod"  # what stands for the pod in the id of a node that lacks one
SCHEMES = ("ssh", "local", *CONTAINERS, "kubectl", "ansible", "demo")
# What may stand behind the `?` of a spec, and is handed to testinfra's backend.
_SETTINGS = {
    "kubectl": ("namespace", "container", "context", "kubeconfig"),
    "kubectl://*": ("namespace", "selector", "container", "daemonset", "context", "kubeconfig"),
    "ansible": ("ansible_inventory",),
}

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SETTING = re.compile(r"[A-Za-z0-9_./~:@+=-]+")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+\\-]*\$?")
_PORT = re.compile(r"[0-9]{1,5}")
_ZONE = re.compile(r"[A-Za-z0-9._-]+")
# Names of the SSH configuration, by `*` and `?`; with a `=` it would be a query.
_ALIASES = re.compile(r"(?=[^:]*[*?])[A-Za-z0-9_.*?][A-Za-z0-9_.*?-]*(?::.*)?")
# `user:` and what is up to the last @, or up to the end: there may be a comma in a password.
_SECRET = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*://)?[^/@:\[]*):(?!//)(?:.*(?=@)|[^@]*$)", re.DOTALL)
_OPEN = re.compile(r"^\s*(?:demo:[^,]*[?&]faults=|kubectl://\*[^,]*[?&]selector=)[^&]*$", re.IGNORECASE)
# A label selector, as far as it can stand in a spec: equality, existence, and their opposites.
_SELECTOR = re.compile(
    r"!?[A-Za-z0-9_./-]+(?:(?:=|==|!=)[A-Za-z0-9_.-]*)?(?:,!?[A-Za-z0-9_./-]+(?:(?:=|==|!=)[A-Za-z0-9_.-]*)?)*"
)
_MAX_PORT = 65535
_PROXY = re.compile(r"\s*Proxy(?:Jump|Command)\b", re.IGNORECASE)


class TargetError(ValueError):
    """A host spec or an inventory that cannot be used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Target:
    """One host to be verified.

    `id` is what reports and test ids name it by: the spec in its canonical form. `name` is the host or the
    alias that OpenSSH resolves, `ssh_args` are further words of its command line, and `has_password` says that an
    inventory has a password for it, which is never used. `layout` holds the agent's paths where they are known to be elsewhere,
    `settings` what a spec says behind its `?`. `facts` are pairs of a name and a value that are known of it
    before it is looked at. `absent` is the sentence for an agent that is expected here and not there, `unseen`
    why nothing can be looked at; both are empty for what can be.
    """

    id: str
    scheme: str
    name: str
    user: str | None = None
    port: int | None = None
    ssh_config: Path | None = None
    ssh_args: tuple[str, ...] = ()
    has_password: bool = False
    layout: Layout = field(default_factory=Layout)
    settings: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    absent: str = ""
    unseen: str = ""

    @property
    def is_contained(self) -> bool:
        """Whether it is reached through what keeps its container."""
        return self.scheme in {*CONTAINERS, "kubectl"}

    @property
    def netloc(self) -> str:
        """`user@name:port` as testinfra's host specs have it."""
        user = f"{quote(self.user)}@" if self.user else ""
        name = f"[{quote(self.name, safe=':')}]" if ":" in self.name else self.name
        return f"{user}{name}{f':{self.port}' if self.port else ''}"

    @property
    def place(self) -> tuple[object, ...]:
        """What makes two targets the same host, whoever logs in."""
        name = str(IPv6Address(self.name)) if ":" in self.name else self.name.rstrip(".")
        port = self.port if self.port != 22 else None  # noqa: PLR2004  # ssh's own port
        of_place = tuple(pair for pair in self.settings if pair[0] not in {"container", "usual"})
        return self.scheme, name.lower(), port, of_place, self.ssh_config, _way(self.ssh_args)


def _way(ssh_args: Sequence[str]) -> tuple[str, ...]:
    """What leads to another machine of the same address: two networks behind two jump hosts may both have it."""
    pairs = pairwise(ssh_args)
    return tuple(
        value for option, value in pairs if option == "-J" or (option == "-o" and _PROXY.match(value))
    )


@dataclass(frozen=True)
class DemoSpec:
    """`demo://[selection][?hosts=N&delay=SECONDS&faults=NAME,NAME]`: which stand-in hosts to start."""

    selection: str
    hosts: int | None
    delay: float | None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class PodSpec:
    """`kubectl://*?…`: all agent pods of a cluster, which are looked up when the run begins. `text` is as written."""

    text: str
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AnsibleSpec:
    """`ansible://PATTERN[?ansible_inventory=PATH]`: hosts of an Ansible inventory, None for Ansible's own."""

    text: str
    pattern: str
    inventory: str | None


@dataclass(frozen=True)
class AliasSpec:
    """`ssh://[user@]PATTERN[:port]` with `*` or `?` in it: names of the SSH configuration."""

    text: str
    user: str
    pattern: str
    port: str

    def named(self, alias: str) -> Target:
        """The target of this spec that is one of the names. Raises TargetError for what is no host."""
        return _ssh_target(f"{alias!r}, which {self.text} matches,", f"{self.user}{alias}{self.port}")


@dataclass(frozen=True)
class Entry:
    """A target, or what is to be looked up when the run begins, and `source`: where the user wrote it."""

    source: str
    named: Target | AnsibleSpec | AliasSpec


@dataclass(frozen=True)
class Selection:
    """What `--hosts` asks for, in the order in which it was written."""

    entries: tuple[Entry, ...]
    demo: DemoSpec | None = None
    pods: tuple[PodSpec, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """Those that need no looking up."""
        return tuple(entry.named for entry in self.entries if isinstance(entry.named, Target))


def select(specs: Sequence[str]) -> Selection:
    """Read the values of `--hosts`: specs separated by commas, `@FILE` for an inventory with one spec a line.

    Names are not resolved here: an alias or a jump host may know what this machine does not. Raises
    TargetError for everything that cannot be meant.
    """
    entries: list[Entry] = []
    demos: list[DemoSpec] = []
    pods: list[PodSpec] = []
    for file, spec in _expand(specs):
        if spec.startswith("demo:"):
            demos.append(_demo(spec))
        elif spec.lower().startswith("kubectl://*"):
            pods.append(_all_pods(spec))
        else:
            named = _named(spec)
            source = ONE_BY_ONE if isinstance(named, Target) else named.text
            entries.append(Entry(file or source, named))
    if len(demos) > 1:
        raise TargetError("demo:// is named twice: name it once, with ?hosts=N for more hosts")
    selection = Selection(tuple(entries), demos[0] if demos else None, tuple(pods))
    refuse_twins(selection.targets)
    return selection


def _expand(values: Sequence[str]) -> Iterator[tuple[str, str]]:
    """All specs, each after the file that it stands in as the user names it (`@FILE`), or nothing."""
    for value in values:
        for part in _parts(value):
            spec = part.strip()
            if not spec:
                raise TargetError(
                    f"--hosts={_shown(value)} has an empty host in it, perhaps a variable that is not set: name hosts as in {EXAMPLE}",
                )
            if spec.startswith("@"):
                yield from ((spec, line) for line in _inventory(local_path(spec[1:])))
            else:
                yield "", spec


def _parts(value: str) -> Iterator[str]:
    """The specs in a value.

    The commas in `demo://?faults=a,b` separate faults and those in `kubectl://*?selector=a=b,c=d` labels, up to
    the next thing with a scheme.
    """
    waiting: str | None = None
    for part in value.split(","):
        if waiting is not None and _OPEN.search(waiting) and "://" not in part and part[:1] != "@":
            waiting = f"{waiting},{part}"
            continue
        if waiting is not None:
            yield waiting
        waiting = part
    if waiting is not None:
        yield waiting


def is_selector(text: str) -> bool:
    """Whether a text is a label selector of equality and existence."""
    return bool(_SELECTOR.fullmatch(text))


def local_path(text: str) -> Path:
    """A path on this machine as the user wrote it; `~` is a home directory where there is one of that name."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises where there is none


def _inventory(path: Path) -> Iterator[str]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()  # editors on Windows begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise TargetError(
            f"the inventory {path} cannot be read ({reason}): name an existing file as --hosts=@FILE"
        ) from error
    specs = [line.split("#", 1)[0].strip() for line in lines]
    if not any(specs):
        raise TargetError(
            f"the inventory {path} names no host: write one host a line, such as ssh://ops@web1"
        )
    for spec in filter(None, specs):
        if spec.startswith("@"):
            raise TargetError(
                f"the inventory {path} names another one, {_shown(spec)}: name both in --hosts, as in --hosts=@FILE,@OTHER"
            )
        yield spec


def _named(spec: str) -> Target | AnsibleSpec | AliasSpec:
    scheme, separator, rest = spec.partition("://")
    scheme = scheme.lower()
    if not separator:
        scheme, rest = "ssh", spec
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise TargetError(f"{_shown(spec)} has an unknown scheme: use one of {known} or @FILE")
    if scheme == "local":
        if rest.strip("/"):
            raise TargetError(
                f"{_shown(spec)} names a host, but local:// is this machine: write local:// or ssh://host"
            )
        return Target("local://", "local", "localhost")
    if scheme in CONTAINERS:
        return _container(spec, scheme, rest)
    if scheme == "kubectl":
        return _pod(spec, rest)
    if scheme == "ansible":
        return _ansible(spec, rest)
    rest = rest.removesuffix("/")
    user, at, place = rest.rpartition("@")
    if ":" not in user and _ALIASES.fullmatch(place):
        pattern, colon, port = place.partition(":")
        _ssh_target(spec, f"{user}{at}name{colon}{port}")  # refuses a user or a port that is none
        return AliasSpec(spec, f"{user}{at}", pattern, f"{colon}{port}")
    return _ssh_target(spec.removesuffix("/"), rest)


def _container(spec: str, scheme: str, rest: str) -> Target:
    user, at, name = rest.rpartition("@")
    if not _CONTAINER.fullmatch(name) or (at and not _USER.fullmatch(user)):
        raise TargetError(f"{_shown(spec)} is no container: write {scheme}://[user@]name")
    return Target(f"{scheme}://{rest}", scheme, name, user or None)


def _pod(spec: str, rest: str) -> Target:
    name, settings = _settings(spec, "kubectl", rest)
    node, _, name = name.rpartition("/")  # as reports name pods; where it runs is looked up
    if not _CONTAINER.fullmatch(name) or (node and not _CONTAINER.fullmatch(node)):
        raise TargetError(
            f"{_shown(spec)} is no pod: write kubectl://POD?namespace=NAMESPACE&container=CONTAINER"
        )
    if node and name == NO_POD:
        raise TargetError(
            f"{_shown(spec)} is a node that had no agent pod, so there is nothing to look into: kubectl://* looks whether it "
            "has one now"
        )
    return Target(f"kubectl://{rest}", "kubectl", name, settings=settings)


def _all_pods(spec: str) -> PodSpec:
    name, settings = _settings(spec, "kubectl://*", spec.partition("://")[2])
    if name != "*":
        raise TargetError(f"{_shown(spec)}: a name with * is no pod: write kubectl://* for all agent pods")
    return PodSpec(spec, settings)


def _ansible(spec: str, rest: str) -> AnsibleSpec:
    """A pattern may have a `?` of its own: what is behind the last one is a setting if there is a `=` in it."""
    pattern, asked, query = rest.rpartition("?")
    if not asked or "=" not in query:
        pattern, query = rest, ""
    _, settings = _settings(spec, "ansible", f"?{query}")
    inventory = dict(settings).get("ansible_inventory")
    if inventory is not None and not Path(inventory).exists():
        raise TargetError(f"{_shown(spec)}: there is no inventory {inventory}: name an existing one")
    pattern = pattern.strip("/") or "all"
    if _SECRET.match(pattern) and "@" in pattern:
        raise TargetError(
            f"{_shown(spec)} holds a password, which would end up in logs: name a group or a host of the inventory"
        )
    text = f"ansible://{pattern}{f'?ansible_inventory={inventory}' if inventory else ''}"
    return AnsibleSpec(_printable(text), pattern, inventory)


def _settings(spec: str, scheme: str, rest: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What is before the `?` of a spec, and the settings behind it."""
    name, _, query = rest.partition("?")
    query = query.replace("+", "%2B") if scheme.startswith("kubectl") else query  # a context may have one
    values = parse_qs(query, keep_blank_values=True)
    known = _SETTINGS[scheme]
    for key, (*before, value) in values.items():
        if key not in known:
            raise TargetError(
                f"{_shown(spec)} has the unknown setting {key!r}: {scheme if '://' in scheme else f'{scheme}://'} knows {', '.join(known)}"
            )
        if not (_SELECTOR if key == "selector" else _SETTING).fullmatch(value):
            raise TargetError(f"{_shown(spec)}: {key} has no usable value")
        if before:
            raise TargetError(f"{_shown(spec)}: {key} is given twice: give it once")
    return name.strip("/"), tuple((key, _local(key, values[key][-1])) for key in known if key in values)


def _local(key: str, value: str) -> str:
    return str(local_path(value)) if key in {"kubeconfig", "ansible_inventory"} else value


def _ssh_target(spec: str, netloc: str) -> Target:
    if "?" in netloc or "/" in netloc:
        raise TargetError(
            f"{_shown(spec)} has more than user, host and port: write ssh://[user@]host[:port], and use --ssh-config or "
            "--ssh-identity-file for the rest",
        )
    user, at, place = netloc.rpartition("@")
    if ":" in user:
        raise TargetError(
            f"{_shown(spec)} holds a password, which would end up in logs: use a key (--ssh-identity-file or ssh-agent)"
        )
    name, port = _split_port(spec, place)
    user = unquote(user)
    if at and not _USER.fullmatch(user):
        raise TargetError(f"{_shown(spec)} has no usable user name before the @: write ssh://user@host")
    shown = f"[{name}]" if ":" in name else name
    canonical = f"ssh://{f'{user}@' if user else ''}{shown}{f':{port}' if port else ''}"
    return Target(canonical, "ssh", name, user or None, port)


def _split_port(spec: str, place: str) -> tuple[str, int | None]:
    """Host and port of `host`, `host:port`, `v6` and `[v6]:port`."""
    name: str | None
    if place.startswith("["):
        address, closed, port = place[1:].partition("]")
        name = _address(address) if closed and (not port or port[0] == ":" != port) else None
        port = port[1:]
    elif place.count(":") > 1:
        name, port = _address(place), ""
    else:
        text, colon, port = place.partition(":")
        name = unquote(text) if _NAME.fullmatch(unquote(text)) and (port or not colon) else None
    if name is None:
        raise TargetError(
            f"{_shown(spec)} is no host: write ssh://[user@]host[:port], such as ssh://ops@web1:22"
        )
    if port and not (_PORT.fullmatch(port) and 0 < int(port) <= _MAX_PORT):
        # Not shown: it may be the beginning of a password that has a comma in it.
        raise TargetError(
            f"{_shown(spec.removesuffix(f':{port}'))}:… has no usable port: it is a number from 1 to {_MAX_PORT}"
        )
    return name, int(port) if port else None


def _address(text: str) -> str | None:
    """An IPv6 address, or None. Its zone may come after `%` or, as in a URL, after `%25`."""
    address = re.sub("%25(?=.)", "%", text)
    try:
        zone = IPv6Address(address).scope_id
    except ValueError:
        return None
    return address if zone is None or _ZONE.fullmatch(zone) else None


def _shown(spec: str) -> str:
    """A spec for an error message: on one line, and without what may be a password."""
    return _printable(_SECRET.sub(r"\1:…", spec))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _demo(spec: str) -> DemoSpec:
    selection, _, query = spec.removeprefix("demo:").removeprefix("//").partition("?")
    values = parse_qs(query, keep_blank_values=True)
    unknown = sorted(set(values) - {"hosts", "delay", "faults"})
    if unknown:
        raise TargetError(
            f"{_shown(spec)} has the unknown setting {unknown[0]!r}: the demo knows hosts=N, delay=SECONDS and "
            "faults=NAME,NAME"
        )
    hosts = _number(spec, values, "hosts", 1, 1000)
    return DemoSpec(
        selection.strip("/"),
        None if hosts is None else int(hosts),
        _number(spec, values, "delay", 0, 3600),
        tuple(name.strip() for text in values.get("faults", []) for name in text.split(",")),
    )


def _number(spec: str, values: dict[str, list[str]], key: str, least: int, most: int) -> float | None:
    if key not in values:
        return None
    text = values[key][-1]
    whole = key == "hosts"
    if (
        not re.fullmatch(r"\d{1,6}" if whole else r"\d{1,6}(?:\.\d+)?", text)
        or not least <= float(text) <= most
    ):
        raise TargetError(
            f"{_shown(spec)}: {key} is {'a whole number' if whole else 'a number'} from {least} to {most}"
        )
    return float(text)


def inventory_digest(targets: Iterable[Target]) -> str:
    r"""SHA-256 over the targets' ids in byte order, one a line: which hosts were meant, whatever their order.

    `printf '%s\n' ID ID… | LC_ALL=C sort | sha256sum` gives the same.
    """
    lines = sorted(f"{target.id}\n".encode("utf-8", "surrogateescape") for target in targets)
    return sha256(b"".join(lines)).hexdigest()


def refuse_twins(targets: Iterable[Target]) -> None:
    """Two specs for one host would trigger its agent twice, and two hosts of one name could not be told apart."""
    ids: dict[object, list[str]] = {}
    places: dict[str, set[object]] = {}
    for target in targets:
        ids.setdefault(target.place, []).append(target.id)
        places.setdefault(target.id, set()).add(target.place)
    twins = [names for names in ids.values() if len(names) > 1]
    if twins:
        names = twins[0]
        again = "twice" if len(set(names)) == 1 else f"as {' and '.join(sorted(set(names)))}"
        shown = (
            names[0].rpartition("@")[2].removeprefix("ssh://") if names[0].startswith("ssh://") else names[0]
        )
        once = "name it once"
        if names[0].startswith("ansible://"):
            once = (
                "join the patterns with a colon, as in ansible://web:db"
                if again == "twice"
                else f"the inventory gives them one address, so leave one out, as in ansible://all:!{names[1].removeprefix('ansible://')}"
            )
        raise TargetError(f"the host {shown} is named {again}: {once}; its agent would be triggered twice")
    namesakes = [name for name, found in places.items() if len(found) > 1]
    if namesakes:
        raise TargetError(
            f"{namesakes[0]} is another host in each of two inventories: verify them in two runs, one inventory each"
        )
