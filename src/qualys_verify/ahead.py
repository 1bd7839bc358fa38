"""Looking ahead: what is going to be asked of a host is fetched in one round trip, with the first of it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from qualys_verify.asked import Asked, Command
from qualys_verify.transport import Reply

Fetch = Callable[[Sequence[Asked]], Sequence[Reply]]


class Ahead:
    """Replies to what was not asked for yet. Each is taken once, so that whoever looks again sees what is there then."""

    def __init__(self) -> None:
        """Nothing is expected."""
        self._expected: Iterable[Asked] = ()
        self._there: defaultdict[tuple[str, bool], list[Reply]] = defaultdict(list)

    def expect(self, commands: Iterable[Asked]) -> None:
        """These are going to be asked; which, is not looked at before something is taken or passed over."""
        self._expected = commands

    def take(self, commands: Sequence[Asked], fetch: Fetch) -> tuple[Reply, ...]:
        """The replies to commands that are there, all or none; the first that is expected has all that is fetched.

        `fetch` may come back with less: the rest is not there then. A line by itself is never there: the clock belongs to
        what was read just before it.
        """
        if not any(isinstance(command, Command) for command in commands):
            return ()
        keys = [_key(command) for command in commands]
        self._expected = expected = tuple(self._expected)
        if any(_key(command) in keys for command in expected if isinstance(command, Command)):
            self._expected = ()
            for command, reply in zip(expected, fetch(expected), strict=False):
                self._there[_key(command)].append(reply)
        if any(len(self._there.get(key, ())) < number for key, number in Counter(keys).items()):
            return ()
        return tuple(self._there[key].pop(0) for key in keys)

    def pass_over(self, commands: Sequence[Asked]) -> None:
        """These are asked by themselves, and not expected any more."""
        asked = Counter(map(_key, commands))
        left = []
        for command in self._expected:
            if asked[_key(command)]:
                asked[_key(command)] -= 1
            else:
                left.append(command)
        self._expected = left

    def drop(self) -> tuple[Reply, ...]:
        """All that nobody took; nothing is there, and nothing is expected, afterwards."""
        left = tuple(reply for replies in self._there.values() for reply in replies)
        self._expected = ()
        self._there.clear()
        return left


def _key(command: Asked) -> tuple[str, bool]:
    return command.text, isinstance(command, Command) and command.as_root
