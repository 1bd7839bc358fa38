"""Stand-in clusters for the real kubectl; without one these tests skip and say so."""

import json
import subprocess
import threading

import pytest

from qualys_verify.backends import Deadline
from qualys_verify.cluster import Defaults
from qualys_verify.kubectl import Cluster
from qualys_verify.standin.clusters import Clusters
from qualys_verify.standin.install import StandinHost
from qualys_verify.standin.pods import NAMESPACE, StandinCluster, Trait
from qualys_verify.transport import SshSettings, connect
from tests.containers.client import kubectl_is_missing

DEFAULTS = Defaults(
    NAMESPACE, "name=qualys-cloud-agent", "qualys-cloud-agent-container", "qualys-cloud-agent", None, None
)


@pytest.fixture(scope="session")
def kubectl():
    """The real kubectl, or a skip that says why not."""
    why = kubectl_is_missing()
    if why:
        pytest.skip(why)


class Standin:
    """Running clusters, and what a test asks of them."""

    def __init__(self, clusters):
        self._clusters = clusters
        self.kubeconfig = str(clusters.kubeconfig)

    def cluster(self, name="c"):
        return Cluster(NAMESPACE, name, self.kubeconfig, str(self._clusters.cache))

    def root(self, pod, cluster="c"):
        return self._clusters.directory / "pods" / cluster / pod

    def wish(self, pod, wish, cluster="c"):
        (self.root(pod, cluster) / "run" / wish).touch()

    def asked(self, verb="", resource=""):
        log = self._clusters.directory / "requests.log"
        entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [
            entry for entry in entries if verb in {"", entry["verb"]} and resource in {"", entry["resource"]}
        ]

    def kubectl(self, *words, cluster="c", **options):
        return subprocess.run(
            self.cluster(cluster).argv(*words),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )


@pytest.fixture
def standin(kubectl, tmp_path):  # noqa: ARG001  # skips without it
    """Start clusters: by default one, `c`, with pods `agent-1`, `agent-2` …; `traits` are by cluster name."""
    running = []

    def start(pods=1, delay=0.5, **traits):
        hosts = tuple(StandinHost(f"agent-{n}", "vendor", delay=delay) for n in range(1, pods + 1))
        specs = tuple(
            StandinCluster(name, hosts, trait) for name, trait in (traits or {"c": Trait()}).items()
        )
        running.append(Clusters.start(specs, tmp_path / f"standin-{len(running)}"))
        return Standin(running[-1])

    yield start
    for clusters in running:
        clusters.close()


def deadline(seconds=20.0):
    return Deadline(seconds, threading.Event())


@pytest.fixture
def enter(tmp_path):
    """Connect to a target; everything is closed at the end."""
    ways = []

    def make(target, seconds=20.0, interrupted=None):
        limit = Deadline(seconds, interrupted or threading.Event())
        ways.append(connect(target, SshSettings(tmp_path), limit, 0))
        return ways[-1]

    yield make
    for way in ways:
        way.close()
