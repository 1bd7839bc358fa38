"""What a user would pick instead: pytest-testinfra, Ansible, Serverspec, each as its own documentation recommends."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.checks import CHECKS, Verdicts
from bench.hosts import Hosts, Member
from bench.sides.base import WITHOUT, Side, packages, program_path, says

_FILES = Path(__file__).resolve().parents[1] / "files"


class Testinfra(Side):
    """pytest-testinfra as it comes: one host after another, a connection for each command."""

    name = "testinfra"
    title = "pytest-testinfra"
    needs = ("ssh",)
    how = "as it comes: `pytest --hosts=ssh://…`, one check after another"
    workers = 0
    shared = False

    def versions(self) -> str:
        """Of pytest and its plugins."""
        return packages("pytest", "pytest-testinfra", *(("pytest-xdist",) if self.workers else ()))

    def command(self, hosts: Hosts, members: Sequence[Member], folder: Path) -> list[str]:
        """A test for each check."""
        checks = json.dumps([[check.name, check.command, check.expected] for check in CHECKS])
        (folder / "checks.json").write_text(checks, encoding="utf-8")
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="ascii")
        test = folder / "test_agent.py"
        test.write_text((_FILES / "testinfra_checks.py").read_text(encoding="utf-8"), encoding="utf-8")
        config = folder / "ssh_config"
        shared = f"Host *\n    ControlPath {folder}/%C\n" if self.shared else ""
        config.write_text(hosts.ssh_config.read_text(encoding="utf-8") + shared, encoding="utf-8")
        return [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "--tb=no",
                "-p",
                "no:cacheprovider",
                f"--rootdir={folder}",
            ),
            *WITHOUT,
            *(["-n", str(self.workers)] if self.workers else []),
            *(f"--ssh-config={config}", f"--junitxml={folder}/junit.xml"),
            f"--hosts={','.join(f'ssh://{member.address}' for member in members)}",
            str(test),
        ]

    def verdicts(self, members: Sequence[Member], folder: Path) -> Verdicts:
        """By JUnit."""
        found: dict[str, dict[str, bool]] = defaultdict(dict)
        for case in ET.parse(folder / "junit.xml").iter("testcase"):  # noqa: S314  # of our own making
            match = re.fullmatch(r"test_check\[ssh://([\d.]+)-(.+)\]", case.attrib["name"])
            if match:
                found[match[1]][match[2]] = case.find("failure") is None
        return _failing(found, members)


class TestinfraShared(Testinfra):
    """With what makes it fast: a shared connection for each host, and eight workers."""

    name = "testinfra-shared"
    title = "pytest-testinfra, ControlPath, `-n 8`"
    how = "with a `ControlPath` in the SSH configuration and eight workers of pytest-xdist"
    workers = 8
    shared = True


class Ansible(Side):
    """A playbook with a task for each check."""

    name = "ansible"
    title = "Ansible, `forks=50`, pipelining"
    needs = ("ansible-playbook", "ssh")
    how = "a playbook with a task for each check, no facts gathered, `forks=50`, pipelining, shared connections as is its default"
    limit = 1800.0

    def versions(self) -> str:
        """Of the core."""
        return packages("ansible-core")

    def command(self, hosts: Hosts, members: Sequence[Member], folder: Path) -> list[str]:
        """Settings go into an ansible.cfg of the folder's own."""
        plugins = folder / "callback_plugins"
        plugins.mkdir()
        (plugins / "bench.py").write_text(
            (_FILES / "ansible_callback.py").read_text(encoding="utf-8"), encoding="utf-8"
        )
        (folder / "hosts.ini").write_text(
            "".join(f"{member.address}\n" for member in members), encoding="ascii"
        )
        tasks = [
            {
                "name": check.name,
                "ansible.builtin.shell": check.command,
                "register": "answer",
                "changed_when": False,
                "failed_when": f"answer.stdout is not search('{check.expected}')",
                "ignore_errors": True,
            }
            for check in CHECKS
        ]
        play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
        (folder / "play.yml").write_text(json.dumps(play, indent=1), encoding="utf-8")
        (folder / "ansible.cfg").write_text(
            f"[defaults]\nforks=50\nretry_files_enabled=False\ncallback_plugins={plugins}\ncallbacks_enabled=bench\n"
            f"interpreter_python=/usr/bin/python3\nlocal_tmp={folder}/local\n"
            f"[ssh_connection]\npipelining=True\ncontrol_path_dir={folder}/cp\n"
            f"ssh_args=-F {hosts.ssh_config} -o ControlMaster=auto -o ControlPersist=60s\n",
            encoding="utf-8",
        )
        playbook = program_path("ansible-playbook") or "ansible-playbook"
        return [
            *("env", f"ANSIBLE_CONFIG={folder}/ansible.cfg", f"BENCH_RESULTS={folder}/results.jsonl"),
            *(playbook, "-i", f"{folder}/hosts.ini", f"{folder}/play.yml"),
        ]

    def verdicts(self, members: Sequence[Member], folder: Path) -> Verdicts:
        """By what our callback has written down."""
        found: dict[str, dict[str, bool]] = defaultdict(dict)
        for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines():
            host, check, holds = json.loads(line)
            found[host][check] = holds
        return _failing(found, members)


