"""What retrieval is worth to a model that writes the next statement.

    python -m deepcodeseek.index_builder.ablate_statement --index DIR --samples FILE --out results.json

The model writes freely; is told the predicted APIs and writes freely; or is told them and continues a call of
the first one, as the server has it. Every statement is checked in the same way: one that names what does not
exist is not shown. What is shown is checked once more in another way: its syntax tree against the tables of
the index.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tree_sitter import Node

from deepcodeseek.server.bindings import Script
from deepcodeseek.server.engine import Engine, load_engine
from deepcodeseek.server.generation import DATABASE, read_manifest
from deepcodeseek.server.lexer import code_of
from deepcodeseek.server.models import Generator
from deepcodeseek.server.modules import Caller
from deepcodeseek.server.pipeline import predict
from deepcodeseek.server.statement import apis_named, continue_statement, write_statement
from deepcodeseek.server.types import Context, RankedApi

from .atomic import write_lines
from .metrics import wilson
from .parse import parse
from .predict import sample_context
from .syntax import dotted, text

TOKENS = 24  # as the server asks for
TIMEOUT_MS = 60_000.0  # so that a busy machine writes the same
CASES = ("free", "told", "begun")

COMMAND = (
    "python -m deepcodeseek.index_builder.ablate_statement --index INDEX --samples samples.jsonl "
    "--out statement.json --count {count} --seed {seed}{cases}"
)
DESCRIPTION = (
    "The next statement by the local model. `free`: told nothing. `told`: told three predicted APIs, writes "
    "freely. `begun`: told them, and continues a call of the first; one that takes no arguments is whole "
    "without the model. `whole`: statements that come to an end. `shown`: those of them that call an API and "
    "name nothing that neither the index nor the file knows; the others are not shown. `right`: those shown "
    "that name the API which the developer called. 95 % Wilson intervals; milliseconds at the median. "
    "`unknown`: what their syntax trees make or call that neither the tables of the index nor the file hold."
)


@dataclass(frozen=True, slots=True)
class Written:
    """One statement of a case."""

    is_whole: bool
    is_shown: bool
    is_right: bool
    ms: float
    unknown: tuple[str, ...] = ()  # names in what is shown


def main() -> None:
    """Measure all cases and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--index", type=Path, required=True, help="an index directory")
    parser.add_argument("--samples", type=Path, required=True, help="samples that state their target")
    parser.add_argument("--out", type=Path, required=True, help="the file of results")
    parser.add_argument("--count", type=int, default=300, help="how many of the clean samples are drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, help="a models directory, such as one with an adapter")
    parser.add_argument("--case", action="append", choices=CASES, help="one of the cases; default: all")
    given = parser.parse_args()
    cases = given.case or CASES
    chosen = "".join(f" --case {case}" for case in given.case or ())
    engine = load_engine(given.index, given.models, adapted=False)
    generation, _ = read_manifest(given.index)
    database = sqlite3.connect(f"{(generation / DATABASE).resolve().as_uri()}?mode=ro", uri=True)
    rows = read_samples(given.samples, given.count, given.seed)
    results: dict[str, list[Written]] = {case: [] for case in cases}
    for done, row in enumerate(rows, 1):
        for case, written in measure(engine, database, row, cases).items():
            results[case].append(written)
        if done % 25 == 0:
            print(done, {case: summary(results[case]) for case in cases}, flush=True)
    content = {
        "description": DESCRIPTION,
        "command": COMMAND.format(count=given.count, seed=given.seed, cases=chosen),
        "n": len(rows),
        "cases": {case: summary(written) for case, written in results.items()},
    }
    write_lines(given.out, [json.dumps(content, indent=1)])
    if engine.generator:
        engine.generator.close()


def read_samples(path: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """Clean ones, drawn at random."""
    rows = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
    clean = [row for row in rows if row.get("clean", True)]
    return random.Random(seed).sample(clean, min(count, len(clean)))


def measure(
    engine: Engine, database: sqlite3.Connection, row: dict[str, Any], cases: Sequence[str] = CASES
) -> dict[str, Written]:
    """One sample in each of the cases."""
    assert engine.generator, "no generator installed"
    context = sample_context(engine.index, row)
    caller = Caller(context.file, context.scope, context.package)
    script = Script(caller, code_of(context.before).text, context.before)
    predicted = predict(engine, context, first_only=True).ranked
    found = {}
    for case in cases:
        start = time.perf_counter()
        statement = _written(engine, engine.generator, script, context, predicted, case)
        named = apis_named(engine.index, script, statement)
        ms = (time.perf_counter() - start) * 1000
        unknown = unknown_names(database, context.before, statement) if named else ()
        found[case] = Written(bool(statement), bool(named), row["target"] in named, ms, unknown)
    return found


def unknown_names(database: sqlite3.Connection, before: str, statement: str) -> tuple[str, ...]:
    """What a statement makes or calls that is neither in the tables of an index nor in the text before."""
    known = set(re.findall(r"[\w$]+", before))
    unknown = []
    for chain in _made_or_called(parse(statement.encode())):
        *_, last = chain
        (count,) = database.execute(_KNOWN, (".".join(chain), last, last, last)).fetchone()
        if not count and last not in known | BUILT_IN:
            unknown.append(".".join(chain))
    return tuple(unknown)


_KNOWN = (
    "SELECT (SELECT count(*) FROM api WHERE api_name = ? OR name = ?)"
    " + (SELECT count(*) FROM method WHERE name = ?) + (SELECT count(*) FROM inherited WHERE name = ?)"
)
BUILT_IN = frozenset({"Array", "Date", "Error", "Object", "RegExp", "String", "parseInt", "toString", "push"})


def _made_or_called(node: Node) -> Iterator[tuple[str, ...]]:
    """The chains of names behind `new` and before parentheses; of longer expressions the last name."""
    place = {"new_expression": "constructor", "call_expression": "function"}.get(node.type)
    if place:
        what = node.child_by_field_name(place)
        chain = dotted(what)
        if not chain and what is not None:
            chain = (text(what.child_by_field_name("property")),)
        if any(chain):
            yield chain
    for child in node.named_children:
        yield from _made_or_called(child)


def _written(
    engine: Engine,
    generator: Generator,
    script: Script,
    context: Context,
    predicted: Sequence[RankedApi],
    case: str,
) -> str:
    if case == "begun":
        return write_statement(engine.index, generator, script, context, predicted, TOKENS, TIMEOUT_MS)
    told = predicted if case == "told" else ()
    return continue_statement(generator, script, context, told, "", TOKENS, TIMEOUT_MS)


def summary(written: Sequence[Written]) -> dict[str, Any]:
    """A case as it is kept in the file."""
    n = len(written)
    shown, right = sum(each.is_shown for each in written), sum(each.is_right for each in written)
    return {
        "whole": sum(each.is_whole for each in written),
        "shown": share(shown, n),
        "right": share(right, n),
        "right of shown": share(right, shown),
        "unknown": sorted({name for each in written for name in each.unknown}),
        "ms": round(sorted(each.ms for each in written)[n // 2]),
    }


def statement_text(content: dict[str, Any]) -> str:
    """Markdown: what retrieval and the adapter give to the statements that are written."""
    begun, free, plain = (content["cases"][case] for case in ("begun", "free", "begun, no adapter"))
    right, shown, without, alone = map(
        _estimate, (begun["right"], begun["shown"], plain["right"], free["right"])
    )
    return (
        f"With `inlineCompletion` retrieval chooses the API and the model writes the rest: of {content['n']} "
        f"statements that others wrote, {shown} get a suggestion and {right} one that calls the right API "
        f"({without} without the adapter that ships); the same model, told nothing, gets {alone} right "
        f"([figures](index_builder/results/statement.json)). Median {begun['ms']} ms on two cores.\n"
    )


def _estimate(share: dict[str, Any]) -> str:
    low, high = share["interval"]
    return f"{share['percent']:.1f} % [{low:.1f}, {high:.1f}]"


def share(hits: int, n: int) -> dict[str, Any]:
    """In percent, with its 95 % Wilson interval."""
    low, high = wilson(hits, n) if n else (0.0, 100.0)
    percent = round(100 * hits / n, 1) if n else 0.0
    return {"percent": percent, "interval": [round(max(0.0, low), 1), round(high, 1)]}


if __name__ == "__main__":
    main()
