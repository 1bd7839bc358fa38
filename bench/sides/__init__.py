"""What is compared: each side is a command line of its own, and a way to read what it found."""

from bench.sides.base import Side
from bench.sides.floors import Asyncssh, Xargs
from bench.sides.others import Ansible, Serverspec, Testinfra, TestinfraShared
from bench.sides.ours import Ours

SIDES: tuple[Side, ...] = (
    Ours(),
    Asyncssh(),
    Xargs(),
    Testinfra(),
    TestinfraShared(),
    Ansible(),
    Serverspec(),
)
BY_NAME = {side.name: side for side in SIDES}
__all__ = ["BY_NAME", "SIDES", "Side"]
