"""VERIFY.md, followed to the letter by somebody who has a shell, `sha256sum` and `ssh-keygen`."""

import re
import subprocess
import sysconfig
from textwrap import dedent

import pytest


@pytest.fixture
def follow(bundle, key):
    """Run one of the page's indented commands in the bundle's folder, with the signer's key beside it."""
    signers = key.with_name("signers").read_text().replace("ops@example", "name")
    (bundle.parent / "allowed_signers").write_text(signers)
    page = (bundle / "VERIFY.md").read_text()
    blocks = [dedent(block) for block in re.findall(r"(?:^ {7}.*\n)+", page, re.MULTILINE)]

    def run(word):
        (command,) = (block for block in blocks if word in block)
        command = command.replace("$(date -u +%F)", "2026-03-23")  # when the sample was made
        path = f"{sysconfig.get_path('scripts')}:/usr/bin:/bin"
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=bundle,
            env={"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("word", "changed"),
    [("sha256sum -c", "journal.jsonl"), ("ssh-keygen", "SHA256SUMS"), ("qualys-verify verify", "run.json")],
)
def test_each_command_holds_until_something_is_changed(follow, bundle, word, changed):
    before = follow(word)
    assert before.returncode == 0, before.stdout + before.stderr
    (bundle / changed).write_bytes((bundle / changed).read_bytes().replace(b"a", b"b", 1))
    assert follow(word).returncode != 0


def test_the_chain_ends_with_what_run_json_carries(follow):
    head, carried = follow("while").stdout.splitlines()
    assert f'"{head}"' in carried


@pytest.mark.parametrize("change", ["changed", "dropped", "swapped", "twice"])
def test_the_chain_shows_what_does_not_follow(follow, bundle, change):
    journal = bundle / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    lines[2:4] = {
        "changed": [lines[2].replace('"kind"', '"Kind"', 1), lines[3]],
        "dropped": [lines[3]],
        "swapped": [lines[3], lines[2]],
        "twice": [lines[2], lines[2], lines[3]],
    }[change]
    journal.write_text("".join(lines))
    assert "does not follow" in follow("while").stdout


def test_a_file_that_was_put_there_afterwards_is_counted(bundle):
    def more():
        counts = "expr $(find . ! -type d | wc -l) - $(wc -l < SHA256SUMS)"
        return subprocess.check_output(["/bin/sh", "-c", counts], cwd=bundle, text=True).strip()

    assert more() == "2"
    (bundle / "hdf" / "other.json").write_text("{}")
    assert more() == "3"
