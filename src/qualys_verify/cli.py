"""The command `qualys-verify`: the same suite outside a checkout, and what goes with it."""

import argparse
import sys
import tomllib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pytest

from qualys_verify.agent.commands import as_root
from qualys_verify.agent.configuration import Configuration
from qualys_verify.agent.layout import Layout
from qualys_verify.evidence_commands import add_commands
from qualys_verify.settings import OPTIONS, Option
from qualys_verify.standin.faults import as_json as faults_as_json
from qualys_verify.standin.faults import as_text as faults_as_text
from qualys_verify.sudoers import allow_list

_PACKAGE = Path(__file__).resolve().parent
# What of a run's options decides which commands it runs as root.
_OF_SUDOERS = (
    "agent-home",
    "agent-config",
    "agent-hostid",
    "agent-log",
    "scan-type",
    "cputhrottle",
    "command-timeout",
)
# This command has imported plugins of pytest before pytest could; none of them asserts anything.
_QUIET = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")


def runbook() -> Path:
    """Where `conftest.py`, `tests_agent/` and `fixtures/` are: inside the installed package, or in the checkout."""
    installed = _PACKAGE / "runbook"
    return installed if installed.is_dir() else _PACKAGE.parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"]:  # everything after it is pytest's
        return run(words[1:])
    parsed = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = parsed.command
    return command(parsed)


class _Parser(argparse.ArgumentParser):
    """Usage errors end as pytest's do; 2 is an interrupted run."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end."""
        self.print_usage(sys.stderr)
        self.exit(int(pytest.ExitCode.USAGE_ERROR), f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="qualys-verify", description=__doc__)
    parser.add_argument("--version", action="version", version=f"qualys-verify {version('qualys-verify')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser(
        "run",
        help="verify hosts; takes pytest's options, such as --hosts=ssh://ops@web1 (all of them: qualys-verify run --help)",
    )
    sudoers = commands.add_parser(
        "sudoers",
        help="print the sudo rules that a login needs on the hosts, and nothing more",
        description="Print a sudoers file that allows exactly what a run with the same options does as root.",
    )
    sudoers.add_argument(
        "--user", required=True, help="the login on the hosts; %%group and #uid as in sudoers"
    )
    for option in OPTIONS:
        if option.name in _OF_SUDOERS:
            default = option.read(option.default)
            sudoers.add_argument(f"--{option.name}", type=_type(option), default=default, help=option.help)
    sudoers.set_defaults(command=print_sudoers)
    faults = commands.add_parser(
        "faults", help="list what can be wrong with the demo's hosts (demo://?faults=NAME,NAME)"
    )
    faults.add_argument(
        "--json", action="store_true", help="as a list of objects with name, healthy and sentence"
    )
    faults.set_defaults(command=print_faults)
    add_commands(commands)
    return parser


def _type(option: Option) -> Callable[[str], object]:
    """The option's reader, for argparse."""

    def read(text: str) -> object:
        try:
            return option.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def run(options: Sequence[str]) -> int:
    """Run the runbook with pytest's options; reports and cache go below the current directory."""
    here, home = Path.cwd(), runbook()
    settings = [f"--rootdir={home}", "-o", f"cache_dir={here / '.pytest_cache'}", *_QUIET]
    if configuration := _configuration(here):
        settings.append(f"--config-file={configuration}")
    return int(pytest.main([*settings, *options, str(home / "tests_agent")]))


def _configuration(folder: Path) -> Path | None:
    """The file in a folder that pytest would take its settings from; the runbook's own folder is not the user's."""
    candidates = (folder / name for name in ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"))
    found = next((path for path in candidates if path.is_file()), None)
    if found is None and (project := folder / "pyproject.toml").is_file():
        tools = tomllib.loads(project.read_text("utf-8")).get("tool", {})
        return project if "pytest" in tools else None
    return found


def print_sudoers(parsed: argparse.Namespace) -> int:
    """`qualys-verify sudoers --user ops`."""
    layout = Layout(
        home=parsed.agent_home,
        configuration=parsed.agent_config,
        hostid=parsed.agent_hostid,
        log=parsed.agent_log,
    )
    commands = as_root(layout, layout.log_of(Configuration()), parsed.scan_type, parsed.cputhrottle)
    try:
        sys.stdout.write(allow_list(parsed.user, commands, parsed.command_timeout))
    except ValueError as error:
        sys.stderr.write(f"qualys-verify sudoers: {error}\n")
        return int(pytest.ExitCode.USAGE_ERROR)
    return 0


def print_faults(parsed: argparse.Namespace) -> int:
    """`qualys-verify faults`."""
    sys.stdout.write(faults_as_json() if parsed.json else faults_as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
