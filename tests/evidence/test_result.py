"""The result that a journal tells, whole or cut off."""

import json
from datetime import timedelta
from importlib import resources

import jsonschema
import pytest

from qualys_verify.evidence.events import Started
from qualys_verify.evidence.result import file_name, transcripts_of
from qualys_verify.evidence.run_json import read_result, read_run, schema
from qualys_verify.verdict import Verdict
from tests.evidence import sample
from tests.evidence.whole import render_run


def test_what_was_expected_and_never_came_to_a_verdict_is_inconclusive():
    bad = sample.result().hosts[1]
    missing = bad.assessments[-1]
    assert (missing.verdict, missing.assessed) == (Verdict.INCONCLUSIVE, False)
    assert missing.reason == "ssh://web2: not assessed, the run ended before this test"
    assert sample.result().coverage.assessed == sample.result().coverage.expected - 1


def test_a_run_that_was_killed_is_incomplete_and_counts_every_expected_row():
    result = sample.result(sample.events()[:3])
    assert not result.run.is_complete
    assert result.run.exit_status is None
    assert result.verdicts["inconclusive"] == result.coverage.expected == 15
    assert result.coverage.assessed == 0


def test_an_observation_that_was_under_way_when_the_run_was_killed_is_not_seen():
    (good, *_) = sample.result(sample.events()[:3]).hosts
    (identity,) = good.observations
    assert (identity.outcome, identity.commands) == ("inconclusive", (1,))


def test_readings_and_commands_belong_to_their_observation():
    (good, *_) = sample.result().hosts
    poll = {item.name: item for item in good.observations}["scan_execution"]
    assert [(look.attempt, look.text[-8:]) for look in poll.readings] == [(1, "09:12:44"), (2, "12:00:31")]
    (transcript, *_) = transcripts_of(sample.chain())
    assert [transcript.commands[number - 1].attempt for number in poll.commands] == [1, 2]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "applied"),
        ({"check": "test_unheard_of"}, "matched nothing"),
        ({"hosts": ("db*",)}, "matched nothing"),
        ({"hosts": ("web1",)}, "not needed"),
        ({"hosts": ("web3",), "check": "test_unit_exists"}, "not needed"),
        ({"id": "W-2", "expires": sample.NOON - timedelta(days=1)}, "expired"),
        ({"id": "W-2", "effective": sample.NOON + timedelta(days=1)}, "not yet effective"),
    ],
)
def test_what_became_of_a_waiver(change, state):
    waiver = type(sample.WAIVER)(
        **{**{name: getattr(sample.WAIVER, name) for name in sample.WAIVER.__struct_fields__}, **change}
    )
    events = [
        item
        for item in sample.events(waivers=(waiver,))
        if getattr(item, "waiver", "") in {"", waiver.id} or change == {}
    ]
    (use,) = sample.result(events).waivers
    assert use.state == state


def test_what_was_redacted_is_counted_by_rule():
    events = sample.events(command=("pytest", "[redacted: token]", "[redacted: token] [redacted: uuid]"))
    assert sample.result(events).run.redacted == {"token": 2, "uuid": 1}


def test_a_journal_without_a_beginning_is_none():
    with pytest.raises(ValueError, match="holds no run"):
        sample.result([item for item in sample.events() if not isinstance(item, Started)])


def test_run_json_is_read_back_and_is_valid_by_its_published_schema():
    data = render_run(sample.result())
    assert read_run(data) == sample.result()
    jsonschema.validate(json.loads(data), json.loads(schema()))
    assert isinstance(json.loads(data)["hosts"], list)
    broken = json.loads(data)
    broken["hosts"][0]["assessments"][0]["verdict"] = "green"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, json.loads(schema()))


def test_the_schema_beside_the_code_is_the_one_that_is_printed():
    published = resources.files("qualys_verify.evidence").joinpath("run.schema.json").read_text("utf-8")
    assert published == schema()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{}", "no run.json"),
        (b"\xff", "no run.json"),
        (render_run(sample.result()).replace(b'"format": "1.1"', b'"format": "2.0"'), "its format is 2.0"),
    ],
)
def test_another_file_is_refused_in_one_sentence(tmp_path, data, said):
    (tmp_path / "run.json").write_bytes(data)
    for path in (tmp_path, tmp_path / "run.json"):
        with pytest.raises(ValueError, match=said):
            read_result(path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_result(tmp_path / "missing")


def test_hosts_have_files_of_their_own():
    names = [
        "ssh://ops@web1",
        "ssh://ops/web1",
        "ssh://OPS@web1",
        "../../etc/passwd",
        "",
        "a" * 300,
        "ssh://[::1]",
    ]
    files = [file_name(name) for name in names]
    assert len({name.lower() for name in files}) == len(names)
    assert all("/" not in name and not name.startswith(".") and len(name) < 100 for name in files)


def test_the_inventory_is_in_the_result_and_runs_over_one_have_one():
    (found,) = sample.result().run.inventories
    assert (found.digest, found.hosts) == ("cd" * 32, 3)
    assert [(source.text, source.hosts) for source in found.sources] == [
        ("@fleet.txt", 2),
        ("single names", 1),
    ]


def test_a_run_of_before_there_were_inventories_has_none():
    assert sample.result(sample.events(inventory=None, format="1.0")).run.inventories == ()
