"""Transcripts: complete for a reader, capped with a word on it, and not to be forged by a host."""

import re
from hashlib import sha256

import msgspec
import pytest

from qualys_verify.evidence.result import transcripts_of
from qualys_verify.evidence.transcript import SHOWN, render_transcript
from tests.evidence import odd, sample

# All that may stand at the left margin.
_OURS = re.compile(
    r"Transcript of |run: |started: |ended: |identity:|commands: \d+$|== \d+\. |from .* to .*, exit status -?\d+$"
    r"|stdout: |stderr: |… \d+ of \d+ characters are left out here"
)


def text_of(result, number, events=None):
    transcript = transcripts_of(sample.chain(events))[number]
    return render_transcript(result.hosts[number], transcript, result.run).decode()


def test_every_command_is_there_in_order_with_its_attempt_times_status_and_output():
    text = text_of(sample.result(), 0)
    heads = re.findall(r"^== (\d+)\. (\w+), attempt (\d+)$", text, re.MULTILINE)
    assert heads == [
        ("1", "identity", "1"),
        ("2", "unit", "1"),
        ("3", "assessment_before", "1"),
        ("4", "scan", "1"),
        ("5", "scan_execution", "1"),
        ("6", "scan_execution", "2"),
    ]
    assert (
        "  $ id -u\nfrom 2026-03-23T12:00:01Z to 2026-03-23T12:00:01.200000Z, exit status 0\n"
        f"stdout: 5 bytes, SHA-256 {sha256(b'1000' + bytes([10])).hexdigest()}\n  | 1000\nstderr: empty\n"
    ) in text


def test_the_head_says_whose_it_is():
    text = text_of(sample.result(), 0)
    assert text.startswith("Transcript of ssh://ops@web1\nrun: 5eed5eed, complete\n")
    assert "  - host key: SHA256:abc\n" in text


def test_a_host_that_nobody_reached_has_one_that_says_so():
    text = text_of(sample.result(), 2)
    assert "nobody answered" in text
    assert text.endswith("commands: 0\n")


def test_the_numbers_are_those_that_the_result_refers_to():
    result = sample.result()
    numbers = [number for each in result.hosts[0].observations for number in each.commands]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    execution = next(each for each in result.hosts[0].observations if each.name == "scan_execution")
    assert "== 5. scan_execution, attempt 1" in text_of(result, 0)
    assert execution.commands == (5, 6)


def test_a_killed_run_says_that_it_is_incomplete():
    assert "incomplete" in text_of(odd.killed(), 0, sample.events()[:8]).split("\n")[1]
    assert "incomplete" not in text_of(sample.result(), 0)


@pytest.mark.parametrize("text", odd.HOSTILE, ids=range(len(odd.HOSTILE)))
def test_a_host_cannot_forge_a_line(text):
    result = odd.hostile(text)
    data = render_transcript(result.hosts[0], odd.transcript(text), result.run)
    shown = data.decode()
    assert len(shown.splitlines()) == shown.count("\n"), "a line's end that is not ours"
    lines = shown.split("\n")
    assert all(not line or line.startswith("  ") or _OURS.match(line) for line in lines)
    assert sum(line.startswith("== ") for line in lines) == 1
    assert sum(line.startswith("  $ ") for line in lines) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown.replace("\t", ""))


def capped(length):
    event = sample.events()[1]
    command = msgspec.structs.replace(
        next(each for each in sample.events() if type(each).__name__ == "Command"),
        stdout="".join(chr(97 + number % 26) for number in range(length)),
    )
    events = [sample.started(), event, command]
    return text_of(sample.result(events), 0, events), command.stdout


def test_long_output_is_cut_in_the_middle_and_said_so():
    text, output = capped(SHOWN + 1000)
    half = SHOWN // 2
    assert f"  | {output[:half]}\n… 1000 of {len(output)} characters are left out here" in text
    assert f"  | {output[-half:]}\n" in text
    assert f"{len(output)} bytes, SHA-256 {sha256(output.encode()).hexdigest()}" in text
    assert len(text) < SHOWN + 2000


def test_output_that_just_fits_is_whole():
    text, output = capped(SHOWN)
    assert f"  | {output}\n" in text
    assert "left out" not in text
