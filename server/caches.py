"""What is worked out of an object again and again, kept as long as the object and no longer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar
from weakref import WeakMethod

T = TypeVar("T")


def kept(method: Callable[..., T], size: int) -> Callable[..., T]:
    """A method that remembers its last `size` results, to be kept in its own object.

    It does not hold the object: a cycle would keep an index, its maps and its descriptors, until Python looks
    for cycles among what is old, which may take hours.
    """
    reference = WeakMethod(method)

    def call(*arguments: object) -> T:
        alive = reference()
        assert alive, "who asks holds the object"
        return alive(*arguments)

    return lru_cache(maxsize=size)(call)
