"""The end of a run on the terminal: fits a screen, is readable without colours, and shows no host's tricks."""

from qualys_verify.evidence.still_open import OpenReason
from qualys_verify.evidence.terminal import Look, render
from qualys_verify.frame import text
from qualys_verify.verdict import Finding, Verdict
from tests.evidence import sample


def finding(host, step="1", verdict=Verdict.COMPLIANT, observed="", reason=""):
    return Finding(f"t.py::test[{host}]", host, step, "it runs", "start it", verdict, observed, reason, 0.0)


def shown(findings, reasons=(), waivers=(), note="", *, colour=False):
    return render(findings, reasons, waivers, note, Look(80, colour=colour))


def test_few_hosts_have_a_row_each():
    out = shown([finding("web1"), finding("web2", verdict=Verdict.NON_COMPLIANT, observed="dead")])
    assert [line.split() for line in out.splitlines()[:3]] == [["step", "1"], ["web1", "✔"], ["web2", "✘"]]
    assert "✘ step 1 non-compliant on web2" in out
    assert "observed: dead" in out
    assert "do:       start it" in out


def test_a_long_host_id_gives_way_to_the_steps():
    host = f"kubectl://{'n' * 40}.ec2.internal/qualys-cloud-agent-7h2kq?namespace=qualys-agent"
    steps = ["1", "2.1", "2.2", "2.3", "3", "4", "5"]
    out = shown([finding(host, step) for step in steps])
    head, row = out.splitlines()[:2]
    assert head.split() == ["step", *steps]
    assert row.split()[1:] == ["✔"] * len(steps)


def test_a_thousand_hosts_fit_a_screen():
    findings = [finding(f"web{n}") for n in range(990)]
    findings += [
        finding(f"db{n}", verdict=Verdict.INCONCLUSIVE, reason=f"db{n}: no answer") for n in range(10)
    ]
    out = shown(findings)
    assert len(out.splitlines()) < 24
    assert "990 hosts: web0, web1, web2, web3, web4 and 985 more" in " ".join(out.split())
    assert "on db0, db1, db2, db3, db4 and 5 more" in " ".join(out.split())


def test_the_reasons_for_an_open_finding_name_their_hosts():
    out = shown([finding("web1")], [OpenReason("reboot required", ("web1",))])
    assert "- reboot required (web1)" in out


def test_colours_only_where_they_are_asked_for():
    assert "\x1b[" not in shown([finding("web1")])
    assert "\x1b[" in shown([finding("web1")], colour=True)


def test_a_waiver_is_shown_with_its_approver_and_what_became_of_it():
    out = " ".join(shown([finding("web1")], waivers=sample.result().waivers).split())
    assert "~ waiver W-1 applied on ssh://web2: the log goes to syslog (approved by A. Auditor, CHG-17" in out


def test_markup_of_a_host_is_text():
    assert "[red]x[/red]" in shown([finding("web1", verdict=Verdict.NON_COMPLIANT, observed="[red]x[/red]")])


def test_what_a_host_prints_moves_no_cursor_and_reverses_no_text():
    assert text(b"a\x1b[2J\x00\r\nb\x9b\xe2\x80\xae") == "a\\x1b[2J\nb\\x9b\\u202e"
