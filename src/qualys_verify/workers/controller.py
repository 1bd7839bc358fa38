"""The controller of pytest-xdist's workers: it finds out who is looked at, shares out, and keeps the evidence."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread

import pytest
from execnet import HostNotFound, XSpec
from msgspec import structs
from xdist.dsession import DSession
from xdist.dsession import Interrupted as XdistInterrupted
from xdist.remote import Producer
from xdist.workermanage import WorkerController, parse_tx_spec_config

from qualys_verify.evidence.events import AnyEvent, Command, Identified, Reading
from qualys_verify.fleet import Progress, Visit
from qualys_verify.host import Claims, Record
from qualys_verify.progress import Ticker
from qualys_verify.recorder import Recorder
from qualys_verify.run import Run
from qualys_verify.scribe import reply_of
from qualys_verify.settings import given_options
from qualys_verify.verdict import Finding
from qualys_verify.workers import wire
from qualys_verify.workers.share import ByHost, shares

_TICK = 0.5
_BY_HAND = "stopped by the user or a signal"
_FROM = "looked at from"
_NOT_BEGUN = "another worker did not begin"


@dataclass
class _Member:
    """One worker, as the controller knows it. `place` is the machine that it is on, if not this one."""

    name: str
    place: str
    channel: wire.Channel
    hosts: tuple[str, ...] = ()
    at: Progress = field(default_factory=lambda: Progress(0, 0, ()))
    lost: str = ""
    _sending: Lock = field(default_factory=Lock)

    def tell(self, message: wire.ToWorker) -> None:
        """Tell it; one that is gone is found out elsewhere."""
        with self._sending, suppress(OSError):
            self.channel.send(wire.encode(message))


@dataclass
class _Evidence:
    """What the workers have said: findings by test id, and why it is not whole, if it is not."""

    recorder: Recorder
    findings: dict[str, Finding]
    told: dict[str, Mapping[str, str]]
    records: dict[tuple[str, str], Record] | None
    broken: str = ""

    def record(self, event: AnyEvent, place: str) -> None:
        """Into the journal; with the place that a host was looked at from, if it is another one than this run's."""
        if isinstance(event, Identified):
            event = structs.replace(event, facts=event.facts | ({_FROM: place} if place else {}))
            self.told[event.host] = event.facts
        if self.records is not None and isinstance(event, Command | Reading):
            _remember(self.records.setdefault((event.host, event.observation), Record()), event)
        self._keep(partial(self.recorder.write, event))

    def judge(self, finding: Finding) -> None:
        """Into the journal, and among what the run found."""
        self.findings[finding.nodeid] = finding
        self._keep(partial(self.recorder.scribe.judged, finding))

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:  # raised in a thread of execnet's, it would only close the channel
            self.broken = error.strerror or str(error)


def refuse_what_is_not_elsewhere(config: pytest.Config, run: Run) -> None:
    """Raises ValueError for a demo whose hosts a worker could not reach, and for paths that xdist could not translate."""
    specs = {text: XSpec(text) for text in parse_tx_spec_config(config)}
    elsewhere = [text for text, spec in specs.items() if not spec.popen or spec.chdir]
    if not elsewhere:
        return
    if run.demo is not None:
        raise ValueError(
            f"demo:// lives on this machine, and --tx={elsewhere[0]} is another one: use -n, or hosts that it reaches"
        )
    words = (str(word).partition("::")[0] for word in config.invocation_params.args)
    path = next((word for word in words if not word.startswith("-") and Path(word).exists()), None)
    if path is not None and not config.option.rsyncdir:
        raise ValueError(
            f"--tx={elsewhere[0]} has a checkout of its own, where {path} is not: call pytest in a checkout, without paths, and "
            "select with -k"
        )


