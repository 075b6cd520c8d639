"""A script without its documentation, to measure what documentation is worth."""

from __future__ import annotations

import re
from dataclasses import replace

from tree_sitter import Query

from .parse import TooSlow, captures, grammar, parse
from .scripts import Script

_AROUND_MEMBERS = frozenset(("program", "object", "class_body", "pair", "interface_body", "object_type"))


def without_documentation(script: Script) -> Script:
    """Comments above definitions and members become blanks: every offset and every line stays."""
    code = script.code.encode("utf-8", "replace")
    query = Query(grammar(script.language), "(comment) @comment")
    try:
        found = captures(query, parse(code, script.language))
    except TooSlow:  # whoever reads it next says so
        return script
    kept = bytearray(code)
    for node in found.get("comment", ()):
        if node.parent is None or node.parent.type in _AROUND_MEMBERS:
            text = code[node.start_byte : node.end_byte]
            kept[node.start_byte : node.end_byte] = re.sub(rb"[^\r\n]", b" ", text)
    return replace(script, code=kept.decode("utf-8", "replace"), description="")
