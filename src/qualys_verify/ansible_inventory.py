"""`ansible://PATTERN`: hosts as an Ansible inventory knows them.

Ansible's own programs are asked, once for each inventory, and patterns are evaluated by Ansible. A host whose connection
is SSH, and all of whose variables are plain, is spoken to by our own SSH; every other one by Ansible.
"""

import getopt
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from qualys_verify.backends import NOT_INSTALLED, Deadline, ask, find_program
from qualys_verify.frame import RawResult, text
from qualys_verify.reasons import Inconclusive, TimedOut
from qualys_verify.targets import AnsibleSpec, Target, TargetError, local_path, select

# A thousand hosts with all their variables are some tens of MiB where these are many.
_LIMIT = 256 << 20
_AT_ONCE = 8  # programs
# A name that is no pattern: the listing itself says what it stands for.
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
# What else would change what is printed; a part of the inventory that cannot be read must not go by as a warning.
_ENVIRONMENT = {
    "ANSIBLE_VERBOSITY": "0",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_FORCE_COLOR": "0",
    "ANSIBLE_HOST_PATTERN_MISMATCH": "warning",
}
_UNPARSED = "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"
_MISMATCH = re.compile(r"Could\s+not\s+match\s+supplied\s+host\s+pattern,\s+ignoring:\s+(\S+)")
_ERROR = re.compile(r"(?:\[ERROR\]: |ERROR! |error: )(.+)")

_SSH = re.compile(r"(?:ansible\.(?:builtin|legacy)\.)?(?:smart|ssh|paramiko|paramiko_ssh)")
# Ansible's variables for each thing, and the name that its configuration has for it.
_VARIABLES = {
    "host": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "remote_user": ("ansible_user", "ansible_ssh_user"),
    "private_key_file": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
    "ssh_args": ("ansible_ssh_args",),
    "ssh_common_args": ("ansible_ssh_common_args",),
    "ssh_extra_args": ("ansible_ssh_extra_args",),
    "ssh_executable": ("ansible_ssh_executable",),
}
_PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
# What only Ansible can do: keys out of variables, tokens, a proxy of paramiko's own.
_ANSIBLES_OWN = (
    "ansible_private_key",
    "ansible_ssh_private_key",
    "ansible_ssh_pkcs11_provider",
    "ansible_paramiko_proxy_command",
    "ansible_paramiko_user",
    "ansible_paramiko_private_key_file",
)
# OpenSSH's options that are passed on, and those that are left out: what Ansible does with its own connections, and
# what is never done here (a terminal, forwarding). With any other, Ansible speaks to the host.
_KEPT = "46Caxi:J:F:c:m:b:B:o:"
_LEFT_OUT = "AMTXYqtvS:L:R:D:"
_SETTING = re.compile(r"\s*([A-Za-z0-9]+)\s*[\s=]\s*(.*)", re.DOTALL)
_CONTROL = re.compile(r"control(?:master|path|persist)", re.IGNORECASE)
_NOT_HERE = re.compile(r"stricthostkeychecking|control(?:master|path|persist)", re.IGNORECASE)
# What would make another host of it than its id and place say.
_ELSEWHERE = ("user", "port", "hostname")


class _OnlyByAnsible(Exception):  # noqa: N818  # no error: the reason why our own SSH is not used
    """A host whose variables say something that only Ansible understands."""


@dataclass(frozen=True)
class Listing:
    """What `ansible-inventory --list` tells: the hosts of each group, those of its children included, and all variables."""

    groups: Mapping[str, frozenset[str]]
    variables: Mapping[str, Mapping[str, Any]]

    @property
    def hosts(self) -> frozenset[str]:
        """Every host of the inventory; none that Ansible only implies (`localhost`)."""
        return self.groups.get("all", frozenset())


@dataclass(frozen=True)
class Configuration:
    """What Ansible takes where the inventory says nothing: the connection, and the SSH connection's options by name."""

    connection: str
    options: Mapping[str, Any]


def find(specs: Iterable[AnsibleSpec], deadline: Deadline) -> Mapping[AnsibleSpec, tuple[Target, ...]]:
    """The targets that each spec stands for, sorted by name; all programs run at the same time.

    Raises TargetError when a pattern, or a part of it, matches nothing, and when Ansible cannot be asked.
    """
    wanted = tuple(dict.fromkeys(specs))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            base = pool.submit(_dump, deadline)
            ssh = pool.submit(_dump, deadline, "-t", "connection", "ssh")
            listings = {spec.inventory: spec for spec in wanted}
            listed = {path: pool.submit(_listing, spec, deadline) for path, spec in listings.items()}
            chosen = {
                spec: pool.submit(_chosen, spec, deadline)
                for spec in wanted
                if not _NAME.fullmatch(spec.pattern)
            }
            found = {spec: _names(spec, listed[spec.inventory].result(), chosen.get(spec)) for spec in wanted}
            configuration = _configuration(base, ssh)
        except BaseException:
            deadline.interrupted.set()  # what still runs is not waited for
            raise
    variables = {path: listing.result().variables for path, listing in listed.items()}
    return {
        spec: tuple(
            target_of(name, variables[spec.inventory].get(name, {}), configuration, spec.inventory)
            for name in sorted(names)
        )
        for spec, names in found.items()
    }