class Controller:
    """pytest's and xdist's hooks in the process that has the workers."""

    def __init__(
        self,
        config: pytest.Config,
        run: Run,
        suite: str,
        findings: dict[str, Finding],
        begin: Callable[[Sequence[Finding]], Recorder],
    ) -> None:
        """`begin` opens the journal, when it is known what is expected; `findings` fills up as the workers judge."""
        self._config = config
        self._run = run
        self._suite = suite
        self._findings = findings
        self._open = begin
        self._members: dict[WorkerController, _Member] = {}
        self._claims = Claims()
        self._plan: tuple[Finding, ...] = ()
        self._evidence: _Evidence | None = None
        self._cut: wire.CutShort | None = None
        self._judging = Event()
        self._shown = Thread(target=self._show_progress, daemon=True)
        self._session: pytest.Session | None = None

    @property
    def broken(self) -> str:
        """Why the evidence is not whole; empty when it is."""
        return self._evidence.broken if self._evidence else ""

    @pytest.hookimpl
    def pytest_report_header(self) -> str:
        """Say what is different from one process, and from what xdist does otherwise."""
        workers, dist = len(parse_tx_spec_config(self._config)), self._config.option.dist
        other = "" if dist == "load" else f"; --dist={dist} does not apply"
        return (
            f"workers: {workers}, each with all tests of its hosts; one that is lost is not replaced{other}"
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionstart(self) -> Generator[None, None, None]:
        """Xdist starts the workers here; a machine that cannot be reached is one sentence."""
        try:
            yield
        except (HostNotFound, OSError, EOFError) as error:
            raise pytest.UsageError(
                f"no worker can be started there (--tx): {error}: is it reached by ssh without a prompt, and Python at python=?"
            ) from error

    @pytest.hookimpl
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hand a new worker the run, and a channel to talk over."""
        channel = node.gateway.newchannel()
        number = len(self._members)
        spec = node.gateway.spec
        place = "" if spec.popen else self._run.redactor.clean(str(spec.ssh or spec.socket or spec))
        member = self._members[node] = _Member(node.gateway.id, place, channel)
        channel.setcallback(partial(self._hear, member))
        handed = wire.Handed(
            run=self._run.id,
            started=self._run.started,
            targets=self._run.targets,
            demo=self._run.demo,
            left=self._run.time_left,
            workers=len(parse_tx_spec_config(self._config)),
            speaks_of_all=number == 0,
            suite=self._suite,
            options=given_options(self._config),
        )
        node.workerinput[wire.HANDED] = wire.encode(handed)
        node.workerinput[wire.CHANNEL] = channel

    @pytest.hookimpl
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> ByHost:
        """Ours, whatever `--dist` says."""
        del log
        return ByHost(len(parse_tx_spec_config(config)), self._begin)

    def _begin(
        self, nodes: Sequence[WorkerController]
    ) -> tuple[Mapping[WorkerController, Sequence[str]], Mapping[str, str]]:
        """Open the journal and let the workers look."""
        session = self._session
        assert session is not None  # noqa: S101  # xdist asks in the loop
        if session.testsfailed and not self._config.option.continue_on_collection_errors:
            errors = "1 error" if session.testsfailed == 1 else f"{session.testsfailed} errors"
            raise session.Interrupted(f"{errors} during collection")
        expected = dict.fromkeys(finding.target for finding in self._plan)
        named = [node for node in self._members if node in nodes]  # not as they came
        found = dict(zip(named, shares(tuple(expected), len(named)), strict=True))
        records = self._run.records if self._config.pluginmanager.hasplugin("qualys-verify-page") else None
        if self._plan:
            self._evidence = _Evidence(self._open(self._plan), self._findings, self._run.told, records)
        targets = {target.id: target for target in self._run.targets}
        self._run.start_demo([targets[name] for name in expected])
        for node, share in found.items():
            member = self._members[node]
            member.hosts, member.at = share, Progress(0, len(share), ())
            member.tell(wire.Begin(tuple(self._run.place_of(targets[name]) for name in share)))
        return found, {finding.nodeid: finding.target for finding in self._plan}

    def _hear(self, member: _Member, data: bytes) -> None:
        """Called in a thread of execnet's, in the order in which the worker sent."""
        message = wire.read_by_controller(data)
        match message:
            case wire.Plan(expected):
                self._plan = expected
            case wire.Claim(number, machine, target):
                member.tell(wire.Claimed(number, self._claims.claim(machine, target)))
            case wire.Looking(done, hosts, visits):
                now = time.monotonic()
                under_way = (Visit(item.target, now - item.age, item.observation) for item in visits)
                member.at = Progress(done, hosts, tuple(under_way))
            case wire.CutShort() if message.reason != _NOT_BEGUN:
                self._cut = self._cut or message
                if not message.by_deadline:  # the others have the same one
                    self._end(message.reason)
            case wire.Recorded(event) if self._evidence:
                self._evidence.record(event, member.place)
            case wire.Judged(finding) if self._evidence:
                self._judging.set()
                self._shown.join()  # it shares the terminal with what pytest prints of the verdict
                self._evidence.judge(finding)

    def _end(self, reason: str) -> None:
        for member in self._members.values():
            member.tell(wire.End(reason))

    @pytest.hookimpl
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """A worker has ended; with an error, it is lost. Before all have begun, that is the end for all."""
        member = self._members[node]
        member.at = Progress(member.at.hosts, member.at.hosts, ())
        said = getattr(node, "workeroutput", {}).get(wire.USAGE, "")
        if said or error:
            why = " ".join(said.split()) or str(error).strip().splitlines()[-1]
            member.lost = self._run.redactor.clean(why)
            if self._evidence is None:
                self._end(_NOT_BEGUN)
                self._xdist.triggershutdown()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Have xdist wait for the workers, and say of every host of a lost one that it was not seen.

        After Ctrl-C or a signal the workers are told to stop looking, and report every row; a second one ends at once.
        """
        self._session = session
        self._shown.start()
        try:
            done = yield
        except XdistInterrupted as reason:
            self._report_lost()
            if self._cut is None and "keyboard-interrupt" not in str(reason):  # -x, --maxfail
                raise session.Failed(str(reason)) from reason
            raise
        except BaseException as reason:
            if isinstance(reason, KeyboardInterrupt):
                self._cut = self._cut or wire.CutShort(str(reason) or _BY_HAND, by_deadline=False)
            self._end(str(reason) or _BY_HAND)
            self._wait_for_workers()
            self._report_lost()
            raise
        finally:
            self._judging.set()
            self._shown.join()
            self._run.stop_demo()
        self._report_lost()
        if self._cut is not None:
            pytest.exit(self._cut.reason, returncode=int(pytest.ExitCode.INTERRUPTED))
        return done

    @property
    def interrupted(self) -> str:
        """Why the run ended early; empty when it did not."""
        return self._cut.reason if self._cut else ""

    @property
    def _xdist(self) -> DSession:
        """The session that xdist has itself, which is there as soon as there are workers."""
        found = self._config.pluginmanager.get_plugin("dsession")
        assert isinstance(found, DSession)  # noqa: S101  # see above
        return found

    def _wait_for_workers(self) -> None:
        self._xdist.triggershutdown()
        while not self._xdist.session_finished:
            self._xdist.loop_once()

    def _report_lost(self) -> None:
        """A row for each test that a lost worker did not come to; before anything was begun, it is a usage error."""
        lost = [member for member in self._members.values() if member.lost]
        if lost and self._evidence is None and self._cut is None:
            raise pytest.UsageError(f"the worker {lost[0].name} did not begin: {_sentence(lost[0].lost)}")
        for member in lost:
            mine = set(member.hosts)
            for finding in self._plan:
                if finding.target in mine and finding.nodeid not in self._findings:
                    self._report_unseen(member, finding)

    def _report_unseen(self, member: _Member, finding: Finding) -> None:
        reason = (
            f"{finding.target}: not assessed, its worker {member.name} was lost ({member.lost}); no other one looks at it, "
            "because its agent may have been asked already: run it again"
        )
        assert self._evidence is not None  # noqa: S101  # the caller has looked
        self._evidence.judge(replace(finding, reason=reason))
        location = (finding.nodeid.partition("::")[0], None, finding.nodeid.partition("::")[2])
        report = pytest.TestReport(
            finding.nodeid, location, {}, "failed", longrepr=reason, when="setup", start=time.time()
        )
        hook = self._config.hook
        hook.pytest_runtest_logstart(nodeid=finding.nodeid, location=location)
        hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=finding.nodeid, location=location)

    def _show_progress(self) -> None:
        """Until the first verdict: from then on pytest has something to print."""
        with Ticker(self._config) as ticker:
            while not self._judging.wait(_TICK):
                progress = _sum(tuple(self._members.values()))
                if progress.hosts:
                    ticker.show(progress)


def _remember(record: Record, event: Command | Reading) -> None:
    """For pytest-html's page, which shows transcripts before the journal is read again."""
    if isinstance(event, Reading):
        record.readings.append(f"{event.at:%Y-%m-%dT%H:%M:%SZ}  {event.text}")
    else:
        record.replies.append(reply_of(event))


def _sum(members: Sequence[_Member]) -> Progress:
    return Progress(
        sum(member.at.done for member in members),
        sum(member.at.hosts for member in members),
        [visit for member in members for visit in member.at.visits],
    )


def _sentence(error: str) -> str:
    """Without the name of the exception that carried it."""
    return error.rpartition("UsageError: ")[2]
