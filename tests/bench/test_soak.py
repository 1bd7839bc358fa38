"""Many runs in one process over hosts that fail in every way."""

from collections import Counter
from dataclasses import replace

import pytest

from bench.hosts import Member, Trouble
from bench.soak import WAYS, fleet, soak, way_of, wrong_requests, wrong_verdicts
from bench.soaked import After, Soaked, read_soak
from qualys_verify.standin.faults.base import Door
from tests.bench.conftest import NEEDS_SSHD

MIB = 1 << 20
RUN = After(1, 60.0, 9.0, 100 * MIB, 110 * MIB, 8, 1, 0, 0, (), ())
SOAKED = Soaked("now", 10, {"refused": 3}, "pytest", (RUN, replace(RUN, number=2), replace(RUN, number=3)))
SCAN = "test_vulnerability_scan_is_accepted"


def problems(**changed):
    return replace(SOAKED, runs=(*SOAKED.runs[:2], replace(SOAKED.runs[2], **changed))).problems


def test_a_soak_with_nothing_wrong():
    assert SOAKED.problems == ()
    assert "Every verdict was right" in SOAKED.told()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"wrong": ("127.77.0.1 is wrong",)}, "127.77.0.1 is wrong"),
        ({"asked": ("127.77.0.1 twice",)}, "127.77.0.1 twice"),
        ({"processes": 2}, "run 3 left 2 processes behind"),
        ({"temporary": 1}, "run 3 left 1 temporary files behind"),
        ({"threads": 3}, "run 3 left 2 threads behind"),
        ({"files": 9}, "9 files are open after run 3, 8 after the first"),
        ({"resident": 150 * MIB}, "memory grows: 100, 100, 150 MiB"),
    ],
)
def test_what_is_left_behind_is_said(changed, said):
    assert problems(**changed) == (said,)


def test_it_is_read_as_it_was_written(tmp_path):
    SOAKED.write(tmp_path)
    assert read_soak(tmp_path) == SOAKED
    assert read_soak(tmp_path / "none") is None


def test_a_fleet_of_which_thirty_per_cent_fail_in_every_way():
    members = fleet(500, seed=1)
    ways = Counter(filter(None, map(way_of, members)))
    assert ways.total() == 150
    assert len(ways) == len(WAYS) >= 13
    assert fleet(500, seed=1) == members != fleet(500, seed=2)


def test_verdicts_that_are_right():
    members = [
        Member(0),
        Member(1, door=Door.SILENT),
        Member(2, trouble=Trouble.DROPS_IN_REQUEST),
        Member(3, trouble=Trouble.SLOW),
    ]
    right = [
        {SCAN: "compliant", "test_unit_exists": "compliant"},
        {SCAN: "inconclusive", "test_unit_exists": "inconclusive"},
        {SCAN: "inconclusive", "test_unit_exists": "compliant"},
        {SCAN: "compliant", "test_unit_exists": "compliant"},
    ]
    table = {member.address: verdicts for member, verdicts in zip(members, right, strict=True)}
    assert list(wrong_verdicts(members, table)) == []
    for member in members:
        for wrong in (
            "non-compliant",
            "compliant" if way_of(member) not in {"", str(Trouble.SLOW)} else "inconclusive",
        ):
            seen = {**table, member.address: {**table[member.address], SCAN: wrong}}
            assert len(list(wrong_verdicts(members, seen))) == 1
    assert len(list(wrong_verdicts(members, {}))) == 4


def test_requests_that_are_right():
    members = [Member(0), Member(1, door=Door.SILENT), Member(2, trouble=Trouble.DROPS_IN_REQUEST)]
    asked = {"127.77.0.1": ["vm", "pc"], "127.77.0.2": [], "127.77.0.3": ["vm", "pc"]}
    assert list(wrong_requests(members, asked)) == []
    assert len(list(wrong_requests(members, {**asked, "127.77.0.1": ["vm", "pc", "vm"]}))) == 1
    assert len(list(wrong_requests(members, {**asked, "127.77.0.2": ["vm"]}))) == 1
    assert len(list(wrong_requests(members, {**asked, "127.77.0.3": ["vm", "vm", "pc"]}))) == 1


@NEEDS_SSHD
def test_a_small_soak():
    done = soak(45, runs=2, seed=1, delay=1)
    assert done.problems == ()
    assert sum(done.failing.values()) == 14
    assert len(done.failing) == len(WAYS)
