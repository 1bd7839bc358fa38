"""The options of a run: declared once for the command line, `pytest.ini` and `--help`, and read into values."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from qualys_verify.agent.dialect import Dialect
from qualys_verify.agent.layout import UNIT, Layout
from qualys_verify.agent.patterns import Patterns, load_patterns
from qualys_verify.agent.request import CONTAINER_TYPES, THROTTLE_RANGE, ScanType
from qualys_verify.cluster import Defaults
from qualys_verify.evidence.redaction import Redactor, Rule, load_rules
from qualys_verify.evidence.result import Result
from qualys_verify.evidence.run_json import read_result
from qualys_verify.evidence.seal import Seal
from qualys_verify.pace import Pace, Share
from qualys_verify.shard import Shard, read_shard
from qualys_verify.targets import EXAMPLE, is_selector, local_path
from qualys_verify.waivers import Waiver, load_waivers

if TYPE_CHECKING:
    import pytest

_DURATION = re.compile(r"(?P<number>\d{1,9}(?:\.\d+)?)\s*(?P<unit>s|m|min|h|d)?")
_UNITS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_LONGEST = 365 * 24 * 3600  # what ssh and the system's clocks take without question


@dataclass(frozen=True)
class Settings:
    """What the user asked for. Times are in seconds; None means that nothing was said."""

    agent_cli: Dialect | None
    scan_types: tuple[ScanType, ...]
    container_scan_types: tuple[ScanType, ...]
    throttle: int
    read_only: bool
    poll_interval: float | None
    poll_timeout: float | None
    command_timeout: float
    deadline: float | None
    log_max_age: float
    patterns: Patterns
    layout: Layout
    ssh_config: Path | None
    ssh_identity_file: Path | None
    sudo: bool
    sudo_user: str | None
    ssh_in_process: bool
    at_once: int
    shard: Shard | None
    pace: Pace
    report_dir: Path | None
    evidence: "EvidenceSettings"
    kube: Defaults


@dataclass(frozen=True)
class EvidenceSettings:
    """What the user asked for about the evidence that a run leaves. `valid_for` is in seconds."""

    waivers: tuple[Waiver, ...]
    redaction: tuple[Rule, ...]
    seal: Seal
    valid_for: float
    baseline: Result | None


@dataclass(frozen=True)
class Option:
    """One option: `--name` on the command line, `name` with underscores in the configuration."""

    name: str
    read: Callable[[str], object]
    default: str
    help: str
    metavar: str = "VALUE"

    @property
    def ini(self) -> str:
        """The option's name in `pytest.ini` or `[tool.pytest]`."""
        return self.name.replace("-", "_")


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match["number"]) * _UNITS[match["unit"]] if match else 0
    if not 0 < seconds <= _LONGEST:
        raise ValueError("is a time greater than 0, such as 15, 15s, 5m or 1h")
    return seconds


def _optional_seconds(text: str) -> float | None:
    return _seconds(text) if text else None


def _throttle(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text.strip()) or int(text) not in THROTTLE_RANGE:
        raise ValueError(
            f"is a whole number from {THROTTLE_RANGE.start} (full speed) to {THROTTLE_RANGE.stop - 1}"
        )
    return int(text)


def _dialect(text: str) -> Dialect | None:
    if text == "auto":
        return None
    try:
        return Dialect(text)
    except ValueError:
        raise ValueError("is one of auto, runbook, vendor") from None


def _ssh_client(text: str) -> str:
    if text not in {"auto", "openssh"}:
        raise ValueError("is auto or openssh")
    return text


def _scan_types(text: str) -> tuple[ScanType, ...]:
    names = [name.strip().lower() for name in text.split(",")]
    known = [item.value for item in ScanType]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"is a list out of {', '.join(known)}; {unknown[0]!r} is none of them")
    types = tuple(ScanType(name) for name in dict.fromkeys(names))
    if ScanType.VMPC in types and {ScanType.VM, ScanType.PC} & set(types):
        raise ValueError("is either vmpc or vm and pc: vmpc asks for both, and nothing is asked for twice")
    return types


def _remote_path(text: str) -> PurePosixPath | None:
    if text and (not text.startswith("/") or "\n" in text):
        raise ValueError("is an absolute path on the target")
    return PurePosixPath(text) if text else None


def _unit(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9@_.:][A-Za-z0-9@_.:\\-]*", text):
        raise ValueError("is the name of a systemd unit")
    return text if "." in text else f"{text}.service"


