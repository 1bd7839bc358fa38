"""Looking ahead: what is going to be asked of a host is fetched in one round trip, with the first of it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from qualys_verify.asked import Asked
from qualys_verify.transport import Reply

Fetch = Callable[[Sequence[Asked]], Sequence[Reply]]


class Ahead:
    """Replies to what was not asked for yet. Each is taken once, so that whoever looks again sees what is there then."""

    def __init__(self) -> None:
        """Nothing is expected."""
        self._expected: tuple[Asked, ...] = ()
        self._there: defaultdict[str, list[tuple[Asked, Reply]]] = defaultdict(list)

    def expect(self, commands: Iterable[Asked]) -> None:
        """These are going to be asked."""
        self._expected = tuple(commands)

    def take(self, commands: Sequence[Asked], fetch: Fetch) -> tuple[Reply, ...]:
        """The replies to commands that are there, all or none; the first that is expected has all that is fetched.

        `fetch` may come back with less: the rest is not there then.
        """
        expected = {command.text for command in self._expected}
        if any(command.text in expected for command in commands):
            for command, reply in zip(*self._fetched(fetch), strict=False):
                self._there[command.text].append((command, reply))
        if not all(self._there.get(command.text) for command in commands):
            return ()
        return tuple(self._there[command.text].pop(0)[1] for command in commands)

    def drop(self) -> Iterator[tuple[Asked, Reply]]:
        """All that nobody took; nothing is there, and nothing is expected, afterwards."""
        left, self._expected = list(self._there.values()), ()
        self._there.clear()
        for pairs in left:
            yield from pairs

    def _fetched(self, fetch: Fetch) -> tuple[Sequence[Asked], Sequence[Reply]]:
        expected, self._expected = self._expected, ()
        return expected, fetch(expected)
