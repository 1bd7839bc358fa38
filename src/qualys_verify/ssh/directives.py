"""What each directive of ssh_config means for the client in this process. Pure: OpenSSH's own answer in, a decision out.

`ssh -G HOST` prints what OpenSSH makes of all its files and options for one host: patterns, `Match`, `Include` and
tokens are read by OpenSSH itself. What is left is which of the results are honoured here, which make no difference to
this suite, and which only OpenSSH can do: a host with one of those goes through OpenSSH, as does a host with a directive
that is not in the table.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


class Support(enum.Enum):
    """How the client in this process treats a directive."""

    HONOURED = "honoured"
    HARMLESS = "harmless"
    UNSUPPORTED = "through OpenSSH"


@dataclass(frozen=True)
class Directive:
    """One directive; `name` is as ssh_config(5) writes it, `note` says what is done about it.

    `plain` are the values (lower-case) with which an unsupported one makes no difference.
    """

    name: str
    support: Support
    note: str
    plain: tuple[str, ...] = ()


def _honoured(note: str, *names: str) -> tuple[Directive, ...]:
    return tuple(Directive(name, Support.HONOURED, note) for name in names)


def _harmless(note: str, *names: str) -> tuple[Directive, ...]:
    return tuple(Directive(name, Support.HARMLESS, note) for name in names)


def _unsupported(note: str, plain: tuple[str, ...], *names: str) -> tuple[Directive, ...]:
    return tuple(Directive(name, Support.UNSUPPORTED, note, plain) for name in names)


_OFF = ("no", "false", "none", "")

DIRECTIVES: tuple[Directive, ...] = (
    *_honoured("read by OpenSSH (`ssh -G`)", "Host", "Match", "Include", "Tag", "IgnoreUnknown"),
    *_honoured(
        "applied by OpenSSH to the name (`ssh -G`)",
        "CanonicalDomains",
        "CanonicalizeFallbackLocal",
        "CanonicalizeHostname",
        "CanonicalizeMaxDots",
        "CanonicalizePermittedCNAMEs",
    ),
    *_honoured("where to connect to, and from", "HostName", "Port", "AddressFamily", "BindAddress"),
    *_honoured("how long, and how often", "ConnectTimeout", "ConnectionAttempts"),
    *_honoured("", "TCPKeepAlive", "ServerAliveInterval", "ServerAliveCountMax"),
    *_honoured(
        "jump hosts are shared: one connection for all hosts behind one; their keys are checked strictly, too",
        "ProxyJump",
    ),
    *_honoured("run by the user's shell, as OpenSSH does", "ProxyCommand"),
    *_honoured(
        "hashed names, patterns, negations, @cert-authority, @revoked, and other ports are read as OpenSSH does",
        "UserKnownHostsFile",
        "GlobalKnownHostsFile",
        "HostKeyAlias",
    ),
    *_honoured("always `yes` here", "StrictHostKeyChecking"),
    *_honoured(
        "as far as this process has them, in the order given (AES-GCM first where none is given); a host with which there is "
        "none in common goes through OpenSSH",
        "Ciphers",
    ),
    *_honoured(
        "as far as this process has them, in the order given; a host with which there is none in common goes through OpenSSH",
        "MACs",
        "KexAlgorithms",
        "HostKeyAlgorithms",
        "PubkeyAcceptedAlgorithms",
    ),
    *_honoured("authorities with RSA keys go through OpenSSH", "CASignatureAlgorithms"),
    *_honoured("", "RequiredRSASize", "Compression"),
    *_honoured("", "User", "PubkeyAuthentication"),
    *_honoured("a list without `publickey` goes through OpenSSH", "PreferredAuthentications"),
    *_honoured(
        "files that others can read are refused, encrypted keys are used through the agent",
        "IdentityFile",
        "CertificateFile",
        "IdentitiesOnly",
        "IdentityAgent",
    ),
    *_honoured("set for what runs on the target, if its sshd accepts that", "SendEnv", "SetEnv"),
    *_honoured("always `yes` here: nobody is asked anything", "BatchMode"),
    *_honoured(
        "tried by OpenSSH where keys are refused and there is a ticket", "GSSAPIAuthentication"
    ),
    *_harmless(
        "nothing is forwarded: the target gets no way to the operator",
        "ClearAllForwardings",
        "DynamicForward",
        "ExitOnForwardFailure",
        "ForwardAgent",
        "ForwardX11",
        "ForwardX11Timeout",
        "ForwardX11Trusted",
        "GatewayPorts",
        "LocalForward",
        "PermitRemoteOpen",
        "RemoteForward",
        "StreamLocalBindMask",
        "StreamLocalBindUnlink",
        "TunnelDevice",
        "XAuthLocation",
    ),
    *_harmless(
        "nobody types, and nothing is asked on a terminal",
        "EnableEscapeCommandline",
        "EscapeChar",
        "ForkAfterAuthentication",
        "KbdInteractiveAuthentication",
        "KbdInteractiveDevices",
        "NumberOfPasswordPrompts",
        "ObscureKeystrokeTiming",
        "PasswordAuthentication",
        "RequestTTY",
        "StdinNull",
    ),
    *_harmless(
        "commands are this suite's own", "LocalCommand", "PermitLocalCommand", "RemoteCommand"
    ),
    *_harmless(
        "one connection is kept for each host while it is looked at",
        "ControlMaster",
        "ControlPath",
        "ControlPersist",
    ),
    *_harmless(
        "about what OpenSSH prints",
        "FingerprintHash",
        "LogLevel",
        "LogVerbose",
        "SyslogFacility",
        "VisualHostKey",
        "WarnWeakCrypto",
    ),
    *_harmless("known_hosts is never written", "HashKnownHosts", "UpdateHostKeys"),
    *_harmless("the agent is never changed", "AddKeysToAgent"),
    *_harmless("not set here", "RekeyLimit", "IPQoS", "ChannelTimeout", "VersionAddendum"),
    *_harmless(
        "of methods that are off or go through OpenSSH",
        "EnableSSHKeysign",
        "GSSAPIClientIdentity",
        "GSSAPIDelegateCredentials",
        "GSSAPIKexAlgorithms",
        "GSSAPIRenewalForcesRekey",
        "GSSAPIServerIdentity",
        "GSSAPITrustDns",
        "HostbasedAcceptedAlgorithms",
        "SecurityKeyProvider",
    ),
    *_unsupported("a third party is asked about the host's key", _OFF, "KnownHostsCommand", "VerifyHostKeyDNS"),
    *_unsupported("the address is looked up in known_hosts as well", _OFF, "CheckHostIP"),
    *_unsupported("", _OFF, "NoHostAuthenticationForLocalhost", "RevokedHostKeys"),
    *_unsupported("", _OFF, "GSSAPIKeyExchange", "HostbasedAuthentication", "PKCS11Provider"),
    *_unsupported("", _OFF, "BindInterface", "ProxyUseFdpass", "Tunnel", "RefuseConnection"),
    *_unsupported("", ("default",), "SessionType"),
)  # fmt: skip

BY_KEY: Mapping[str, Directive] = MappingProxyType({item.name.lower(): item for item in DIRECTIVES})


@dataclass(frozen=True)
class Effective:
    """What OpenSSH makes of its configuration for one host: each directive's values, by its name in lower case."""

    values: Mapping[str, tuple[str, ...]]

    def one(self, key: str, default: str = "") -> str:
        """The value of a directive; the default where there is none, or where it is `none`."""
        value = self.values.get(key, ("",))[0]
        return default if value.lower() in {"", "none"} else value

    def all(self, key: str) -> tuple[str, ...]:
        """The values of a directive that may be given several times."""
        return tuple(value for value in self.values.get(key, ()) if value.lower() != "none")

    def listed(self, key: str) -> tuple[str, ...]:
        """The parts of a directive's value that is a list separated by commas."""
        return tuple(part for part in self.one(key).split(",") if part)

    def is_on(self, key: str) -> bool:
        """Whether a directive is `yes`."""
        return self.one(key).lower() in {"yes", "true"}


def read_effective(printed: str) -> Effective:
    """Read what `ssh -G` printed: a directive and its value a line."""
    values: dict[str, list[str]] = {}
    for line in printed.splitlines():
        key, _, value = line.strip().partition(" ")
        if key:
            values.setdefault(key.lower(), []).append(value.strip())
    return Effective(MappingProxyType({key: tuple(found) for key, found in values.items()}))


def why_openssh(effective: Effective) -> str:
    """What in a host's configuration only OpenSSH can do, as `Directive value`; empty where there is nothing."""
    for key, values in effective.values.items():
        directive = BY_KEY.get(key)
        if directive is None:
            return f"{key} is not known here"
        if directive.support is Support.UNSUPPORTED and values[0].lower() not in directive.plain:
            return f"{directive.name} {values[0]}"
    methods = effective.listed("preferredauthentications")
    if methods and "publickey" not in methods:
        return f"PreferredAuthentications {','.join(methods)}"
    if not effective.is_on("pubkeyauthentication"):
        return "PubkeyAuthentication no"
    return ""