def _patterns(text: str) -> Patterns:
    return load_patterns(local_path(text) if text else None)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) < 1:
        raise ValueError("is a whole number from 1 on")
    return int(text)


def _at_once(text: str) -> int:
    return _count(text) if text else min(256, 32 * (os.cpu_count() or 1))


def _optional_count(text: str) -> int | None:
    return _count(text) if text else None


def _jitter(text: str) -> float:
    try:
        return 0.0 if text.strip() in {"0", "0s"} else _seconds(text)
    except ValueError:
        raise ValueError("is a time, such as 0, 15, 15s, 5m or 1h") from None


def _share(text: str) -> Share:
    match = re.fullmatch(r"(\d{1,6})(%?)", text.strip())
    if not match or (match[2] and int(match[1]) > 100):  # noqa: PLR2004  # per cent
        raise ValueError("is a number of hosts or a percentage of them, such as 0, 5 or 10%")
    return Share(int(match[1]), is_percent=bool(match[2]))


def _kube_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", text):
        raise ValueError("is a name as Kubernetes has them: a-z, 0-9, dots and dashes")
    return text


def _selector(text: str) -> str:
    if not is_selector(text):
        raise ValueError("is a label selector, such as name=qualys-cloud-agent")
    return text


def _plain(text: str) -> str | None:
    return text or None


def _file(text: str) -> str | None:
    if not text:
        return None
    path = local_path(text)
    if not path.is_file():
        raise ValueError("is an existing file")
    return str(path)


def _local(text: str) -> Path | None:
    return local_path(text) if text else None


def _optional_file(text: str) -> Path | None:
    return _readable_file(text) if text else None


def _readable_file(text: str) -> Path:
    path = local_path(text)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}): name a file that you may read"
        ) from error


def _waivers(text: str) -> tuple[Waiver, ...]:
    return load_waivers(local_path(text)) if text else ()


def _baseline(text: str) -> Result | None:
    return read_result(local_path(text)) if text else None


def _url(text: str) -> str | None:
    if text and not re.fullmatch(r"https?://[^\s]+", text):
        raise ValueError("is the address of a time-stamping authority, such as http://tsa.example/tsr")
    return text or None


_PATH = "PATH"
_SECONDS = "SECONDS"

