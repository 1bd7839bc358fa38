"""What is wanted later and only waits, or takes long to load, is begun while pytest still looks for its tests."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def meanwhile(make: Callable[[], Result]) -> Future[Result]:
    """Have something made in a thread of its own, which keeps no process from ending; what it raises, the result raises."""
    made = Future[Result]()

    def run() -> None:
        try:
            made.set_result(make())
        except BaseException as error:  # noqa: BLE001  # see above
            made.set_exception(error)

    Thread(target=run, name="meanwhile", daemon=True).start()
    return made
