"""The journal: what is written is read back, and a line that was changed, dropped, doubled or moved is found."""

import errno
import os
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.evidence.journal import Journal, JournalError, read_journal
from tests.evidence import sample

DATA = sample.journal(sample.events())
LINES = DATA.splitlines(keepends=True)


def test_what_is_written_is_read_back(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        for event in sample.events():
            journal.write(event)
    data = (tmp_path / "journal.jsonl").read_bytes()
    assert data == DATA
    assert list(read_journal(data).events) == sample.events()


def test_it_is_for_its_owner_alone_and_never_written_over(tmp_path):
    path = tmp_path / "journal.jsonl"
    Journal(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Journal(path)


def test_every_record_is_in_the_file_before_the_next_thing_happens(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.write(sample.started())
    assert len(read_journal(path.read_bytes()).events) == 1
    journal.close()


def test_several_threads_write_one_chain(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        threads = [
            Thread(target=lambda: [journal.write(event) for event in sample.events()[2:9]]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(read_journal(path.read_bytes()).events) == 8 * 7


def test_a_line_that_was_cut_off_is_left_out():
    chain = read_journal(DATA[:-20])
    assert chain.torn
    assert len(chain.events) == len(LINES) - 1


def test_a_disk_that_is_full_is_said(tmp_path, monkeypatch):
    with Journal(tmp_path / "journal.jsonl") as journal:
        monkeypatch.setattr(
            os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(OSError, match="No space"):
            journal.write(sample.started())


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
def test_a_changed_byte_is_found_except_in_the_last_line(position, byte):
    changed = DATA[:position] + bytes([byte]) + DATA[position + 1 :]
    if changed == DATA:
        return
    try:
        chain = read_journal(changed)
    except JournalError:
        return
    # Nothing follows the last line; its digest stands in run.json.
    assert chain.torn or chain.head != read_journal(DATA).head


@pytest.mark.parametrize(
    "lines",
    [
        LINES[1:],
        LINES[:3] + LINES[4:],
        [*LINES[:4], LINES[3], *LINES[4:]],
        [*LINES[:2], LINES[3], LINES[2], *LINES[4:]],
        [*LINES[:2], b"{}\n", *LINES[2:]],
        [*LINES[:2], b"\n", *LINES[2:]],
    ],
    ids=["first dropped", "one dropped", "one doubled", "two swapped", "one put in", "an empty line"],
)
def test_lines_that_were_dropped_doubled_moved_or_put_in_are_found(lines):
    with pytest.raises(JournalError, match="line"):
        read_journal(b"".join(lines))


def test_what_a_full_disk_or_a_signal_cut_off_is_taken_off_by_the_next_record(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    first, second, third = sample.events()[:3]
    real = os.write

    def half(file, data):
        real(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "no space left on device")

    def whole_and_then_a_signal(file, data):
        real(file, data)
        raise KeyboardInterrupt

    with Journal(path) as journal:
        journal.write(first)
        for failing, error in ((half, OSError), (whole_and_then_a_signal, KeyboardInterrupt)):
            monkeypatch.setattr(os, "write", failing)
            with pytest.raises(error):
                journal.write(second)
            monkeypatch.setattr(os, "write", real)
        journal.write(third)
    assert read_journal(path.read_bytes()).events == (first, third)


def test_a_record_is_one_write_and_waits_for_no_disk(tmp_path, monkeypatch):
    """A thousand hosts leave some forty thousand."""
    calls = []
    for name in ("write", "ftruncate", "fsync", "fdatasync"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, name=name, real=real: calls.append(name) or real(*given))
    with Journal(tmp_path / "journal.jsonl") as journal:
        for event in sample.events():
            journal.write(event)
    assert calls == ["write"] * len(sample.events())
