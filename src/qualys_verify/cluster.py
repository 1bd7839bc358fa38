"""`kubectl://*`: every agent pod of a cluster, and every node that should have one and has none.

What is expected is the DaemonSet's own reckoning (`desiredNumberScheduled`); which nodes those are is worked
out from the nodes, where they may be listed. Pure but for `discover` and `settle`, which ask kubectl.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qualys_verify.agent.container import printable
from qualys_verify.backends import Deadline
from qualys_verify.kubectl import Cluster, Forbidden, current_context
from qualys_verify.reasons import Inconclusive
from qualys_verify.targets import NO_POD, PodSpec, Target, TargetError

# What the DaemonSet controller tolerates by itself, on every node.
_TOLERATED = frozenset(
    f"node.kubernetes.io/{name}"
    for name in (
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
        "network-unavailable",
    )
)
_HOSTNAME = "metadata.name"
_SECOND_LOOK = 3.0  # seconds after which a node is missed for good; a DaemonSet makes a new pod in less


@dataclass(frozen=True)
class Defaults:
    """Where the agent's pods are when a spec does not say (`--kube-…`); None: kubectl's own choice."""

    namespace: str
    selector: str
    container: str
    daemonset: str
    context: str | None
    kubeconfig: str | None


@dataclass(frozen=True)
class Fleetwide:
    """What the cluster says of the agent as a whole.

    `desired`, `ready` and `available` are the DaemonSet's counts; None where there is no DaemonSet.
    """

    daemonset: str
    desired: int
    ready: int
    available: int

    def __str__(self) -> str:
        """As a report shows it."""
        return f"{self.daemonset}: {self.desired} desired, {self.ready} ready, {self.available} available"


def settle(
    targets: Iterable[Target], specs: Iterable[PodSpec], defaults: Defaults, deadline: Deadline
) -> tuple[Target, ...]:
    """All targets with what kubectl is to be told made explicit, and the pods that the specs stand for.

    Raises TargetError for a selection that nothing answers to, and where kubectl or a context is missing.
    """
    contexts: dict[str | None, str | None] = {}

    def place(settings: Mapping[str, str]) -> Cluster:
        kubeconfig = settings.get("kubeconfig") or defaults.kubeconfig
        if kubeconfig and not Path(kubeconfig).exists():
            raise TargetError(f"there is no kubeconfig {kubeconfig}: name an existing file")
        context = settings.get("context") or defaults.context
        if context is None:
            if kubeconfig not in contexts:
                contexts[kubeconfig] = _chosen_context(kubeconfig, deadline)
            context = contexts[kubeconfig]
        return Cluster(settings.get("namespace") or defaults.namespace, context, kubeconfig)

    settled: list[Target] = []
    for target in targets:
        if target.scheme == "kubectl":
            settings = dict(target.settings)
            settled.append(_pod_target(place(settings), target.name, settings.get("container"), defaults))
        else:
            settled.append(target)
    for spec in specs:
        settings = dict(spec.settings)
        settled += discover(spec.text, place(settings), settings, defaults, deadline)
    return _told_apart(settled)


def _told_apart(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Contexts of two kubeconfigs may have one name (`default`): then the ids name the files as well."""
    found = tuple(targets)
    count = Counter(target.id for target in found)
    return tuple(
        replace(target, id=f"{target.id}&kubeconfig={kubeconfig}")
        if count[target.id] > 1 and (kubeconfig := dict(target.settings).get("kubeconfig"))
        else target
        for target in found
    )


def _chosen_context(kubeconfig: str | None, deadline: Deadline) -> str | None:
    try:
        return current_context(kubeconfig, deadline)
    except Inconclusive as reason:
        raise TargetError(str(reason)) from reason


