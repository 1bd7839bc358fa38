"""Bundles as runs leave them, made from the sample journal."""

import shutil
import subprocess

import pytest

from qualys_verify.evidence.bundle import complete
from qualys_verify.evidence.seal import Seal
from tests.evidence import sample


def make(folder, events=None, key=None):
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_bytes(sample.journal(sample.events() if events is None else events))
    complete(folder, Seal(key))
    return folder


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    """An OpenSSH key that signs, and `signers` beside it, which vouches for it as `ops@example`."""
    path = tmp_path_factory.mktemp("key") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ops", "-f", path], check=True)
    public = path.with_suffix(".pub").read_text()
    path.with_name("signers").write_text(f"ops@example {public}")
    return path


@pytest.fixture(scope="session")
def _whole(tmp_path_factory, key):
    return make(tmp_path_factory.mktemp("bundles") / "whole", key=key)


@pytest.fixture
def bundle(_whole, tmp_path):
    """A signed bundle of its own for each test."""
    return shutil.copytree(_whole, tmp_path / "bundle")


@pytest.fixture(name="make")
def _make(tmp_path):
    return lambda name, events=None, key=None: make(tmp_path / name, events, key)
