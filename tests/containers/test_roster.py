"""Which nodes should have the agent, and which lack it: the DaemonSet's count decides, the nodes give the names."""

import threading

import pytest

from qualys_verify.backends import Deadline
from qualys_verify.cluster import discover, may_run, roster, selects
from qualys_verify.frame import RawResult
from qualys_verify.kubectl import Cluster, Forbidden, refusal
from tests.containers.conftest import DEFAULTS
from tests.containers.objects import daemonset, merged, node, pod

LEAVING = {"deletionTimestamp": "2026-03-23T11:59:00Z"}


def nodes(*names):
    return [node(name) for name in names]


def test_a_pod_on_each_node_and_nothing_is_missing():
    found = roster([pod("a", "n1"), pod("b", "n2")], [daemonset(2)], nodes("n1", "n2"))
    assert found.pods == (("n1", "a"), ("n2", "b"))
    assert (found.missing, found.lacking) == ((), 0)
    assert str(found.sets[0]) == "qualys-cloud-agent: 2 desired, 2 ready, 2 available"


def test_a_node_without_a_pod_is_missing_by_name():
    found = roster([pod("a", "n1")], [daemonset(3)], nodes("n1", "n2", "n3"))
    assert (found.missing, found.lacking) == (("n2", "n3"), 2)


def test_without_the_nodes_they_are_only_counted():
    found = roster([pod("a", "n1")], [daemonset(3)], None)
    assert (found.missing, found.lacking, found.candidates) == ((), 2, ())


def test_no_pod_at_all_is_every_node_missing():
    assert roster([], [daemonset(2)], nodes("n1", "n2")).missing == ("n1", "n2")


def test_the_daemonsets_count_decides_and_not_what_is_made_of_the_nodes():
    """Something that is not known here may keep the DaemonSet from a node: no false alarm."""
    found = roster([pod("a", "n1")], [daemonset(1)], nodes("n1", "n2"))
    assert (found.missing, found.lacking) == ((), 0)


def test_where_more_nodes_could_be_meant_they_are_not_guessed():
    found = roster([pod("a", "n1")], [daemonset(2)], nodes("n1", "n2", "n3"))
    assert (found.missing, found.lacking, found.candidates) == ((), 1, ("n2", "n3"))


def test_counts_of_before_a_change_do_not_hide_a_node():
    stale = daemonset(1, metadata={"generation": 4}, status={"observedGeneration": 3})
    assert roster([pod("a", "n1")], [stale], nodes("n1", "n2")).missing == ("n2",)


def test_a_pod_that_waits_for_its_node_is_a_target_and_covers_the_node():
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    }
    waiting = pod("b", None, spec={"nodeName": None, "affinity": affinity})
    found = roster([pod("a", "n1"), waiting], [daemonset(2)], nodes("n1", "n2"))
    assert found.pods == (("n1", "a"), ("n2", "b"))
    assert found.lacking == 0


def test_a_pod_of_which_no_node_is_known_counts_for_one():
    found = roster(
        [pod("a", "n1"), pod("b", None, spec={"nodeName": None})], [daemonset(2)], nodes("n1", "n2")
    )
    assert found.pods == (("", "b"), ("n1", "a"))
    assert found.lacking == 0


def test_one_pod_a_node_the_one_that_stays():
    old = pod("old", "n1", metadata=LEAVING)
    evicted = pod("evicted", "n1", status={"phase": "Failed"})
    assert roster([old, pod("new", "n1"), evicted], [daemonset(1)], None).pods == (("n1", "new"),)
    assert roster([old], [daemonset(1)], None).pods == (("n1", "old"),)
    newer = pod("a", "n1", metadata={"creationTimestamp": "2026-03-23T11:00:00Z"})
    assert roster([newer, pod("b", "n1")], [daemonset(1)], None).pods == (("n1", "a"),)


def test_a_pod_that_somebody_made_by_hand_does_not_stand_in_for_the_agents():
    debug = pod(
        "debug", "n1", metadata={"ownerReferences": None, "creationTimestamp": "2026-03-23T11:00:00Z"}
    )
    assert roster([debug, pod("a", "n1")], [daemonset(1)], None).pods == (("n1", "a"),)


def of(owner):
    return {"ownerReferences": [{"kind": "DaemonSet", "name": owner}] if owner else None}


