"""The CodeR-Pile format: what a line gives, and what is said of one that gives nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepcodeseek.index_builder.triples import Triple, read_coder_pile


def with_priors(priors: str) -> str:
    return f'{{"query": "q", "pos": ["a"], "neg": ["b"], "priors": {priors}}}'


LINES = [
    # a line, its triples, what is said of it
    ('{"prompt": "p", "query": "q", "pos": ["a"], "neg": ["b", "c"]}', [Triple("q", "a", ("b", "c"))], ""),
    ('{"query": "q", "pos": ["a"], "neg": []}', [Triple("q", "a", ())], ""),
    (
        '{"query": "q", "pos": ["a", "b"], "neg": ["c"]}',
        [Triple("q", "a", ("c",)), Triple("q", "b", ("c",))],
        "",
    ),
    ('{"query": "q", "pos": ["a"], "neg": ["a", "b", "b"]}', [Triple("q", "a", ("b",))], ""),
    ('{"query": "潮", "pos": ["a\\nb"], "neg": ["c"]}', [Triple("潮", "a\nb", ("c",))], ""),
    ("", [], ""),
    ('{"query": "q", "pos": ["a"]', [], "not JSON (Expecting ',' delimiter"),
    ("[" * 100_000, [], "not JSON ("),
    ("3", [], "not an object"),
    ('["q", "a", "b"]', [], "not an object"),
    ('{"pos": ["a"], "neg": ["b"]}', [], "`query` is no text"),
    ('{"query": " ", "pos": ["a"], "neg": ["b"]}', [], "`query` is no text"),
    ('{"query": "q", "pos": [], "neg": ["b"]}', [], "`pos` is empty"),
    ('{"query": "q", "pos": "a", "neg": ["b"]}', [], "`pos` is no list of texts"),
    ('{"query": "q", "pos": ["a"], "neg": ["b", 3]}', [], "`neg` is no list of texts"),
    ('{"query": "q", "pos": ["a"]}', [], "`neg` is no list of texts"),
    (with_priors("[2, 1.5]"), [Triple("q", "a", ("b",), (2.0, 1.5))], ""),
    (with_priors("[2]"), [Triple("q", "a", ("b",))], ""),
    (with_priors('["2", 1]'), [Triple("q", "a", ("b",))], ""),
    (with_priors("[1e999, 1]"), [], "`priors` are not finite"),
    (with_priors("[1e39, 1]"), [], "`priors` are not finite"),  # not in 32 bits
    (with_priors("[NaN, 1]"), [], "`priors` are not finite"),
    (with_priors(f"[{'9' * 400}, 1]"), [], "`priors` are not finite"),
]


@pytest.mark.parametrize(("line", "triples", "message"), LINES)
def test_a_line_gives_triples_or_a_message_and_the_rest_goes_on(
    line: str, triples: list[Triple], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "triplets.jsonl"
    good = json.dumps({"query": "last", "pos": ["x"], "neg": ["y"]})
    path.write_text(f"{good}\n{line}\n{good}\n", encoding="utf-8")
    said: list[str] = []
    found = list(read_coder_pile(path, said.append))
    last = Triple("last", "x", ("y",))
    assert found == [last, *triples, last]
    assert len(said) == bool(message)
    assert not message or said[0].startswith(f"{path}:2: passed over: {message}")


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "triplets.jsonl"
    path.write_bytes(b'{"query": "\xff\xfe"}\n')
    said: list[str] = []
    assert list(read_coder_pile(path, said.append)) == []
    assert said[0].startswith(f"{path}:1: passed over: not JSON (")
