"""One run: its targets, their transports, the demo if there is one, and the folder that its evidence goes to."""

import math
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from qualys_verify.backends import Deadline
from qualys_verify.cluster import settle
from qualys_verify.evidence.redaction import Redactor
from qualys_verify.evidence.still_open import OpenReason, still_open
from qualys_verify.fleet import Fleet, Progress, Witness
from qualys_verify.host import Host, Record
from qualys_verify.identity import REBOOT, Identity
from qualys_verify.inventory import look_up, record
from qualys_verify.meanwhile import meanwhile
from qualys_verify.observation import Observation
from qualys_verify.settings import Settings
from qualys_verify.sockets import make_room
from qualys_verify.targets import DemoSpec, Selection, Target, TargetError, refuse_twins
from qualys_verify.transport import SshSettings, Transport, connect, disconnect
from qualys_verify.verdict import Finding

if TYPE_CHECKING:
    from qualys_verify.ssh.client import SshClient
    from qualys_verify.standin.bottlerocket import ClusterDemo
    from qualys_verify.standin.demo import Demo

NO_DEMO = "the demo needs aiohttp: install it with `pip install 'qualys-verify[demo]'` (in a checkout: `pip install -e '.[demo]'`)"
# How long a demo's stand-in scans take when nothing is said, in seconds.
DEMO_DELAY = 2.0
_LONG = 60


class DeadlineOver(BaseException):  # like KeyboardInterrupt, it ends the run and is no error
    """The time for the whole run is over (--deadline)."""


