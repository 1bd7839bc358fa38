"""Waivers: what is known and accepted until a date, by whom; and nothing that nobody accepted."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from qualys_verify.verdict import Finding, Verdict
from qualys_verify.waivers import covering, load_waivers, place_of

NOW = datetime(2026, 3, 23, 12, tzinfo=UTC)
WHOLE = """
[[waiver]]
id = "W-1"
hosts = ["web*"]
step = "2.2"
reason = "the log goes to syslog"
approver = "A. Auditor"
ticket = "CHG-17"
effective = 2026-01-01
expires = 2026-03-23
risk = "low"
"""


def load(tmp_path, text=WHOLE):
    (tmp_path / "waivers.toml").write_text(text)
    return load_waivers(tmp_path / "waivers.toml")


def finding(host="ssh://ops@web1:2222", step="2.2", verdict=Verdict.NON_COMPLIANT):
    return Finding(f"t.py::test_log[{host}]", host, step, "", "", verdict, "", "", 0.0)


def test_a_waiver_covers_its_step_on_its_hosts_until_the_end_of_its_last_day(tmp_path):
    waivers = load(tmp_path)
    assert covering(waivers, finding(), NOW).id == "W-1"
    assert covering(waivers, finding(), datetime(2026, 3, 23, 23, 59, 59, tzinfo=UTC))
    assert covering(waivers, finding(), datetime(2026, 3, 24, tzinfo=UTC)) is None
    assert covering(waivers, finding(), datetime(2025, 12, 31, 23, 59, tzinfo=UTC)) is None


@pytest.mark.parametrize("change", [{"host": "ssh://db1"}, {"host": "ssh://xweb1"}, {"step": "2.1"}])
def test_it_covers_nothing_else(tmp_path, change):
    assert covering(load(tmp_path), finding(**change), NOW) is None


@pytest.mark.parametrize(
    "host", ["kubectl://web1/agent-x1?namespace=q&context=c", "kubectl://web1/no-pod?namespace=q&context=c"]
)
def test_a_node_is_named_by_its_name_whatever_its_pod_is_called(tmp_path, host):
    text = WHOLE.replace('["web*"]', '["web1"]')
    assert covering(load(tmp_path, text), finding(host), NOW)
    assert covering(load(tmp_path, text), finding(host.replace("web1", "web2")), NOW) is None


def test_what_could_not_be_seen_is_covered_only_where_the_waiver_says_so(tmp_path):
    unseen = finding(verdict=Verdict.INCONCLUSIVE)
    assert covering(load(tmp_path), unseen, NOW) is None
    assert covering(load(tmp_path, WHOLE + 'covers = ["inconclusive"]\n'), unseen, NOW)
    assert covering(load(tmp_path, WHOLE + 'covers = ["inconclusive"]\n'), finding(), NOW) is None


def test_a_check_by_name_and_a_single_host(tmp_path):
    text = WHOLE.replace('step = "2.2"', 'check = "test_log"').replace('["web*"]', '"web1"')
    assert covering(load(tmp_path, text), finding(), NOW)
    assert covering(load(tmp_path, text), finding("ssh://web2"), NOW) is None


def test_times_may_have_a_zone_of_their_own(tmp_path):
    text = WHOLE.replace("expires = 2026-03-23", "expires = 2026-03-23T13:00:00+02:00")
    (waiver,) = load(tmp_path, text)
    assert waiver.expires == NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('approver = "A. Auditor"\n', "", "has no approver"),
        ('approver = "A. Auditor"', 'approver = ""', "has no approver"),
        ('risk = "low"', 'risk = "low"\nowner = "me"', "unknown key 'owner'"),
        ('step = "2.2"', "", "needs either a step"),
        ('step = "2.2"', 'step = "2.2"\ncheck = "test_log"', "needs either a step"),
        ("effective = 2026-01-01", "effective = 2026-03-25", "expires before it is effective"),
        ("expires = 2026-03-23", 'expires = "soon"', "is a date"),
        ('["web*"]', "[1]", "is a text in quotes"),
        ('["web*"]', "{}", "has no hosts"),
        ('risk = "low"', 'risk = "low"\ncovers = ["compliant"]', "covers is a list out of"),
        ("[[waiver]]", "[waiver]", "something else than [[waiver]] tables"),
        ("[[waiver]]", "name = 1\n[[waiver]]", "something else than [[waiver]] tables"),
        ('id = "W-1"', 'id = "W-1', "cannot be used"),
    ],
)
def test_a_malformed_waiver_is_one_sentence(tmp_path, old, new, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        load(tmp_path, WHOLE.replace(old, new))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_said_in_words(tmp_path):
    with pytest.raises(ValueError, match=r"cannot be read \(No such file or directory\): name a file"):
        load_waivers(tmp_path / "waivers.toml")


def test_an_id_is_used_once(tmp_path):
    with pytest.raises(ValueError, match="W-1 is there twice"):
        load(tmp_path, WHOLE + WHOLE)


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("ssh://ops@web1:2222", "web1"),
        ("ssh://[fe80::1]:22", "fe80::1"),
        ("kubectl://node/pod?namespace=x", "node/pod"),
        ("local://", ""),
    ],
)
def test_a_host_is_known_by_its_name_too(host, place):
    assert place_of(host) == place


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"A. Auditor"', '" "', "has no approver"),
        ('["web*"]', '[""]', "has no hosts"),
        ('step = "2.2"', 'step = " "', "either a step"),
        ("expires = 2026-03-23", "expires = 9999-12-31", "no date that a calendar has"),
    ],
)
def test_a_waiver_that_says_nothing_or_never_ends_is_one_sentence(tmp_path, old, new, said):
    with pytest.raises(ValueError, match=said):
        load(tmp_path, WHOLE.replace(old, new))


def test_a_pattern_without_its_secret_covers_no_other_host(tmp_path):
    (waiver,) = load(tmp_path, WHOLE.replace('"web*"', '"10.0.0.1"'))
    cleaned = waiver.cleaned(lambda text: text.replace("10.0.0.1", "[redacted: address]"))
    assert not any(cleaned.concerns(f"ssh://{name}", "2.2", "test_log") for name in "redact")
