"""The evidence page as text: what it says, that it says the same as the result, and that nothing gets out of it."""

import os
import re
import subprocess
import sys
import unicodedata
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.evidence import page as page_module
from qualys_verify.evidence.events import Merged, Observed, Part
from qualys_verify.evidence.grid import LIMITS, findings_of, grid
from qualys_verify.evidence.page import ranges
from qualys_verify.evidence.result import Result, Transcript, WaiverUse, transcripts_of
from qualys_verify.evidence.still_open import OpenReason
from qualys_verify.evidence.templating import visible
from qualys_verify.verdict import Verdict
from tests.evidence import hostile, large, sample
from tests.evidence.markup import elements, matrix, shape
from tests.evidence.whole import render_page

CSS = Path(page_module.__file__).with_name("templates").joinpath("page.css").read_text("utf-8")


def changed(value, **changes):
    return msgspec.structs.replace(value, **changes)


def of_run(**changes):
    """The sample's page, with a run that differs in this."""
    result = sample.result()
    return render_page(changed(result, run=changed(result.run, **changes)), ())


def small(**options):
    return render_page(sample.result(), transcripts_of(sample.chain()), **options)


def text_of(page, place):
    """The text of a section, or of the element with an id, on one line."""
    found = re.search(rf'<(\w+)(?: [a-z]+="[^"]*")* id="{place}".*?</\1>', page, re.DOTALL)[0]
    return " ".join(re.sub(r"<[^>]*>", " ", found).split())


def test_the_same_result_gives_the_same_bytes_whoever_renders_it():
    program = (
        "import hashlib; from tests.evidence.test_page import small; "
        "print(hashlib.sha256(small().encode()).hexdigest())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": "C"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for zone, seed in (("Asia/Tokyo", "1"), ("America/New_York", "2"))
    }
    assert len(hashes) == 1


def test_the_sentence_on_top_says_verdict_coverage_and_what_the_exit_status_means():
    page = small()
    assert text_of(page, "verdict") == "non-compliant"
    assert text_of(page, "sentence") == (
        "The run is complete and ended with exit status 1: something is non-compliant. Of 3 hosts expected, 2 were "
        "assessed (1 of them in part); 8 of 15 checks were seen and judged, 1 did not apply, 6 could not be, 1 of them "
        "because the run ended first."
    )
    assert 'class="banner"' not in page


@pytest.mark.parametrize(
    ("status", "word", "symbol"),
    [
        (0, "compliant", "✔"),
        (1, "non-compliant", "✘"),
        (2, "interrupted", "?"),
        (3, "broken off", "?"),
        (4, "not started", "?"),
        (5, "nothing assessed", "?"),
        (6, "inconclusive", "?"),
        (7, "unknown", "?"),
    ],
)
def test_only_exit_status_0_is_called_compliant(status, word, symbol):
    page = of_run(exit_status=status)
    assert text_of(page, "verdict") == word
    assert f'{symbol} <span id="verdict">' in page
    assert f"ended with exit status {status}: " in page


def test_a_run_that_was_killed_is_loudly_incomplete():
    killed = sample.result(sample.events()[:-1])
    page = render_page(killed, ())
    banner = re.search(r'<p class="banner".*?</p>', page, re.DOTALL)[0]
    assert "<strong>Incomplete</strong> This run never came to its own end" in banner
    assert text_of(page, "verdict") == "incomplete"
    assert "The run is incomplete. Of 3 hosts" in page
    assert "exit status" not in text_of(page, "sentence")
    assert "never came to its own end" in text_of(page, "run")


@pytest.mark.parametrize("status", [1, 2])
def test_a_run_that_was_interrupted_says_why(status):
    page = of_run(exit_status=status, interrupted="Ctrl-C")
    assert "<strong>Interrupted</strong> The run ended early: Ctrl-C." in page
    assert "The run is interrupted and ended with exit status" in page


def test_red_for_another_reason_than_a_check_says_so():
    result, _ = large.fleet(1)
    run = changed(result.run, exit_status=1)
    remark = "Something else than the checks below made the run fail"
    assert remark in render_page(changed(result, run=run), ())
    assert remark not in small()