OPTIONS = (
    Option(
        "agent-cli",
        _dialect,
        "auto",
        "how the agent is asked for scans: runbook (qualys-cloud-agent.sh scan), vendor (cloudagentctl.sh action=demand) or "
        "auto, which decides by reading the scripts on the target (default: auto)",
        "auto|runbook|vendor",
    ),
    Option(
        "scan-type",
        _scan_types,
        "vm,pc",
        "what to ask for, separated by commas or by repeating the option: vm, pc, sca, udc, inv, vmpc (default: vm,pc)",
        "TYPE[,TYPE]",
    ),
    Option(
        "container-scan-type",
        _scan_types,
        ",".join(CONTAINER_TYPES),
        "what to ask an agent in a container for, where --scan-type is not given (default: vm,inv, which the vendor's page "
        "for containers shows)",
        "TYPE[,TYPE]",
    ),
    Option(
        "cputhrottle",
        _throttle,
        "0",
        "0 (full speed) to 1000 (slowest, least CPU) for scans in the vendor's dialect (default: 0)",
        "0..1000",
    ),
    Option(
        "poll-interval",
        _optional_seconds,
        "",
        "time between two readings while a scan runs, a tenth more or less at random (default: 15)",
        _SECONDS,
    ),
    Option(
        "poll-timeout",
        _optional_seconds,
        "",
        "how long after a request to wait for its execution (default: 15m)",
        _SECONDS,
    ),
    Option(
        "command-timeout", _seconds, "30", "how long one command on a target may take (default: 30)", _SECONDS
    ),
    Option(
        "deadline",
        _optional_seconds,
        "",
        "how long the whole run may take; then it ends as by Ctrl-C, and reports what it has seen (default: no limit)",
        _SECONDS,
    ),
    Option(
        "log-max-age",
        _seconds,
        "2h",
        "how old the agent's last log entry may be, by the target's clock (default: 2h, twice the slowest check-in)",
        _SECONDS,
    ),
    Option(
        "log-patterns",
        _patterns,
        "",
        "a TOML file with phrases of the agent's log that replace the built-in ones",
        "FILE",
    ),
    Option("agent-unit", _unit, UNIT, f"the agent's systemd unit (default: {UNIT})", "UNIT"),
    Option(
        "agent-home", _remote_path, "", "the agent's folder on the target (default: from the unit)", _PATH
    ),
    Option(
        "agent-config",
        _remote_path,
        "",
        "the agent's configuration file on the target (default: the known places)",
        _PATH,
    ),
    Option(
        "agent-hostid",
        _remote_path,
        "",
        "the agent's hostid file on the target (default: beside the configuration)",
        _PATH,
    ),
    Option(
        "agent-log",
        _remote_path,
        "",
        "the agent's log on the target (default: from its configuration)",
        _PATH,
    ),
    Option(
        "ssh-client",
        _ssh_client,
        "auto",
        "how ssh:// is spoken: auto (in this process, and by OpenSSH for a host whose configuration needs that) or openssh "
        "(default: auto)",
        "auto|openssh",
    ),
    Option(
        "at-once",
        _at_once,
        "",
        "how many hosts to speak to at the same time (default: 32 for each processor of this machine, at most 256)",
        "N",
    ),
    Option(
        "shard",
        read_shard,
        "",
        "look at the K-th of N parts of the hosts only, for a CI matrix or an Indexed Job; K+1/N where its index begins at 0. A "
        "shard that gets no host, because there are fewer than N, ends 5; `qualys-verify merge` makes one evidence of all",
        "K/N",
    ),
    Option(
        "max-triggers-at-once",
        _optional_count,
        "",
        "on how many hosts scans that this run asked for may be under way at the same time, as MaxConcurrency in AWS SSM; the "
        "others wait for it before they are asked (default: no limit)",
        "N",
    ),
    Option(
        "trigger-jitter",
        _jitter,
        "0",
        "each host waits a random time up to this before it is asked, so that hosts of one hypervisor do not scan in the same "
        "second (default: 0)",
        _SECONDS,
    ),
    Option(
        "max-inconclusive",
        _share,
        "100%",
        "ask no further host for scans once more than this many hosts, or this percentage of the run's hosts, could not be looked "
        "at (unreachable, no sudo, ...), as MaxErrors in AWS SSM or max_fail_percentage in Ansible: more than, not as many as; "
        "hosts asked before are followed to their end, and looking goes on (default: no limit)",
        "N|N%",
    ),
    Option(
        "kube-namespace",
        _kube_name,
        "qualys-agent",
        "kubectl://: the namespace of the agent's pods (default: qualys-agent; the vendor's Helm chart uses qualys)",
        "NAMESPACE",
    ),
    Option(
        "kube-selector",
        _selector,
        "name=qualys-cloud-agent",
        "kubectl://*: the labels of the agent's pods (default: name=qualys-cloud-agent)",
        "LABELS",
    ),
    Option(
        "kube-container",
        _kube_name,
        "qualys-cloud-agent-container",
        "kubectl://: the agent's container in its pod; a pod's only one needs no name (default: qualys-cloud-agent-container)",
        "CONTAINER",
    ),
    Option(
        "kube-daemonset",
        _kube_name,
        "qualys-cloud-agent",
        "kubectl://*: the DaemonSet that says on how many nodes the agent should run, where no pod names it (default: qualys-cloud-agent)",
        "NAME",
    ),
    Option(
        "kube-context",
        _plain,
        "",
        "kubectl://: the cluster, as a context of the kubeconfig (default: kubectl's current one when the run begins)",
        "CONTEXT",
    ),
    Option("kubeconfig", _file, "", "kubectl://: the kubeconfig file (default: kubectl's own)", "FILE"),
    Option(
        "report-dir",
        _local,
        "",
        "where each run leaves its evidence, in a folder of its own (default: reports/ in the checkout, or outside one in the current directory)",
        "DIR",
    ),
    Option(
        "waivers",
        _waivers,
        "",
        "a TOML file with findings that are known and accepted until a date",
        "FILE",
    ),
    Option(
        "baseline",
        _baseline,
        "",
        "an earlier run's folder or run.json: say what is fixed, still failing, regressed or newly inconclusive",
        "RUN",
    ),
    Option(
        "redaction",
        _optional_file,
        "",
        "a TOML file with rules for what is taken out of all evidence, besides the built-in ones",
        "FILE",
    ),
    Option(
        "sign-key",
        _optional_file,
        "",
        "sign the evidence with this OpenSSH key: a private key, or the .pub file of one that ssh-agent holds",
        "FILE",
    ),
    Option(
        "timestamp-url",
        _url,
        "",
        "have this authority stamp the time on the evidence (RFC 3161, needs openssl)",
        "URL",
    ),
    Option(
        "valid-for",
        _seconds,
        "90d",
        "how long the evidence speaks for the present (default: 90d, the quarter of PCI DSS 11.3.1)",
        _SECONDS,
    ),
)
_REPEATABLE = {"scan-type", "container-scan-type"}
_BY_NAME = {option.name: option for option in OPTIONS}