class Run:
    """What one `pytest` call verifies. Made when pytest is configured; touches no host before `observing`."""

    def __init__(self, settings: Settings, selection: Selection, report_root: Path) -> None:
        """Raises TargetError when the demo that is asked for does not exist or cannot run here."""
        self.settings = settings
        self.started = datetime.now(UTC)
        self._ends = time.monotonic() + (settings.deadline or math.inf)
        self.id = secrets.token_hex(4)
        self.folder = report_root / f"{self.started:%Y%m%dT%H%M%SZ}-{self.id}"
        self.redactor = Redactor(settings.evidence.redaction)
        self.fleet = Fleet(settings.at_once, settings.pace)
        self._deadline = Deadline(settings.command_timeout, self.fleet.interrupted)
        search = replace(self._deadline, ends=self._ends)
        found = look_up(selection.entries, settings.ssh_config, search)
        sources = [source for source, _ in found]
        listed = settle([target for _, target in found], selection.pods, settings.kube, search)
        sources += [", ".join(spec.text for spec in selection.pods)] * (len(listed) - len(found))
        refuse_twins(listed)
        self.targets = tuple(replace(target, layout=settings.layout) for target in listed)
        self.demo = selection.demo
        self._demo: Demo | None = None
        self._clusters: ClusterDemo | None = None
        self._ways: dict[str, Transport] = {}
        if selection.demo:
            self._clusters = _demo_clusters(selection.demo, search)
            self.targets += self._clusters.targets if self._clusters else ()
            self.targets += _demo_targets(selection.demo)
        sources += ["demo://"] * (len(self.targets) - len(listed))
        # Under the names that evidence shows: the digest must not confirm what was taken out of them.
        shown = [replace(target, id=self.redactor.clean(target.id)) for target in self.targets]
        self.inventory = record(shown, map(self.redactor.clean, sources))
        if settings.shard is not None:
            self.targets = settings.shard.part_of(self.targets)
        self.targets = _named(self.targets, self.redactor, self.id)
        # What workers have seen: who answered by target id, and what was written down of each observation of it.
        self.told: dict[str, Mapping[str, str]] = {}
        self.records: dict[tuple[str, str], Record] = {}
        # Short: a control socket's path may have 104 characters at most.
        self._ssh = SshSettings(
            Path(),
            settings.ssh_config,
            settings.ssh_identity_file,
            persist=int(max(60, 2 * (settings.poll_interval or 0))),
        )

    @property
    def shows_failures_on_purpose(self) -> bool:
        """Whether this is the demo with everything in it."""
        return self.demo is not None and not self.demo.selection

    def record_of(self, target: Target, observation: str) -> Record:
        """What was written down of an observation, here or in a worker."""
        told = self.records.get((target.id, observation))
        return told or self.fleet.sighting(target, observation).record

    @property
    def identities(self) -> dict[str, Mapping[str, str]]:
        """Who answered, by target id; hosts that did not are not in it."""
        seen = ((target.id, self.fleet.sighting(target, "identity").value) for target in self.targets)
        return self.told | {name: dict(value.facts) for name, value in seen if isinstance(value, Identity)}

    @property
    def time_left(self) -> float | None:
        """What is left of the run's time (--deadline), in seconds; None where it has no end."""
        return None if math.isinf(self._ends) else self._ends - time.monotonic()

    def still_open(self, findings: Sequence[Finding]) -> tuple[OpenReason, ...]:
        """Why a finding may still be open although this run is done."""
        reboots = {host: facts.get(REBOOT, "") for host, facts in self.identities.items()}
        return still_open(findings, reboots, self.settings.scan_types)

    @contextmanager
    def observing(
        self,
        plans: Mapping[Target, Sequence[Observation]],
        report: Callable[[Progress], None],
        journal: Witness,
    ) -> Generator[None, None, None]:
        """Look at everything that is planned meanwhile; see `Fleet.observing`. All connections are closed afterwards."""

        def in_time(progress: Progress) -> None:
            report(progress)
            if time.monotonic() > self._ends:
                raise DeadlineOver(f"the run's time of {self.settings.deadline:g} s (--deadline) is over")

        directory = _short_directory()
        client = self._ssh_client(plans)
        self._ssh = replace(self._ssh, control_directory=directory, client=client)
        try:
            self.start_demo(plans)
            with self.fleet.observing(plans, self._open, self._close, in_time, journal):
                yield
        finally:
            for way in list(self._ways.values()):
                way.close()
            if client is not None:
                client.close()
            for number in range(len(self.targets)):  # also those whose observer a second Ctrl-C cut short
                with suppress(OSError):
                    disconnect(self._ssh, number)
            self.stop_demo()
            shutil.rmtree(directory, ignore_errors=True)

    def prepare(self) -> None:
        """Begin to load what will be needed; nobody has to wait for it."""
        if self._speaks_ssh(self.targets):
            meanwhile(partial(import_module, "qualys_verify.ssh.client"))

    def _speaks_ssh(self, targets: Iterable[Target]) -> bool:
        """Whether SSH is spoken in this process: at all, and not left to OpenSSH."""
        return self.settings.ssh_in_process and any(item.scheme in {"ssh", "demo"} for item in targets)

    def _ssh_client(self, plans: Mapping[Target, Sequence[Observation]]) -> "SshClient | None":
        if not self._speaks_ssh(plans):
            return None
        from qualys_verify.ssh.client import SshClient  # noqa: PLC0415  # with asyncssh, which takes its time

        room = make_room(len(plans))
        return SshClient(self.settings.at_once, self._deadline, keeps_connections=room)

    def _open(self, target: Target) -> Host:
        settings, place = self.settings, self.place_of(target)
        if target.id.startswith("demo://"):
            settings = self._demo_settings()
        transport = self._ways[target.id] = connect(place, self._ssh, self._deadline, self._number(target))
        return Host(place, settings, transport, self.fleet)

    def _close(self, target: Target) -> None:
        if way := self._ways.pop(target.id, None):
            way.close()
        with suppress(OSError):
            disconnect(self._ssh, self._number(target))

    def _number(self, target: Target) -> int:
        return self._numbers[target.id]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {target.id: number for number, target in enumerate(self.targets)}

    def start_demo(self, targets: Iterable[Target]) -> None:
        """Have the demo's hosts up, if one of the targets is one. Raises UsageError when they do not come up."""
        if self.demo is None or not any(target.scheme == "demo" for target in targets):
            return
        from qualys_verify.standin.demo import Demo, DemoError, plan  # noqa: PLC0415  # only the demo needs it

        spec = self.demo
        try:
            self._demo = Demo.start(plan(spec.selection, spec.hosts, spec.delay, spec.faults))
        except DemoError as error:
            raise pytest.UsageError(str(error)) from error

    def stop_demo(self) -> None:
        """End the demo's hosts and clusters, where there are any."""
        for demo in (self._demo, self._clusters):
            if demo is not None:
                demo.close()

    def place_of(self, target: Target) -> Target:
        """How a target is reached: a demo host as the ssh target that it really is, with its agent's paths."""
        if target.scheme != "demo":
            return target
        assert self._demo is not None  # noqa: S101  # started before any host is opened
        host = next(host for host in self._demo.hosts if host.name == target.name)
        layout = replace(
            self.settings.layout,
            home=PurePosixPath(host.home) if host.home else None,
            configuration=PurePosixPath(host.configuration),
        )
        return replace(target, scheme="ssh", ssh_config=self._demo.ssh_config, layout=layout)

    def _demo_settings(self) -> Settings:
        """Polling as fast as the demo's scans are, unless the user says otherwise."""
        assert self.demo is not None  # noqa: S101  # only demo targets come here
        delay = DEMO_DELAY if self.demo.delay is None else self.demo.delay
        return replace(
            self.settings,
            poll_interval=self.settings.poll_interval or min(15.0, max(0.5, delay / 4)),
            poll_timeout=self.settings.poll_timeout or 3 * delay + 10,
        )