def test_the_run_s_facts_are_there():
    facts = text_of(small(), "run")
    for fact in (
        "Run 5eed5eed",
        "Started 2026-03-23 12:00:00 UTC",
        "Ended 2026-03-23 12:01:30 UTC (90 s)",
        "By ops on bastion",
        "Command pytest --hosts=ssh://ops@web1,ssh://web2,ssh://web3",
        "Suite qualys-verify 0.1.0, commit c0ffee",
        f"Inventory 3 hosts (2 from @fleet.txt, 1 from single names), SHA-256 {'cd' * 32}",
        f"Runbook SHA-256 {'ab' * 32}",
        "Tools pytest 9.2.0, OpenSSH 9.2p1",
        "Options --scan-type=vm,pc",
        "Valid until 2026-06-21 12:00:00 UTC",
    ):
        assert fact in facts


def test_a_merged_run_names_its_parts():
    merged = Merged(sample.NOON, "1.0", "whole", (Part("5eed5eed", "12" * 32, ("ssh://web9",)),))
    page = render_page(sample.result([merged, *sample.events()]), ())
    assert f"Merged from run 5eed5eed, journal {'12' * 32} ; left out: ssh://web9" in text_of(page, "run")


def test_a_read_only_run_says_that_nothing_was_triggered():
    assert "Read-only: nothing was triggered." in of_run(read_only=True)
    assert "Read-only" not in small()


@pytest.mark.parametrize("hosts", [0, 1, 3, 40, 41, 120])
def test_the_matrix_says_what_the_result_says(hosts):
    result, _ = large.fleet(hosts)
    again = msgspec.json.decode(msgspec.json.encode(result), type=Result)
    content = dict(grid(findings_of(again)).rows)
    shown = matrix(render_page(result, ()))
    assert shown == {
        number: [verdict and verdict.value for verdict in content[host.id]]
        for number, host in enumerate(again.hosts, 1)
    }


def test_a_step_that_was_not_selected_for_a_host_is_an_empty_cell():
    result = sample.result()
    first = changed(result.hosts[0], assessments=result.hosts[0].assessments[:2])
    none = changed(result.hosts[1], assessments=())
    page = render_page(changed(result, hosts=(first, none, result.hosts[2])), ())
    assert matrix(page)[1] == ["compliant", None, None, None]
    assert matrix(page)[2] == [None] * 4
    assert '<td title="not selected">' in page


def test_every_cell_has_its_symbol_and_its_words():
    cells = [item for item in elements(small()) if item.tag == "td" and "title" in item.attributes]
    assert len(cells) == 12
    for cell in cells:
        verdict = Verdict(cell.attributes["data-verdict"])
        assert cell.text.strip() == verdict.symbol
        assert cell.attributes["title"].endswith(f": {verdict}")


def test_findings_of_a_result_are_those_of_the_run():
    findings = findings_of(sample.result())
    assert len(findings) == 15
    bad = findings[6]
    assert (bad.target, bad.step, bad.verdict) == ("ssh://web2", "1", Verdict.NON_COMPLIANT)
    assert (bad.title, bad.remedy, bad.test) == (
        sample.CHECKS[1].title,
        "start it.",
        "test_service_is_active_and_running",
    )
    assert (bad.observed, bad.reason) == (
        "failed (failed)",
        "assert 'failed (failed)' == 'active (running)'",
    )


def test_problems_come_with_what_to_do_and_their_hosts():
    problems = text_of(small(), "problems")
    assert (
        "✘ Step 1: non-compliant on 1 host Runbook systemctl status shows Active: active (running) ."
        in problems
    )
    assert "Observed failed (failed) Do start it. Hosts ssh://web2" in problems
    assert "Reason the host cannot be reached: the connection was refused Hosts ssh://web3" in problems
    assert "Not applicable Step 3: not triggered: this is a --read-only run. ssh://web2" in problems


