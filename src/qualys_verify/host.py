"""A host while it is being observed: commands, privilege, waiting, and the record of all of it."""

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from threading import Lock
from typing import Protocol

from qualys_verify.agent.clock import HostClock, parse_clock
from qualys_verify.agent.container import Container
from qualys_verify.agent.layout import Layout
from qualys_verify.ahead import Ahead
from qualys_verify.asked import CLOCK, Asked, Command, Line, beginnings, digest, whole
from qualys_verify.identity import PROBES, Identity, read_identity
from qualys_verify.once import once
from qualys_verify.reasons import Denied, Inconclusive, NotApplicable, TimedOut, Unreachable
from qualys_verify.settings import Settings
from qualys_verify.targets import Target
from qualys_verify.transport import Reply, Transport

_SUDO_MISSING = re.compile(
    r"sudo: (?:not found|command not found|No such file)|Unknown command: sudo", re.IGNORECASE
)
_SUDO_DENIED = re.compile(
    r"^sudo: .*(?:password is required|terminal is required|may not run|must have a tty|no tty present)"
    r"|^Sorry, user .* (?:is not allowed|may not run)"
    r"|is not (?:in the sudoers file|allowed to (?:run|execute))"
    r"|^sudo: .*(?:account management|authentication error|account validation|expired|unknown user|sudoers"
    r"|policy plugin|audit plugin|no new privileges|setuid bit|effective uid)",
    re.IGNORECASE | re.MULTILINE,
)
_NO_PERMISSION = re.compile(r"Permission denied|Operation not permitted", re.IGNORECASE)
# What sudo or timeout itself does not find is not the file that was asked for.
_NO_SUCH_FILE = re.compile(
    r"^(?!sudo: |timeout: ).*(?:No such file or directory|Not a directory)", re.IGNORECASE | re.MULTILINE
)


_PROBES = tuple(map(Line, PROBES.values()))


class Claims:
    """Which machine is triggered under which name: one that is listed under two is not triggered twice."""

    def __init__(self) -> None:
        """No machine is claimed yet."""
        self._lock = Lock()
        self._owners: dict[object, str] = {}

    def claim(self, machine: object, target_id: str) -> str:
        """Claim a machine; returns the id of the target that owns it now."""
        with self._lock:
            return self._owners.setdefault(machine, target_id)


@dataclass(frozen=True)
class Waiting:
    """What a host waits for, in a few words, and until when at the latest (seconds, monotonic; None: nobody knows)."""

    what: str
    until: float | None = None


class Company(Protocol):
    """The run's other hosts, as far as one host has to do with them."""

    @property
    def claims(self) -> Claims:
        """Which machine is triggered under which name."""

    def sleep(self, seconds: float) -> None:
        """Let others go on meanwhile; may raise Interrupted."""

    def call(self) -> AbstractContextManager[None]:
        """Around each command under way: others may go on while it is silent."""

    def clear(self, host: "Host") -> None:
        """Wait until this host may be triggered; raises Inconclusive when it may not, Interrupted when the run ends."""


@dataclass(frozen=True)
class Alone:
    """No company: a host that is looked at by itself waits for nobody."""

    sleep: Callable[[float], None]
    claims: Claims = field(default_factory=Claims)
    call: Callable[[], AbstractContextManager[None]] = nullcontext

    def clear(self, host: "Host") -> None:
        """It may."""


class Scribe(Protocol):
    """Writes down at once what happens on hosts, and gives it back as it may be kept: without secrets."""

    def commands(self, record: "Record", replies: Sequence[Reply]) -> Sequence[Reply]:
        """Commands of an observation, as they were run; none where they have not to be kept besides."""

    def reading(self, record: "Record", at: datetime, text: str) -> str | None:
        """What one look came to, or None, likewise; `at` is UTC by the controller's clock."""

    def learn(self, *secrets: str | None) -> None:
        """Texts that must not be kept from now on."""


class Forgetful:
    """A scribe that keeps nothing and takes nothing out: for hosts that no evidence is made of."""

    def commands(self, record: "Record", replies: Sequence[Reply]) -> Sequence[Reply]:
        """As they are."""
        del record
        return replies

    def reading(self, record: "Record", at: datetime, text: str) -> str:
        """As it is."""
        del record, at
        return text

    def learn(self, *secrets: str | None) -> None:
        """Nothing is learned."""


