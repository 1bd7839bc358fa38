"""`results.csv`: a row for each check, read back as it was, and no formula."""

import csv
import io
import re

import pytest

from qualys_verify.evidence.plain import printable
from qualys_verify.evidence.results_csv import COLUMNS
from tests.evidence import odd, sample
from tests.evidence.whole import render_csv


def table(result):
    text = render_csv(result).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def restored(cell):
    """What a reader who minds the apostrophe does."""
    return cell.removeprefix("'")


def test_a_row_for_each_check_on_each_host():
    rows = table(sample.result())
    assert len(rows) == 15
    assert [row["verdict"] for row in rows[5:10]] == [
        "compliant",
        "non-compliant",
        "waived",
        "not applicable",
        "inconclusive",
    ]
    bad = rows[6]
    assert bad["host"] == "ssh://web2"
    assert bad["step"] == "1"
    assert bad["observed"] == "failed (failed)"
    assert bad["looked_from"] == "2026-03-23T12:00:01Z"
    assert bad["looked_until"] == "2026-03-23T12:00:01.100000Z"
    assert "SI-6 (partial)" in bad["controls"]


def test_a_waiver_has_its_columns():
    row = table(sample.result())[7]
    columns = ("waiver", "waiver_state", "approver", "ticket", "waiver_expires")
    assert [row[name] for name in columns] == [
        "W-1",
        "applied",
        "A. Auditor",
        "CHG-17",
        "2026-04-12T12:00:00Z",
    ]
    assert not table(sample.result())[6]["waiver"]
    assert table(odd.expired())[7]["waiver_state"] == "expired"


def test_what_the_run_did_not_come_to_is_marked():
    rows = table(sample.result())
    assert rows[9]["assessed"] == "no"
    assert rows[9]["looked_from"] == ""
    assert rows[8]["assessed"] == "yes"


def test_it_begins_with_the_byte_order_mark_and_ends_its_lines_as_rfc_4180_has_it():
    data = render_csv(sample.result())
    assert data.startswith(b'\xef\xbb\xbf"run",')
    assert data.count(b"\r\n") == 16
    assert data.endswith(b'"\r\n')


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@A1",
        "\t=1",
        " =1",
        '"=1',
        "\n=1",
        "\uff1d1",
        "\uff0b1",
        "'=1",
        "\u200b=1",
        "|x",
        "%x",
    ],
)
def test_a_formula_becomes_a_text_and_can_be_had_back(text):
    row = table(odd.hostile(text))[0]
    for name in ("host", "title", "observed", "reason", "remedy"):
        assert row[name].startswith("'"), name
        assert restored(row[name]) == printable(text)


@pytest.mark.parametrize("text", ["active (running)", "1 = 1", "web-1", "a\nb", "5 s", "[redacted: token]"])
def test_what_is_no_formula_stays_as_it_is(text):
    assert table(odd.hostile(text))[0]["observed"] == text


@pytest.mark.parametrize("text", odd.HOSTILE, ids=range(len(odd.HOSTILE)))
def test_hostile_texts_keep_their_cells(text):
    rows = table(odd.hostile(text))
    assert len(rows) == 5
    for row in rows:
        assert tuple(row) == COLUMNS
        for cell in row.values():
            assert len(cell) <= 32_767
            assert not re.match(r"[\s\"]*[=+\-@]", cell)
            assert "\x00" not in cell


def test_an_empty_and_a_killed_run():
    assert render_csv(odd.empty()).count(b"\r\n") == 1
    rows = table(odd.killed())
    assert {row["run_ended"] for row in rows} == {""}
    assert {row["verdict"] for row in rows} == {"inconclusive"}