def _named(targets: Sequence[Target], redactor: Redactor, run: str) -> tuple[Target, ...]:
    """The targets under names that evidence may show.

    Two hosts whose names differ only in what is taken out must not become one, here or when runs are merged or compared:
    they get the run's id and a number.
    """
    shown = (redactor.clean(target.id) for target in targets)
    return tuple(
        target if name == target.id else replace(target, id=f"{name} ({run}-{number})")
        for number, (target, name) in enumerate(zip(targets, shown, strict=True), 1)
    )


def _short_directory() -> Path:
    """A folder for control sockets, whose paths may have some hundred characters at most."""
    usual = Path(tempfile.gettempdir())
    return Path(tempfile.mkdtemp(prefix="qv-", dir=usual if len(str(usual)) < _LONG else "/tmp"))  # noqa: S108  # mkdtemp makes it ours alone


def _demo_clusters(spec: DemoSpec, deadline: Deadline) -> "ClusterDemo | None":
    """The demo's clusters, which run already, because their hosts are found as those of any cluster are."""
    if find_spec("aiohttp") is None:
        raise TargetError(NO_DEMO)
    from qualys_verify.standin.bottlerocket import ClusterDemo, plan_clusters  # noqa: PLC0415  # only the demo needs it
    from qualys_verify.standin.process import DemoError  # noqa: PLC0415  # the same

    try:
        plan = plan_clusters(spec)
        return ClusterDemo(plan, deadline) if plan else None
    except (ValueError, DemoError) as error:
        raise TargetError(str(error)) from error


def _demo_targets(spec: DemoSpec) -> tuple[Target, ...]:
    from qualys_verify.standin.demo import plan  # noqa: PLC0415  # only the demo needs it

    if shutil.which("ssh") is None:
        raise TargetError("the demo needs the ssh command: install the OpenSSH client")
    try:
        hosts = plan(spec.selection, spec.hosts, spec.delay, spec.faults)
    except ValueError as error:
        raise TargetError(str(error)) from error
    return tuple(Target(f"demo://{host.name}", "demo", host.name) for host in hosts)


def reports_of(root: Path) -> Path:
    """`reports/` of the checkout; elsewhere (the installed suite, a foreign root) that of the current directory."""
    return (root if (root / "reports" / "README.md").is_file() else Path.cwd()) / "reports"
