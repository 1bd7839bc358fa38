"""Connecting and logging in, in the event loop: what OpenSSH's configuration asks for, by asyncssh."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import get_certificate_algs, get_public_key_algs

from qualys_verify.backends import give_up_after, no_answer
from qualys_verify.ssh.keys import Identities, Wanted, identities, is_long_enough
from qualys_verify.ssh.proxy import Proxy
from qualys_verify.ssh.route import Hop, NeedsOpenSsh, NoWay
from qualys_verify.ssh.trust import SSH_PORT, KnownHosts, Trust, read_known_hosts

# How long a host that does not answer may keep others from connecting, in seconds; it goes on waiting by itself.
_PATIENCE = 1.0
# For a server that has too many logins at once (MaxStartups): how often it is tried, and after how many seconds at
# first; twice that, more or less, each time after.
_TRIES = 5
_BACKOFF = 0.4
_CONNECT_TIMEOUT = 10.0
_KEEPALIVE = 10
_KEEPALIVES = 3
_RSA = b"ssh-rsa"
_CERTIFICATE = "-cert-v01@openssh.com"
# What a server says that is the same through OpenSSH; of any other trouble OpenSSH is the judge.
REFUSALS = (asyncssh.PermissionDenied, asyncssh.ConnectionLost, asyncssh.ChannelOpenError)
_TICKETS = "/tmp/krb5cc_{uid}"  # noqa: S108  # where Kerberos keeps them


class _Full(Exception):  # noqa: N818  # never leaves this module
    """The connection was closed before the server said a word: it may have too many logins at once."""


@dataclass(frozen=True)
class Connection:
    """A login on a host. `host_key` is the fingerprint of the key that was verified."""

    ssh: asyncssh.SSHClientConnection
    host_key: str
    proxy: Proxy | None

    @property
    def is_open(self) -> bool:
        """Whether something can still be run over it."""
        return not self.ssh.is_closed()

    async def close(self) -> None:
        """Close it, and end the program that leads there, if one does."""
        self.ssh.close()
        try:
            async with asyncio.timeout(1):
                await self.ssh.wait_closed()
        except TimeoutError:
            self.ssh.abort()
        if self.proxy is not None:
            self.proxy.end()


class _Greeting(asyncssh.SSHClient):
    """Knows whether the server has said what it is, and shown a key that is trusted."""

    def __init__(self) -> None:
        self._connection: asyncssh.SSHClientConnection | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn

    @property
    def is_there(self) -> bool:
        """Whether the server has greeted."""
        return self._connection is not None and bool(self._connection.get_extra_info("server_version"))

    @property
    def is_trusted(self) -> bool:
        """Whether its key was verified."""
        return self._connection is not None and self._connection.get_server_host_key() is not None


class Connector:
    """Makes connections, and keeps what they share: turns, jump hosts, agents, keys, known_hosts."""

    def __init__(self, at_once: int, seconds: float, environment: Mapping[str, str]) -> None:
        """At most `at_once` hosts log in at the same time, each within so many seconds."""
        self._gate = asyncio.Semaphore(at_once)
        self._seconds = seconds
        self._environment = environment
        self._jumps: dict[tuple[object, ...], asyncio.Task[Connection]] = {}
        self._agents: dict[str, asyncssh.SSHAgentClient] = {}
        self._identities: dict[Wanted, Identities] = {}
        self._known_hosts: dict[tuple[Path, ...], KnownHosts] = {}

    async def connect(self, route: Sequence[Hop]) -> Connection:
        """Log in on the last hop of a route.

        Raises NeedsOpenSsh, NoWay, TimedOut, and what the network (OSError) or the server (asyncssh.Error) says.
        """
        *before, last = route
        jump = await self._jump(tuple(before)) if before else None
        for attempt in range(_TRIES):
            try:
                return await self._login(last, jump)
            except _Full:
                await asyncio.sleep(_BACKOFF * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311  # no secret
        raise NoWay(f"Connection closed by {last.host} port {last.port}, {_TRIES} times")

    async def close(self) -> None:
        """Close what is shared."""
        tasks, self._jumps = tuple(self._jumps.values()), {}
        for task in tasks:
            task.cancel()
        made = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(jump.close() for jump in made if isinstance(jump, Connection)))
        for agent in self._agents.values():
            agent.close()

    async def _jump(self, route: tuple[Hop, ...]) -> Connection:
        """The connection to a jump host: one for all hosts behind it, made anew where it was lost.

        Shared by those only whose configurations have it the same in everything: its key, its trust, the login.
        """
        key = tuple((hop.asked, *hop.effective.values.items()) for hop in route)
        before = self._jumps.get(key)
        if before is None or (before.done() and not _is_open(before)):
            self._jumps[key] = asyncio.ensure_future(self.connect(route))
            if before is not None:
                await _dropped(before)
        try:
            return await asyncio.shield(self._jumps[key])
        except (OSError, NoWay, *REFUSALS) as error:
            raise NoWay(f"jump host {route[-1].asked}: {error}") from error
        except (asyncssh.Error, ValueError) as error:  # as at the end of the way, OpenSSH is the judge of it
            raise NeedsOpenSsh(f"jump host {route[-1].asked}: {error}") from error

    async def _login(self, hop: Hop, jump: Connection | None) -> Connection:
        """Log in on one hop, in turn; who is not greeted soon waits without holding up others."""
        greeting, began = _Greeting(), time.monotonic()
        async with self._gate:
            task = asyncio.ensure_future(self._logged_in(hop, jump, greeting))
            try:
                await asyncio.wait({task}, timeout=_PATIENCE)
                if greeting.is_there:
                    await self._end(task, hop, greeting, began)
            except BaseException:
                task.cancel()
                await _dropped(task)
                raise
        try:
            await self._end(task, hop, greeting, began)
            return task.result()
        except asyncio.CancelledError:
            await _dropped(task)
            raise
        except (asyncssh.ConnectionLost, ConnectionResetError) as error:
            if greeting.is_there:
                raise
            raise _Full from error

    async def _end(self, task: asyncio.Task[Connection], hop: Hop, greeting: _Greeting, began: float) -> None:
        """Wait for the end of a login. Raises NoWay where no server greets in time, TimedOut where it does not end."""
        limit = min(float(hop.effective.one("connecttimeout", str(_CONNECT_TIMEOUT))), self._seconds)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=min(_PATIENCE, limit))
                waited = time.monotonic() - began
                if not task.done() and not greeting.is_there and waited >= limit:
                    raise NoWay(f"connect to host {hop.host} port {hop.port}: Connection timed out")
                if not task.done() and waited >= give_up_after(1, self._seconds):
                    raise no_answer(self._seconds)
        finally:
            task.cancel()

    async def _logged_in(self, hop: Hop, jump: Connection | None, greeting: _Greeting) -> Connection:
        proxy = Proxy.start(hop.proxy_command, self._environment) if hop.proxy_command else None
        try:
            options = await self._options(hop, greeting)
            if jump is not None:
                ssh = await asyncssh.connect(hop.host, hop.port, tunnel=jump.ssh, options=options)
            else:
                sock = proxy.socket if proxy else await _connected(hop)
                ssh = await asyncssh.connect(hop.host, hop.port, sock=sock, options=options)
        except BaseException as error:
            said = proxy.said() if proxy else ""
            if proxy is not None:
                proxy.end()
            if said and isinstance(error, asyncssh.ConnectionLost | OSError):
                raise NoWay(f"{said}\nConnection closed by the ProxyCommand") from error
            if isinstance(error, asyncssh.PermissionDenied):
                await self._appeal(hop, error)
            if (
                isinstance(error, asyncssh.ConnectionLost | ConnectionResetError)
                and greeting.is_there
                and not greeting.is_trusted
            ):
                raise NeedsOpenSsh("the server ended the key exchange") from error
            raise
        key = ssh.get_server_host_key()
        return Connection(ssh, key.get_fingerprint() if key else "", proxy)

    async def _options(self, hop: Hop, greeting: _Greeting) -> asyncssh.SSHClientConnectionOptions:
        """A hop's configuration as asyncssh takes it; nothing is left to its own reading of files."""
        trust = self._trust(hop)
        keys = await self._keys(hop.wanted)
        effective = hop.effective
        return asyncssh.SSHClientConnectionOptions(
            config=None,
            client_factory=lambda: greeting,
            username=hop.user,
            client_keys=keys.offered() or None,
            agent_path=None,
            preferred_auth="publickey",
            public_key_auth=True,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            gss_auth=False,
            gss_kex=False,
            x509_trusted_certs=None,
            known_hosts=(list(trust.keys), list(trust.authorities), list(trust.revoked)),
            host_key_alias=effective.one("hostkeyalias", hop.host.lower()),
            server_host_key_algs=_host_key_algorithms(effective.listed("hostkeyalgorithms"), trust),
            kex_algs=_common("KexAlgorithms", effective.listed("kexalgorithms"), _KEX),
            encryption_algs=_ciphers(effective.listed("ciphers")),
            mac_algs=_common("MACs", effective.listed("macs"), _MACS),
            signature_algs=_common(
                "PubkeyAcceptedAlgorithms", effective.listed("pubkeyacceptedalgorithms"), _SIGNATURES
            ),
            compression_algs=["zlib@openssh.com", "none"] if effective.is_on("compression") else ["none"],
            keepalive_interval=_KEEPALIVE,
            keepalive_count_max=_KEEPALIVES,
            tcp_keepalive=effective.is_on("tcpkeepalive"),
            connect_timeout=None,
            login_timeout=0,
            canonicalize_hostname=False,
        )

    def _trust(self, hop: Hop) -> Trust:
        """What known_hosts says of a hop. Raises NeedsOpenSsh for authorities whose signatures are not judged here."""
        files = hop.known_hosts
        if files not in self._known_hosts:
            self._known_hosts[files] = read_known_hosts(map(_text, files))
        alias = hop.effective.one("hostkeyalias")
        found = self._known_hosts[files].trust(alias or hop.host.lower(), SSH_PORT if alias else hop.port)
        accepted = hop.effective.listed("casignaturealgorithms")
        if any(key.algorithm.decode() not in accepted or key.algorithm == _RSA for key in found.authorities):
            raise NeedsOpenSsh("an authority in known_hosts whose signatures only OpenSSH judges")
        least = int(hop.effective.one("requiredrsasize", "1024"))
        keys = tuple(key for key in found.keys if is_long_enough(key, least))
        return Trust(keys, found.authorities, found.revoked)

    async def _keys(self, wanted: Wanted) -> Identities:
        if wanted not in self._identities:
            agent = await self._agent_keys(wanted.agent)
            self._identities[wanted] = identities(wanted, agent)
        return self._identities[wanted]

    async def _agent_keys(self, path: str) -> Sequence[asyncssh.SSHKeyPair]:
        """The agent's keys; none where no agent answers, as OpenSSH has it."""
        if not path:
            return ()
        try:
            if path not in self._agents:
                agent = await asyncssh.connect_agent(path)
                if self._agents.setdefault(path, agent) is not agent:  # another host was faster
                    agent.close()
            return await self._agents[path].get_keys()
        except (OSError, ValueError):
            return ()

    async def _appeal(self, hop: Hop, refusal: asyncssh.PermissionDenied) -> None:
        """Where OpenSSH has more to offer than this process it is asked as well, before a login counts as refused."""
        beyond = (await self._keys(hop.wanted)).beyond
        if beyond:
            raise NeedsOpenSsh(f"the login was refused, and {beyond[0]}") from refusal
        if hop.effective.is_on("gssapiauthentication") and _has_ticket(self._environment):
            raise NeedsOpenSsh("the login was refused, and there is a Kerberos ticket") from refusal


