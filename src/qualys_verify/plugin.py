"""pytest's hooks, handing on to the rooms that do the work."""

import signal
import threading
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.terminal import TerminalReporter

from qualys_verify import memory, protocol
from qualys_verify.evidence.pytest_html import MOST_HOSTS, Page, name_page
from qualys_verify.evidence.redaction import Redactor, load_rules
from qualys_verify.evidence.signature import try_key
from qualys_verify.findings import annotate, finding_of, missed, redact, target_of, waive
from qualys_verify.looking import Looking
from qualys_verify.meanwhile import meanwhile
from qualys_verify.names import without_pod
from qualys_verify.observation import FLEET, Observation, Sightings, is_trigger, plan
from qualys_verify.progress import Ticker
from qualys_verify.provenance import Provenance, provenance_of, runbook_digest
from qualys_verify.recorder import Opening, Recorder, redacted
from qualys_verify.run import DeadlineOver, Run, reports_of
from qualys_verify.scribe import JournalScribe
from qualys_verify.settings import (
    Settings,
    add_options,
    given_options,
    host_specs,
    limit_workers,
    read_settings,
    refuse_foreign_options,
    wants_workers,
)
from qualys_verify.targets import EXAMPLE, Target, select
from qualys_verify.verdict import Finding, Verdict, exit_status
from qualys_verify.waivers import covering
from qualys_verify.workers import wire
from qualys_verify.workers.worker import Link, Worker, WorkerRun, is_worker

if TYPE_CHECKING:
    from qualys_verify.ending import Sealed

RUN = pytest.StashKey[Run]()
RECORDER = pytest.StashKey[Recorder]()
SCRIBE = pytest.StashKey[JournalScribe]()  # who writes down each verdict: the recorder's, or a worker's
EXPECTED = pytest.StashKey[list[Finding]]()  # the ledger, where workers have the tests
PROVENANCE = pytest.StashKey[Future[Provenance]]()
SEALED: "pytest.StashKey[Sealed]" = pytest.StashKey()
INTERRUPTED = pytest.StashKey[str]()  # why the run ended early
UNSEALED = pytest.StashKey[str]()  # why the evidence is not whole
HANDLERS = pytest.StashKey[dict[signal.Signals, Any]]()  # those that were there before
FINDINGS = pytest.StashKey[dict[str, Finding]]()

NO_HOSTS = f"no hosts to verify: name them, as in `pytest {EXAMPLE}`, or try `pytest --hosts=demo://`"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)  # before pytest-html reads its path
def pytest_configure(config: pytest.Config) -> None:
    """Read all options and host specs, so that whatever cannot be meant is said before any host is touched."""
    memory.let_go_of_earlier_runs()
    config.addinivalue_line(
        "markers", "trigger: makes the agent act; `-m 'not trigger'` only looks (as --read-only does)"
    )
    try:
        settings = read_settings(config)
        if is_worker(config):
            _begin_worker(config, settings)
            return
        specs = host_specs(config)
        if not specs:
            return
        refuse_foreign_options(config)
        _end_in_order(config)
        run = Run(settings, select(specs), settings.report_dir or reports_of(config.rootpath))
        if not run.targets:
            run.stop_demo()
            pytest.exit(_no_host_in_shard(run), returncode=int(pytest.ExitCode.NO_TESTS_COLLECTED))
        has_workers = wants_workers(config) and _will_look(config)
        if has_workers:
            _limit_workers(config, run)
        if _will_look(config):
            _check_evidence(run)
            name_page(config, run)
            config.stash[PROVENANCE] = meanwhile(partial(provenance_of, runbook_of(config)))
    except ValueError as error:
        raise pytest.UsageError(Redactor(load_rules()).clean(str(error))) from error
    findings: dict[str, Finding] = {}
    config.stash[RUN], config.stash[FLEET], config.stash[FINDINGS] = run, run.fleet, findings
    if getattr(config.option, "htmlpath", None):
        config.pluginmanager.register(Page(run, findings, config), "qualys-verify-page")
    config.pluginmanager.register(Sealing(), "qualys-verify-sealing")
    _collect_the_runbook(config)
    _leave_the_end_to_the_summary(config)
    if has_workers:
        _share_out(config, run)
    elif hasattr(config.option, "dist"):
        config.option.dist = "no"  # xdist would start workers to look at nothing