def _pod_target(
    cluster: Cluster, pod: str, container: str | None, defaults: Defaults, node: str | None = None
) -> Target:
    """A pod, named by all that tells it from others: by its node, too, where that was looked up."""
    name = f"{node}/{pod}" if node else pod
    of_container = (("container", container),) if container else ()
    shown = _query(cluster) + (f"&container={container}" if container else "")
    return Target(
        f"kubectl://{name}?{shown}",
        "kubectl",
        pod,
        settings=(*_settings_of(cluster), *of_container, ("usual", defaults.container)),
    )


def _settings_of(cluster: Cluster) -> tuple[tuple[str, str], ...]:
    """What tells a cluster, and what of it, from others."""
    where = (
        ("namespace", cluster.namespace),
        ("context", cluster.context),
        ("kubeconfig", cluster.kubeconfig),
        ("cache", cluster.cache),
    )
    return tuple((key, value) for key, value in where if value)


def _query(cluster: Cluster) -> str:
    """The same in an id, where the name of a context, which may be any text, is written as in a URL."""
    context = f"&context={quote(cluster.context, safe='@:/._-+=')}" if cluster.context else ""
    return f"namespace={cluster.namespace}{context}"


def discover(
    text: str,
    cluster: Cluster,
    settings: Mapping[str, str],
    defaults: Defaults,
    deadline: Deadline,
) -> tuple[Target, ...]:
    """The targets that a `kubectl://*` stands for.

    A cluster that could not be asked is one target of which nothing can be seen. Raises TargetError when the
    cluster answers, and there is nothing of the agent's in it.
    """
    selector = settings.get("selector") or defaults.selector
    usual = settings.get("daemonset") or defaults.daemonset
    try:
        found, sets, unlisted = _look(cluster, selector, usual, deadline)
        if found.lacking:  # one that is just being replaced is not missing
            deadline.interrupted.wait(min(_SECOND_LOOK, deadline.left))
            found, sets, unlisted = _look(cluster, selector, usual, deadline)
    except Inconclusive as reason:
        name, where = f"kubectl://*?{_query(cluster)}", _settings_of(cluster)
        return (Target(name, "kubectl", "*", settings=where, unseen=str(reason)),)
    if not found.pods and not found.lacking:
        raise TargetError(_nothing_there(text, cluster, selector, usual, sets))
    return _targets(found, cluster, settings.get("container"), defaults, unlisted)


def _look(
    cluster: Cluster, selector: str, usual: str, deadline: Deadline
) -> tuple["Roster", tuple[dict[str, Any], ...], str]:
    """The roster as it is now, the DaemonSets that it was made of, and why the nodes may not be listed, if so."""
    nodes, unlisted = _nodes(cluster, deadline)
    pods, sets = _pods_and_sets(cluster, selector, usual, deadline)
    others = [pod for item in sets for pod in _unselected(cluster, selector, item, deadline)]
    return roster(pods, sets, nodes, others), sets, unlisted


def _unselected(
    cluster: Cluster, selector: str, daemonset: Mapping[str, Any], deadline: Deadline
) -> tuple[dict[str, Any], ...]:
    """All pods of a DaemonSet of which a selector takes some only (`controller-revision-hash=…`): its nodes lack nothing."""
    labels = (daemonset["spec"].get("selector") or {}).get("matchLabels") or {}
    if selects(selector, _labels(daemonset)) or not labels:
        return ()
    own = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return cluster.objects(deadline, "pods", f"--selector={own}")


def _pods_and_sets(
    cluster: Cluster, selector: str, usual: str, deadline: Deadline
) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """The agent's pods, and the DaemonSets that they belong to or would."""
    pods = cluster.objects(deadline, "pods", f"--selector={selector}")
    names = {usual} | {owner for pod in pods if (owner := daemonset_of(pod))}
    named = [item for name in names for item in cluster.objects(deadline, "daemonsets.apps", name)]
    found = {item["metadata"]["name"]: item for item in (*_listed_sets(cluster, deadline), *named)}
    return pods, tuple(item for _, item in sorted(found.items()) if _counts(item, selector, pods))


