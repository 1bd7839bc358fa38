"""Checking a bundle: any change is found, and a bundle that nobody changed holds."""

import json
import os
import shutil
import subprocess
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qualys_verify.evidence import bundle as bundle_of
from qualys_verify.evidence import digests
from qualys_verify.evidence.events import Ended, Planned
from qualys_verify.evidence.howto import renderer
from qualys_verify.evidence.verify import Trust, check
from tests.evidence import sample
from tests.evidence.whole import render_run

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


@pytest.mark.parametrize(
    "name", ["journal.jsonl", "run.json", "report.html", "VERIFY.md", "SHA256SUMS", "SHA256SUMS.sig"]
)
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
    (bundle / "run.json").write_bytes(render_run(sample.result_of(sample.read_journal(forged))))
    relist(bundle)
    assert any("the signature of" in said for said in problems(bundle, Trust(key.with_name("signers"))))


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


def rendered_files():
    names = [name for name, _ in bundle_of.rendered(sample.chain(), tuple(bundle_of.FORMATS))]
    return [*(name for name in names if name != "VERIFY.md"), "test-result.intoto.json"]


@pytest.mark.parametrize("change", ["changed", "removed"])
@pytest.mark.parametrize("name", rendered_files())
def test_what_does_not_follow_from_the_journal_is_found_though_its_digests_were_made_anew(
    bundle, name, change
):
    path = bundle / name
    if change == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b" ")
    relist(bundle)
    assert any(path.name in problem for problem in problems(bundle))


def test_what_another_version_rendered_is_not_called_changed(bundle):
    for name in ("report.html", "VERIFY.md"):
        path = bundle / name
        path.write_bytes(path.read_bytes().replace(renderer().encode(), b"another") + b"\n")
    (bundle / digests.SIGNATURE).unlink()
    relist(bundle)
    checked = check(bundle, UNTRUSTING, None)
    assert checked.problems == ()
    assert any("rendered by another version" in note for note in checked.notes)


def test_what_was_written_behind_the_last_record_is_found(bundle):
    path = bundle / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"number":99')
    relist(bundle)
    assert any("in the middle of a record" in problem for problem in problems(bundle))


@pytest.mark.parametrize(
    "change", [b'"exit_status": 0,\n    "exit_status": 1', b'"note": "all green",\n    "exit_status": 1']
)
def test_run_json_says_nothing_twice_and_nothing_more(bundle, change):
    path = bundle / "run.json"
    path.write_bytes(path.read_bytes().replace(b'"exit_status": 1', change))
    relist(bundle)
    assert any("says more than the journal" in problem for problem in problems(bundle))


def test_a_green_exit_status_over_red_verdicts_is_found(make):
    folder = make("green", [*sample.events()[:-1], Ended(sample.at(90), 0)])
    (said,) = problems(folder)
    assert "exit status 0, and counts 1 non-compliant" in said


@pytest.mark.parametrize("name", ["journal.jsonl", "run.json"])
def test_values_nested_without_end_are_a_sentence(bundle, name):
    path = bundle / name
    nest = b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"
    path.write_bytes(nest if name == "run.json" else path.read_bytes() + nest)
    relist(bundle)
    assert any("recursion" in problem for problem in problems(bundle))


def test_a_journal_that_expects_what_it_does_not_explain_is_a_sentence(tmp_path):
    begun, planned, *rest = sample.events()
    unknown = Planned(planned.at, (), planned.expected)
    (tmp_path / "journal.jsonl").write_bytes(sample.journal([begun, unknown, *rest]))
    relist(tmp_path)
    assert any("does not say what that is" in problem for problem in problems(tmp_path))


def test_a_bundle_of_an_earlier_format_holds(make):
    """As format 1.0 had it: no inventory in the journal, none in run.json, and other renderers."""
    folder = make("earlier", sample.events(inventory=None, format="1.0"))
    told = json.loads((folder / "run.json").read_text())
    del told["run"]["inventories"]
    (folder / "run.json").write_text(json.dumps(told))
    howto = folder / "VERIFY.md"
    howto.write_text(howto.read_text().replace(renderer(), "qualys-verify's renderers of then"))
    relist(folder)
    checked = check(folder, UNTRUSTING, None)
    assert checked.problems == ()
    assert any("another version of qualys-verify" in note for note in checked.notes)
