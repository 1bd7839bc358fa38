"""What controller and workers tell each other, over a channel of their own beside pytest-xdist's.

JSON, never pickles: a worker may be another machine. What a worker sends has been through redaction there.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import PurePath
from typing import Any, Protocol

import msgspec

from qualys_verify.evidence.events import AnyEvent
from qualys_verify.targets import DemoSpec, Target
from qualys_verify.verdict import Finding

# The names in xdist's `workerinput`, and in its `workeroutput`.
HANDED = "qualys_verify_handed"
CHANNEL = "qualys_verify_channel"
USAGE = "qualys_verify_usage"


class Message(msgspec.Struct, frozen=True, tag=True):
    """One message; its type says what it is about."""


class Handed(msgspec.Struct, frozen=True):
    """What a worker is told when it is made: the run, and all targets of it, so that all workers have the same test ids.

    `left` is what is left of the run's time (--deadline), in seconds. `suite` is which suite this is: a worker on another
    machine may have another one, and would judge by other sentences; `options` are those that are not at their defaults, which
    it may not have either (an ini file, PYTEST_ADDOPTS).
    """

    run: str
    started: datetime
    targets: tuple[Target, ...]
    demo: DemoSpec | None
    left: float | None
    workers: int
    speaks_of_all: bool
    suite: str
    options: dict[str, str]


class Plan(Message, frozen=True):
    """From the one worker that speaks of all: every test that was selected, as what it is while nothing has been seen."""

    expected: tuple[Finding, ...]


class Begin(Message, frozen=True):
    """To a worker: the hosts that are its own, by how they are reached."""

    places: tuple[Target, ...]


class End(Message, frozen=True):
    """To a worker: stop looking, and report what was seen until now."""

    reason: str


class Recorded(Message, frozen=True):
    """From a worker, at once: a record for the journal."""

    event: AnyEvent


class Judged(Message, frozen=True):
    """From a worker: a verdict."""

    finding: Finding


class Visited(msgspec.Struct, frozen=True):
    """A host that is being looked at: since how many seconds, and which observation is being made."""

    target: str
    age: float
    observation: str


class Looking(Message, frozen=True):
    """From a worker: how far it is; see `fleet.Progress`."""

    done: int
    hosts: int
    visits: tuple[Visited, ...]


class CutShort(Message, frozen=True):
    """From a worker: it stopped looking before it was done."""

    reason: str
    by_deadline: bool


class Claim(Message, frozen=True):
    """From a worker: may this machine be triggered as this target? `machine` is a digest."""

    number: int
    machine: str
    target: str


class Claimed(Message, frozen=True):
    """To a worker: the target that the machine of the claim of this number belongs to."""

    number: int
    owner: str


ToWorker = Begin | End | Claimed
ToController = Plan | Recorded | Judged | Looking | CutShort | Claim


class Channel(Protocol):
    """What is used of an execnet channel."""

    def send(self, item: bytes) -> None:
        """Send; raises OSError when nobody is there any more."""

    def setcallback(self, callback: Callable[[Any], None], endmarker: object = ...) -> None:
        """Have a callback called, in a thread of execnet's, for what comes and, with `endmarker`, at the end."""


def encode(message: Message | Handed) -> bytes:
    """A message as it is sent."""
    return msgspec.json.encode(message, enc_hook=_text_of)


def read_handed(data: bytes) -> Handed:
    """What a worker was handed."""
    return msgspec.json.decode(data, type=Handed, dec_hook=_of_text)


def read_by_worker(data: bytes) -> ToWorker:
    """What the controller said."""
    return _OF_CONTROLLER.decode(data)


def read_by_controller(data: bytes) -> ToController:
    """What a worker said."""
    return _OF_WORKER.decode(data)


def _text_of(value: object) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise NotImplementedError(type(value))


def _of_text(kind: type, value: object) -> object:
    if issubclass(kind, PurePath):
        return kind(str(value))
    raise NotImplementedError(kind)


_OF_CONTROLLER: msgspec.json.Decoder[ToWorker] = msgspec.json.Decoder(ToWorker, dec_hook=_of_text)
_OF_WORKER: msgspec.json.Decoder[ToController] = msgspec.json.Decoder(ToController, dec_hook=_of_text)
