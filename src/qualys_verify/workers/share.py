"""Which worker gets which tests: all tests of a host go to one worker, and hosts are shared out evenly.

Pure, but for `ByHost`, which is pytest-xdist's scheduler.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from xdist.workermanage import WorkerController


def shares(hosts: Sequence[str], workers: int) -> tuple[tuple[str, ...], ...]:
    """The hosts of each worker: as many as any other's, to within one; neighbours, which are often alike, apart."""
    return tuple(tuple(hosts[number::workers]) for number in range(workers))


def indices_of(
    collection: Sequence[str], owners: Mapping[str, str], share: Sequence[str], *, first: bool
) -> list[int]:
    """The places in the collection that a worker gets: its hosts' tests, and the first one also those of no host.

    `owners` tells the host of each test id.
    """
    mine = set(share)
    return [
        index
        for index, nodeid in enumerate(collection)
        if (owners[nodeid] in mine if nodeid in owners else first)
    ]


# Called with the workers when all have collected; gives the share of each, in the order in which they were named, and the host
# of each test.
Begin = Callable[
    [Sequence[WorkerController]], tuple[Mapping[WorkerController, Sequence[str]], Mapping[str, str]]
]


class ByHost:
    """Tells every worker once what is its own, and moves nothing afterwards: nothing may be triggered again."""

    def __init__(self, workers: int, begin: Begin) -> None:
        """Begins when so many workers have collected; xdist's Scheduling has the meaning of all members."""
        self._workers = workers
        self._begin = begin
        self._pending: dict[WorkerController, set[int]] = {}
        self._collections: dict[WorkerController, list[str]] = {}

    @property
    def nodes(self) -> list[WorkerController]:
        """Those that run."""
        return list(self._pending)

    @property
    def collection_is_completed(self) -> bool:
        """Whether every worker has said what it found."""
        return len(self._collections) >= self._workers

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is left to be done."""
        return self.collection_is_completed and not self.has_pending

    @property
    def has_pending(self) -> bool:
        """Whether a worker still has tests to run."""
        return any(self._pending.values())

    def add_node(self, node: WorkerController) -> None:
        """A worker is ready to collect."""
        self._pending[node] = set()

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected."""
        self._collections[node] = list(collection)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A test has run."""
        del duration
        self._pending[node].discard(item_index)

    def mark_test_pending(self, item: str) -> NoReturn:
        """No test runs twice."""
        raise NotImplementedError(item)

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> NoReturn:
        """No test moves to another worker."""
        raise NotImplementedError(node, indices)

    def remove_node(self, node: WorkerController) -> None:
        """A worker has ended, or is lost: what it had not run is nobody's."""
        del self._pending[node]

    def schedule(self) -> None:
        """Tell each worker what it is to run, and that nothing comes after it: it need not wait for the others."""
        first, *others = self._collections.values()
        if any(other != first for other in others):
            raise RuntimeError("the workers found different tests: have the same checkout for all of them")
        found, owners = self._begin(self.nodes)
        for number, (node, share) in enumerate(found.items()):
            indices = indices_of(first, owners, share, first=number == 0)
            self._pending[node] = set(indices)
            node.send_runtest_some(indices)
            node.shutdown()
