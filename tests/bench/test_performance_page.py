"""docs/performance.md is what the renderer makes of the committed results, and nothing else."""

import re

from bench import page
from bench.results import Part, read
from bench.run import RESULTS
from bench.soaked import After, Soaked, read_soak
from tests.bench.test_results import MACHINE, parts, sample

RUN = After(1, 60.0, 9.0, 100 << 20, 110 << 20, 8, 1, 0, 0, (), ())


def test_the_page_is_up_to_date():
    made = page.render(read(RESULTS), read_soak(RESULTS))
    assert {name: (page.PAGE.parent / name).read_text(encoding="utf-8") for name in made} == made
    assert page.check() == 0


def test_no_plot_is_left_from_other_results():
    made = page.render(read(RESULTS), read_soak(RESULTS))
    assert {path.name for path in page.PAGE.parent.glob("performance-*.svg")} == set(made) - {page.PAGE.name}


def test_a_page_with_everything_in_it():
    samples = [sample("testinfra", 100, 300.0), sample("ours", 100, 3.0)]
    others = Part(
        "others",
        MACHINE,
        {"testinfra": "1.2.3"},
        {"testinfra": "pytest --hosts=…"},
        ("Serverspec: rspec is missing",),
        tuple(samples),
    )
    made = page.render({**parts(), "others": others}, Soaked("now", 10, {"refused": 3}, "pytest", (RUN,)))
    text = made["performance.md"]
    assert set(made) == {
        "performance.md",
        "performance-wall.svg",
        "performance-cpu.svg",
        "performance-waiting.svg",
    }
    assert not re.search(r"@[A-Z]+@", text)
    assert "| wall, plain pytest-testinfra against ours, 100 hosts | ≥ 50 × | 100 × | ✔ held |" in text
    assert "✘ **missed**" not in text
    assert "| pytest-testinfra | – | 300.0 | – | – |" in text
    assert "- not measured: Serverspec: rspec is missing" in text
    assert "    pytest --hosts=…" in text
    assert "Every verdict was right" in text
    assert all(f"]({name})" in text for name in made if name.endswith(".svg"))


def test_a_bar_that_is_missed_is_said_to_be():
    slow = [sample("ours", 100, 8.0), sample("asyncssh", 100, 4.0)]
    made = page.render(parts(samples=slow), None)
    assert "100 hosts | ≤ 1.5 × | 2.00 × | ✘ **missed** |" in made["performance.md"]


def test_a_page_of_nothing():
    made = page.render({}, None)
    assert set(made) == {"performance.md"}
    assert "not measured |" in made["performance.md"]
    assert "held" not in made["performance.md"].partition("## A read-only run")[0].partition("|---|")[2]
