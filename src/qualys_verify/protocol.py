"""How a test of the runbook is run: it reads finished values, and needs nothing of what pytest puts around a test that acts.

Pytest sets fixtures up and tears them down, captures output, and catches log records and warnings, in three phases: for a
thousand hosts that takes longer than looking at them. What others see of a test stays the same: its reports and their hooks.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import pytest

from qualys_verify.observation import FLEET, plan, value_of
from qualys_verify.targets import Target

# What pytest itself, or a plugin in its place, does around a test; whoever else has a say in it shall have it.
_AROUND = (
    "pytest_runtest_setup",
    "pytest_runtest_call",
    "pytest_runtest_teardown",
    "pytest_pyfunc_call",
    "pytest_fixture_setup",
    "pytest_fixture_post_finalizer",
)
# Their part is about tests that print, log, warn or are no plain functions.
_NOT_CONCERNED = ("_pytest.", "_hypothesis_pytestplugin")
_WATCHED = ("usepdb", "trace", "setupshow", "setuponly", "setupplan")
_BEHIND = frozenset({"target", "sightings", "request"})
_MARKS = frozenset({"trigger", "parametrize"})
# What ends the run and is no outcome of a test.
_ENDS = (KeyboardInterrupt, pytest.exit.Exception)
_HAS_COMPANY = pytest.StashKey[bool]()
# Whoever makes reports, and has nothing to say of a phase in which nothing was done and nothing went wrong.
_SAY_NOTHING = ("_pytest.", "_hypothesis_pytestplugin", "pytest_html.", "qualys_verify.")
_ARE_SILENT = pytest.StashKey[bool]()
_PLACES = pytest.StashKey[dict[Callable[..., object], tuple[str, int | None]]]()

Phase = Literal["setup", "call", "teardown"]


def only_reads(item: pytest.Item) -> bool:
    """Whether a test asks for what was seen and for nothing else, and nobody wants to see or change how it is set up."""
    return (
        isinstance(item, pytest.Function)
        and FLEET in item.config.stash
        and not _has_company(item.config)
        and all(map(_is_observation, _parameters(item)))
        and all(name in _BEHIND or _is_observation(name) for name in item.fixturenames)
        and all(mark.name in _MARKS for mark in item.iter_markers())
    )


def _parameters(item: pytest.Function) -> Sequence[str]:
    return item._fixtureinfo.argnames  # noqa: SLF001  # what pytest itself calls it with


def _is_observation(name: str) -> bool:
    return bool(plan((name,)))


def _has_company(config: pytest.Config) -> bool:
    if _HAS_COMPANY not in config.stash:
        config.stash[_HAS_COMPANY] = any(getattr(config.option, name, False) for name in _WATCHED) or not all(
            module.startswith(_NOT_CONCERNED) for module in _implementations(config, *_AROUND)
        )
    return config.stash[_HAS_COMPANY]


def _implementations(config: pytest.Config, *names: str) -> Sequence[str]:
    """The modules of all who have a say in these hooks."""
    return [impl.function.__module__ for name in names for impl in getattr(config.hook, name).get_hookimpls()]


def _are_silent(config: pytest.Config) -> bool:
    """Whether nobody adds to the report of a phase that has nothing to tell."""
    if _ARE_SILENT not in config.stash:
        makers = _implementations(config, "pytest_runtest_makereport")
        config.stash[_ARE_SILENT] = all(maker.startswith(_SAY_NOTHING) for maker in makers)
    return config.stash[_ARE_SILENT]


def _locate(item: pytest.Function) -> None:
    """A test stands at one place for all hosts; pytest would look it up for each."""
    places = item.config.stash.setdefault(_PLACES, {})
    if item.function in places:
        item.location = (*places[item.function], item.getmodpath())
    else:
        places[item.function] = item.location[:2]


def _forget(config: pytest.Config, report: pytest.TestReport) -> None:
    """Pytest's terminal keeps the reports that say nothing, too, until the end of the run."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    silent = reporter.stats.get("", []) if isinstance(reporter, pytest.TerminalReporter) else []
    if silent and silent[-1] is report:
        silent.pop()


def _make_report(item: pytest.Function, call: pytest.CallInfo[None]) -> pytest.TestReport:
    is_empty = call.when != "call" and call.excinfo is None and not item._report_sections  # noqa: SLF001  # of whoever adds some
    if is_empty and _are_silent(item.config):
        return pytest.TestReport.from_item_and_call(item, call)
    made: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return made


def run(item: pytest.Function, target: Target) -> None:
    """Run one; its phases, reports and their hooks are those of pytest."""
    sightings, hook = item.config.stash[FLEET], item.ihook
    given: dict[str, object] = {}

    def set_up() -> None:
        given.update((name, value_of(sightings.sighting(target, name))) for name in _parameters(item))

    def judge() -> None:
        item.obj(**given)

    def report(phase: Phase, act: Callable[[], None]) -> bool:
        call = pytest.CallInfo.from_call(act, phase, _ENDS)
        made = _make_report(item, call)
        hook.pytest_runtest_logreport(report=made)
        if made.passed and phase != "call":
            _forget(item.config, made)
        if not made.passed and not made.skipped:  # what is skipped or waived interests no debugger
            hook.pytest_exception_interact(node=item, call=call, report=made)
        return call.excinfo is None

    _locate(item)
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    if report("setup", set_up):
        report("call", judge)
    report("teardown", lambda: None)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
