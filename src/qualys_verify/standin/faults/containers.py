"""Faults of containers and clusters: each is a stand-in cluster of one node, asked by the user's own kubectl."""

from qualys_verify.standin.daemon import Daemon
from qualys_verify.standin.faults.base import (
    Change,
    Dead,
    Fault,
    before,
    edit,
    fault,
    log,
    program,
    variant,
)
from qualys_verify.standin.faults.execution import Delays, DelaysForEver, NeverEnds, NeverTakes, fails
from qualys_verify.standin.pods import CONTAINER, LOST_NODE, POD_OF_LOST_NODE, Changes, Trait

_OOM = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
_LONG_AGO = {"running": {"startedAt": "2020-01-01T00:00:00Z"}}


def _waits(reason: str, phase: str = "Running", last: Changes | None = None) -> Trait:
    """A container that waits, as the kubelet tells it."""
    state = {"running": None, "waiting": {"reason": reason}}
    own = {"ready": False, "state": state, "lastState": last or {}, "restartCount": 5 if last else 0}
    return Trait(pod={"status": {"phase": phase, "conditions": []}, "container": own})


def _not_ready(reason: str) -> Changes:
    return {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": reason}]}}


def _after(kind: str, wish: str) -> Change:
    """Just after a request of this type was taken the pod meets its fate."""
    return before(
        "CONTROL", f'case "$*" in *type={kind}*) (sleep 0.6; : >@ROOT@/run/{wish}) >/dev/null 2>&1 & ;; esac'
    )


def _during(kind: str, wish: str) -> Change:
    """While a request of this type is made, before its answer."""
    return before(
        "CONTROL", f'case "$*" in *type={kind}*) sleep 0.5; : >@ROOT@/run/{wish}; exec sleep 600 ;; esac'
    )


def _ps(*rows: str) -> Change:
    """What `ps` prints; `$m` and `$p` are the container's own mounts and pid namespace."""
    own = "m=$(readlink /proc/self/ns/mnt | tr -dc 0-9); p=$(readlink /proc/self/ns/pid | tr -dc 0-9)"
    lines = " ".join(f'"{row}"' for row in ("1 0 $p 11 /sbin/init", *rows))
    return program("ps", f"{own}; printf '%s\\n' {lines}")


_OF_NODE, _OF_OTHER = "700 1 $p 11 @DAEMON@", "900 1 99 22 @DAEMON@"
_OWN, _SECOND = "800 1 $p $m @DAEMON@", "802 1 $p $m @DAEMON@"


def _pod(
    name: str,
    sentence: str,
    *changes: Change,
    trait: Trait | None = None,
    daemon: type[Daemon] = Daemon,
    agent: bool = True,
) -> Fault:
    """A fault of a pod, whose agent speaks the vendor's dialect."""
    return fault(
        name, sentence, *changes, personality="vendor", trait=trait or Trait(), daemon=daemon, agent=agent
    )


def _well(
    name: str, sentence: str, *changes: Change, trait: Trait | None = None, daemon: type[Daemon] = Daemon
) -> Fault:
    """A pod that is odd and healthy."""
    return variant(name, sentence, *changes, personality="vendor", trait=trait or Trait(), daemon=daemon)


TITLE = "Containers and Kubernetes"
FAULTS = (
    _pod("cluster-token-expired", "The cluster does not accept the token.", trait=Trait(refuse={"*": 401})),
    _pod(
        "cluster-forbids-pods",
        "The service account may not list pods.",
        trait=Trait(refuse={"list pods": 403}),
    ),
    _pod(
        "cluster-forbids-daemonset",
        "The service account may not get the DaemonSet.",
        trait=Trait(refuse={"get daemonsets": 403}),
    ),
    _pod(
        "cluster-forbids-pod",
        "The service account may list pods, and not get one.",
        trait=Trait(refuse={"get pods": 403}),
    ),
    _pod(
        "cluster-forbids-exec",
        "The service account may not enter pods.",
        trait=Trait(refuse={"create pods/exec": 403}),
    ),
    _pod(
        "cluster-in-trouble", "The API server answers with errors of its own.", trait=Trait(refuse={"*": 500})
    ),
    _pod("cluster-silent", "The API server takes the request, and does not answer.", trait=Trait(slow=600)),
    _pod("pod-missing", "The node should have the agent's pod, and has none.", trait=Trait(lacking=True)),
    _pod(
        "pod-missing-unnamed",
        "One node too few has the agent's pod, and nodes may not be listed.",
        trait=Trait(lacking=True, refuse={"list nodes": 403}),
    ),
    _pod(
        "pod-image-missing",
        "The pod waits for an image that cannot be had.",
        trait=_waits("ImagePullBackOff", "Pending"),
    ),
    _pod(
        "pod-unscheduled",
        "The pod finds no place on its node.",
        trait=Trait(
            pod={
                "spec": {"nodeName": None},
                "status": {
                    "phase": "Pending",
                    "containerStatuses": None,
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "Insufficient memory",
                        }
                    ],
                },
            }
        ),
    ),
    _pod(
        "pod-crash-loop",
        "The container is killed for memory again and again; just now the kubelet waits.",
        trait=_waits("CrashLoopBackOff", last=_OOM),
    ),
    _pod(
        "pod-crash-loop-between",
        "The container crashes again and again; just now it runs.",
        trait=Trait(pod={"container": {"restartCount": 5, "lastState": _OOM}}),
    ),
    _pod(
        "pod-not-ready",
        "The container runs, and its readiness probe fails.",
        trait=Trait(pod=_not_ready("ContainersNotReady")),
    ),
    _pod(
        "pod-on-lost-node",
        "The node does not answer its cluster any more.",
        trait=Trait(pod=POD_OF_LOST_NODE, node=LOST_NODE),
    ),
    _pod(
        "pod-terminating",
        "The pod is being deleted, and never ends.",
        trait=Trait(pod={"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}),
    ),
    _pod(
        "pod-evicted",
        "The pod was evicted from its node.",
        trait=Trait(
            pod={
                "status": {
                    "phase": "Failed",
                    "reason": "Evicted",
                    "containerStatuses": None,
                    "conditions": [],
                }
            }
        ),
    ),
    _pod(
        "pod-never-restarted",
        "The pod is not started again after a reboot.",
        trait=Trait(pod={"spec": {"restartPolicy": "Never"}}),
    ),
    _pod("pod-without-agent", "The pod's image has no agent in it.", agent=False),
    _pod("pod-agent-dead", "The pod is ready, and the agent's process is not in it.", _ps(), daemon=Dead),
    _pod(
        "pod-agent-on-node-only",
        "The agents that are seen are the node's and another container's.",
        _ps(_OF_NODE, _OF_OTHER),
        daemon=Dead,
    ),
    _pod("pod-two-agents", "Two agents run in one container.", _ps(_OWN, _SECOND)),
    _pod(
        "pod-never-activated",
        "The agent was never activated.",
        edit("configuration", "aaaaaaaa-0000-4000-8000-00000000fa6e", "00000000-0000-0000-0000-000000000000"),
    ),
    _pod("pod-log-old", "The last entry in the agent's log is a day old.", log(until=25 * 3600), daemon=Dead),
    _pod("pod-request-left", "The agent leaves what it is asked for where it lies.", daemon=NeverTakes),
    _pod(
        "pod-manifest-missing",
        "The log says that there is no manifest for the request.",
        daemon=fails("Manifest not found for OnDemand request, Control ID: {control_id}"),
    ),
    _pod(
        "pod-scan-delayed-for-ever",
        "An interval scan runs all the time, and the request waits.",
        daemon=DelaysForEver,
    ),
    _pod(
        "pod-deleted-in-poll",
        "The pod is deleted while its scan is waited for.",
        _after("inv", "delete"),
        daemon=NeverEnds,
    ),
    _pod(
        "pod-rescheduled-in-poll",
        "Another pod takes its place while its scan is waited for.",
        _after("inv", "reschedule"),
        daemon=NeverEnds,
    ),
    _pod(
        "pod-killed-in-poll",
        "The container is killed for memory while its scan is waited for.",
        _after("inv", "restart"),
        daemon=NeverEnds,
    ),
    _pod("pod-deleted-in-request", "The pod is deleted while the request is made.", _during("vm", "delete")),
    _pod(
        "pod-dropped-in-request",
        "The connection is lost after the request was sent, before its answer.",
        _during("vm", "hang-up"),
    ),
    _pod("pod-hangs", "Listing the processes never ends.", before("ps", "exec sleep 600")),
    _well("pod-usual", "A pod of the vendor's DaemonSet on Bottlerocket."),
    _well(
        "pod-beside-other-agents",
        "With hostPID the node's own agent and one in another container are seen, too.",
        _ps(_OF_NODE, _OF_OTHER, _OWN),
    ),
    _well(
        "pod-restarted-long-ago",
        "The container was killed four times, and has been running for months since.",
        trait=Trait(pod={"container": {"restartCount": 4, "lastState": _OOM, "state": _LONG_AGO}}),
    ),
    _well("pod-scan-delayed", "An interval scan runs, and the request waits a little.", daemon=Delays),
    _well(
        "pod-dropped-once-in-poll",
        "The connection is lost once while the scan runs.",
        _after("inv", "hang-up"),
    ),
    _well(
        "pod-of-another-chart",
        "The pod has one container, of another name.",
        trait=Trait(
            pod={
                "container": {"name": "agent"},
                "spec": {"containers": [{"name": "agent", "image": "agent"}]},
            }
        ),
    ),
    _well(
        "pod-with-sidecar",
        "The pod has a second container, which comes first.",
        trait=Trait(
            pod={
                "spec": {
                    "containers": [
                        {"name": "istio-proxy", "image": "proxy"},
                        {"name": CONTAINER, "image": "agent"},
                    ]
                }
            }
        ),
    ),
    _well(
        "pod-of-no-daemonset",
        "The pods belong to no DaemonSet.",
        trait=Trait(daemonset={"absent": True}, pod={"metadata": {"ownerReferences": None}}),
    ),
    _well(
        "cluster-forbids-nodes",
        "Nodes may not be listed, and none lacks the agent.",
        trait=Trait(refuse={"list nodes": 403}),
    ),
    _well("cluster-slow", "Each answer of the API server takes half a second.", trait=Trait(slow=0.5)),
)
