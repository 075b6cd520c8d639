"""Syntax tree -> the request parameters that each function reads, as an Ajax processor's methods do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

from tree_sitter import Node, Query

from .parse import grammar, matches
from .scripts import Language
from .syntax import string_value, text

_FUNCTION = "[(function_expression) (arrow_function) (generator_function)] @function"
NAMED_FUNCTIONS = f"""
(pair key: (_) @name value: {_FUNCTION})
(method_definition name: (_) @name) @function
(function_declaration name: (_) @name) @function
(variable_declarator name: (_) @name value: {_FUNCTION})
(assignment_expression left: (member_expression property: (_) @name) right: {_FUNCTION})
"""
_QUERY = f"""{NAMED_FUNCTIONS}
(call_expression
    function: (member_expression property: (property_identifier) @called)
    arguments: (arguments . (string) @parameter))
"""
MAX_AROUND = 8  # functions in one another, from the outermost: a method is not nested deeper
_PARAMETER = re.compile(r"sysparm_\w+")

Read = Mapping[tuple[str, int], tuple[str, ...]]
"""Name of a function and the line on which it begins -> the parameters read in it, in their order."""


def read_parameters(root: Node, language: Language) -> Read:
    """`getParameter('sysparm_...')` of whatever object, by each named function around the call."""
    read: dict[tuple[str, int], dict[str, None]] = {}
    around: list[tuple[int, tuple[str, int]]] = []  # where each function ends, and its key
    for node, key in sorted(_found(root, language), key=lambda item: item[0].start_byte):
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        if key:
            around.append((node.end_byte, key))
            continue
        for _, function in around[:MAX_AROUND]:
            read.setdefault(function, {})[string_value(node)] = None
    return {function: tuple(names) for function, names in read.items()}


def function_key(captured: Mapping[str, list[Node]]) -> tuple[str, int]:
    """Of one of the NAMED_FUNCTIONS."""
    (function,), (name,) = captured["function"], captured["name"]
    return string_value(name) or text(name), function.start_point.row + 1


@cache
def _query(language: Language) -> Query:
    return Query(grammar(language), _QUERY)


def _found(root: Node, language: Language) -> Iterator[tuple[Node, tuple[str, int] | None]]:
    """Functions with their key, and the names of parameters that are read."""
    for captured in matches(_query(language), root):
        if "function" in captured:
            yield captured["function"][0], function_key(captured)
        elif text(captured["called"][0]) == "getParameter":
            (parameter,) = captured["parameter"]
            if _PARAMETER.fullmatch(string_value(parameter)):
                yield parameter, None
