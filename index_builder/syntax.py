"""The few questions that all readers of a syntax tree ask.

Nothing here recurses: nesting is up to the author of the file, and a file may nest ten thousand parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tree_sitter import Node

from deepcodeseek.server.types import Method

FUNCTIONS = ("function_expression", "arrow_function", "generator_function", "method_definition")
FUNCTION_DECLARATIONS = ("function_declaration", "generator_function_declaration")
VARIABLES = ("variable_declaration", "lexical_declaration")
CLASSES = ("class", "class_declaration", "abstract_class_declaration")

MAX_NESTING = 4  # objects and functions inside one another that are read for what they define
_MAX_DOTS = 8  # longer chains are data access, not names
_NAMES = ("identifier", "this", "property_identifier", "type_identifier")
_WRAPPERS = ("parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression")


def text(node: Node | None) -> str:
    """Source text of a node, nothing for none."""
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""


def first(node: Node | None) -> Node | None:
    """First child with a name in the grammar, no punctuation."""
    return next(iter(node.named_children), None) if node is not None else None


def dotted(node: Node | None) -> tuple[str, ...]:
    """`a.b.c` as its parts; nothing where it is anything but names."""
    parts: list[str] = []
    while node is not None and len(parts) < _MAX_DOTS:
        if node.type in _NAMES:
            names = (text(node), *reversed(parts))
            return names if all(names) else ()  # what is not typed yet is a node without text
        if node.type == "member_expression":
            parts.append(text(node.child_by_field_name("property")))
            node = node.child_by_field_name("object")
        elif node.type in _WRAPPERS:
            node = first(node)
        else:
            break
    return ()


def string_value(node: Node | None) -> str:
    """What a plain string literal says, nothing for anything else."""
    return text(node)[1:-1] if node is not None and node.type == "string" else ""


def arguments(call: Node) -> list[Node]:
    """Of a call or a `new`, without comments."""
    inside = call.child_by_field_name("arguments")
    return [node for node in inside.named_children if node.type != "comment"] if inside is not None else []


def unwrap(node: Node | None) -> Node | None:
    """Without parentheses and type assertions; of `a || b`, the last."""
    while node is not None:
        if node.type in _WRAPPERS:
            node = first(node)
        elif node.type == "binary_expression":
            node = node.child_by_field_name("right")
        elif node.type == "type_assertion":
            node = next(reversed(node.named_children), None)
        else:
            break
    return node


def called_on_the_spot(node: Node) -> Node | None:
    """Body of the function in `(function () { ... })()` and its variants."""
    callee = node.child_by_field_name("constructor" if node.type == "new_expression" else "function")
    function = unwrap(callee)
    if function is not None and function.type == "member_expression":  # (function () {}).call(this)
        function = unwrap(function.child_by_field_name("object"))
    if function is None or function.type not in FUNCTIONS:
        return None
    return function.child_by_field_name("body")


# Comments


@dataclass(frozen=True, slots=True)
class Around:
    """What a statement or a member stands in."""

    nesting: int = 0  # objects and functions around it
    functions: Mapping[str, Method] = field(default_factory=dict)  # those it can name
    types: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)  # bodies of those it can name

    def deeper(self) -> Around:
        """One object or function further in."""
        return replace(self, nesting=self.nesting + 1)


@dataclass(frozen=True, slots=True)
class Commented:
    """A statement or a member, with the comments directly above it."""

    node: Node
    comments: tuple[Node, ...]
    around: Around

    @property
    def doc(self) -> str:
        """Text of the comments."""
        return clean_comment([text(comment) for comment in self.comments])

    @property
    def has_jsdoc(self) -> bool:
        """Whether there is a block that begins with two stars."""
        return any((comment.text or b"").startswith(b"/**") for comment in self.comments)

    def of(self, node: Node) -> Commented:
        """The same comments, said of a part of the node."""
        return replace(self, node=node)


TOP = Around()


def commented(parent: Node, around: Around = TOP) -> Iterator[Commented]:
    """The children that are no comments. A blank line parts a comment from what follows it."""
    above: list[Node] = []
    last_row = -1 if parent.type == "program" else parent.start_point.row
    trailing = False  # behind code on the same line: it belongs to that code
    for node in parent.named_children:
        gap = node.start_point.row - above[-1].end_point.row if above else 0
        if node.type == "comment":
            is_new = gap > 1 or trailing or (node.text or b"").startswith(b"/*")
            above = [] if is_new else above
            above.append(node)
            trailing = node.start_point.row == last_row
            continue
        is_above = gap == 0 or (gap == 1 and not trailing)
        yield Commented(node, tuple(above) if is_above else (), around)
        above, trailing, last_row = [], False, node.end_point.row


_DIRECTIVE = re.compile(r"(eslint|jshint|jslint|globals?|istanbul|prettier-ignore|@ts-|# source)\b", re.I)
_ORNAMENT = r"[-*=_#~+/\\<>|.!^]{3,}"


def clean_comment(comments: Sequence[str]) -> str:
    """Comments without their marks, ornaments and orders to tools; tags stay, each on its line."""
    lines = _clean_lines(line for comment in comments for line in _comment_lines(comment))
    kept = (line for line in lines if not _DIRECTIVE.match(line))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _clean_lines(lines: Iterable[str]) -> Iterator[str]:
    """An example keeps its indentation."""
    is_example = False
    for line in lines:
        clean = _clean_line(line)
        is_example = clean.startswith("@example") if clean.startswith("@") else is_example
        yield line.rstrip().removeprefix(" ") if is_example and not clean.startswith("@") else clean


def _comment_lines(comment: str) -> list[str]:
    if comment.startswith("/*"):
        return [line.lstrip().lstrip("*") for line in comment[2:].removesuffix("*/").rstrip("*").splitlines()]
    return [comment.lstrip("/")]


def _clean_line(line: str) -> str:
    return re.sub(rf"^{_ORNAMENT}(?=\s|$)|(?<=\s){_ORNAMENT}$", "", " ".join(line.split())).strip()