def test_no_problem_is_said_only_where_something_was_looked_at():
    result, _ = large.fleet(1)
    assert "None: nothing is non-compliant" in render_page(result, ())
    nothing, _ = large.fleet(0)
    page = render_page(nothing, ())
    assert "nothing is non-compliant, and" not in page
    assert "Nothing was selected, so nothing is known." in page


def test_many_hosts_of_a_problem_are_folded_and_all_there():
    result, _ = large.fleet(200)
    problems = text_of(render_page(result, ()), "problems")
    assert "and 4 more" in problems
    failed = {host.id for host in result.hosts if any(a.verdict == "inconclusive" for a in host.assessments)}
    assert len(failed) == 12
    assert all(host in problems for host in failed)


def test_reasons_for_an_open_finding_are_shown_where_there_are_any():
    reason = OpenReason("reboot required (kernel)", ("ssh://web2", "ssh://elsewhere"))
    problems = text_of(small(still_open=[reason]), "problems")
    assert (
        "Should a finding still be open in the Qualys UI reboot required (kernel). ssh://web2 , ssh://elsewhere"
        in problems
    )
    assert "Should a finding" not in small()


def test_controls_stand_with_their_step_and_say_partial():
    controls = {
        "1": [
            hostile.Control("CIS v8.1", "7.5", "Scans", partial=True),
            hostile.Control("SOC 2", "CC7.1", "Vulns", partial=False),
        ]
    }
    controls["9"] = controls["1"]  # no check of this step was selected
    checks = text_of(small(controls=controls), "checks")
    assert "Step 1 CIS v8.1 7.5 Scans (partial); SOC 2 CC7.1 Vulns Partial:" in checks
    assert "Step 9" not in checks
    assert "CIS" not in small()


def test_every_sentence_is_listed_with_its_tally():
    assert (
        "1 systemctl status shows Active: active (running) . test_service_is_active_and_running 1 1 0 1 0"
        in text_of(small(), "checks")
    )


def host_of(page, number):
    """The section of one host, as text."""
    start = page.index(f'id="h{number}"')
    end = page.find('<details class="host">', start)
    return " ".join(
        re.sub(r"<[^>]*>", " ", page[start : end if end > 0 else page.index('<section id="waivers"')]).split()
    )


def test_a_host_s_fold_has_identity_timeline_checks_and_transcript():
    good = host_of(small(), 1)
    assert "host name web1.example kernel 6.1.0 host key SHA256:abc" in good
    assert "Timeline, 2026-03-23 12:00:03 UTC to 12:00:35" in good
    assert "12:00:04 answer vm: accepted, ControlId 20260323120004.0" in good
    assert "1 ✔ compliant systemd knows the unit. active (running) 1\u20132" in good
    assert "2. 2026-03-23 12:00:02 UTC, took 0.10 s; unit, attempt 1; exit status 0" in good
    assert "systemctl show qualys-cloud-agent.service LoadState=loaded" in good
    assert (
        "attempt 2; exit status 0 sudo -n qualys-cloud-agent.sh status Last assessment: 2026-03-23 12:00:31"
        in good
    )


def test_what_is_not_compliant_says_why_and_what_to_do():
    bad = host_of(small(), 2)
    assert (
        "failed (failed) assert &#39;failed (failed)&#39; == &#39;active (running)&#39; Do: start it." in bad
    )
    assert "last entry 5 h ago waived by W-1 Waiver W-1" in bad
    assert "not assessed, the run ended before this test" in bad
    assert bad.count("Do: ") == 1
    assert "Timeline" not in bad
    assert "Do: " not in host_of(small(), 1)


def test_a_host_that_nobody_could_reach_has_its_reason_once_a_check():
    lost = host_of(small(), 3)
    assert lost.count("ssh://web3 cannot be reached: the connection was refused") == len(sample.CHECKS)
    assert "Who answers here was not learned." in lost


def test_error_output_is_shown_apart():
    (transcript,) = large.fleet(1)[1]
    loud = changed(transcript.commands[0], stderr="sudo: a password is required\n", status=1)
    page = render_page(large.fleet(1)[0], [Transcript(transcript.host, (loud,))])
    assert '<p>stderr</p><pre class="err">\nsudo: a password is required' in page
    assert "exit status 1</p>" in page