def _names(spec: AnsibleSpec, listing: Listing, chosen: "Future[frozenset[str]] | None") -> frozenset[str]:
    """The hosts that a spec stands for; `chosen` is what Ansible takes its pattern for, where it is one."""
    part = spec.pattern
    try:
        asked = chosen.result() if chosen else listing.groups.get(spec.pattern, frozenset({spec.pattern}))
    except _Mismatch as misspelt:
        asked, part = frozenset(), misspelt.part
    if names := asked & listing.hosts:
        return names
    raise _nothing(spec, listing, part)


def _nothing(spec: AnsibleSpec, listing: Listing, part: str) -> TargetError:
    known = sorted(set(listing.groups) - {"ungrouped"}) + sorted(listing.hosts)
    plain = re.sub(r"[^\w.-]+", "", part)
    close = get_close_matches(plain, known, 3, 0.5)
    groups = [name for name in sorted(listing.groups) if name not in {"all", "ungrouped"}]
    more = ", …" if len(groups) > 5 else ""  # noqa: PLR2004  # as many as a line shows
    hint = (
        f"did you mean {' or '.join(close)}?"
        if close
        else f"its groups are {', '.join(groups[:5])}{more}"
        if groups
        else "it has no such host, and no groups"
    )
    return TargetError(f"{spec.text} matches no host of the inventory ({part}): {hint}")


def target_of(
    name: str, variables: Mapping[str, Any], configuration: Configuration | None, inventory: str | None
) -> Target:
    """A host as a target: by our own SSH where that is what Ansible would do, else by Ansible. Pure.

    `configuration` is None where Ansible does not tell it; then nothing is guessed.
    """
    try:
        return _by_ssh(name, variables, configuration)
    except _OnlyByAnsible:
        settings = (("ansible_inventory", inventory),) if inventory else ()
        return Target(f"ansible://{name}", "ansible", name, settings=settings)


def _by_ssh(name: str, variables: Mapping[str, Any], configuration: Configuration | None) -> Target:
    if configuration is None or any(variables.get(own) for own in _ANSIBLES_OWN):
        raise _OnlyByAnsible
    connection = _plain(variables.get("ansible_connection") or configuration.connection)
    said = {thing: _said(thing, variables, configuration) for thing in _VARIABLES}
    if not _SSH.fullmatch(connection) or said["ssh_executable"] not in {"", "ssh"}:
        raise _OnlyByAnsible
    user, port = said["remote_user"], said["port"]
    host = said["host"] or name
    place = f"[{host}]" if ":" in host else host
    try:
        (target,) = select([f"ssh://{f'{user}@' if user else ''}{place}{f':{port}' if port else ''}"]).targets
    except ValueError as error:
        raise _OnlyByAnsible from error
    arguments, ssh_config = _ssh_words(
        said[kind] for kind in ("ssh_args", "ssh_common_args", "ssh_extra_args")
    )
    has_password = any(variables.get(password) for password in _PASSWORDS)
    key = ("-i", str(local_path(said["private_key_file"]))) if said["private_key_file"] else ()
    return Target(
        f"ansible://{name}",
        "ssh",
        target.name,
        target.user,
        target.port,
        ssh_config=ssh_config,
        ssh_args=(*key, *arguments),
        has_password=has_password,
        facts=(
            ("reached as", target.id),
            *([("password in the inventory", "there is one, and it is never used")] if has_password else []),
        ),
    )


def _said(thing: str, variables: Mapping[str, Any], configuration: Configuration) -> str:
    """What is said of a thing; empty for nothing. Two variables of different values leave it to Ansible's order."""
    given = {_plain(variables[name]) for name in _VARIABLES[thing] if variables.get(name) is not None}
    if len(given) > 1:
        raise _OnlyByAnsible
    if given:
        return given.pop()
    return _plain(configuration.options.get(thing) or "") if thing != "host" else ""


def _plain(value: object) -> str:
    """A value that means itself: no template, and nothing that a vault holds."""
    if not isinstance(value, str | int) or isinstance(value, bool) or re.search(r"\{[{%#]", str(value)):
        raise _OnlyByAnsible
    return str(value)


def _ssh_words(texts: Iterable[str]) -> tuple[tuple[str, ...], Path | None]:
    """The words for OpenSSH's command line, and a configuration file if they name one."""
    words: list[str] = []
    ssh_config = None
    for given in texts:
        try:
            options, rest = getopt.getopt(shlex.split(given), _KEPT + _LEFT_OUT)
        except (ValueError, getopt.GetoptError) as error:
            raise _OnlyByAnsible from error
        if rest:
            raise _OnlyByAnsible
        for option, value in options:
            if option == "-F":
                ssh_config = local_path(value)
            elif option[1] in _LEFT_OUT or (option == "-o" and _is_left_out(value)):
                continue
            else:
                words += [option, value] if value else [option]
    if any(_CONTROL.search(word) for word in words):  # in a proxy's own command; it would be taken for ours
        raise _OnlyByAnsible
    return tuple(words), ssh_config


