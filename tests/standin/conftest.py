import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from qualys_verify.standin.install import HOME, LOGS, NOTES, StandinHost, install


@dataclass(frozen=True)
class Tree:
    """An installed host, driven directly."""

    root: Path

    @property
    def requests(self):
        return sorted((self.root / HOME / ".on-demand-scan").iterdir())

    @property
    def log(self):
        return (self.root / LOGS / "qualys-cloud-agent.log").read_text()

    def note(self, name):
        path = self.root / NOTES / name
        return path.read_text() if path.exists() else ""

    def call(self, script, *arguments):
        """(exit status, standard output) of one of the agent's scripts; nothing may go to standard error."""
        done = subprocess.run(
            [self.root / HOME / "bin" / script, *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    def seem_running(self):
        """Let this test's own process pass for the daemon."""
        (self.root / "run").mkdir(exist_ok=True)
        (self.root / "run/qualys-cloud-agent.pid").write_text(f"{os.getpid()}\n")


@pytest.fixture
def installed(tmp_path):
    """Install a host into a tree whose path the shell would misread if it were not quoted."""

    def make(personality, **settings):
        root = tmp_path / f"a $tree of {personality}'s"
        root.mkdir()
        install(root, StandinHost(f"host-{personality}", personality, **settings), prefix_in_scripts=root)
        return Tree(root)

    return make
