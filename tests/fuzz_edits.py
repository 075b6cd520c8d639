"""Random edits over a real pipe: after each one the server's text must be the one that the editor has.

python tests/fuzz_edits.py --edits 20000        `make fuzz`; tests/test_documents.py runs a few hundred
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import time
from typing import Any

from deepcodeseek.index_builder.lsp_client import Client

ENCODINGS = ("utf-8", "utf-16", "utf-32")
SIZES = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}
LINE_ENDS = ("\n", "\r\n", "\r")
# What other tools take for line ends, astral characters, combining marks, joined ones, both directions.
ODD = (
    *"\u2028\u2029\u0085\f\v\x1c\x1d\x1e",
    *"\U0001f600\U00020000\U0010ffff",
    *("e\u0301", "a\u0308\u0323", "\u0301"),
    *(
        "\U0001f469\u200d\U0001f4bb",
        "\U0001f1e9\U0001f1ea",
        "\u05d0\u202e",
        "\ufeff",
        "\0",
        "\u4e2d",
        "\u00e9",
    ),
)
PLAIN = ("var a = 1;", "x", " ", "\t", "new Berth().find(b)", "})")
LONGEST = 4_000  # characters; a longer document starts anew


def fuzz(edits: int, encoding: str, seed: int = 0) -> int:
    """Make so many edits in one session, and say how many; AssertionError at the first wrong text."""
    chance = random.Random(f"{seed} {encoding}")
    with Client() as client:
        general = {"general": {"positionEncodings": [encoding]}}
        answer = client.initialize(capabilities=general)
        assert answer["capabilities"]["positionEncoding"] == encoding
        text, uri = _text(chance, 30), "file:///fuzz/a.js"
        client.open(uri, text)
        for version in range(2, edits + 2):
            changes, after = _changes(chance, text, encoding)
            client.change(uri, version, *changes)
            expected = hashlib.sha256(after.encode()).hexdigest()
            (document,) = client.status()["documents"]
            assert (document["version"], document["sha256"]) == (version, expected), (text, changes)
            text = after
    return edits


def _changes(chance: random.Random, text: str, encoding: str) -> tuple[list[dict[str, Any]], str]:
    """One or several changes, each in the text that the one before left, and the text after them."""
    if len(text) > LONGEST or chance.random() < 0.01:
        whole = _text(chance, 30)
        return [{"text": whole}], whole
    changes = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        start, end = sorted(_place(chance, text) for _ in range(2))
        if chance.random() < 0.6:
            end = start
        inserted = _text(chance, chance.choice((0, 1, 1, 2, 8)))
        span = {"start": _position(text, start, encoding), "end": _position(text, end, encoding)}
        changes.append({"range": _beyond(chance, text, end, span), "text": inserted})
        text = text[:start] + inserted + text[end:]
    return changes, text


def _beyond(chance: random.Random, text: str, end: int, span: dict[str, Any]) -> dict[str, Any]:
    """Sometimes a position beyond the end of its line, or of the text: it means the end."""
    if chance.random() < 0.1 and (end == len(text) or text[end] in "\r\n"):
        span["end"] = {**span["end"], "character": span["end"]["character"] + 1000}
    if chance.random() < 0.1 and end == len(text):
        span["end"] = {"line": span["end"]["line"] + 5, "character": 3}
    return span


def _place(chance: random.Random, text: str) -> int:
    """An offset, near another line's beginning as often as anywhere, never inside of a line end."""
    offset = chance.randrange(len(text) + 1)
    if chance.random() < 0.5:
        found = re.compile("[\r\n]").search(text, offset)
        offset = found.end() if found else offset
    return offset - 1 if text[offset - 1 : offset + 1] == "\r\n" else offset


def _position(text: str, offset: int, encoding: str) -> dict[str, int]:
    """Counted the slow way."""
    lines = re.split(r"\r\n|\n|\r", text[:offset])
    codec, width = SIZES[encoding]
    return {"line": len(lines) - 1, "character": len(lines[-1].encode(codec)) // width}


def _text(chance: random.Random, pieces: int) -> str:
    kinds = (LINE_ENDS, ODD, PLAIN)
    return "".join(chance.choice(chance.choice(kinds)) for _ in range(pieces))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--edits", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.monotonic()
    each = -(-arguments.edits // len(ENCODINGS))
    compared = sum(fuzz(each, encoding, arguments.seed) for encoding in ENCODINGS)
    print(f"{compared:,} edits, none went wrong, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