def _begin_worker(config: pytest.Config, settings: Settings) -> None:
    """A worker of xdist's is given its hosts, and leaves the evidence to the controller. Without hosts it is any worker.

    Raises ValueError when it would look or judge otherwise than the controller's run is to.
    """
    given = config.workerinput  # type: ignore[attr-defined]  # xdist's, in workers only
    if wire.HANDED not in given:
        return
    handed = wire.read_handed(given[wire.HANDED])
    refuse_foreign_options(config)
    if handed.suite != _suite_of(config):
        raise ValueError(
            f"its suite is {_suite_of(config)}, and the controller's {handed.suite}: install the same there"
        )
    if handed.options != given_options(config):
        names = {name for name, _ in handed.options.items() ^ given_options(config).items()}
        raise ValueError(
            f"it has another --{min(names)} than the controller: say it on the command line, which workers get"
        )
    _end_in_order(config)
    run, link = WorkerRun(settings, handed), Link(given[wire.CHANNEL])
    run.fleet.claims = link
    worker = Worker(run, link, handed, _plans)
    config.stash[RUN], config.stash[FLEET], config.stash[FINDINGS] = run, run.fleet, {}
    config.stash[SCRIBE] = worker.scribe
    config.pluginmanager.register(worker, "qualys-verify-worker")
    _collect_the_runbook(config)
    _leave_the_end_to_the_summary(config)


def _limit_workers(config: pytest.Config, run: Run) -> None:
    """No more workers than hosts, and none where they could not reach the hosts. Raises ValueError."""
    from qualys_verify.workers.controller import refuse_what_is_not_elsewhere  # noqa: PLC0415  # xdist is an extra

    limit_workers(config, len(run.targets))
    refuse_what_is_not_elsewhere(config, run)


def _share_out(config: pytest.Config, run: Run) -> None:
    """Have xdist's workers (`-n`, `--tx`) share the hosts as our controller says."""
    from qualys_verify.workers.controller import Controller  # noqa: PLC0415  # xdist is an extra

    def begin(expected: Sequence[Finding]) -> Recorder:
        config.stash[EXPECTED] = list(expected)
        return _begin(config, run, expected)

    controller = Controller(config, run, _suite_of(config), config.stash[FINDINGS], begin)
    config.pluginmanager.register(controller, "qualys-verify-workers")


def _suite_of(config: pytest.Config) -> str:
    """Which suite this is: by two that are the same the same tests judge."""
    return f"{version('qualys-verify')} with the runbook {runbook_digest(runbook_of(config))[:16]}"


def _no_host_in_shard(run: Run) -> str:
    return f"--shard={run.settings.shard} has no host: there are {run.inventory.hosts}, which the shards before it look at"


def _end_in_order(config: pytest.Config) -> None:
    """A run that is told to end (by CI, by systemd) reports what it has seen, and ends its clients, as after Ctrl-C.

    From here on, because a search for pods starts some.
    """
    if threading.current_thread() is threading.main_thread():
        ends = (signal.SIGTERM, signal.SIGHUP)
        config.stash[HANDLERS] = {end: signal.signal(end, signal.default_int_handler) for end in ends}


def _check_evidence(run: Run) -> None:
    """Raise ValueError when the evidence could not be kept or signed: no host is worth touching then."""
    try:
        run.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".writable-", dir=run.folder.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"no evidence can be written to {run.folder.parent} ({error.strerror}): name another folder with --report-dir"
        ) from error
    key = run.settings.evidence.seal.key
    if key is not None:
        try_key(key)


@pytest.hookimpl(wrapper=True)
def pytest_report_header(
    config: pytest.Config,
) -> Generator[None, list[str | list[str]], list[str | list[str]]]:
    """Other plugins print the environment of a pipeline with `-v`, and what is secret in it."""
    headers = yield
    run = config.stash.get(RUN, None)
    if run is None or is_worker(config):
        return headers
    clean = run.redactor.clean
    if not _will_look(config):  # otherwise the summary says it
        headers += [f"{target.id}: {target.unseen}" for target in run.targets if target.unseen]
    return [clean(head) if isinstance(head, str) else list(map(clean, head)) for head in headers]


