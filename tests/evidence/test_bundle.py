"""The files of a bundle, written by two processes where that is possible: they are the same, whoever writes them."""

import threading

import pytest

from qualys_verify.evidence import bundle, digests
from qualys_verify.evidence.bundle import complete
from qualys_verify.evidence.journal import NAME, write_journal
from qualys_verify.evidence.seal import Seal
from tests.evidence import sample


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    write_journal(tmp_path / "run" / NAME, sample.events())
    return tmp_path / "run"


@pytest.fixture(params=[1, 2], ids=["by two", "by one"])
def by(request, monkeypatch):
    """Beside other threads there is no child. The tests may run beside some of pytest's."""
    monkeypatch.setattr(threading, "active_count", lambda: request.param)


def written(folder):
    complete(folder, Seal())
    return digests.digests_of(folder)


def test_both_write_the_same(folder, monkeypatch):
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(threading, "active_count", lambda threads=threads: threads)
        found.append(written(folder))
    assert found[0] == found[1]
    assert {"report.html", "run.json", "results.csv", "junit.xml"} <= found[0].keys()


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("name", ["results.csv", "report.html"])
def test_what_cannot_be_written_is_told(folder, name, capfd):
    (folder / name / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=name):
        bundle._render_all(folder)
    assert capfd.readouterr() == ("", "")


def test_a_child_that_was_killed_is_done_without(folder, monkeypatch):
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    whole = written(folder)
    before = bundle._silently

    def killed(write):
        import os  # noqa: PLC0415  # in the child
        import signal  # noqa: PLC0415  # the same

        os.kill(os.getpid(), signal.SIGKILL)
        before(write)

    monkeypatch.setattr(bundle, "_silently", killed)
    (folder / "results.csv").unlink()
    assert written(folder) == whole


def test_where_no_child_can_be_started_it_is_done_without(folder, monkeypatch):
    whole = written(folder)

    def refused():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr("os.fork", refused)
    (folder / "results.csv").unlink()
    assert written(folder) == whole
