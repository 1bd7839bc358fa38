"""`oscal-assessment-results.json`: findings, observations and risks (against NIST's own schema: tests/interop)."""

import json
import re
from collections import Counter
from itertools import chain

import pytest

from qualys_verify.verdict import Verdict
from tests.evidence import odd, sample
from tests.evidence.whole import render_oscal

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def document(result):
    return json.loads(render_oscal(result))["assessment-results"]


def only(result):
    (found,) = document(result)["results"]
    return found


def props(item):
    return {each["name"]: each["value"] for each in item["props"]}


def of(items, test, host="web2"):
    return next(
        (each for each in items if each["title"].replace("\\", "").startswith(f"{test} on ssh://{host}")),
        None,
    )


def tables(value):
    """All tables within a table."""
    if isinstance(value, dict):
        yield value
        value = value.values()
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        yield from chain.from_iterable(tables(each) for each in value)


def test_every_sentence_on_every_host_is_an_observation_by_test():
    found = only(sample.result())
    assert len(found["observations"]) == 15
    assert {tuple(each["methods"]) for each in found["observations"]} == {("TEST",)}
    assert {each["expires"] for each in found["observations"]} == {"2026-06-21T12:00:00Z"}
    assert of(found["observations"], "test_unit_exists")["collected"] == "2026-03-23T12:00:01.100000Z"


def test_inconclusive_and_not_applicable_are_observations_without_a_finding():
    found = only(sample.result())
    assert of(found["findings"], "test_unit_exists", "web3") is None
    assert of(found["observations"], "test_unit_exists", "web3")["description"].startswith("inconclusive: ")
    assert of(found["findings"], "test_vulnerability_scan_is_accepted") is None
    verdicts = Counter(props(each)["verdict"] for each in found["observations"])
    assert verdicts["inconclusive"] == 6
    assert (
        len(found["findings"]) == verdicts["compliant"] + verdicts["non-compliant"] + verdicts["waived"] == 8
    )


@pytest.mark.parametrize(
    ("test", "state", "reason"),
    [
        ("test_unit_exists", "satisfied", "pass"),
        ("test_service_is_active_and_running", "not-satisfied", "fail"),
        ("test_log_shows_recent_activity", "not-satisfied", "other"),
    ],
)
def test_a_finding_is_about_our_own_objective_and_not_a_whole_control(test, state, reason):
    target = of(only(sample.result())["findings"], test)["target"]
    assert target["target-id"] == f"qualys-verify.{test}"
    assert (target["status"]["state"], target["status"]["reason"]) == (state, reason)


def test_a_waiver_is_a_risk_with_approver_and_deadline():
    found = only(sample.result())
    (risk,) = found["risks"]
    assert risk["status"] == "deviation-approved"
    assert risk["deadline"] == "2026-04-12T12:00:00Z"
    assert props(risk)["approver"] == "A. Auditor"
    finding = of(found["findings"], "test_log_shows_recent_activity")
    assert finding["related-risks"] == [{"risk-uuid": risk["uuid"]}]
    assert risk["related-observations"] == finding["related-observations"]
    assert "related-risks" not in of(found["findings"], "test_unit_exists")


def test_an_expired_waiver_is_an_open_risk():
    found = only(odd.expired())
    (risk,) = found["risks"]
    assert risk["status"] == "open"
    assert props(risk)["waiver-state"] == "expired"
    assert of(found["findings"], "test_log_shows_recent_activity")["target"]["status"]["reason"] == "fail"


def test_hosts_are_inventory_with_their_identity():
    items = only(sample.result())["local-definitions"]["inventory-items"]
    assert props(items[0])["target"] == "ssh://ops@web1"
    assert props(items[0])["host-key"] == "SHA256:abc"
    assert "not known" in items[2]["description"]


def test_evidence_is_the_hosts_transcript():
    result = sample.result()
    hrefs = {each["relevant-evidence"][0]["href"] for each in only(result)["observations"]}
    assert {href.replace("%40", "@") for href in hrefs} == {host.transcript for host in result.hosts}


def test_the_plan_is_the_runbook_and_its_sentences_are_activities():
    data = document(sample.result())
    resources = {f"#{each['uuid']}": each for each in data["back-matter"]["resources"]}
    assert props(resources[data["import-ap"]["href"]])["sha256"] == "ab" * 32
    activities = data["local-definitions"]["activities"]
    assert [props(each)["check"] for each in activities] == list(sample.TESTS)
    selected = activities[3]["related-controls"]["control-selections"][0]["include-controls"]
    assert selected == [{"control-id": "ra-5"}, {"control-id": "ra-5.5"}]


@pytest.mark.parametrize(
    "result", [sample.result(), odd.hostile("x"), odd.empty(), odd.killed(), odd.expired()]
)
def test_every_uuid_is_there_once_and_every_reference_leads_somewhere(result):
    data = document(result)
    uuids = [table["uuid"] for table in tables(data) if "uuid" in table]
    assert len(uuids) == len(set(uuids))
    assert all(_UUID.fullmatch(uuid) for uuid in uuids)
    references = [
        value
        for table in tables(data)
        for name, value in table.items()
        if name.endswith("-uuid") or (name == "href" and value.startswith("#"))
    ]
    assert {reference.removeprefix("#") for reference in references} <= set(uuids)


def test_two_runs_share_no_uuid():
    one, other = (
        {
            table["uuid"]
            for table in tables(document(sample.result(sample.events(run=run))))
            if "uuid" in table
        }
        for run in ("a", "b")
    )
    assert not one & other


def test_a_killed_run_has_no_end_and_no_findings():
    found = only(odd.killed())
    assert "end" not in found
    assert "findings" not in found
    assert "incomplete" in props(found)["state"]


def test_an_empty_run_says_that_nothing_was_selected():
    found = only(odd.empty())
    assert "observations" not in found
    assert "0 of 0 checks on 0 hosts" in found["description"]


@pytest.mark.parametrize("text", odd.HOSTILE, ids=range(len(odd.HOSTILE)))
def test_hostile_texts_are_no_markup_and_fit_oscals_strings(text):
    found = document(odd.hostile(text))
    assert len(found["results"][0]["observations"]) == len(Verdict)
    for table in tables(found):
        value = table.get("value")
        if value is not None:
            assert re.fullmatch(r"\S(.*\S)?", value), value[:80]
        for name in ("title", "name"):
            assert table.get(name) is None or re.fullmatch(r"[^\n]+", table[name])
    observed = found["results"][0]["observations"][0]["description"]
    assert not re.search(r"(?<!\\)[<`*\[{]", observed)