def test_transcripts_stand_in_the_page_up_to_a_budget_and_are_linked_beyond(monkeypatch):
    within = small()
    assert within.count('<pre class="ran">') == 7
    # What a page spends on them is what is counted: no more than the budget.
    spent = sum(map(len, re.findall(r'<div class="command".*?</div>', within, re.DOTALL)))
    monkeypatch.setattr(page_module, "TRANSCRIPTS_SHOWN", spent - 1000)
    assert '<pre class="ran">' not in small()
    monkeypatch.setattr(page_module, "TRANSCRIPTS_SHOWN", 7 * 300 + 1000)
    assert '<pre class="ran">' in small()


def test_beyond_the_budget_the_numbers_are_those_of_the_file(monkeypatch):
    monkeypatch.setattr(page_module, "TRANSCRIPTS_SHOWN", 0)
    page = small()
    assert "active (running) 1\u20132" in host_of(page, 1)
    assert '<p>6 commands: <a href="./transcripts/ssh_ops%40web1-' in page
    assert "There is too much output for one page" in page


def test_what_would_only_grow_by_escaping_counts_as_it_is_written():
    (result, (transcript,)) = large.fleet(1)
    many = tuple(changed(transcript.commands[0], stdout="<" * 1_000_000) for _ in range(1))
    assert '<pre class="ran">' not in render_page(result, [Transcript(transcript.host, many)])


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [((), ()), ((3,), ((3, 3),)), ((2, 1, 2, 3, 7), ((1, 3), (7, 7))), ((9, 7), ((7, 7), (9, 9)))],
)
def test_ranges(numbers, expected):
    assert ranges(numbers) == expected


@pytest.mark.parametrize(
    "state", ["applied", "expired", "not yet effective", "matched nothing", "not needed"]
)
def test_a_waiver_is_shown_with_its_approver_and_flagged_unless_it_applied(state):
    use = WaiverUse(sample.WAIVER, state, ("ssh://web2",))
    page = render_page(changed(sample.result(), waivers=(use,)), ())
    waivers = text_of(page, "waivers")
    assert f"W-1 {'~' if state == 'applied' else '!'} {state} " in waivers
    for part in (
        "test_log_shows_recent_activity",
        "web2",
        "the log goes to syslog",
        "risk: low",
        "A. Auditor",
        "CHG-17",
    ):
        assert part in waivers
    assert "from 2026-03-13 12:00:00 UTC until 2026-04-12 12:00:00 UTC" in waivers


def test_without_waivers_the_page_says_so():
    assert "None were given." in render_page(sample.result(sample.events(waivers=())), ())


def test_redactions_are_counted_by_rule():
    page = of_run(redacted={"customer-id": 12, "token": 3})
    assert "customer-id 12 token 3" in text_of(page, "redaction")
    assert "Nothing had to be taken out." in small()


def test_what_this_does_not_show_and_how_to_verify_are_said():
    page = small()
    assert LIMITS in text_of(page, "limits")
    verify = text_of(page, "verify")
    for command in ("sha256sum -c SHA256SUMS", "ssh-keygen -Y verify", "qualys-verify verify ."):
        assert command in verify
    assert sample.result().journal.head in verify


