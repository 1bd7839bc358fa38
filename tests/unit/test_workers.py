"""What controller and workers of pytest-xdist tell each other, and who gets which tests."""

import threading
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from qualys_verify.agent.layout import Layout
from qualys_verify.evidence.events import Reading
from qualys_verify.reasons import Interrupted
from qualys_verify.targets import DemoSpec, Target
from qualys_verify.verdict import Finding, Verdict
from qualys_verify.workers import wire
from qualys_verify.workers.share import ByHost, indices_of, shares
from qualys_verify.workers.worker import GONE, Link

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TARGET = Target(
    "kubectl://node/pod?context=c",
    "kubectl",
    "pod",
    ssh_config=Path("/a/b"),
    layout=Layout(home=PurePosixPath("/opt/q")),
    settings=(("context", "c"),),
    facts=(("node", "n"),),
    absent="no agent",
)
FINDING = Finding("f.py::t[x]", "x", "1", "title", "do", Verdict.COMPLIANT, "seen", "", 1.5, ("unit",))


def test_what_is_handed_arrives_as_it_was():
    handed = wire.Handed("id", NOW, (TARGET,), DemoSpec("", 3, 0.5, ("f",)), 3.5, 2, True, "s", {"a": "b"})  # noqa: FBT003
    assert wire.read_handed(wire.encode(handed)) == handed


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (wire.Begin((TARGET,)), wire.read_by_worker),
        (wire.End("why"), wire.read_by_worker),
        (wire.Claimed(1, "x"), wire.read_by_worker),
        (wire.Plan((FINDING,)), wire.read_by_controller),
        (wire.Judged(FINDING), wire.read_by_controller),
        (wire.Recorded(Reading(NOW, "x", "unit", 1, "text")), wire.read_by_controller),
        (wire.Looking(1, 2, (wire.Visited("x", 1.5, "unit"),)), wire.read_by_controller),
        (wire.CutShort("why", by_deadline=True), wire.read_by_controller),
        (wire.Claim(1, "digest", "x"), wire.read_by_controller),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_said_arrives_as_it_was(message, read):
    assert read(wire.encode(message)) == message


@pytest.mark.parametrize(("hosts", "workers"), [(0, 2), (1, 2), (5, 2), (6, 3), (7, 4), (100, 7)])
def test_hosts_are_shared_out_evenly(hosts, workers):
    names = tuple(map(str, range(hosts)))
    found = shares(names, workers)
    assert sorted(name for share in found for name in share) == sorted(names)
    assert len(found) == workers
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_a_worker_gets_all_tests_of_its_hosts_and_the_first_one_those_of_no_host():
    owners = {"t1[a]": "a", "t1[b]": "b", "t2[a]": "a"}
    collection = ["t1[a]", "other", "t1[b]", "t2[a]"]
    assert indices_of(collection, owners, ["a"], first=True) == [0, 1, 3]
    assert indices_of(collection, owners, ["b"], first=False) == [2]
    assert indices_of(collection, owners, [], first=False) == []


class Node:
    def __init__(self):
        self.told = []

    def send_runtest_some(self, indices):
        self.told.append(indices)

    def shutdown(self):
        self.told.append("no more")


def scheduler(*collections, owners=None):
    nodes = [Node() for _ in collections]
    made = ByHost(
        len(nodes),
        lambda nodes: (
            dict(zip(nodes, shares(("a", "b"), len(nodes)), strict=True)),
            owners or {"t[a]": "a", "t[b]": "b"},
        ),
    )
    for node, collection in zip(nodes, collections, strict=True):
        assert not made.collection_is_completed
        made.add_node(node)
        made.add_node_collection(node, collection)
    return made, nodes


def test_each_worker_is_told_once_and_that_nothing_comes_after_it():
    made, nodes = scheduler(["t[a]", "t[b]"], ["t[a]", "t[b]"])
    made.schedule()
    assert [node.told for node in nodes] == [[[0], "no more"], [[1], "no more"]]


def test_what_a_lost_worker_had_goes_to_nobody():
    made, nodes = scheduler(["t[a]", "t[b]"], ["t[a]", "t[b]"])
    made.schedule()
    assert made.remove_node(nodes[0]) is None
    assert nodes[1].told == [[1], "no more"]
    made.mark_test_complete(nodes[1], 1)
    assert made.tests_finished


def test_workers_that_found_different_tests_do_not_begin():
    made, nodes = scheduler(["t[a]", "t[b]"], ["t[a]"])
    with pytest.raises(RuntimeError, match="found different tests"):
        made.schedule()
    assert [node.told for node in nodes] == [[], []]


class Channel:
    """The other end, in this process."""

    def __init__(self):
        self.sent = []

    def setcallback(self, callback, endmarker=None):
        self.hear, self.endmarker = callback, endmarker

    def send(self, data):
        self.sent.append(wire.read_by_controller(data))

    def say(self, message):
        self.hear(wire.encode(message))


def test_a_claim_is_the_controller_s_to_decide():
    channel = Channel()
    link, owners = Link(channel), []
    asking = [
        threading.Thread(target=lambda: owners.append(link.claim(("id", "boot"), "x"))) for _ in range(2)
    ]
    for thread in asking:
        thread.start()
    while len(channel.sent) < 2:
        pass
    assert len({claim.machine for claim in channel.sent}) == 1
    assert "boot" not in channel.sent[0].machine, "it leaves the worker as a digest"
    for claim in channel.sent:
        channel.say(wire.Claimed(claim.number, "y"))
    for thread in asking:
        thread.join(5)
    assert owners == ["y", "y"]


def test_a_worker_that_is_told_to_end_waits_for_nothing():
    channel = Channel()
    link = Link(channel)
    link.go_on()
    channel.say(wire.End("enough"))
    assert link.own_hosts() == ()
    with pytest.raises(KeyboardInterrupt, match="enough"):
        link.go_on()
    with pytest.raises(Interrupted, match="not triggered, enough"):
        link.claim("machine", "x")


def test_a_controller_that_is_gone_lets_nobody_wait():
    channel = Channel()
    link, said = Link(channel), []

    def ask():
        try:
            link.claim("machine", "x")
        except Interrupted as reason:
            said.append(str(reason))

    asking = threading.Thread(target=ask)
    asking.start()
    while not channel.sent:
        pass
    channel.hear(channel.endmarker)
    asking.join(5)
    assert said == [f"not triggered: {GONE}"]