@pytest.mark.parametrize("nodes_seen", [nodes("n1", "n2", "n3"), None], ids=["nodes", "no nodes"])
def test_a_pod_where_none_is_wanted_does_not_hide_a_node_that_lacks_one(nodes_seen):
    """A taint that came later keeps new pods away and lets the old one run: healthy, and counted by nobody."""
    if nodes_seen:
        nodes_seen[2]["spec"]["taints"] = [TAINT]
    pods = [pod("a", "n1"), pod("c", "n3")]
    lacking = roster(pods, [daemonset(2, status={"numberMisscheduled": 1})], nodes_seen)
    assert (lacking.lacking, lacking.missing) == (1, ("n2",) if nodes_seen else ())
    whole = roster([*pods, pod("b", "n2")], [daemonset(2, status={"numberMisscheduled": 1})], nodes_seen)
    assert (whole.lacking, whole.missing) == (0, ())
    assert whole.pods == (("n1", "a"), ("n2", "b"), ("n3", "c"))


def test_neither_a_pod_made_by_hand_nor_one_of_a_node_that_is_gone_hides_a_node():
    by_hand = pod("debug", "n3", metadata=of(None))
    assert roster([pod("a", "n1"), by_hand], [daemonset(2)], nodes("n1", "n2")).missing == ("n2",)
    assert roster([pod("a", "n1"), by_hand], [daemonset(2)], None).lacking == 1
    assert roster([pod("a", "n1"), pod("c", "gone")], [daemonset(2)], nodes("n1", "n2")).missing == ("n2",)


def test_two_daemonsets_are_each_reckoned_by_itself():
    arm = daemonset(1, name="arm", spec={"nodeSelector": {"arch": "arm"}})
    x86 = daemonset(1, spec={"nodeSelector": {"arch": "x86"}})
    fleet = [node("n1", labels={"arch": "x86"}), node("n2", labels={"arch": "arm"})]
    there = [pod("a", "n1"), pod("b", "n2", metadata=of("arm"))]
    assert roster(there, [x86, arm], fleet).lacking == 0
    assert roster(there[:1], [x86, arm], fleet).missing == ("n2",)
    assert roster(there[:1], [x86, arm], None).lacking == 1


def test_two_daemonsets_on_one_node_are_two_agents_and_nothing_is_missing():
    there = [pod("a", "n1"), pod("b", "n1", metadata=of("new"))]
    found = roster(there, [daemonset(1), daemonset(1, name="new")], nodes("n1"))
    assert found.pods == (("n1", "a"), ("n1", "b"))
    assert (found.lacking, found.missing) == (0, ())


def test_a_node_that_two_daemonsets_miss_is_missed_once():
    found = roster([], [daemonset(1), daemonset(1, name="new")], nodes("n1"))
    assert (found.lacking, found.missing) == (1, ("n1",))


def test_counts_of_before_a_change_count_where_the_nodes_may_not_be_listed():
    stale = daemonset(3, metadata={"generation": 4}, status={"observedGeneration": 3})
    assert roster([pod("a", "n1")], [stale], None).lacking == 2


def test_of_a_daemonset_that_was_just_made_the_nodes_tell_what_is_missing():
    new = daemonset(0, status={"observedGeneration": None})
    assert roster([], [new], nodes("n1", "n2")).missing == ("n1", "n2")


class Answers:
    """A cluster that answers from a list."""

    name, namespace, context, kubeconfig, cache = "c", "q", "c", None, None

    def __init__(self, pods, sets, nodes):
        self._all = {"pods": pods, "daemonsets.apps": sets, "nodes": nodes}

    def objects(self, _deadline, kind, *words):
        found = self._all[kind]
        if kind == "pods":
            selector = words[0].removeprefix("--selector=")
            return tuple(item for item in found if selects(selector, item["metadata"]["labels"]))
        return tuple(item for item in found if not words or item["metadata"]["name"] in words)


def test_pods_that_are_not_asked_for_have_their_nodes_lack_nothing():
    """In a rollout somebody looks at the new revision only."""
    old, new = ({"labels": {"name": "qualys-cloud-agent", "revision": text}} for text in ("1", "2"))
    of_set = daemonset(2)
    of_set["spec"]["selector"] = {"matchLabels": {"name": "qualys-cloud-agent"}}
    there = [pod("a", "n1", metadata=new), pod("b", "n2", metadata=old)]
    settings, stop = {"selector": "revision=2"}, threading.Event()
    stop.set()  # so that the second look comes at once

    def ids(pods):
        answers = Answers(pods, [of_set], nodes("n1", "n2"))
        found = discover("kubectl://*", answers, settings, DEFAULTS, Deadline(1, stop))
        return [target.id.partition("?")[0] for target in found]

    assert ids(there) == ["kubectl://n1/a"]
    assert ids(there[:1]) == ["kubectl://n1/a", "kubectl://n2/no-pod"]


