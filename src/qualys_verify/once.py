"""`@once`: a property that is worked out when it is first asked for, and kept."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

Value = TypeVar("Value")


class once(Generic[Value]):  # noqa: N801  # used as `property` is
    """`functools.cached_property`, which until Python 3.12 has one lock for all instances.

    What takes a round trip to a host would then be asked of one host after the other. An instance belongs to one
    thread at a time, or working it out twice does no harm.
    """

    def __init__(self, work_out: Callable[[Any], Value]) -> None:
        """A value is kept under the method's name, where Python finds it before it asks here."""
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> Self | Value:
        """The value; what raises is asked again the next time."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._work_out(instance)
        return value
