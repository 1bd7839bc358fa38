"""Checking a bundle: any change is found, and a bundle that nobody changed holds."""

import os
import shutil
import subprocess
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qualys_verify.evidence import digests, run_json
from qualys_verify.evidence.verify import Trust, check
from tests.evidence import sample

UNTRUSTING = Trust()


def problems(folder, trust=UNTRUSTING, at=None):
    return check(folder, trust, at).problems


def relist(folder):
    """As a forger would: the digests made anew."""
    (folder / digests.NAME).write_text(digests.listing(digests.digests_of(folder)))


def test_a_bundle_that_nobody_changed_holds(bundle, key):
    checked = check(bundle, Trust(key.with_name("signers"), "ops@example"), sample.NOON)
    assert checked.problems == ()
    assert checked.notes == ("signed by ops@example",)
    assert checked.result == sample.result()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_any_changed_byte_in_any_file_is_found(bundle, data):
    path = data.draw(st.sampled_from(sorted(digests.files_in(bundle))))
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[position]))
    try:
        path.write_bytes(whole[:position] + bytes([byte]) + whole[position + 1 :])
        assert problems(bundle)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["journal.jsonl", "run.json", "SHA256SUMS"])
@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: data + b"\n", lambda _: b""],
    ids=["cut", "added", "empty"],
)
def test_what_was_cut_off_or_added_to_is_found(bundle, name, change):
    path = bundle / name
    path.write_bytes(change(path.read_bytes()))
    assert problems(bundle)


def test_a_file_that_is_missing_put_in_or_made_a_link_is_found(bundle, tmp_path):
    (bundle / "extra.txt").write_text("x")
    assert any("extra.txt is not in SHA256SUMS" in problem for problem in problems(bundle))
    (bundle / "extra.txt").unlink()
    shutil.move(bundle / "run.json", tmp_path / "run.json")
    assert "run.json is missing" in problems(bundle)
    (bundle / "run.json").symlink_to(tmp_path / "run.json")
    assert "run.json is no file" in problems(bundle)


@pytest.mark.parametrize("name", ["journal.jsonl", "run.json", "SHA256SUMS", "SHA256SUMS.sig"])
def test_a_pipe_is_no_file_and_nobody_waits_for_it(bundle, name):
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    assert any("is no file" in problem for problem in problems(bundle))


def test_verdicts_that_were_changed_with_their_digests_are_found_by_the_journal(bundle):
    path = bundle / "run.json"
    path.write_bytes(path.read_bytes().replace(b'"non-compliant": 1', b'"non-compliant": 0'))
    relist(bundle)
    assert any("run.json counts" in problem for problem in problems(bundle))


def test_words_that_were_changed_with_their_digests_are_found_by_the_journal(bundle):
    path = bundle / "run.json"
    path.write_bytes(path.read_bytes().replace(b"failed (failed)", b"active (running)"))
    relist(bundle)
    assert "run.json does not say what the journal says" in problems(bundle)


def test_a_forged_journal_does_not_fit_the_run_or_the_signature(bundle, key):
    forged = sample.journal([item for item in sample.events() if getattr(item, "host", "") != "ssh://web2"])
    (bundle / "journal.jsonl").write_bytes(forged)
    relist(bundle)
    assert any("another journal" in problem for problem in problems(bundle))
    (bundle / "run.json").write_bytes(run_json.render_run(sample.result_of(sample.read_journal(forged))))
    relist(bundle)
    (said,) = problems(bundle, Trust(key.with_name("signers")))
    assert "signature" in said or "signed" in said


def test_who_signed_must_be_trusted(bundle, key, tmp_path):
    (tmp_path / "signers").write_text("somebody@example " + key.with_suffix(".pub").read_text())
    (said,) = problems(bundle, Trust(tmp_path / "signers", "ops@example"))
    assert "is not ops@example's" in said
    (tmp_path / "signers").write_text("")
    (said,) = problems(bundle, Trust(tmp_path / "signers"))
    assert "is not in" in said


def test_a_signature_for_another_purpose_is_none_of_ours(bundle, key):
    (bundle / digests.SIGNATURE).unlink()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "git", bundle / digests.NAME]
    subprocess.run(command, check=True)
    assert any("does not hold" in problem for problem in problems(bundle))


def test_a_bundle_without_a_signature_says_so_and_fails_where_one_is_expected(bundle, key):
    (bundle / digests.SIGNATURE).unlink()
    assert check(bundle, UNTRUSTING, None).problems == ()
    assert "not signed" in check(bundle, UNTRUSTING, None).notes[0]
    assert any("not signed" in problem for problem in problems(bundle, Trust(key.with_name("signers"))))


def test_a_run_that_was_killed_is_incomplete(make):
    folder = make("killed", sample.events()[:5])
    assert any("incomplete" in problem for problem in problems(folder))


@pytest.mark.parametrize(("days", "valid"), [(0, True), (90, True), (91, False), (-1, False)])
def test_evidence_speaks_for_the_present_until_it_expires(bundle, days, valid):
    assert (problems(bundle, at=sample.NOON + timedelta(days=days)) == ()) is valid


def test_an_empty_folder_holds_nothing(tmp_path):
    assert any("SHA256SUMS cannot be read" in problem for problem in problems(tmp_path))