async def _connected(hop: Hop) -> socket.socket:
    """A socket to the first of a hop's addresses that answers. Raises OSError of the last one."""
    loop = asyncio.get_running_loop()
    source = hop.effective.one("bindaddress")
    failure: OSError = OSError(0, "no address")
    for _ in range(max(1, int(hop.effective.one("connectionattempts", "1")))):
        for family, address in hop.addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)  # noqa: FBT003  # as the standard library has it
                if source:
                    sock.bind((source, 0))
                await loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
    raise failure


def _host_key_algorithms(accepted: Sequence[str], trust: Trust) -> list[str]:
    """Those for which a key is known come first, as OpenSSH has it, so that a host with several keys shows a known one."""
    names = _common("HostKeyAlgorithms", accepted, _HOST_KEYS)
    trusted = {name.decode() for key in trust.keys for name in key.sig_algorithms}
    if trust.authorities:
        trusted |= {name for name in names if name.endswith(_CERTIFICATE)}
    return sorted(names, key=lambda name: name not in trusted)


def _ciphers(wanted: Sequence[str]) -> list[str]:
    """In the order given; where that is OpenSSH's own, and so nobody's wish, what takes this process the least comes first."""
    names = _common("Ciphers", wanted, _CIPHERS)
    return sorted(names, key=lambda name: "-gcm@" not in name) if tuple(wanted) in _USUAL_CIPHERS else names