def _will_look(config: pytest.Config) -> bool:
    """Whether hosts are looked at: not when pytest is only asked what it would do."""
    asked = ("collectonly", "setupplan", "setuponly", "showfixtures", "show_fixtures_per_test")
    return not any(getattr(config.option, name, False) for name in asked)


def _collect_the_runbook(config: pytest.Config) -> None:
    """Where neither the command line nor a configuration says what to collect, it is the runbook.

    A `pytest.ini` of the user's own replaces the one that says so.
    """
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        config.args = [str(runbook_of(config) / "tests_agent")]


def runbook_of(config: pytest.Config) -> Path:
    """The folder with the `conftest.py` that loaded this plugin: a checkout, or the installed package's."""
    found = next(
        plugin for _, plugin in config.pluginmanager.list_name_plugin() if getattr(plugin, "RUNBOOK", False)
    )
    return Path(str(getattr(found, "__file__", ""))).parent


def _leave_the_end_to_the_summary(config: pytest.Config) -> None:
    """The summary names each problem once with its hosts; a traceback and a line for each host would bury it."""
    if getattr(config.option, "tbstyle", None) == "auto":
        config.option.tbstyle = "no"
    if getattr(config.option, "reportchars", None) == "fE":  # pytest's default
        config.option.reportchars = ""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the runbook runs for each target; all tests of a target stand together."""
    if "target" in metafunc.fixturenames:
        run = metafunc.config.stash.get(RUN, None)
        targets = run.targets if run else ()
        metafunc.parametrize("target", targets, ids=[target.id for target in targets], scope="session")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """The host that a test is about."""
    value: Target = request.param
    return value


@pytest.fixture(scope="session")
def sightings(request: pytest.FixtureRequest) -> Sightings:
    """What was seen of all hosts."""
    return request.config.stash[FLEET]


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a run without hosts, and mark the tests that make the agent act."""
    of_runbook = [
        item for item in items if isinstance(item, pytest.Function) and "target" in item.fixturenames
    ]
    if of_runbook and RUN not in config.stash:
        raise pytest.UsageError(NO_HOSTS)
    for item in of_runbook:
        if is_trigger(item.fixturenames):
            item.add_marker("trigger")
    memory.share_callspecs(of_runbook)
    _refuse_replaced_pods(config)