def _listed_sets(cluster: Cluster, deadline: Deadline) -> tuple[dict[str, Any], ...]:
    """The namespace's DaemonSets that stay: one without a single pod is named by nothing else.

    None where they may not be listed; those that are named are known without that right.
    """
    try:
        found = cluster.objects(deadline, "daemonsets.apps")
    except Forbidden:
        return ()
    return tuple(item for item in found if "deletionTimestamp" not in item["metadata"])


def _nodes(cluster: Cluster, deadline: Deadline) -> tuple[tuple[dict[str, Any], ...] | None, str]:
    """The cluster's nodes, or None and why: without the right to list them, missing ones have no names."""
    try:
        return cluster.objects(deadline, "nodes"), ""
    except Forbidden as reason:
        return None, str(reason)


def _nothing_there(
    text: str, cluster: Cluster, selector: str, usual: str, sets: Sequence[Mapping[str, Any]]
) -> str:
    why = f"the DaemonSet {usual} wants no node" if sets else f"and no DaemonSet {usual}"
    return (
        f"{text} finds no pod with {selector} in namespace {cluster.namespace} of cluster {cluster.name}, {why}: check the "
        "spelling; the vendor's page uses namespace qualys-agent, its Helm chart qualys"
    )


# --- what is expected, and what is there -----------------------------------------------------------------


