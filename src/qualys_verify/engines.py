"""What keeps a target's container, and is asked about it: Docker, Podman, or a cluster."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from qualys_verify.agent.container import Container, parse_inspect, parse_pod
from qualys_verify.backends import Deadline, ask
from qualys_verify.frame import RawResult
from qualys_verify.kubectl import Cluster, refusal
from qualys_verify.reasons import Gone, Inconclusive, Unreachable
from qualys_verify.targets import Target
from qualys_verify.unreachable import why_unreachable


class Engine(Protocol):
    """Whoever can tell of a container from outside it."""

    def look(self) -> Container:
        """The container as it is now. Raises Gone where there is none, else Unreachable, TimedOut, Interrupted."""

    def shell(self) -> Sequence[str]:
        """The command line that opens a shell in it."""

    def why_not(self, raw: RawResult) -> str:
        """One sentence: why no command ran in it."""


@dataclass(frozen=True)
class Plain:
    """Docker or Podman, whose programs have the same name and the same commands."""

    target: Target
    deadline: Deadline

    def look(self) -> Container:
        """See Engine."""
        raw = ask((self.target.scheme, "inspect", "--type=container", self.target.name), self.deadline)
        if raw.status != 0:
            why = why_unreachable(self.target, raw)
            raise (Gone if "no such container" in why else Unreachable)(why)
        try:
            return parse_inspect(raw.stdout.decode("utf-8", "replace"), datetime.now(UTC))
        except ValueError as error:
            raise Inconclusive(str(error)) from error

    def shell(self) -> Sequence[str]:
        """See Engine."""
        user = ("--user", self.target.user) if self.target.user else ()
        return (self.target.scheme, "exec", "-i", *user, self.target.name, "/bin/sh")

    def why_not(self, raw: RawResult) -> str:
        """See Engine."""
        return why_unreachable(self.target, raw)


@dataclass
class Pod:
    """One pod of a cluster. `usual` is the container that counts when the user names none."""

    target: Target
    cluster: Cluster
    wanted: str | None
    usual: str
    deadline: Deadline
    _container: str = ""

    def look(self) -> Container:
        """See Engine."""
        found = self.cluster.objects(self.deadline, "pods", self.target.name)
        if not found:
            raise Gone(
                f"there is no pod {self.target.name} in namespace {self.cluster.namespace} of cluster {self.cluster.name}"
            )
        try:
            seen = parse_pod(json.dumps(found[0]), self.wanted, self.usual, datetime.now(UTC))
        except ValueError as error:
            raise Inconclusive(str(error)) from error
        self._container = seen.name
        node = dict(self.target.facts).get("node's state", "")
        return replace(seen, trouble=f"{seen.trouble}; its node is {node}") if seen.trouble and node else seen

    def shell(self) -> Sequence[str]:
        """See Engine; called after a look."""
        words = ("exec", "-i", self.target.name, f"--container={self._container}", "--", "/bin/sh")
        return self.cluster.argv(*words)

    def why_not(self, raw: RawResult) -> str:
        """See Engine."""
        told = refusal(raw, self.cluster)
        return f"{self.target.id} cannot be reached: {told}" if told else why_unreachable(self.target, raw)