def found_in(answers):
    """The nodes that a cluster which answers so lacks the agent on."""
    stop = threading.Event()
    stop.set()  # so that the second look comes at once
    found = discover("kubectl://*", answers, {}, DEFAULTS, Deadline(1, stop))
    return [target.name for target in found if target.absent]


ARM = daemonset(1, name="arm", spec={"nodeSelector": {"arch": "arm"}})
X86 = daemonset(1, spec={"nodeSelector": {"arch": "x86"}})
TWO_KINDS = [node("n1", labels={"arch": "x86"}), node("n2", labels={"arch": "arm"})]


def test_a_second_daemonset_without_a_single_pod_is_seen():
    assert found_in(Answers([pod("a", "n1")], [X86, ARM], TWO_KINDS)) == ["n2/"]


def test_one_that_is_being_deleted_or_of_something_else_wants_nothing():
    going, other = ({**ARM, "metadata": {**ARM["metadata"], **LEAVING}}, daemonset(1, name="other"))
    other["spec"]["template"]["metadata"]["labels"] = {"name": "log-shipper"}
    assert found_in(Answers([pod("a", "n1")], [X86, going, other], TWO_KINDS)) == []


def test_where_daemonsets_may_not_be_listed_those_that_are_named_are_known():
    class Tight(Answers):
        def objects(self, deadline, kind, *words):
            if kind == "daemonsets.apps" and not words:
                raise Forbidden("no list")
            return super().objects(deadline, kind, *words)

    two = pod("a", "n1"), pod("b", "n2", metadata=of("arm"))
    assert found_in(Tight(two, [X86, ARM], TWO_KINDS)) == []
    x86 = merged(X86, {"status": {"desiredNumberScheduled": 2}})
    more = [*TWO_KINDS, node("n3", labels={"arch": "x86"})]
    assert found_in(Tight(two, [x86, ARM], more)) == ["n3/"]


def test_pods_of_no_daemonset_are_looked_at_and_nothing_is_expected():
    assert roster([pod("a", "n1")], [], nodes("n1", "n2")).lacking == 0


def test_a_node_that_does_not_answer_is_said():
    found = roster([pod("a", "n1")], [daemonset(1)], [node("n1", ready="Unknown")])
    assert dict(found.nodes["n1"])["node's state"] == "NotReady (NodeStatusUnknown)"


# --- where a DaemonSet's pods may be placed --------------------------------------------------------------

TAINT = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}


def affinity(*expressions):
    terms = [{"matchExpressions": list(expressions)}]
    return {
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }
    }


def expression(operator, *values, key="os"):
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("spec", "labels", "expected"),
    [
        ({}, {}, True),
        ({"nodeSelector": {"os": "bottlerocket"}}, {"os": "bottlerocket"}, True),
        ({"nodeSelector": {"os": "bottlerocket"}}, {}, False),
        (affinity(expression("In", "a", "b")), {"os": "b"}, True),
        (affinity(expression("In", "a")), {}, False),
        (affinity(expression("NotIn", "a")), {}, True),
        (affinity(expression("NotIn", "a")), {"os": "a"}, False),
        (affinity(expression("Exists")), {"os": ""}, True),
        (affinity(expression("Exists")), {}, False),
        (affinity(expression("DoesNotExist")), {}, True),
        (affinity(expression("DoesNotExist")), {"os": "a"}, False),
        (affinity(expression("Gt", "4")), {"os": "5"}, True),
        (affinity(expression("Gt", "4")), {"os": "4"}, False),
        (affinity(expression("Gt", "4")), {}, False),
        (affinity(expression("Lt", "4")), {"os": "3"}, True),
        (affinity(expression("Lt", "4")), {"os": "x"}, False),
        (affinity(expression("Around", "4")), {"os": "4"}, False),
        (affinity(expression("Exists"), expression("In", "b")), {"os": "a"}, False),
    ],
)
def test_labels_decide(spec, labels, expected):
    assert may_run(daemonset(spec=spec), node(labels=labels)) is expected


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], False),
        ([{"operator": "Exists"}], True),
        ([{"key": "dedicated", "operator": "Exists"}], True),
        ([{"key": "dedicated", "value": "gpu"}], True),
        ([{"key": "dedicated", "value": "cpu"}], False),
        ([{"key": "dedicated", "value": "gpu", "effect": "NoExecute"}], False),
        ([{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}], True),
        ([{"key": "other", "operator": "Exists"}], False),
    ],
)
def test_taints_decide(tolerations, expected):
    assert may_run(daemonset(spec={"tolerations": tolerations}), node(taints=[TAINT])) is expected