@dataclass(frozen=True)
class Roster:
    """Which pods to look into, by node, and which nodes lack one.

    `lacking` counts nodes that should have a pod and have none; `missing` names those of them that are known.
    `candidates` are the nodes among which the unnamed ones are.
    """

    pods: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    lacking: int
    candidates: tuple[str, ...]
    sets: tuple[Fleetwide, ...]
    nodes: Mapping[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class _Gap:
    """How many nodes lack a pod of one DaemonSet, and among which they are."""

    lacking: int
    candidates: frozenset[str]

    @property
    def is_named(self) -> bool:
        return len(self.candidates) == self.lacking


def roster(
    pods: Sequence[Mapping[str, Any]],
    sets: Sequence[Mapping[str, Any]],
    nodes: Sequence[Mapping[str, Any]] | None,
    others: Sequence[Mapping[str, Any]] = (),
) -> Roster:
    """Compare nodes with pods. `nodes` is None where they may not be listed.

    `others` are pods that are not asked for, and have their nodes lack nothing.
    """
    there = tuple({pod["metadata"]["name"]: pod for pod in (*others, *pods)}.values())
    gaps = [_gap(item, there, nodes) for item in sets]
    missing = frozenset[str]().union(*(gap.candidates for gap in gaps if gap.is_named))
    unnamed = [gap for gap in gaps if not gap.is_named]
    return Roster(
        _one_a_node(pods),
        tuple(sorted(missing)),
        len(missing) + sum(gap.lacking for gap in unnamed),
        tuple(sorted(frozenset[str]().union(*(gap.candidates for gap in unnamed if gap.lacking)))),
        tuple(map(_fleetwide, sets)),
        {node["metadata"]["name"]: _facts_of(node) for node in nodes or ()},
    )


def _gap(
    daemonset: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    nodes: Sequence[Mapping[str, Any]] | None,
) -> _Gap:
    """The controller's count decides, unless it is of before a change; the nodes say which they are.

    Only the DaemonSet's own pods stand for a node, and only on nodes that it wants: one that was made by hand, one on
    a node that it does not want any more, or one that a node's end has left behind must not hide another node.
    """
    own = [pod for pod in pods if daemonset_of(pod) == daemonset["metadata"]["name"]]
    covered = {node for pod in own if (node := _node_of(pod))}
    if nodes is None:
        candidates = frozenset[str]()
    else:
        covered &= {node["metadata"]["name"] for node in nodes}
        eligible = {node["metadata"]["name"] for node in nodes if may_run(daemonset, node)}
        candidates = frozenset(eligible - covered)
        if _is_stale(daemonset):
            return _Gap(len(candidates), candidates)
    unwanted = int((daemonset.get("status") or {}).get("numberMisscheduled") or 0)
    unplaced = sum(not _node_of(pod) for pod in own)
    wanted = max(0, len(covered) - unwanted)
    return _Gap(max(0, _desired(daemonset) - wanted - unplaced), candidates)


def _facts_of(node: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a report shows of a node."""
    status = node.get("status") or {}
    conditions = {item.get("type"): item for item in status.get("conditions") or ()}
    ready = conditions.get("Ready", {"status": "True"})
    state = "" if ready.get("status") == "True" else f"NotReady ({ready.get('reason') or 'no reason given'})"
    return (
        ("node's system", printable((status.get("nodeInfo") or {}).get("osImage") or "")),
        ("node's state", printable(state)),
    )


def _one_a_node(pods: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Node and pod, one pod a node and DaemonSet: while a DaemonSet is rolled out the old one may still be there.

    A pod of no DaemonSet counts where no other one is.
    """
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for pod in sorted(pods, key=_worth):
        node, owner = _node_of(pod) or f"?{pod['metadata']['name']}", daemonset_of(pod) or ""
        if owner:
            best.pop((node, ""), None)
        best[node, owner] = pod
    return tuple(
        sorted(
            ("" if node[0] == "?" else node, str(pod["metadata"]["name"])) for (node, _), pod in best.items()
        )
    )


def _worth(pod: Mapping[str, Any]) -> tuple[bool, bool, bool, str, str]:
    """The last of several is the one to look into: of a DaemonSet, not on its way out, alive, the newest."""
    meta, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
    return (
        daemonset_of(pod) is not None,
        "deletionTimestamp" not in meta,
        phase not in {"Failed", "Succeeded"},
        meta.get("creationTimestamp") or "",
        meta["name"],
    )


def _node_of(pod: Mapping[str, Any]) -> str:
    """The node that a pod runs on or, where it is not placed yet, the one that its DaemonSet made it for."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    for term in _node_terms(spec):
        for field in term.get("matchFields") or ():
            if field.get("key") == _HOSTNAME and field.get("operator") == "In" and field.get("values"):
                return str(field["values"][0])
    return ""


def daemonset_of(pod: Mapping[str, Any]) -> str | None:
    """The DaemonSet that a pod belongs to, if any."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((owner["name"] for owner in owners if owner.get("kind") == "DaemonSet"), None)


def _counts(daemonset: Mapping[str, Any], selector: str, pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a DaemonSet is one of those that are asked for: it has pods here, or its pods would be selected."""
    name = daemonset["metadata"]["name"]
    return any(daemonset_of(pod) == name for pod in pods) or selects(selector, _labels(daemonset))


def _labels(daemonset: Mapping[str, Any]) -> Mapping[str, str]:
    """What a DaemonSet's pods are labelled with; controllers add some of their own."""
    return ((daemonset["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether a selector of the simple kind (`a=b,c!=d,e,!f`) takes these labels."""
    for part in selector.split(","):
        key, equals, value = part.replace("==", "=").replace("!=", "=").partition("=")
        key, is_not = key.strip().removeprefix("!"), "!" in part
        has = labels.get(key) == value.strip() if equals else key in labels
        if has == is_not:
            return False
    return True


def _desired(daemonset: Mapping[str, Any]) -> int:
    return int((daemonset.get("status") or {}).get("desiredNumberScheduled") or 0)


def _is_stale(daemonset: Mapping[str, Any]) -> bool:
    """Whether the counts are of before the last change; of one that was just made there are none yet."""
    observed = (daemonset.get("status") or {}).get("observedGeneration") or 0
    return int(observed) < int(daemonset["metadata"].get("generation") or 0)


def _fleetwide(daemonset: Mapping[str, Any]) -> Fleetwide:
    status = daemonset.get("status") or {}
    return Fleetwide(
        daemonset["metadata"]["name"],
        _desired(daemonset),
        int(status.get("numberReady") or 0),
        int(status.get("numberAvailable") or 0),
    )


def may_run(daemonset: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether a DaemonSet's pods may be placed on a node: its selector, its affinity, the node's taints."""
    spec = ((daemonset["spec"].get("template") or {}).get("spec")) or {}
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    terms = _node_terms(spec)
    if terms and not any(_matches(term, node) for term in terms):
        return False
    taints = (node.get("spec") or {}).get("taints") or ()
    barring = [taint for taint in taints if taint.get("effect") in {"NoSchedule", "NoExecute"}]
    return all(_is_tolerated(taint, spec.get("tolerations") or ()) for taint in barring)


def _node_terms(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return required.get("nodeSelectorTerms") or ()


def _matches(term: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    labels, name = node["metadata"].get("labels") or {}, {_HOSTNAME: node["metadata"]["name"]}
    return all(_holds(item, labels) for item in term.get("matchExpressions") or ()) and all(
        _holds(item, name) for item in term.get("matchFields") or ()
    )


def _holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One requirement of an affinity; one of a kind that is not known does not hold."""
    value: str | None = labels.get(requirement["key"])
    values: Sequence[str] = requirement.get("values") or ()
    number = [int(text) for text in (value, *values) if text and text.lstrip("-").isdecimal()]
    kinds = {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
        "Gt": len(number) > 1 and number[0] > number[1],
        "Lt": len(number) > 1 and number[0] < number[1],
    }
    return kinds.get(requirement.get("operator") or "", False)


def _is_tolerated(taint: Mapping[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> bool:
    key, effect, value = taint.get("key"), taint.get("effect"), taint.get("value") or ""
    if key in _TOLERATED:
        return True
    return any(
        item.get("effect") in {None, "", effect}
        and (
            (not item.get("key") and item.get("operator") == "Exists")
            or (
                item.get("key") == key
                and (item.get("operator") == "Exists" or (item.get("value") or "") == value)
            )
        )
        for item in tolerations
    )


# --- targets ---------------------------------------------------------------------------------------------


def _targets(
    found: Roster, cluster: Cluster, container: str | None, defaults: Defaults, unlisted: str
) -> tuple[Target, ...]:
    """A target for each pod, and one for each node that lacks one."""
    counts = "; ".join(map(str, found.sets)) or "no DaemonSet: which nodes should have the agent is not known"
    there = []
    for node, pod in found.pods:
        facts = (
            ("DaemonSet", counts),
            *found.nodes.get(node, (("node's system", f"may not be seen: {unlisted}" if unlisted else ""),)),
        )
        target = _pod_target(cluster, pod, container, defaults, node or "no-node-yet")
        there.append(replace(target, facts=tuple(pair for pair in facts if pair[1])))
    return (*there, *_missing(found, cluster, counts, unlisted))


def _missing(found: Roster, cluster: Cluster, counts: str, unlisted: str) -> Iterable[Target]:
    for node in found.missing:
        yield _absent(cluster, node, f"no agent pod on node {node}, which should have one ({counts})")
    among = f", among {', '.join(found.candidates[:10])}" if found.candidates else ""
    why = f"; its name may not be seen: {unlisted}" if unlisted else ""
    for number in range(1, found.lacking - len(found.missing) + 1):
        sentence = f"no agent pod on a node that should have one ({counts}{among}){why}"
        yield _absent(cluster, f"unknown-node-{number}", sentence)


def _absent(cluster: Cluster, node: str, sentence: str) -> Target:
    name, where = f"kubectl://{node}/{NO_POD}?{_query(cluster)}", _settings_of(cluster)
    return Target(name, "kubectl", f"{node}/", settings=where, absent=sentence)
