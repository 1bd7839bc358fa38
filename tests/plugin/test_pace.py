"""How a fleet is asked for scans, counted on its agents."""

import json
import signal
import time

import pytest

NOWHERE = "ssh://127.0.0.1:1,ssh://127.0.0.2:1"


class Agents:
    """What a demo's agents were asked and do, read from their own files while the run is under way."""

    def __init__(self, running):
        self._running = running
        self.requests = {}
        self.most_scans = 0

    def look(self):
        under_way = 0
        for notes in self._running.folder.glob("tmp/qualys-verify-demo-*/hosts/*/var/lib/standin"):
            try:
                asked = (notes / "requests.log").read_text().splitlines()
                log = (notes.parents[1] / "log/qualys/qualys-cloud-agent.log").read_text()
            except OSError:
                continue
            if not asked:
                continue
            self.requests[notes.parents[2].name] = sorted(line.split()[2] for line in asked)
            under_way += log.count("Scan started for") > log.count("Scan finished for")
        self.most_scans = max(self.most_scans, under_way)

    def watch_to_the_end(self):
        while self._running.is_under_way:
            self.look()
            time.sleep(0.05)
        return self._running.end()


@pytest.fixture
def readings():
    """The readings in a run's journal: host, observation and text."""

    def read(folder):
        (journal,) = folder.glob("reports/2*/journal.jsonl")
        events = [json.loads(line)["record"] for line in journal.read_text().splitlines()]
        return [
            (event["host"], event["observation"], event["text"])
            for event in events
            if event["kind"] == "reading"
        ]

    return read


def test_never_more_scans_at_once_than_allowed_and_each_host_is_asked_once(start, readings):
    running = start("--hosts=demo://healthy?hosts=6&delay=1", "--max-triggers-at-once=2", "--at-once=3")
    agents = Agents(running)
    ran = agents.watch_to_the_end()
    assert ran.status == 0, ran.out
    assert agents.most_scans == 2
    assert len(agents.requests) == 6
    assert set(map(tuple, agents.requests.values())) == {("type=pc", "type=vm")}
    waits = {host for host, name, text in readings(ran.folder) if name == "scan" and "waits:" in text}
    assert len(waits) == 4


@pytest.mark.parametrize(("limit", "is_asked"), [("1", False), ("40%", True), ("39%", False)])
def test_nothing_is_triggered_once_too_many_hosts_are_unreachable(start, limit, is_asked):
    """Two of five; those that are there are looked at all the same. One after another: that they are not there comes first."""
    hosts = f"--hosts={NOWHERE},demo://healthy?delay=0.3"
    pace = ("--at-once=1", "--trigger-jitter=0", "--max-triggers-at-once=1")
    running = start(hosts, f"--max-inconclusive={limit}", *pace)
    agents = Agents(running)
    ran = agents.watch_to_the_end()
    assert ran.status == 6
    assert len(agents.requests) == (3 if is_asked else 0)
    said = f"2 of 5 hosts could not be looked at, more than --max-inconclusive={limit}"
    assert (said in " ".join(ran.out.split())) is not is_asked
    scans = {row: end for row, end in ran.rows.items() if "vulnerability" in row and "demo-vendor" in row}
    assert set(scans.values()) == {"passed" if is_asked else "error"}
    assert ran.rows["test_unit_exists[demo://demo-vendor]"] == "passed"


def test_each_host_waits_a_random_time_and_the_evidence_tells(start, readings):
    ran = start("--hosts=demo://healthy?delay=0.3", "--trigger-jitter=2").end()
    assert ran.status == 0
    found = [(host, text.split()[0]) for host, name, text in readings(ran.folder) if name == "scan"]
    for name in ("runbook", "limited", "vendor"):
        assert [word for host, word in found if host.endswith(name)][:2] == ["waits:", "waited:"]
    pages = "".join(page.read_text() for page in ran.folder.glob("reports/2*/**/*.html"))
    assert "at random (--trigger-jitter=2)" in pages


def test_ctrl_c_while_hosts_wait_to_be_asked(start, until):
    running = start("--hosts=demo://healthy?hosts=4&delay=60", "--max-triggers-at-once=1")
    agents = Agents(running)

    def all_wait():
        agents.look()
        journals = list(running.folder.glob("reports/2*/journal.jsonl"))
        return agents.requests and journals and journals[0].read_text().count("waits: 1 host") == 3

    until(all_wait)
    running.interrupt(signal.SIGINT)
    ran = agents.watch_to_the_end()
    assert ran.status == 2
    assert len(agents.requests) == 1
    assert "not triggered: the run was interrupted before this host was asked" in " ".join(ran.out.split())
    assert ran.left_behind == []