class Serverspec(Side):
    """A spec for each host, eight at a time."""

    name = "serverspec"
    title = "Serverspec, 8 processes"
    needs = ("rspec", "serverspec-init", "xargs")
    how = "one `rspec` for each host as its documentation has it, one connection each, eight processes at a time"

    def versions(self) -> str:
        """Of Ruby and its packages, as Debian has them."""
        listed = says(
            "ruby",
            "-e",
            "%w[serverspec specinfra net-ssh].each { |n| print n, ' ', Gem.loaded_specs[n]&.version || Gem::Specification.find_by_name(n).version, ', ' }",
        )
        return f"{listed}{says('rspec', '--version').strip()}, {says('ruby', '--version')}"

    def command(self, hosts: Hosts, members: Sequence[Member], folder: Path) -> list[str]:  # noqa: ARG002  # the inventory names them
        """Serverspec's client knows no Ed25519 without further packages: it gets the other keys."""
        checks = json.dumps([[check.name, check.command, check.expected] for check in CHECKS])
        (folder / "checks.json").write_text(checks, encoding="utf-8")
        (folder / "agent_spec.rb").write_text(
            (_FILES / "agent_spec.rb").read_text(encoding="utf-8"), encoding="utf-8"
        )
        config = hosts.ssh_config.read_text(encoding="utf-8").replace("client_key_ed25519", "client_key_rsa")
        config = config.replace("    IdentityAgent none\n", "")  # which it takes for a mistake
        (folder / "ssh_config").write_text(config, encoding="utf-8")
        return [
            *("xargs", "-a", str(hosts.inventory), "-P", "8", "-I", "{}", "env", "TARGET_HOST={}"),
            *("rspec", "--format", "json", "--out", f"{folder}/{{}}.json", f"{folder}/agent_spec.rb"),
        ]

    def verdicts(self, members: Sequence[Member], folder: Path) -> Verdicts:
        """By rspec's own report of each host."""
        found = {}
        for member in members:
            told = json.loads((folder / f"{member.address}.json").read_text(encoding="utf-8"))
            found[member.address] = {
                example["full_description"].partition(" | ")[0]: example["status"] == "passed"
                for example in told["examples"]
            }
        return _failing(found, members)


def _failing(found: dict[str, dict[str, bool]], members: Sequence[Member]) -> Verdicts:
    """Raises ValueError when a check is missing."""
    names = {check.name for check in CHECKS}
    for member in members:
        if set(found.get(member.address, ())) != names:
            raise ValueError(f"{member.address} was not checked for everything: {found.get(member.address)}")
    return {
        member.address: frozenset(name for name, holds in found[member.address].items() if not holds)
        for member in members
    }
