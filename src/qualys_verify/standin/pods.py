"""What the stand-in cluster is made of: clusters, nodes, a DaemonSet and pods, as Kubernetes writes them."""

import copy
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from qualys_verify.standin.install import StandinHost

NAMESPACE = "qualys-agent"
DAEMONSET = "qualys-cloud-agent"
CONTAINER = "qualys-cloud-agent-container"
LABELS = {"name": "qualys-cloud-agent"}
_DIGEST = "sha256:" + "fa6e" * 16
_RULES = {401: "Unauthorized", 403: "Forbidden", 429: "TooManyRequests", 500: "InternalError"}

Changes = Mapping[str, Any]
# What the node controller writes when a node does not answer any more.
LOST_NODE: Changes = {
    "status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}
}
POD_OF_LOST_NODE: Changes = {
    "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]}
}


@dataclass(frozen=True)
class Trait:
    """What is odd about a stand-in cluster; nothing, unless it is said.

    `pod`, `node` and `daemonset` are laid over the usual objects (None takes a key away). `lacking` False: the
    node has its pod. `refuse` maps `verb resource` (or `*`) to a status: 401, 403, 429, 500; `get pods/exec` is WebSocket
    alone. `slow` is how many seconds each answer takes, `page` the most objects in one answer. `drops`: a connection
    into a pod is lost as soon as it is accepted.
    """

    pod: Changes = field(default_factory=dict)
    node: Changes = field(default_factory=dict)
    daemonset: Changes = field(default_factory=dict)
    lacking: bool = False
    refuse: Mapping[str, int] = field(default_factory=dict)
    slow: float = 0
    page: int = 0
    drops: bool = False


@dataclass(frozen=True)
class StandinCluster:
    """A cluster, by the name of its context: a node for each host, and the agent's pod on each."""

    name: str
    hosts: tuple[StandinHost, ...]
    trait: Trait = field(default_factory=Trait)


@dataclass(frozen=True)
class Pod:
    """A pod that is there. `uid`, `container_id` and `restarts` change when it is made anew or started again."""

    name: str
    node: str
    changes: Changes
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    container_id: str = field(default_factory=lambda: uuid.uuid4().hex * 2)
    restarts: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def restarted(self) -> "Pod":
        """The same pod after the kernel has killed its container for want of memory, and it was started again."""
        return replace(
            self, container_id=uuid.uuid4().hex * 2, restarts=self.restarts + 1, started=datetime.now(UTC)
        )

    def as_object(self, version: int) -> dict[str, Any]:
        """As the API shows it."""
        started = f"{self.started:%Y-%m-%dT%H:%M:%SZ}"
        ended = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": started}
        state = {
            "name": CONTAINER,
            "ready": True,
            "started": True,
            "restartCount": self.restarts,
            "image": "registry.example/qualys-cloud-agent:0.0.0",
            "imageID": f"registry.example/qualys-cloud-agent@{_DIGEST}",
            "containerID": f"containerd://{self.container_id}",
            "state": {"running": {"startedAt": started}},
            "lastState": {"terminated": ended} if self.restarts else {},
        }
        usual = {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {
                "name": self.name,
                "namespace": NAMESPACE,
                "uid": self.uid,
                "resourceVersion": str(version),
                "creationTimestamp": started,
                "labels": dict(LABELS),
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "DaemonSet",
                        "name": DAEMONSET,
                        "uid": "d5",
                        "controller": True,
                    }
                ],
            },
            "spec": {
                "nodeName": self.node,
                "hostPID": True,
                "restartPolicy": "Always",
                "containers": [{"name": CONTAINER, "image": "registry.example/qualys-cloud-agent:0.0.0"}],
            },
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [state],
            },
        }
        changes = dict(self.changes)
        own = changes.pop("container", {})
        usual["status"]["containerStatuses"] = [merged(state, own)]  # type: ignore[index]  # as written above
        return merged(usual, changes)


def node_object(name: str, changes: Changes) -> dict[str, Any]:
    """A Bottlerocket node that is ready."""
    usual = {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "uid": name,
            "resourceVersion": "1",
            "labels": {"kubernetes.io/hostname": name},
        },
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {
                "osImage": "Bottlerocket OS 1.20.0 (stand-in)",
                "kernelVersion": "6.1.0",
                "machineID": name,
            },
        },
    }
    return merged(usual, changes)


def daemonset_object(desired: int, there: int, changes: Changes) -> dict[str, Any]:
    """The agent's DaemonSet, and its counts."""
    template = {
        "metadata": {"labels": dict(LABELS)},
        "spec": {
            "hostPID": True,
            "containers": [{"name": CONTAINER, "image": "registry.example/qualys-cloud-agent:0.0.0"}],
        },
    }
    usual = {
        "kind": "DaemonSet",
        "apiVersion": "apps/v1",
        "metadata": {
            "name": DAEMONSET,
            "namespace": NAMESPACE,
            "uid": "d5",
            "resourceVersion": "1",
            "generation": 1,
        },
        "spec": {"selector": {"matchLabels": dict(LABELS)}, "template": template},
        "status": {
            "observedGeneration": 1,
            "desiredNumberScheduled": desired,
            "currentNumberScheduled": there,
            "numberReady": there,
            "numberAvailable": there,
            "numberMisscheduled": 0,
        },
    }
    return merged(usual, changes)


def failure(code: int, message: str) -> dict[str, Any]:
    """The API's own form of an error."""
    reason = {404: "NotFound", 400: "BadRequest", **_RULES}.get(code, "InternalError")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def not_found(resource: str, name: str) -> dict[str, Any]:
    """What an API server says of an object that is not there."""
    kind = "daemonsets.apps" if resource == "daemonsets" else resource
    return failure(404, f'{kind} "{name}" not found') | {"details": {"name": name, "kind": resource}}


def refusal(code: int, verb: str, resource: str) -> dict[str, Any]:
    """What an API server says that does not allow it, in its words."""
    group, plain = ("apps", resource) if resource == "daemonsets" else ("", resource)
    place = f' in the namespace "{NAMESPACE}"' if resource != "nodes" else " at the cluster scope"
    sentences = {
        401: "Unauthorized",
        403: f'{plain.partition("/")[0]} is forbidden: User "system:serviceaccount:{NAMESPACE}:qualys-verify" cannot {verb} '
        f'resource "{plain}" in API group "{group}"{place}',
    }
    return failure(code, sentences.get(code, "the stand-in was told to refuse this"))


def merged(base: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """A copy of nested dictionaries with others laid over it; None takes a key away."""
    result = copy.deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result