def test_nothing_in_the_page_can_run_or_load():
    found = elements(small())
    assert {item.tag for item in found}.isdisjoint(
        {"script", "iframe", "object", "embed", "img", "form", "base"}
    )
    assert not [name for item in found for name in item.attributes if name.startswith("on") or name == "src"]
    metas = [item.attributes for item in found if item.tag == "meta"]
    assert metas[1] == {
        "http-equiv": "Content-Security-Policy",
        "content": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    }
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_links_lead_into_the_page_or_to_files_beside_it():
    found = elements(small())
    ids = [item.attributes["id"] for item in found if "id" in item.attributes]
    assert len(ids) == len(set(ids))
    links = [item.attributes["href"] for item in found if item.tag == "a"]
    assert links
    assert {link for link in links if link.removeprefix("#") not in ids} == {
        f"./{host.transcript.replace('@', '%40')}" for host in sample.result().hosts
    }


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ("//evil.example/x", ".///evil.example/x"),
        ('a"b c?d#e', "./a%22b%20c%3Fd%23e"),
        ("http://evil.example", "./http%3A//evil.example"),
        ("\ud800", "./%3F"),
    ],
)
def test_a_transcript_s_link_stays_in_the_folder_whatever_it_is_called(path, link):
    result = sample.result()
    page = render_page(changed(result, hosts=(changed(result.hosts[0], transcript=path),)), ())
    assert f'<a href="{link}">transcript</a>' in page


@pytest.mark.parametrize("word", hostile.WORDS)
def test_hostile_texts_stay_texts(word):
    page = hostile.page_of(word)
    assert shape(page) == shape(hostile.page_of("harmless"))
    # It is there to be read, wherever it was put; and can be written as UTF-8.
    shown = str(visible(word))
    assert sum(shown in item.text for item in elements(page)) > 150
    assert page.encode()


def test_hostile_texts_in_attributes_stay_there():
    result, _ = large.fleet(41)
    bad = '"><script>alert(1)</script>\u202e'
    page = render_page(changed(result, hosts=(changed(result.hosts[0], id=bad), *result.hosts[1:])), ())
    (link,) = [item for item in elements(page) if item.attributes.get("title") == str(visible(bad))]
    assert link.text == str(visible(bad))


def test_what_cannot_be_seen_is_written_out():
    page = render_page(sample.result(sample.events(("ssh://web\u202e1", "b\u200bb", "c\x00c"))), ())
    assert "ssh://web\\u202e1" in page
    assert "b\\u200bb" in page
    assert "c\\x00c" in page
    assert "\u202e" not in page


@given(st.text())
def test_no_control_or_format_character_reaches_a_reader(text):
    shown = str(visible(text))
    assert all(
        unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        for char in shown
        if char not in "\n\t"
    )
    assert text != shown or visible(shown) == shown


def test_all_format_characters_are_known():
    hidden = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and chr(code) not in "\n\t"
    ]
    assert [f"{ord(char):x}" for char in hidden if visible(char) == char] == []


def test_visible_leaves_words_alone():
    for text in ("web1", "Müller\n\tx", "東京", "✔ ✘", "naïve (…) — 'x'"):
        assert visible(text) == text
    assert visible(7) == 7


def _schemes():
    """The colours of the light and of the dark scheme by their names."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks[:2])
    return {"light": light, "dark": {**light, **dark}}


def _contrast(one, other):
    """The contrast of two colours as WCAG 2 defines it."""

    def luminance(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(scheme):
    colours = _schemes()[scheme]
    pairs = [(ink, paper) for ink in ("ink", "soft", "link") for paper in ("paper", "raised")]
    for verdict in Verdict:
        name = verdict.value.replace(" ", "-")
        assert f'[data-verdict="{verdict}"] {{ --accent: var(--{name}); --tint: var(--{name}-tint); }}' in CSS
        pairs += [(name, "paper"), (name, f"{name}-tint"), ("ink", f"{name}-tint")]
    low = {pair: _contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: round(ratio, 2) for pair, ratio in low.items() if ratio < 4.5} == {}


def test_an_unfinished_observation_is_on_the_page():
    records = [
        event
        for event in sample.events()[:-1]
        if not isinstance(event, Observed) or event.observation != "scan_execution"
    ]
    page = render_page(sample.result(records), ())
    assert "end of the wait" in host_of(page, 1)
    assert "not seen: the run ended while this was looked at" in host_of(page, 1)


def test_a_long_poll_stays_a_few_lines():
    result, _ = large.fleet(1)
    assert host_of(render_page(result, ()), 1).count("reading") <= 6
    assert timedelta(seconds=15) * large.READINGS > timedelta(minutes=14)