def _common(directive: str, wanted: Sequence[str], known: frozenset[str]) -> list[str]:
    """The algorithms of a directive that are known here. Raises NeedsOpenSsh where there is none."""
    names = [name for name in wanted if name in known]
    if not names:
        raise NeedsOpenSsh(f"{directive} {','.join(wanted)}")
    return names


def _names(algorithms: Sequence[bytes]) -> frozenset[str]:
    return frozenset(name.decode() for name in algorithms)


# What `ssh -G` prints where nobody has set them: until OpenSSH 9.9, and since.
_CHACHA, *_AES_GCM = "chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com"
_AES_CTR = ("aes128-ctr", "aes192-ctr", "aes256-ctr")
_USUAL_CIPHERS = {(_CHACHA, *_AES_CTR, *_AES_GCM), (_CHACHA, *_AES_GCM, *_AES_CTR)}
_KEX, _CIPHERS, _MACS = map(_names, (get_kex_algs(), get_encryption_algs(), get_mac_algs()))
_SIGNATURES = _names(get_public_key_algs())
# Certificates of RSA keys are left to OpenSSH, which knows how long a key has to be and by what it may be signed.
_HOST_KEYS = _SIGNATURES | {name for name in _names(get_certificate_algs()) if "rsa" not in name}


def _is_open(task: asyncio.Task[Connection]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().is_open


async def _dropped(task: asyncio.Task[Connection]) -> None:
    """Close what a task has made, if that is a connection, with the program that leads there."""
    if task.done() and not task.cancelled() and task.exception() is None:
        await task.result().close()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _has_ticket(environment: Mapping[str, str]) -> bool:
    return "KRB5CCNAME" in environment or Path(_TICKETS.format(uid=os.getuid())).exists()
