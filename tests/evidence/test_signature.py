"""Sealing does not hang, does not ask, and leaves nothing behind that is no seal."""

import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from qualys_verify.evidence import signature
from qualys_verify.evidence.signature import SealError, stamp, try_key

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
GARBAGE = b"HTTP/1.0 200 OK\r\n\r\nno time stamp"


@contextmanager
def authority(*pieces, pause=0.0):
    """A server that answers one request with these pieces."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                time.sleep(0.2)  # head and body come in two pieces
                connection.recv(1 << 16)
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(pause)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / signature.STAMPED).write_text("{}")
    return tmp_path


def test_an_authority_that_answers_byte_by_byte_is_not_waited_for(folder, monkeypatch):
    monkeypatch.setattr(signature, "_SECONDS", 1)
    started = time.monotonic()
    drops = [b"HTTP/1.0 200 OK\r\n\r\n", *[b"x"] * 20]
    with authority(*drops, pause=0.3) as url, pytest.raises(SealError, match="not within 1 s"):
        stamp(folder, url)
    assert time.monotonic() - started < 4


def test_what_is_no_time_stamp_is_not_kept(folder):
    with authority(GARBAGE) as url, pytest.raises(SealError, match="is no time stamp"):
        stamp(folder, url)
    assert [path.name for path in folder.iterdir()] == [signature.STAMPED]


def test_what_is_no_http_is_a_sentence(folder):
    with authority(b"\0" * 100 + b"\n") as url, pytest.raises(SealError, match="does not answer"):
        stamp(folder, url)


def test_no_window_asks_for_a_passphrase(tmp_path, monkeypatch):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "key"], check=True)
    asked = tmp_path / "asked"
    (tmp_path / "askpass").write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    (tmp_path / "askpass").chmod(0o700)
    monkeypatch.setenv("SSH_ASKPASS", str(tmp_path / "askpass"))
    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(SealError, match="could not be signed"):
        try_key(tmp_path / "key")
    assert not asked.exists()


def test_a_program_that_hangs_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(signature, "_SECONDS", 1)
    pid = tmp_path / "pid"
    program = tmp_path / "bin/ssh-keygen"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {pid}\nwait\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    with pytest.raises(SealError, match="no end within 1 s"):
        try_key(tmp_path / "key")
    ended = time.monotonic() + 5
    while time.monotonic() < ended and _runs(pid.read_text().strip()):
        time.sleep(0.05)
    assert not _runs(pid.read_text().strip())


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").split()[2] != "Z"
    except OSError:
        return False
