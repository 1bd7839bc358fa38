"""pytest's hooks, handing on to the rooms that do the work."""

import signal
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

from qualys_verify.evidence.pytest_html import Page, name_report
from qualys_verify.evidence.terminal import for_encoding, render
from qualys_verify.findings import annotate, finding_of, missed, target_of
from qualys_verify.observation import FLEET, Observation, is_trigger, plan
from qualys_verify.progress import Ticker
from qualys_verify.run import DeadlineOver, Run, reports_of, settle_report
from qualys_verify.settings import add_options, host_specs, read_settings, refuse_foreign_options
from qualys_verify.targets import EXAMPLE, Target, select
from qualys_verify.verdict import Finding, Verdict, exit_status

RUN = pytest.StashKey[Run]()
HANDLERS = pytest.StashKey[dict[signal.Signals, Any]]()  # those that were there before
FINDINGS = pytest.StashKey[dict[str, Finding]]()

NO_HOSTS = f"no hosts to verify: name them, as in `pytest {EXAMPLE}`, or try `pytest --hosts=demo://`"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)  # before pytest-html reads its path
def pytest_configure(config: pytest.Config) -> None:
    """Read all options and host specs, so that whatever cannot be meant is said before any host is touched."""
    config.addinivalue_line(
        "markers", "trigger: makes the agent act; `-m 'not trigger'` only looks (as --read-only does)"
    )
    try:
        settings = read_settings(config)
        specs = host_specs(config)
        if not specs:
            return
        refuse_foreign_options(config)
        run = Run(settings, select(specs), settings.report_dir or reports_of(config.rootpath))
        if _will_look(config):
            name_report(config, run)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    findings: dict[str, Finding] = {}
    config.stash[RUN], config.stash[FLEET], config.stash[FINDINGS] = run, run.fleet, findings
    if config.pluginmanager.hasplugin("html"):
        config.pluginmanager.register(Page(run, findings, config), "qualys-verify-page")
    _collect_the_runbook(config)
    _leave_the_end_to_the_summary(config)


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


def pytest_sessionstart(session: pytest.Session) -> None:
    """A run that is told to end (by CI, by systemd) reports what it has seen, as after Ctrl-C."""
    if RUN in session.config.stash and threading.current_thread() is threading.main_thread():
        ends = (signal.SIGTERM, signal.SIGHUP)
        session.config.stash[HANDLERS] = {end: signal.signal(end, signal.default_int_handler) for end in ends}


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Look at all hosts at once; then have pytest's own loop judge what was seen.

    After Ctrl-C, SIGTERM or --deadline the loop still runs, on what was seen until then: every row is reported, and the run ends
    as interrupted.
    """
    run = session.config.stash.get(RUN, None)
    broken = session.testsfailed and not session.config.option.continue_on_collection_errors
    if run is None or broken or not _will_look(session.config):
        return (yield)
    _leave_out_file_names(session.config)
    try:
        with Ticker(session.config) as ticker:
            run.observe(_plans(session.items), ticker.show)
    except (KeyboardInterrupt, DeadlineOver) as reason:
        yield
        if isinstance(reason, DeadlineOver):
            pytest.exit(str(reason), returncode=int(pytest.ExitCode.INTERRUPTED))
        raise
    return (yield)


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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn each outcome into a finding: verdict, what was observed, and the transcript it rests on."""
    report = yield
    finding = finding_of(item, report, call.excinfo)
    if finding is not None:
        item.config.stash[FINDINGS][finding.nodeid] = finding
        annotate(report, finding)
    return report


@pytest.hookimpl(tryfirst=True)  # before the terminal and the report print the status
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Complete the ledger, and set the exit status that the verdicts ask for.

    What was selected and never came to a verdict (`-x`, Ctrl-C, a crash) is inconclusive, not absent.
    """
    findings = session.config.stash.get(FINDINGS, None)
    if findings is None or not _will_look(session.config):
        return
    for item in session.items:  # the ledger: what was expected, and the run did not come to
        finding = missed(item)
        if finding is not None:
            findings.setdefault(finding.nodeid, finding)
    if findings:
        verdicts = [finding.verdict for finding in findings.values()]
        own = sum(verdict in {Verdict.NON_COMPLIANT, Verdict.INCONCLUSIVE} for verdict in verdicts)
        if session.testsfailed <= own:  # otherwise a test that is not of the runbook failed, too
            session.exitstatus = exit_status(verdicts, int(exitstatus))


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Hosts by steps, and each problem once."""
    run, findings = config.stash.get(RUN, None), list(config.stash.get(FINDINGS, {}).values())
    if run is None or config.get_verbosity() < -1 or not _will_look(config):
        return
    if not findings:
        terminalreporter.write_line("Nothing was assessed: no sentence of the runbook was selected.")
        return
    note = (
        "This is the demo: it shows failures on purpose; demo://healthy ends green."
        if run.shows_failures_on_purpose
        else ""
    )
    width = max(60, min(120, terminalreporter._screen_width))  # noqa: SLF001  # has no public name
    terminalreporter.section("Qualys Cloud Agent runbook")
    summary = render(findings, run.still_open(findings), note, width=width, colour=terminalreporter.hasmarkup)
    terminalreporter.write(for_encoding(summary, getattr(sys.stdout, "encoding", None)))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Settle the report, once it is written."""
    for end, handler in config.stash.get(HANDLERS, {}).items():
        signal.signal(end, handler)
    run = config.stash.get(RUN, None)
    if run is not None and _will_look(config):
        settle_report(run.report, has_findings=bool(config.stash[FINDINGS]))