def add_options(parser: "pytest.Parser") -> None:
    """Declare every option, for `--help` and for the configuration file."""
    group = parser.getgroup("qualys-verify", "qualys-verify: the Qualys Cloud Agent runbook")
    for option in OPTIONS:
        repeatable = option.name in _REPEATABLE
        group.addoption(
            f"--{option.name}",
            action="append" if repeatable else "store",
            dest=f"qv_{option.ini}",
            metavar=option.metavar,
            help=option.help,
        )
        parser.addini(option.ini, option.help, type="string", default=option.default)
    group.addoption(
        "--read-only", action="store_true", dest="qv_read_only", help="look at everything, trigger nothing"
    )
    parser.addini("read_only", "look at everything, trigger nothing", type="bool", default=False)
    addresses = "take IP addresses out of all evidence, too"
    group.addoption("--redact-addresses", action="store_true", dest="qv_redact_addresses", help=addresses)
    parser.addini("redact_addresses", addresses, type="bool", default=False)
    parser.addini(
        "hosts",
        "the hosts to verify when --hosts is not given, such as ssh://ops@web1",
        type="args",
        default=[],
    )


def read_settings(config: "pytest.Config") -> Settings:
    """Read all options. Raises ValueError with one sentence for the first value that cannot be meant."""
    return Settings(
        agent_cli=_value(config, "agent-cli"),
        scan_types=_value(config, "scan-type"),
        container_scan_types=_value(
            config, "scan-type" if _is_said(config, "scan-type") else "container-scan-type"
        ),
        throttle=_value(config, "cputhrottle"),
        read_only=bool(config.getoption("qv_read_only") or config.getini("read_only")),
        poll_interval=_value(config, "poll-interval"),
        poll_timeout=_value(config, "poll-timeout"),
        command_timeout=_value(config, "command-timeout"),
        deadline=_value(config, "deadline"),
        log_max_age=_value(config, "log-max-age"),
        patterns=_value(config, "log-patterns"),
        layout=Layout(
            unit=_value(config, "agent-unit"),
            home=_value(config, "agent-home"),
            configuration=_value(config, "agent-config"),
            hostid=_value(config, "agent-hostid"),
            log=_value(config, "agent-log"),
        ),
        ssh_config=_readable(config, "ssh_config", "--ssh-config"),
        ssh_identity_file=_readable(config, "ssh_identity_file", "--ssh-identity-file"),
        sudo=bool(config.getoption("sudo")),
        sudo_user=config.getoption("sudo_user"),
        ssh_in_process=_value(config, "ssh-client") == "auto",
        at_once=_value(config, "at-once"),
        shard=_value(config, "shard"),
        pace=Pace(
            at_once=_value(config, "max-triggers-at-once"),
            jitter=_value(config, "trigger-jitter"),
            max_inconclusive=_value(config, "max-inconclusive"),
        ),
        report_dir=_value(config, "report-dir"),
        evidence=_evidence_settings(config),
        kube=Defaults(
            namespace=_value(config, "kube-namespace"),
            selector=_value(config, "kube-selector"),
            container=_value(config, "kube-container"),
            daemonset=_value(config, "kube-daemonset"),
            context=_value(config, "kube-context"),
            kubeconfig=_value(config, "kubeconfig"),
        ),
    )


def _evidence_settings(config: "pytest.Config") -> EvidenceSettings:
    addresses = bool(config.getoption("qv_redact_addresses") or config.getini("redact_addresses"))
    try:
        redaction = load_rules(_value(config, "redaction"), addresses=addresses)
    except ValueError as error:
        raise ValueError(f"--redaction: {error}") from error
    return EvidenceSettings(
        waivers=tuple(waiver.cleaned(Redactor(redaction).clean) for waiver in _value(config, "waivers")),
        redaction=redaction,
        seal=Seal(_value(config, "sign-key"), _value(config, "timestamp-url")),
        valid_for=_value(config, "valid-for"),
        baseline=_value(config, "baseline"),
    )