def _is_left_out(setting: str) -> bool:
    """Whether a setting has no say here.

    Host keys are always checked. In /dev/null there is none to check against: then the usual known_hosts are.
    """
    match = _SETTING.fullmatch(setting)
    if match is None or match[1].lower() in _ELSEWHERE:
        raise _OnlyByAnsible
    return bool(_NOT_HERE.fullmatch(match[1])) or (
        match[1].lower() == "userknownhostsfile" and match[2].strip("\"' ") == "/dev/null"
    )


def _listing(spec: AnsibleSpec, deadline: Deadline) -> Listing:
    raw = _ask(spec, deadline, "ansible-inventory", *_inventory(spec), "--list")
    answer = text(raw.stdout)
    try:
        return read_listing(json.loads(answer[answer.index("{") :]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TargetError(
            f"{spec.text}: ansible-inventory answers with something that is no inventory: see `ansible-inventory --list`"
        ) from error


def read_listing(told: Mapping[str, Any]) -> Listing:
    """Read the JSON of `ansible-inventory --list`. Raises what a text of another shape raises."""
    groups = {name: group for name, group in told.items() if name != "_meta"}

    def hosts(name: str, above: frozenset[str] = frozenset()) -> frozenset[str]:
        group = groups.get(name, {})
        own = frozenset(map(str, group.get("hosts", ())))
        children = (child for child in group.get("children", ()) if child not in above)
        return own.union(*(hosts(child, above | {name}) for child in children))

    return Listing({name: hosts(name) for name in groups}, dict(told["_meta"]["hostvars"]))


class _Mismatch(Exception):  # noqa: N818  # becomes the sentence that names what is near
    """A part of a pattern that matches nothing."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part


def _chosen(spec: AnsibleSpec, deadline: Deadline) -> frozenset[str]:
    """What Ansible takes a pattern for. Raises _Mismatch where a part of it matches nothing: it may be misspelt."""
    raw = _ask(spec, deadline, "ansible", *_inventory(spec), "--list-hosts", "--", spec.pattern)
    misspelt = _MISMATCH.search(text(raw.stderr))
    if misspelt:
        raise _Mismatch(misspelt[1])
    return frozenset(line.strip() for line in text(raw.stdout).splitlines() if re.match(r"    \S", line))


def _dump(deadline: Deadline, *words: str) -> Mapping[str, Any]:
    """Names and values of Ansible's configuration, wherever they come from; none where this Ansible does not tell them."""
    try:
        raw = _ask(None, deadline, "ansible-config", "dump", "--format=json", *words)
        return {item["name"]: item.get("value") for item in _named(json.loads(text(raw.stdout)))}
    except (TargetError, ValueError, TypeError):
        return {}


def _configuration(
    base: "Future[Mapping[str, Any]]", ssh: "Future[Mapping[str, Any]]"
) -> Configuration | None:
    """None where it is not told, or is no plain text."""
    try:
        return (
            Configuration(_plain(base.result()["DEFAULT_TRANSPORT"]), ssh.result()) if ssh.result() else None
        )
    except (KeyError, _OnlyByAnsible):
        return None


def _named(told: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(told, dict) and "name" in told:
        yield told
    elif isinstance(told, dict | list):
        for inner in told.values() if isinstance(told, dict) else told:
            yield from _named(inner)


def _inventory(spec: AnsibleSpec) -> tuple[str, ...]:
    return ("-i", spec.inventory) if spec.inventory else ()


def _ask(spec: AnsibleSpec | None, deadline: Deadline, program: str, *words: str) -> RawResult:
    """Run one of Ansible's programs. Raises TargetError when it is not installed, does not end in time, or fails."""
    about = spec.text if spec else "ansible://"
    settings = {_UNPARSED: os.environ.get(_UNPARSED, "true"), **_ENVIRONMENT}
    argv: Sequence[str] = (
        "env",
        *(f"{name}={value}" for name, value in settings.items()),
        find_program(program),
        *words,
    )
    try:
        raw = ask(argv, deadline, _LIMIT)
    except TimedOut as reason:
        raise TargetError(
            f"{about}: {program} did not answer within {deadline.seconds:g} s: if the inventory is slow to make, raise --command-timeout"
        ) from reason
    except Inconclusive as reason:
        raise TargetError(f"{about}: {program}: {reason}") from reason
    if raw.status == NOT_INSTALLED:
        raise TargetError(
            f"{about}: {program} is not installed here: `pip install ansible-core`, or name the hosts as ssh://"
        )
    if raw.status:
        raise TargetError(f"{about}: {program} ended with status {raw.status}: {_why(raw)}")
    return raw


def _why(raw: RawResult) -> str:
    said = text(raw.stderr)
    match = _ERROR.search(said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    why = match[1] if match else lines[-1] if lines else "it said nothing"
    return re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]", "?", why.strip())[:240]