def test_what_every_daemonset_tolerates_bars_nobody():
    for name in ("not-ready", "unreachable", "unschedulable", "disk-pressure"):
        taint = {"key": f"node.kubernetes.io/{name}", "effect": "NoSchedule"}
        assert may_run(daemonset(), node(taints=[taint]))
    assert may_run(daemonset(), node(taints=[TAINT | {"effect": "PreferNoSchedule"}]))


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("name=qualys-cloud-agent", True),
        ("name==qualys-cloud-agent", True),
        ("name=other", False),
        ("app=x,name=qualys-cloud-agent", False),
        ("name", True),
        ("name!=other", True),
        ("name!=qualys-cloud-agent", False),
        ("app", False),
        ("!name", False),
        ("!app,name", True),
        ("app!=x", True),
    ],
)
def test_a_selector_takes_labels(selector, expected):
    assert selects(selector, {"name": "qualys-cloud-agent"}) is expected


# --- what kubectl says when it is refused ----------------------------------------------------------------


def said(text, status=1):
    return refusal(RawResult(status, b"", text.encode()), Cluster("qualys-agent", "prod"))


def test_a_missing_permission_names_the_rule_and_where_it_belongs():
    sentence = 'Error from server (Forbidden): nodes is forbidden: User "x" cannot list resource "nodes" in API group "" at the cluster scope'
    assert isinstance(said(sentence), Forbidden)
    assert 'a ClusterRole needs the rule {apiGroups: [""], resources: ["nodes"], verbs: ["list"]}' in str(
        said(sentence)
    )
    sentence = 'pods "a" is forbidden: User "x" cannot create resource "pods/exec" in API group "" in the namespace "q"'
    assert (
        'a Role in namespace q needs the rule {apiGroups: [""], resources: ["pods/exec"], verbs: ["create"]}'
        in str(said(sentence))
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("error: You must be logged in to the server (Unauthorized)", "does not know who asks"),
        ("Please enter Username: error: EOF", "does not know who asks"),
        ('error: context "prodd" does not exist', "no such context"),
        (
            "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "certificate is not the one",
        ),
        (
            "The connection to the server 192.0.2.1:6443 was refused - did you specify the right host or port?",
            "does not answer",
        ),
        ("Unable to connect to the server: dial tcp: lookup api.example: no such host", "does not answer"),
        ("Error from server (TooManyRequests): try later", "too much to do"),
        ("Error from server (InternalError): etcd", "trouble of its own"),
        ("Error from server: error dialing backend: dial tcp 192.0.2.1:10250: i/o timeout", "the pod's node"),
        ("error: write tcp 192.0.2.1:5->192.0.2.2:443: write: broken pipe", "was cut off"),
        ("error: Timeout occurred", "was cut off"),
        ("error: error reading from error stream: websocket: close 1006: unexpected EOF", "was cut off"),
        ("error: EOF", "was cut off"),
        ("error: unable to upgrade connection: <!DOCTYPE html>", "was cut off"),
        ("Error from server (BadRequest): Upgrade request required", "was cut off"),
    ],
)
def test_other_reasons_have_a_sentence_and_keep_the_clients_words(text, sentence):
    assert sentence in str(said(text))
    assert text[-20:] in str(said(text))


def test_kubectl_that_is_missing_is_said_and_anything_else_is_left_to_others():
    assert "kubectl is not installed" in str(said("kubectl: No such file or directory", 127))
    assert said("command terminated with exit code 137") is None
    assert said('error: unable to upgrade connection: container not found ("agent")') is None
    assert said("error: Internal error occurred: error executing command: OCI runtime exec failed") is None