def given_options(config: "pytest.Config") -> dict[str, str]:
    """The options that are not at their defaults, by name, as they were written."""
    given = {option.name: _text(config, option) for option in OPTIONS}
    others = {"read-only": "qv_read_only", "redact-addresses": "qv_redact_addresses", "sudo": "sudo"}
    switched_on = {name: "yes" for name, dest in others.items() if config.getoption(dest)}
    texts = {option.name: given[option.name] for option in OPTIONS if given[option.name] != option.default}
    named = {
        name: str(value)
        for name, dest in (
            ("sudo-user", "sudo_user"),
            ("ssh-config", "ssh_config"),
            ("ssh-identity-file", "ssh_identity_file"),
        )
        if (value := config.getoption(dest))
    }
    return {**texts, **switched_on, **named}


def refuse_foreign_options(config: "pytest.Config") -> None:
    """Refuse options of other plugins that would silently do nothing, or something else, to this suite.

    Raises ValueError with one sentence.
    """
    scheme = "hosts are reached as their scheme says, such as ssh://ops@web1"
    refused = {
        "connection": f"--connection is not used here: {scheme}",
        "force_ansible": f"--force-ansible is not used here: {scheme}",
        "ansible_inventory": "--ansible-inventory is not used here: write --hosts='ansible://GROUP?ansible_inventory=FILE'",
        "ssh_extra_args": "--ssh-extra-args is not used here: write them into a file and name it with --ssh-config",
        "nagios": "--nagios is not used here: it would hide what could not be seen; use the exit status or --junitxml",
    }
    if sys.flags.optimize:
        raise ValueError(
            "Python runs with -O or PYTHONOPTIMIZE, which takes the checks out of the tests: run it without"
        )
    for dest, sentence in refused.items():
        if getattr(config.option, dest, None):
            raise ValueError(sentence)


def wants_workers(config: "pytest.Config") -> bool:
    """Whether pytest-xdist is asked for workers, by `-n` or `--tx`; and has it restart none, and start those of `--tx`.

    Raises ValueError for a way of sharing out that would trigger each agent once a worker.
    """
    option = config.option
    if not getattr(option, "tx", None) or option.collectonly:
        return False
    said = [str(word).partition("=")[0] for word in config.invocation_params.args]
    if option.dist == "no" and "--dist" not in said:  # xdist starts no worker for `--tx` alone
        option.dist = "load"
    if option.dist == "each":
        raise ValueError("--dist=each is not used here: each worker would trigger every host again")
    option.maxworkerrestart = "0"  # another worker would trigger again what the lost one has triggered
    return bool(option.dist != "no")


def limit_workers(config: "pytest.Config", hosts: int) -> None:
    """With `-n` there are no more workers than hosts; those of `--tx` are as the user names them."""
    if config.option.numprocesses:
        config.option.tx = config.option.tx[:hosts]


def host_specs(config: "pytest.Config") -> Sequence[str]:
    """The values of `--hosts`, or of `hosts` in the configuration; empty when neither says anything.

    Raises ValueError when `--hosts` is given twice: pytest would take the last one, and the hosts before it
    would be left out without a word.
    """
    given = config.getoption("hosts")
    arguments = [str(argument).partition("=")[0] for argument in config.invocation_params.args]
    if arguments.count("--hosts") > 1:
        raise ValueError(f"--hosts is given twice: name all hosts in one, as in {EXAMPLE}")
    return [given] if given is not None else config.getini("hosts")


def _value(config: "pytest.Config", name: str) -> Any:  # noqa: ANN401  # each option's own type, as Settings declares it
    option = _BY_NAME[name]
    text = _text(config, option)
    try:
        return option.read(text)
    except ValueError as error:
        sentence = str(error)
        raise ValueError(
            f"--{name} {sentence}, not {text!r}" if sentence.startswith("is ") else f"--{name}: {sentence}",
        ) from error


def _text(config: "pytest.Config", option: Option) -> str:
    """What the user wrote for an option: on the command line, else in the configuration, else its default."""
    given = config.getoption(f"qv_{option.ini}")
    text = ",".join(given) if isinstance(given, list) else given
    return str(config.getini(option.ini)) if text is None else str(text)


def _is_said(config: "pytest.Config", name: str) -> bool:
    """Whether the user said an option, on the command line or in the configuration."""
    option = _BY_NAME[name]
    return config.getoption(f"qv_{option.ini}") is not None or config.getini(option.ini) != option.default


def _readable(config: "pytest.Config", dest: str, name: str) -> Path | None:
    """A local file that ssh will need; it says little when it cannot read one, so that is found here."""
    try:
        value = config.getoption(dest)
        return None if value is None else _readable_file(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error
