"""How the cluster is asked: by the user's own `kubectl`, its context and its namespace always named."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qualys_verify.agent.container import printable
from qualys_verify.backends import NOT_INSTALLED, Deadline, ask
from qualys_verify.frame import RawResult, text
from qualys_verify.reasons import Inconclusive, Unreachable

# 500 pods are some MiB, and each node lists its images.
_LISTING_LIMIT = 1 << 28
_CHUNK = 100  # objects a page; kubectl asks for page after page
_FORBIDDEN = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[\w./-]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_REASONS = (
    (
        re.compile(
            r"Unauthorized|must be logged in|provide credentials|getting credentials|Please enter (?:User|Pass)",
            re.IGNORECASE,
        ),
        "the cluster does not know who asks, 401 Unauthorized: is the login still valid, and does `kubectl auth whoami` answer?",
    ),
    (
        re.compile(r"context .*(?:does not exist|not found)|no context exists", re.IGNORECASE),
        "the kubeconfig has no such context: `kubectl config get-contexts` lists them",
    ),
    (
        re.compile(r"x509:|certificate", re.IGNORECASE),
        "the cluster's certificate is not the one that the kubeconfig trusts",
    ),
    (
        re.compile(r"error dialing backend", re.IGNORECASE),
        "its API server does not reach the pod's node: is the node up, and its kubelet?",
    ),
    (
        re.compile(
            r"was refused|Unable to connect|no such host|i/o timeout|TLS handshake timeout|deadline exceeded",
            re.IGNORECASE,
        ),
        "the cluster does not answer: is its address right, and does a VPN or a proxy stand in between?",
    ),
    (
        re.compile(r"TooManyRequests|too many requests", re.IGNORECASE),
        "the cluster has too much to do (429): run again later",
    ),
    (
        re.compile(
            # One that names the container's runtime is of the container.
            r"InternalError|Internal error(?!.*OCI runtime)|ServiceUnavailable|unable to handle",
            re.IGNORECASE,
        ),
        "the cluster has trouble of its own: look at its API server, and run again later",
    ),
    (
        re.compile(
            r"broken pipe|reset by peer|\bEOF\b|Timeout occurred"
            r"|unable to upgrade(?! connection: container not found)|Upgrade request required",
            re.IGNORECASE,
        ),
        (
            "its answer was cut off: does the API server restart, or does a proxy in between not let `kubectl exec` "
            "through (an upgrade to WebSocket or SPDY)?"
        ),
    ),
)


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and which namespace of it. `context` is None only inside a cluster, where there is none.

    `cache` is where kubectl is to keep what it learns of the cluster's API, if not where it usually does.
    """

    namespace: str
    context: str | None
    kubeconfig: str | None = None
    cache: str | None = None

    @property
    def name(self) -> str:
        """As sentences and ids name it."""
        return printable(self.context) if self.context else "this cluster"

    def argv(self, *words: str) -> tuple[str, ...]:
        """A kubectl command line that depends on nobody's current context."""
        where = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        where += [f"--context={self.context}"] if self.context else []
        where += [f"--cache-dir={self.cache}"] if self.cache else []
        return ("kubectl", *where, f"--namespace={self.namespace}", *words)

    def objects(self, deadline: Deadline, *words: str) -> tuple[dict[str, Any], ...]:
        """The objects that `kubectl get` finds, page after page; none where there is none of that name.

        Raises Unreachable with one sentence, or Forbidden, besides what the deadline raises.
        """
        options = ("--ignore-not-found", f"--chunk-size={_CHUNK}", f"--request-timeout={deadline.seconds:g}s")
        try:
            raw = ask(self.argv("get", *words, *options, "--output=json"), deadline, _LISTING_LIMIT)
        except Inconclusive as reason:
            raise type(reason)(f"asking cluster {self.name} for {words[0]}: {reason}") from reason
        if raw.status != 0:
            raise refusal(raw, self) or Unreachable(
                f"kubectl cannot list {words[0]} of cluster {self.name}: {_last_line(raw)}", text(raw.stderr)
            )
        return _items(raw.stdout, self)


class Forbidden(Unreachable):
    """The cluster's rules (RBAC) do not allow what was asked; the sentence names the rule that is missing."""


def refusal(raw: RawResult, cluster: Cluster) -> Unreachable | None:
    """Why the cluster, or kubectl, did not do what was asked, in a sentence; None where it is another reason."""
    prompt = (
        raw.stdout if raw.stdout.startswith(b"Please enter ") else b""
    )  # a kubeconfig without credentials
    said = text(prompt + raw.stderr)
    if raw.status == NOT_INSTALLED and not raw.stdout:
        return Unreachable("kubectl is not installed on this machine: install it", said)
    missing = _FORBIDDEN.search(said)
    if missing:
        return Forbidden(
            f"cluster {cluster.name} does not allow to {missing['verb']} {missing['resource']}: {_rule(missing, cluster)}",
            said,
        )
    for pattern, sentence in _REASONS:
        if pattern.search(said):
            return Unreachable(f"cluster {cluster.name}: {sentence} ({_last_line(raw)})", said)
    return None


def _rule(missing: re.Match[str], cluster: Cluster) -> str:
    """The rule as it stands in a Role."""
    rule = f'apiGroups: ["{missing["group"] or ""}"], resources: ["{missing["resource"]}"], verbs: ["{missing["verb"]}"]'
    place = (
        f"a Role in namespace {missing['namespace'] or cluster.namespace}"
        if missing["resource"] != "nodes"
        else "a ClusterRole"
    )
    return f"{place} needs the rule {{{rule}}}, see deploy/rbac.yaml"


def _last_line(raw: RawResult) -> str:
    lines = [line.strip() for line in text(raw.stderr + raw.stdout).splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"it ended with status {raw.status} and said nothing"


def _items(answer: bytes, cluster: Cluster) -> tuple[dict[str, Any], ...]:
    if not answer.strip():
        return ()
    try:
        found = json.loads(answer)
        items = found["items"] if str(found["kind"]).endswith("List") else [found]
        named = [item for item in items if item["metadata"]["name"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable(
            f"cluster {cluster.name} answers with something that is no list of objects"
        ) from error
    return tuple(named)


def current_context(kubeconfig: str | None, deadline: Deadline) -> str | None:
    """The context that kubectl would take; None inside a cluster, where kubectl needs none.

    It is read once and named in every command, so that another shell's `kubectl config use-context` in the
    middle of a run changes nothing. Raises Unreachable where there is none.
    """
    where = (f"--kubeconfig={kubeconfig}",) if kubeconfig else ()
    raw = ask(("kubectl", *where, "config", "current-context"), deadline)
    if raw.status == 0 and raw.stdout.strip():
        return os.fsdecode(raw.stdout).strip()
    if raw.status == NOT_INSTALLED:
        raise Unreachable("kubectl is not installed on this machine: install it", text(raw.stderr))
    if not kubeconfig and _is_inside(os.environ):
        return None
    raise Unreachable(
        f"no Kubernetes context is chosen ({_last_line(raw)}): name one with --kube-context, and its file with --kubeconfig"
    )


def _is_inside(environment: Mapping[str, str]) -> bool:
    """Whether this process runs in a pod, with a service account for kubectl."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST"))
