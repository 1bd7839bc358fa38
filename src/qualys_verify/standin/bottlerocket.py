"""`demo://bottlerocket`, and the demo's faults of containers: stand-in clusters, looked at with the user's own kubectl."""

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from qualys_verify.backends import Deadline
from qualys_verify.cluster import Defaults, discover
from qualys_verify.kubectl import Cluster
from qualys_verify.standin.clusters import Clusters
from qualys_verify.standin.demo import CLUSTER
from qualys_verify.standin.faults import find
from qualys_verify.standin.install import StandinHost
from qualys_verify.standin.pods import CONTAINER, DAEMONSET, LABELS, NAMESPACE, StandinCluster
from qualys_verify.targets import DemoSpec, Target, TargetError

NO_KUBECTL = (
    "this demo shows clusters to your own kubectl, and there is none: install kubectl, or try demo://healthy"
)
_HOSTS = 3
_LETTERS = "7h2kq"  # as Kubernetes ends a pod's name
_AT_ONCE = 8
_DEFAULTS = Defaults(
    NAMESPACE, ",".join(f"{key}={value}" for key, value in LABELS.items()), CONTAINER, DAEMONSET, None, None
)


def plan_clusters(demo: DemoSpec) -> tuple[StandinCluster, ...]:
    """The clusters of a demo: one for the selection, and one for each fault that is a container's.

    Raises ValueError for a fault that is not known.
    """
    delay = 2.0 if demo.delay is None else demo.delay
    if demo.selection == CLUSTER and not demo.faults:
        names = (f"qualys-cloud-agent-{_LETTERS}{number}" for number in range(1, (demo.hosts or _HOSTS) + 1))
        return (StandinCluster(CLUSTER, tuple(StandinHost(name, "vendor", delay=delay) for name in names)),)
    found = [fault for fault in find(dict.fromkeys(demo.faults)) if fault.trait is not None]
    return tuple(
        StandinCluster(
            fault.name,
            (
                StandinHost(
                    f"demo-{fault.name}", fault.personality, agent=fault.agent, delay=delay, fault=fault.name
                ),
            ),
            fault.trait,
        )
        for fault in found
        if fault.trait is not None
    )


class ClusterDemo:
    """Running clusters, and the targets that the suite finds in them. Ended by `close`, at the latest with this process."""

    def __init__(self, plan: Sequence[StandinCluster], deadline: Deadline) -> None:
        """Start them, and look for pods, each within the deadline.

        Raises TargetError where there is no kubectl, DemoError when they do not come up.
        """
        if shutil.which("kubectl") is None:
            raise TargetError(NO_KUBECTL)
        self._clusters = Clusters.start(tuple(plan))

        def targets_of(cluster: StandinCluster) -> tuple[Target, ...]:
            return self._targets_of(cluster, deadline)

        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = list(pool.map(targets_of, plan))
        except BaseException:
            self._clusters.close()
            raise
        self.targets = tuple(target for targets in found for target in targets)

    def _targets_of(self, standin: StandinCluster, deadline: Deadline) -> tuple[Target, ...]:
        clusters = self._clusters
        cluster = Cluster(NAMESPACE, standin.name, str(clusters.kubeconfig), str(clusters.cache))
        found = discover(f"demo://{standin.name}", cluster, {}, _DEFAULTS, deadline)
        if standin.name == CLUSTER:
            return tuple(
                replace(target, id=f"demo://{target.id.removeprefix('kubectl://').partition('?')[0]}")
                for target in found
            )
        return tuple(replace(target, id=f"demo://demo-{standin.name}") for target in found[:1])

    def close(self) -> None:
        """End the clusters."""
        self._clusters.close()
