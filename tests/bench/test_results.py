"""Figures from samples, bars from figures, the calculation, the plots."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from bench.bars import LONG_SCAN, SCAN, bars, polling, told
from bench.outlook import outlook
from bench.plot import Point, Series, plot
from bench.results import Machine, Part, Sample, Spread, ratio, read, sizes, slope, spread
from bench.scale import Assumptions, Measured, Network, looking_time, need, through_bastion

MIB = 1 << 20
MACHINE = Machine("2026-01-01 00:00 UTC", 2, 24 << 30, "6.1.0", "Debian", "3.11.7", 0.1)
SAMPLE = Sample("ours", 100, 0, 3.0, 1.0, 60 * MIB, 60 * MIB, 0.8, 2.0)


def sample(side, hosts, wall, number=0, **others):
    return replace(SAMPLE, side=side, hosts=hosts, round=number, wall=wall, **others)


def floors(hosts=(10, 100, 500, 1000), factor=1.2):
    return [
        sample(side, count, wall, cpu=cpu)
        for count in hosts
        for side, wall, cpu in (
            ("ours", factor * count / 40, count / 100),
            ("asyncssh", count / 40, count / 200),
            ("xargs", count / 15, count / 14),
        )
    ]


def waiting(beyond=lambda hosts: 10 + hosts / 50, poll=0.03):
    short = [
        sample(
            "ours",
            hosts,
            60 + beyond(hosts),
            kind=SCAN,
            cpu=1.0 + hosts / 50,
            peak=(50 * MIB + hosts * 100_000),
        )
        for hosts in (10, 100, 1000)
    ]
    long = replace(short[1], kind=LONG_SCAN, cpu=short[1].cpu + 100 * poll)
    return [
        *short,
        long,
        replace(short[0], side="relay", hosts=1, kind="bytes waiting", sent=20_000, received=90_000),
    ]


def parts(samples=None, others=(), waits=None):
    return {
        "floors": Part("floors", MACHINE, samples=tuple(floors() if samples is None else samples)),
        "others": Part("others", MACHINE, samples=tuple(others)),
        "waiting": Part("waiting", MACHINE, samples=tuple(waiting() if waits is None else waits)),
    }


def held(found):
    return {bar.figure: bar.holds for bar in bars(found)}


def one(found, *words):
    (answer,) = [holds for figure, holds in held(found).items() if all(word in figure for word in words)]
    return answer


def test_a_ratio_is_taken_between_runs_of_the_same_round():
    samples = [
        *(sample("ours", 10, wall, number) for number, wall in enumerate((2.0, 4.0, 6.0))),
        *(sample("xargs", 10, wall, number) for number, wall in enumerate((1.0, 4.0))),
    ]
    assert ratio(samples, "ours", "xargs", 10, lambda item: item.wall) == Spread((2.0, 1.0))
    assert ratio(samples, "ours", "xargs", 100, lambda item: item.wall) is None


def test_a_spread_has_the_median_and_both_ends():
    found = spread([sample("ours", 1, wall) for wall in (3.0, 1.0, 9.0)], "ours", 1, lambda item: item.wall)
    assert (found.median, found.span) == (3.0, (1.0, 9.0))
    assert told(found, "{:.0f}".format, " s") == "3 s (1 to 9)"
    assert told(None, str) == ""


def test_runs_that_wait_are_no_read_only_runs():
    samples = [SAMPLE, replace(SAMPLE, hosts=10, kind=SCAN)]
    assert sizes(samples) == [100]
    assert sizes(samples, SCAN) == [10]
    assert spread(samples, "ours", 10, lambda item: item.wall) is None


def test_what_one_host_more_costs():
    assert slope((10, 1.0), (110, 3.0)) == pytest.approx(0.02)


def test_results_are_read_as_they_were_written(tmp_path):
    part = Part("floors", MACHINE, {"ours": "1"}, {"ours": "pytest"}, ("no rspec",), (SAMPLE,))
    part.write(tmp_path)
    assert read(tmp_path) == {"floors": part}
    assert read(tmp_path / "none") == {}


def test_bars_that_are_held():
    others = [
        sample("ours", 100, 3.0),
        sample("testinfra", 100, 300.0),
        sample("ansible", 100, 90.0),
        sample("testinfra-shared", 100, 16.0),
    ]
    found = held(parts(others=others))
    assert [figure for figure, holds in found.items() if holds is not True] == [
        "from the start to the first command on a host, 1,000 hosts"
    ] * (SAMPLE.first > 3)
    assert len(found) == 10


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"samples": floors(factor=1.6)}, ("wall", "floor", "100 hosts")),
        ({"samples": [replace(item, cpu=20.0) for item in floors()]}, ("CPU", "xargs", "500")),
        (
            {"others": [sample("ours", 100, 3.0), sample("testinfra", 100, 140.0)]},
            ("plain pytest-testinfra",),
        ),
        ({"others": [sample("ours", 100, 3.0), sample("serverspec", 100, 14.0)]}, ("the best of",)),
        ({"waits": waiting(beyond=lambda hosts: hosts / 20)}, ("wall − 60 s",)),
        ({"waits": [replace(item, peak=251 * MIB) for item in waiting()]}, ("memory",)),
        ({"waits": waiting(poll=0.06)}, ("polls",)),
        ({"samples": [replace(item, first=3.1) for item in floors()]}, ("first command",)),
    ],
)
def test_bars_that_are_missed(changed, words):
    assert one(parts(**changed), *words) is False


def test_what_was_not_measured_is_neither_held_nor_missed():
    assert set(held({}).values()) == {None}
    assert set(held(parts(samples=[], waits=[])).values()) == {None}


def test_the_best_of_the_others_decides():
    others = [sample("ours", 100, 3.0), sample("ansible", 100, 90.0), sample("testinfra-shared", 100, 14.0)]
    assert one(parts(others=others), "the best of") is False


def test_polls_are_what_a_longer_wait_costs_more():
    assert polling(tuple(waiting(poll=0.02))).median == pytest.approx(0.02)
    assert polling(()) is None


# --- a hundred thousand ------------------------------------------------------------------------------------

MEASURED = Measured(
    cpu=0.01, poll_cpu=0.03, start=1.0, memory=100_000, memory_start=50 * MIB, sent=20_000, received=80_000
)
NEAR = Network("near", 0.001, 10, 0.1)
FAR = Network("far", 0.5, 10, 0.1)
ASSUMED = Assumptions(scan=60, at_once=100, headroom=0.5, per_process=1000, cores=4)


def test_near_hosts_are_bound_by_the_core():
    assert looking_time(MEASURED, NEAR, ASSUMED, 1000) == pytest.approx(1 + 1000 * 0.01 / 0.5)


def test_far_hosts_are_bound_by_their_answers():
    assert looking_time(MEASURED, FAR, ASSUMED, 1000) == pytest.approx(10 * 5.1 + 1)


def test_a_fleet_is_shared_by_processes_and_machines():
    found = need(MEASURED, NEAR, ASSUMED, 100_000)
    assert (found.processes, found.machines) == (100, 25)
    assert found.whole == pytest.approx(found.looking + 60)
    assert found.cpu == pytest.approx(100 * 1.0 + 100_000 * (0.01 + 0.03))
    assert found.waiting == pytest.approx(1000 * 0.03 / 60)
    assert found.memory == pytest.approx(4 * (50 * MIB + 1000 * 100_000))
    assert found.bytes == pytest.approx(1e10)
    assert found.bits == pytest.approx(8e10 / found.looking)
    assert found.logins == pytest.approx(100_000 / found.looking)


def test_a_small_fleet_needs_one_process():
    found = need(MEASURED, NEAR, ASSUMED, 10)
    assert (found.processes, found.machines) == (1, 1)
    assert found.memory == pytest.approx(50 * MIB + 10 * 100_000)


def test_a_bastion_takes_as_many_logins_as_it_may_hold():
    assert through_bastion(10, 0.2) == pytest.approx(50)


def test_the_outlook_is_made_of_what_was_measured():
    text = outlook(parts())
    assert "10 ms of CPU for each host more" in text
    assert "30.0 ms for each host and minute of waiting" in text
    assert "20 kB sent and 90 kB received" in text
    assert "| 100,000 | 200 ms, round the world | 100 | 13 |" in text
    assert outlook(parts(waits=[])) == ""


# --- plots -------------------------------------------------------------------------------------------------


def _names(picture):
    svg = ET.fromstring(picture)  # noqa: S314  # of our own making
    return {
        item.text: (float(item.get("x")), float(item.get("y")))
        for item in svg.iter("{http://www.w3.org/2000/svg}text")
        if item.get("class") == "name"
    }


def test_a_plot_names_its_lines_at_their_ends_and_apart():
    lines = [
        Series("a & b", (Point(1, 1, 1, 1), Point(100, 10, 9, 12))),
        Series("c", (Point(1, 1, 1, 1), Point(100, 10.1, 10.1, 10.1))),
        Series("short", (Point(1, 1, 1, 1), Point(10, 10, 10, 10))),
        Series("none", ()),
    ]
    names = _names(plot("<title>", "hosts", "seconds", lines))
    assert set(names) == {"a & b", "c", "short"}
    assert names["a & b"][0] == names["c"][0] > names["short"][0]
    assert abs(names["a & b"][1] - names["c"][1]) >= 15


def test_a_plot_of_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing was measured"):
        plot("empty", "hosts", "seconds", [Series("none", ())])
