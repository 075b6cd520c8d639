"""Text -> syntax tree, and queries on it, in bounded time: no one file may hold up the others.

tree-sitter reads what it can of a half-written file. On hostile ones it is quadratic: so are its error
recovery, its search for the end of a comment that has none, and its queries where an error spans many tokens.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import cache
from itertools import groupby

import tree_sitter
from tree_sitter import Node, Query, QueryCursor

from .scripts import Language

PARSE_SECONDS = 4  # of computing; hand-written files of megabytes take less than one
_SURELY_FAST = 16_384  # bytes: the slowest that is known takes half a second
_CHUNK = 1_024  # bytes the parser gets at once; it never frees them (0.26.1)
_REREAD = 32  # times a file's length that may be read; 1,300 large files of all kinds needed 2.4 at most
_MAX_DEPTH = 10_000  # of nodes that are looked at: beyond some 32,000 a query takes time without end
_MAX_STEPS = 10**9  # a query goes over in about a second


class TooSlow(ValueError):
    """Nobody writes code that takes so long."""

    def __init__(self) -> None:
        super().__init__(f"skipped: takes more than {PARSE_SECONDS} s to parse")


def parse(code: bytes, language: Language = "javascript") -> Node:
    """The root of the syntax tree; broken code gives a tree with errors. TooSlow where it takes long."""
    parser = tree_sitter.Parser(grammar(language))
    if len(code) <= _SURELY_FAST:
        return parser.parse(code).root_node
    source = _Source(code)
    try:
        tree = parser.parse(source.read, progress_callback=source.is_over)
    except ValueError as error:
        raise TooSlow from error
    if source.left <= 0:
        raise TooSlow
    source.left = sys.maxsize  # a node's text is read from here too
    return tree.root_node


@cache
def grammar(language: Language) -> tree_sitter.Language:
    """Loaded when first needed."""
    if language == "javascript":
        import tree_sitter_javascript

        return tree_sitter.Language(tree_sitter_javascript.language())
    import tree_sitter_typescript as typescript

    return tree_sitter.Language(
        typescript.language_tsx() if language == "tsx" else typescript.language_typescript()
    )


def captures(query: Query, root: Node) -> dict[str, list[Node]]:
    """Nodes by the name that the query gives them."""
    return _cursor(query, root).captures(root)


def matches(query: Query, root: Node) -> list[dict[str, list[Node]]]:
    """The same, match by match."""
    return [captured for _, captured in _cursor(query, root).matches(root)]


class _Source:
    """What the parser reads, as long as it may."""

    def __init__(self, code: bytes) -> None:
        self._code = code
        self._end = time.thread_time() + PARSE_SECONDS  # a busy machine is not the file's fault
        self.left = len(code) * _REREAD

    def read(self, at: int, point: object) -> bytes:
        chunk = self._code[at : at + _CHUNK]  # also when too much was read: scanners crash where text shrinks
        self.left -= len(chunk)
        return chunk

    def is_over(self, at: int, has_error: bool) -> bool:
        return self.left <= 0 or time.thread_time() > self._end


def _cursor(query: Query, root: Node) -> QueryCursor:
    # Its progress callback would be the way to stop it, but crashes (0.26.1).
    if sum(map(_steps, _errors(root))) > _MAX_STEPS:
        raise TooSlow
    cursor = QueryCursor(query)
    cursor.set_max_start_depth(_MAX_DEPTH)
    return cursor


def _errors(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.is_error:
            yield node
        waiting += (child for child in node.named_children if child.has_error)


def _steps(error: Node) -> int:
    """At each of its tokens the query looks for the next node with a name."""
    if error.child_count**2 < _MAX_STEPS:
        return 0
    runs = (len(list(run)) for is_named, run in groupby(error.children, lambda n: n.is_named) if not is_named)
    return sum(run * run for run in runs)
