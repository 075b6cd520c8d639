"""What an expression or a type makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deepcodeseek.server.types import Method

Kind = Literal["value", "object", "function", "class"]  # "value": nothing that can be called

_KINDS: tuple[Kind, ...] = ("value", "object", "function", "class")  # the later says more


@dataclass(frozen=True, slots=True)
class Shape:
    """Its kind and what can be called on it."""

    kind: Kind = "value"
    params: tuple[str, ...] = ()
    extends: str = ""
    methods: tuple[Method, ...] = ()
    types: tuple[str, ...] = ()  # of the parameters
    returns: str = ""
    is_syntax: bool = False  # a class by its syntax, in which `initialize` is a method like any other


def richer(a: Kind, b: Kind) -> Kind:
    """The one that says more."""
    return max(a, b, key=_KINDS.index)