@dataclass(slots=True)
class Record:
    """What was written down while one observation of one host was made. `attempt` is the number of the look in a poll."""

    host: str = ""
    observation: str = ""
    scribe: Scribe = field(default_factory=Forgetful)
    attempt: int = 1
    replies: list[Reply] = field(default_factory=list)
    readings: list[str] = field(default_factory=list)

    def commands(self, replies: Sequence[Reply]) -> None:
        """Write down commands that were run."""
        self.replies += self.scribe.commands(self, replies)

    def reading(self, text: str) -> None:
        """Write down what a look came to."""
        now = datetime.now(UTC)
        kept = self.scribe.reading(self, now, text)
        if kept is not None:
            self.readings.append(f"{now:%Y-%m-%dT%H:%M:%SZ}  {kept}")


class Host:
    """One target, as observations use it. Belongs to one thread at a time."""

    def __init__(
        self,
        target: Target,
        settings: Settings,
        transport: Transport,
        company: Company,
    ) -> None:
        """Nothing is connected yet. `waiting` is for those who watch the run: what takes long at present."""
        self.target = target
        self.settings = settings
        self.record = Record()
        self.waiting: Waiting | None = None
        self._transport = transport
        self._company = company
        self._is_cleared = False
        self._sudo_works = False
        self._answers: dict[tuple[str, ...], tuple[datetime, Reply] | Inconclusive] = {}
        self._ahead = Ahead()
        self._looked_ahead_in = self.record

    @property
    def layout(self) -> Layout:
        """The agent's paths, as far as options or the inventory name them."""
        return self.target.layout

    @once
    def identity(self) -> Identity:
        """Who answers; asked once, before everything else.

        Raises Unreachable or TimedOut when nobody does, Inconclusive when it is no host that can be judged.
        """
        controller = datetime.now(UTC)
        replies = self.run(*_PROBES)
        answers = {name: reply.stdout.strip() for name, reply in zip(PROBES, replies, strict=True)}
        try:
            found = read_identity(answers, self._transport.host_key, controller)
        except ValueError as error:
            raise Inconclusive(f"{self.target.id}: {error}") from error
        around = (*self.target.facts, *(self.container.facts if self.container else ()))
        return replace(found, around=around, client=self._transport.client)

    @property
    def container(self) -> Container | None:
        """What is known from outside of the container that this is; None for other hosts, and before a first look."""
        return self._transport.container

    @property
    def is_contained(self) -> bool:
        """Whether it is a container without an init system of its own: then there are no units in it."""
        return self.target.is_contained and not (self.container and self.container.is_machine)

    @once
    def may_guard(self) -> bool:
        """Whether sudo allows `timeout` before a command: then a hung one is ended on the target, too.

        A login with an allow-list need not: there sudo's own TIMEOUT does it (see `qualys-verify sudoers`).
        """
        if not self.identity.has_timeout:
            return False
        if not self._elevates:
            return True
        ask, use = (*self._sudo, "-l", *self._guard, "true"), (*self._sudo, *self._guard, "true")
        # Asked first, because a refusal is logged and mailed at some sites; then used, because `-l` also lists
        # what needs a password.
        (reply,) = self.run(Line(f"{shlex.join(ask)} >/dev/null 2>&1 && {shlex.join(use)}"))
        return reply.status == 0

    def run(self, *commands: Asked) -> tuple[Reply, ...]:
        """Run commands in one round trip.

        Raises Denied when sudo refuses one of them, besides what the transport raises.
        """
        replies = self._take(commands) or self._run(commands)
        shown = zip(replies, (command.show for command in commands), strict=True)
        self.record.commands([_shown(reply, show) for reply, show in shown])
        for reply in replies:
            self._check_sudo(reply)
            self._check_deadline(reply)
        self._sudo_works |= self._need_sudo(commands)
        return replies

    def _take(self, commands: Sequence[Asked]) -> tuple[Reply, ...]:
        """What is there of it already. The first that sudo is asked for goes alone: sites log and mail what it refuses."""
        if not self._sudo_works and self._need_sudo(commands):
            self._ahead.pass_over(commands)
            return ()
        return self._ahead.take(commands, self._look_ahead)

    def _need_sudo(self, commands: Sequence[Asked]) -> bool:
        own = [command for command in commands if isinstance(command, Command)]
        return any(command.as_root or self.settings.sudo for command in own) and self._elevates

    def _run(self, commands: Sequence[Asked]) -> tuple[Reply, ...]:
        texts = [self._text(command) for command in commands]
        try:
            with self._company.call():
                return self._transport.run(texts)
        except Unreachable as reason:
            self.note(f"{reason}; the client said:\n{reason.said}")
            raise

    def expect(self, commands: Iterable[Asked]) -> None:
        """What observations to come will ask: it is fetched along with the first of it, and each finds its own there.

        Only looks, and only until the agent is asked to act or something is waited for.
        """
        self._ahead.expect(commands)

    def forget(self) -> None:
        """What was fetched along is too old now.

        That it was run is kept for the evidence, and what it printed is not: nobody has asked for it, and so nobody knows
        the secrets in it.
        """
        if left := self._ahead.drop():
            self._looked_ahead_in.commands([_shown(reply, digest) for reply in left])

    def _look_ahead(self, commands: Sequence[Asked]) -> tuple[Reply, ...]:
        """Run what is expected: less may come of it than was asked, and nothing is judged by that.

        All of it has the time of one command: what was not seen by then is asked again by itself, with its own.
        """
        self._looked_ahead_in = self.record
        if not self.may_guard or (not self._sudo_works and self._need_sudo(commands)):
            return ()
        share = not self._elevates and self.identity.has_group_timeout
        texts = [command.text if share else self._text(command) for command in commands]
        try:
            with self._company.call():
                replies = self._transport.run_within(self._guard if share else (), texts)
        except (Unreachable, TimedOut) as reason:
            self.note(f"looked ahead in vain, {reason}; asked was: {'; '.join(texts)}")
            return ()
        if len(replies) < len(texts):
            self.note(
                f"looked ahead, and `{texts[len(replies)]}` did not end in time; what came after it was not run"
            )
        return replies

    def clock(self) -> HostClock:
        """The target's clock, now."""
        return self.run_timed()[0]

    def run_timed(self, *commands: Asked) -> tuple[HostClock, tuple[Reply, ...]]:
        """Run commands in one round trip, and read the target's clock just after them."""
        *replies, clock = self.run(*commands, CLOCK)
        return _read_clock(self.target.id, clock.stdout), tuple(replies)

    def read(self, *paths: PurePosixPath) -> tuple[str | None, ...]:
        """The beginnings of files that only root may read, None where there is no such file.

        Raises Denied where a file may not be looked at: "may not look" is never "not there".
        """
        replies = self.run(*beginnings(*paths))
        return tuple(self.content(reply) for reply in replies)

    def content(self, reply: Reply) -> str | None:
        """The text that a command read from a file, None when there is no such file; see `read`."""
        if reply.status == 0:
            return reply.stdout
        if _NO_PERMISSION.search(reply.stderr):
            raise Denied(
                f"{self.target.id}: `{reply.command}` is not permitted, "
                + (
                    "not even to root: look at the file's mount, ACL and SELinux label"
                    if _is_root(reply)
                    else self._how_to_be_root
                )
            )
        if _NO_SUCH_FILE.search(reply.stderr):
            return None
        said = " ".join(reply.stderr.split())[:160] or "nothing"
        raise Inconclusive(
            f"{self.target.id}: `{reply.command}` ended with status {reply.status} and said: {said}"
        )

    @property
    def _how_to_be_root(self) -> str:
        if self.is_contained:
            return "its container's user may not: enter a plain container as root (docker://root@NAME), run a pod's as root"
        return "let this login use sudo for it"

    def trigger(self, command: Command) -> tuple[datetime, Reply]:
        """Run a command that makes the agent act: once a run, whoever asks again gets the first answer.

        Returns the UTC instant of the target's clock just before it, and the reply. Raises NotApplicable in
        a read-only run, and Inconclusive when the machine is already being triggered under another name, or
        when the run asks for nothing more. The first one waits until it may (see Company).
        """
        if self.settings.read_only:
            raise NotApplicable("not triggered: this is a --read-only run")
        owner = self._company.claims.claim((*self.identity.installation, self.layout.root), self.target.id)
        if owner != self.target.id:
            raise Inconclusive(
                f"{self.target.id} is the same machine as {owner}, which this run already triggers: list it once"
            )
        sent = command.argv  # whatever is shown of its output, it is the same request
        if not self._is_cleared:
            self._company.clear(self)
            self._is_cleared = True
        if sent not in self._answers:
            self._answers[sent] = self._sent_before(command)
            self._answers[sent] = self._trigger(command)
        answer = self._answers[sent]
        if isinstance(answer, Inconclusive):
            raise answer
        return answer

    def _sent_before(self, command: Command) -> Inconclusive:
        """What a second asker is told when the first one's answer was lost: it is never sent again."""
        return Inconclusive(
            f"{self.target.id}: the answer to `{shlex.join(command.argv)}` was lost, and it is not sent twice"
        )

    def _trigger(self, command: Command) -> tuple[datetime, Reply]:
        self.forget()
        clock, reply = self.run(CLOCK, command)
        return _read_clock(self.target.id, clock.stdout).now, reply

    def sleep(self, seconds: float) -> None:
        """Wait between two readings, without holding a turn. Raises Interrupted."""
        self.forget()
        self._transport.rest()
        self._company.sleep(seconds)

    def hang_up(self) -> None:
        """Keep no connection; the next command makes another one."""
        self._transport.close()

    def note(self, reading: object) -> None:
        """Keep one reading of a poll for the evidence."""
        self.record.reading(str(reading))

    def keep_secret(self, *secrets: str | None) -> None:
        """Have these texts of this host taken out of everything that is kept from now on."""
        self.record.scribe.learn(*secrets)

    def _text(self, command: Asked) -> str:
        """The command as it is run: with `sudo -n` where it is needed, and the target's own deadline."""
        return command.text if isinstance(command, Line) else command.after(self._before(command))

    def _before(self, command: Command) -> tuple[str, ...]:
        if (command.as_root and self._elevates) or self.settings.sudo:
            return (*self._sudo, *(self._guard if self.may_guard else ()))
        return self._guard if self.identity.has_timeout else ()

    @property
    def _elevates(self) -> bool:
        """In a container there is no sudo, and its user is the one who owns the agent's files."""
        return self.settings.sudo or (self.identity.uid != 0 and not self.is_contained)

    @property
    def _sudo(self) -> tuple[str, ...]:
        become = ("-u", self.settings.sudo_user) if self.settings.sudo_user else ()
        return ("sudo", "-n", *become)

    @property
    def _guard(self) -> tuple[str, ...]:
        return ("timeout", "-k", "5", f"{self.settings.command_timeout:g}")

    def _check_deadline(self, reply: Reply) -> None:
        """`timeout` exits 124 (137 where it had to kill); so may a command, but not just when its time is over."""
        limit = self.settings.command_timeout
        if reply.status in {124, 137} and reply.took >= limit:
            raise TimedOut(
                f"{self.target.id}: `{reply.command}` took longer than {limit:g} s and was ended there (--command-timeout)"
            )

    def _check_sudo(self, reply: Reply) -> None:
        if reply.status == 0 or not reply.command.startswith("sudo "):
            return
        if reply.command.startswith(shlex.join((*self._sudo, "-l"))):  # it may say no
            return
        if _SUDO_MISSING.search(reply.stderr):
            raise Denied(f"{self.target.id}: sudo is not installed: install it, or log in as root")
        if _SUDO_DENIED.search(reply.stderr):
            said = " ".join(reply.stderr.split())[-160:]
            raise Denied(
                f"{self.target.id}: `{reply.command}` was refused by sudo ({said}): allow it without a password (NOPASSWD)"
            )


def _is_root(reply: Reply) -> bool:
    return reply.command.startswith("sudo ")


def _shown(reply: Reply, show: Callable[[str], str]) -> Reply:
    """A reply as the evidence keeps it."""
    return reply if show is whole else replace(reply, stdout=show(reply.stdout))


def _read_clock(target_id: str, text: str) -> HostClock:
    try:
        return parse_clock(text.splitlines())
    except (ValueError, IndexError, OverflowError) as error:
        raise Inconclusive(
            f"{target_id}: the clock cannot be read (`date '+%s %z'` printed {text[:60]!r})"
        ) from error
