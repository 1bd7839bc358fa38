"""The commands as a user calls them."""

import json
import shutil

import pytest

from qualys_verify.cli import main
from tests.evidence import sample

TWO = ("ssh://db1", "ssh://db2", "ssh://db3")


def said(capsys):
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_verify_says_what_it_checked(bundle, key, capsys):
    signers = key.with_name("signers")
    assert main(["verify", str(bundle), f"--allowed-signers={signers}", "--identity=ops@example"]) == 0
    out = said(capsys)
    assert "6 compliant" in out
    assert "signed by ops@example" in out
    assert "The evidence holds." in out


def test_verify_ends_1_when_something_was_changed(bundle, capsys):
    (bundle / "run.json").write_text("{}")
    assert main(["verify", str(bundle)]) == 1
    assert "✘ run.json was changed" in said(capsys)


@pytest.mark.parametrize(("date", "status"), [("2026-03-23", 0), ("2026-06-20", 0), ("2026-06-22", 1)])
def test_verify_at_a_date(bundle, date, status):
    assert main(["verify", str(bundle), f"--at={date}"]) == status


def test_what_cannot_be_meant_is_a_usage_error_in_one_line(tmp_path, bundle, capsys):
    for arguments in (
        ["verify", str(tmp_path / "nowhere")],
        ["compare", str(tmp_path / "nowhere"), str(bundle)],
        ["render", str(tmp_path / "nowhere")],
        ["render", str(bundle)],  # it is signed
        ["verify", str(bundle), "--identity=ops@example"],  # by whose word?
        ["merge", str(bundle), str(bundle), f"--to={tmp_path}/to"],
        ["merge", str(bundle), f"--to={bundle}"],
    ):
        assert main(arguments) == 4
        assert len(said(capsys).splitlines()) == 1
    assert not (tmp_path / "to").exists()


def test_a_run_that_was_killed_is_rendered_and_says_so(tmp_path, capsys):
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "journal.jsonl").write_bytes(sample.journal(sample.events()[:6])[:-9])
    assert main(["verify", str(folder)]) == 1
    assert f"`qualys-verify render {folder}`" in said(capsys)
    assert main(["render", str(folder)]) == 0
    assert "incomplete" in said(capsys)
    told = json.loads((folder / "run.json").read_text())
    assert told["run"]["ended"] is None
    assert told["verdicts"]["inconclusive"] == 15
    assert main(["verify", str(folder)]) == 1
    assert "incomplete" in said(capsys)


def test_single_formats_are_rendered_beside_what_is_there(make, capsys):
    folder = make("one")
    (folder / "run.json").unlink()
    assert main(["render", str(folder), "--to=json"]) == 0
    assert said(capsys).strip() == str(folder / "run.json")
    assert main(["verify", str(folder)]) == 0


def test_runs_are_merged_into_one_evidence_that_holds(make, tmp_path, key, capsys):
    one, two = make("one"), make("two", sample.events(TWO, run="bbbb"))
    assert main(["merge", str(one), str(two), f"--to={tmp_path}/whole", f"--sign-key={key}"]) == 0
    assert main(["verify", f"{tmp_path}/whole", f"--allowed-signers={key.with_name('signers')}"]) == 0
    assert "6 hosts: 2 non-compliant" in said(capsys)


def test_what_does_not_hold_is_not_merged(make, tmp_path, capsys):
    one, two = make("one"), make("two", sample.events(TWO, run="bbbb"))
    (two / "run.json").write_text("{}")
    assert main(["merge", str(one), str(two), f"--to={tmp_path}/whole"]) == 4
    assert "cannot be merged" in said(capsys)
    assert not (tmp_path / "whole").exists()


def test_compare_writes_what_it_is_asked_for(make, tmp_path, capsys):
    one = make("one")
    arguments = ["compare", str(one), str(one / "run.json"), f"--html={tmp_path}/c.html"]
    assert main([*arguments, f"--json={tmp_path}/c.json"]) == 0
    assert "1 still failing" in said(capsys)
    assert json.loads((tmp_path / "c.json").read_text())["counts"]["still failing"] == 1
    assert "Before and after" in (tmp_path / "c.html").read_text()
    assert main([*arguments, "--json=-"]) == 0
    assert json.loads(said(capsys))["new"] == sample.RUN


def test_the_schema_is_printed(capsys):
    assert main(["schema"]) == 0
    assert json.loads(said(capsys))["$id"] == "urn:qualys-verify:run:1.1"


HOSTILE = "x\x1b[31mred\x9b2J\n✔ The evidence holds.\u202e"


def test_a_strangers_bundle_can_neither_steer_the_terminal_nor_speak_for_us(make, capsys):
    _, *rest = sample.events()
    folder = make("hostile", [sample.started(user=HOSTILE, controller=HOSTILE), *rest])
    (folder / "extra\x1b[2J").write_text("")
    assert main(["verify", str(folder)]) == 1
    out = said(capsys)
    assert not {"\x1b", "\x9b", "\u202e"} & set(out)
    assert "✔ The evidence holds." not in out.splitlines()


def test_a_strangers_hosts_cannot_steer_the_terminal_that_compares_them(make, capsys):
    old = make("old", sample.events(TWO))
    new = make("new", sample.events((HOSTILE, *TWO[1:])))
    for output in ([], ["--json=-"]):
        assert main(["compare", str(old), str(new), *output]) == 6
        out = said(capsys)
        assert not {"\x1b", "\x9b", "\u202e"} & set(out)
        assert "✔ The evidence holds." not in out.splitlines()


@pytest.mark.parametrize("formats", [[], ["--to=html"]])
@pytest.mark.parametrize("link", [".report.html.part", "transcripts"])
def test_rendering_a_strangers_bundle_writes_nowhere_else(bundle, tmp_path, formats, link, capsys):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (bundle / "SHA256SUMS.sig").unlink()
    if link == "transcripts":
        shutil.rmtree(bundle / link)
        (bundle / link).symlink_to(elsewhere)
    else:
        (elsewhere / "precious").write_text("precious")
        (bundle / link).symlink_to(elsewhere / "precious")
    assert main(["render", str(bundle), *formats]) == 4
    assert "is no file" in said(capsys)
    assert [path.read_text() for path in elsewhere.iterdir()] in ([], ["precious"])


def test_who_must_have_signed_cannot_be_asked_without_whose_key_is_whose(bundle, capsys):
    assert main(["verify", str(bundle), "--identity=ops@example"]) == 4
    assert "--allowed-signers" in said(capsys)
