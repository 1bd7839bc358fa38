"""What Kubernetes, Docker and Podman say of containers, as far as it is read: healthy, unless a test changes it."""

import copy
from datetime import UTC, datetime

NOW = datetime(2026, 3, 23, 12, tzinfo=UTC)
STARTED = "2026-03-23T10:00:00Z"
USUAL = "qualys-cloud-agent-container"
IMAGE_ID = "registry.example/agent@sha256:" + "ab" * 32


def merged(base, changes):
    """A copy of nested dictionaries with others laid over it; None takes a key away."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def pod(name="qualys-cloud-agent-x1", node="n1", container=USUAL, *, status=None, own=None, **changes):
    """A pod of the DaemonSet; `own` changes the container's status, `status` the pod's."""
    state = merged(
        {
            "name": container,
            "ready": True,
            "restartCount": 0,
            "image": "registry.example/agent:6.1",
            "imageID": f"docker-pullable://{IMAGE_ID}",
            "containerID": "containerd://c0ffee",
            "state": {"running": {"startedAt": STARTED}},
            "lastState": {},
        },
        own or {},
    )
    base = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": STARTED,
            "labels": {"name": "qualys-cloud-agent"},
            "ownerReferences": [{"kind": "DaemonSet", "name": "qualys-cloud-agent"}],
        },
        "spec": {
            "nodeName": node,
            "restartPolicy": "Always",
            "containers": [{"name": container, "image": "agent"}],
        },
        "status": merged(
            {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [state],
            },
            status or {},
        ),
    }
    return merged(base, changes)


def inspected(**changes):
    """A container as `docker inspect` shows it."""
    base = {
        "Id": "c0ffee",
        "Name": "/agent",
        "Path": "/usr/local/qualys/cloud-agent/bin/qualys-cloud-agent",
        "Image": "sha256:" + "ab" * 32,
        "RestartCount": 0,
        "State": {
            "Status": "running",
            "Running": True,
            "Paused": False,
            "Restarting": False,
            "OOMKilled": False,
            "ExitCode": 0,
            "StartedAt": "2026-03-23T10:00:00.123456789Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
        },
        "Config": {"Image": "agent:6.1", "Labels": {}},
        "HostConfig": {"RestartPolicy": {"Name": "always"}, "PidMode": ""},
    }
    return merged(base, changes)


def node(name="n1", *, ready="True", labels=None, taints=None):
    """A node."""
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": taints or []},
        "status": {
            "conditions": [{"type": "Ready", "status": ready, "reason": "NodeStatusUnknown"}],
            "nodeInfo": {"osImage": "Bottlerocket OS 1.20"},
        },
    }


def daemonset(desired=1, *, name="qualys-cloud-agent", spec=None, **changes):
    """A DaemonSet whose counts say that all is well."""
    base = {
        "kind": "DaemonSet",
        "metadata": {"name": name, "generation": 1},
        "spec": {"template": {"metadata": {"labels": {"name": "qualys-cloud-agent"}}, "spec": spec or {}}},
        "status": {
            "desiredNumberScheduled": desired,
            "numberReady": desired,
            "numberAvailable": desired,
            "observedGeneration": 1,
        },
    }
    return merged(base, changes)