def _refuse_replaced_pods(config: pytest.Config) -> None:
    """`--lf` where a node has another pod than when it failed: pytest would leave it out, or run everything."""
    run = config.stash.get(RUN, None)
    cache = getattr(config, "cache", None)  # there is none with `-p no:cacheprovider`
    if run is None or cache is None or not config.getoption("lf", default=False):
        return
    failed = {name.partition("[")[2].removesuffix("]") for name in cache.get("cache/lastfailed", {})}
    now = {without_pod(target.id): target.id for target in run.targets}
    for host in sorted(failed - set(now.values())):
        if without_pod(host) != host and without_pod(host) in now:
            raise pytest.UsageError(
                f"--lf: {host} failed before, and its node has another pod now, {now[without_pod(host)]}: look at that one by "
                "its name (--hosts), or at everything, with --cache-clear instead of --lf"
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Look at all hosts at once, while pytest's own loop judges what was seen of those that are done.

    After Ctrl-C, SIGTERM or --deadline the loop still runs, on what was seen until then: every row is reported, and the run ends
    as interrupted.
    """
    run = session.config.stash.get(RUN, None)
    if isinstance(run, WorkerRun):  # it has a loop of its own
        return (yield)
    broken = session.testsfailed and not session.config.option.continue_on_collection_errors
    if run is None or broken or not session.items or not _will_look(session.config):
        return (yield)
    _leave_out_file_names(session.config)
    # Before the journal: who is interrupted while this is made has looked at nothing.
    ticker = Ticker(session.config)
    expected = (missed(item) for item in session.items)
    recorder = _begin(session.config, run, (finding for finding in expected if finding is not None))
    observing = run.observing(_plans(session.items), ticker.show, recorder.scribe)
    looking = Looking(session, run.fleet, observing, ticker)
    try:
        with looking:
            done = yield
    finally:
        session.config.stash[INTERRUPTED] = looking.why_cut_short
    if isinstance(looking.cut_short, DeadlineOver):
        pytest.exit(looking.why_cut_short, returncode=int(pytest.ExitCode.INTERRUPTED))
    if looking.cut_short is not None:
        raise looking.cut_short
    return done


def _begin(config: pytest.Config, run: Run, expected: Iterable[Finding]) -> Recorder:
    """The journal, with who runs what and what is expected of which host."""
    has_page = config.pluginmanager.hasplugin(
        "qualys-verify-page"
    )  # it shows transcripts before the journal is read
    recorder = Recorder(run.folder, run.redactor, run.settings.evidence, keeps_replies=has_page)
    opening = Opening(
        id=run.id,
        started=run.started,
        command=("pytest", *map(str, config.invocation_params.args)),
        options=given_options(config),
        provenance=config.stash[PROVENANCE].result(),
        version=version("qualys-verify"),
        scan_types=tuple(run.settings.scan_types),
        read_only=run.settings.read_only,
        shard=run.settings.shard,
        inventory=run.inventory,
    )
    recorder.begin(opening, expected)
    config.stash[RECORDER], config.stash[SCRIBE] = recorder, recorder.scribe
    return recorder


def _leave_out_file_names(config: pytest.Config) -> None:
    """Without `-v` a character a test: its file would be named again for every host."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if isinstance(reporter, TerminalReporter) and config.get_verbosity() == 0:
        reporter.showfspath = False


def _plans(items: list[pytest.Item]) -> dict[Target, tuple[Observation, ...]]:
    """What the selected tests ask for, target by target; what nobody asks for is neither seen nor triggered."""
    asked: dict[Target, set[str]] = {}
    for item in items:
        found = target_of(item)
        if found is not None and isinstance(item, pytest.Function):
            asked.setdefault(found, set()).update(item.fixturenames)
    return {found: plan(names) for found, names in asked.items()}


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Load what takes long meanwhile: from here on pytest knows which modules it is to rewrite, and asks in any thread."""
    run = collector.config.stash.get(RUN, None)
    has_workers = collector.config.pluginmanager.hasplugin("qualys-verify-workers")
    if isinstance(collector, pytest.Session) and run and _will_look(collector.config) and not has_workers:
        run.prepare()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """A worker that finds nothing that it could run says why: xdist would only say that it ended."""
    try:
        if RUN not in session.config.stash:
            return (yield)
        with memory.nothing_is_garbage():
            return (yield)
    except pytest.UsageError as error:
        if is_worker(session.config):
            session.config.workeroutput[wire.USAGE] = str(error)  # type: ignore[attr-defined]  # xdist's
        raise


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401  # xdist is an extra
    """Workers of a run without hosts say so once, not each."""
    said = getattr(node, "workeroutput", {}).get(wire.USAGE, "")
    if said == NO_HOSTS:
        raise pytest.UsageError(said)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Tests that only read what was seen are run without what pytest puts around others."""
    target = target_of(item)
    if target is None or not isinstance(item, pytest.Function) or not protocol.only_reads(item):
        return None
    protocol.run(item, target)
    return True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn each outcome into a finding: verdict, what was observed, and the observations it rests on."""
    report = yield
    run, scribe = item.config.stash.get(RUN, None), item.config.stash.get(SCRIBE, None)
    if run is None or scribe is None:
        return report
    finding = finding_of(item, report, call.excinfo)
    about = finding.target if finding else ""
    redact(report, partial(run.redactor.clean_about, about))
    if finding is not None:
        finding = redacted(finding, run.redactor)
        waiver = covering(run.settings.evidence.waivers, finding, run.started)
        if waiver is not None:
            finding = waive(report, finding, waiver)
        item.config.stash[FINDINGS][finding.nodeid] = finding
        scribe.judged(finding)
        annotate(report, finding)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None, object, object]:
    """Complete the ledger, and set the exit status that the verdicts ask for, before the terminal prints it.

    What was selected and never came to a verdict (`-x`, Ctrl-C, a crash) is inconclusive, not absent.
    """
    recorder = session.config.stash.get(RECORDER, None)
    if recorder is not None:
        try:
            _settle_status(session, recorder, exitstatus)
        except OSError as error:
            session.config.stash[UNSEALED] = f"the journal cannot be written ({error.strerror})"
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
    return (yield)


def _settle_status(session: pytest.Session, recorder: Recorder, exitstatus: int) -> None:
    config = session.config
    findings, run = config.stash[FINDINGS], config.stash[RUN]
    for expected in config.stash.get(EXPECTED, ()):  # what workers found, in the order of the plan
        if expected.nodeid in findings:
            findings[expected.nodeid] = findings.pop(expected.nodeid)
        else:
            findings[expected.nodeid] = expected
            recorder.scribe.judged(expected)
    for item in session.items:  # the ledger: what was expected, and the run did not come to
        finding = None if item.nodeid in findings else missed(item)
        if finding is not None:
            findings[finding.nodeid] = redacted(finding, run.redactor)
            recorder.scribe.judged(findings[finding.nodeid])
    if findings:
        verdicts = [finding.verdict for finding in findings.values()]
        own = sum(verdict in {Verdict.NON_COMPLIANT, Verdict.INCONCLUSIVE} for verdict in verdicts)
        if session.testsfailed <= own:  # otherwise a test that is not of the runbook failed, too
            session.exitstatus = exit_status(verdicts, int(exitstatus))
    workers = config.pluginmanager.get_plugin("qualys-verify-workers")
    if workers is not None:
        config.stash[INTERRUPTED] = workers.interrupted
        if workers.broken:
            raise OSError(0, workers.broken)
    recorder.end(int(session.exitstatus), config.stash.get(INTERRUPTED, ""))


class Sealing:
    """Renders and seals the evidence when every other plugin has written its own, and before the terminal's summary."""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """A run whose evidence cannot be kept does not end well, whatever was seen."""
        done = yield
        recorder = session.config.stash.get(RECORDER, None)
        if recorder is not None:
            memory.let_go_of_items(session)
            run = session.config.stash[RUN]
            try:
                from qualys_verify.ending import seal  # noqa: PLC0415  # with rich and the page, which take their time

                session.config.stash[SEALED] = seal(recorder.folder, run.settings.evidence)
            except Exception as error:  # noqa: BLE001  # whatever it is, what was seen is told, and why there is no more of it
                session.config.stash[UNSEALED] = run.redactor.clean(_why_unsealed(error, recorder.folder))
                session.exitstatus = session.exitstatus or pytest.ExitCode.INTERNAL_ERROR
        return done


def _why_unsealed(error: Exception, folder: Path) -> str:
    """A package that is replaced while the run goes on can be one that does not fit what is loaded already."""
    if isinstance(error, OSError | ValueError) and str(error):
        return str(error)
    return (
        f"{error!r} inside qualys-verify, which may have been replaced meanwhile: with a whole installation "
        f"`qualys-verify render {folder}` makes the rest"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Hosts by steps, and each problem once."""
    run, findings = config.stash.get(RUN, None), list(config.stash.get(FINDINGS, {}).values())
    if run is None or is_worker(config) or config.get_verbosity() < -1 or not _will_look(config):
        return
    if not findings:
        terminalreporter.write_line("Nothing was assessed: no sentence of the runbook was selected.")
        return
    unsealed = config.stash.get(UNSEALED, "")
    try:
        from qualys_verify.ending import summarise  # noqa: PLC0415  # with rich and the page, which take their time
    except Exception:  # noqa: BLE001  # told in `unsealed`, which it kept from being sealed
        terminalreporter.write_line(f"The evidence is not whole: {unsealed}", red=True)
        terminalreporter.write_line(f"Evidence: {run.folder}")
        return
    summarise(terminalreporter, run, findings, config.stash.get(SEALED, None), unsealed)
    if len(run.targets) > MOST_HOSTS and not getattr(config.option, "htmlpath", None):
        terminalreporter.write_line(
            f"  no pytest.html above {MOST_HOSTS} hosts, it opens slowly: --html=PATH writes it"
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the signals back; a run that looked at nothing leaves no empty folder."""
    for end, handler in config.stash.get(HANDLERS, {}).items():
        signal.signal(end, handler)
    run = config.stash.get(RUN, None)
    if run is not None and not is_worker(config):
        with suppress(OSError):
            run.folder.rmdir()
        memory.keep()  # the process ends: pytest's own end, which collects garbage five times over, has nothing to look through
