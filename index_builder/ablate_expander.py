"""What the expander writes, and what it is worth to what is predicted: as it is, in a chat, and adapted.

    python -m deepcodeseek.index_builder.ablate_expander --index DIR --samples FILE --name NAME --out FILE

Each way of asking the same GGUF model is compared with the list without it, sample by sample, with the
cross-encoder on top and without. The results of several indexes gather in one file, by their names.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.generator_process import GeneratorProcess
from deepcodeseek.server.models import CARD, ModelFiles, find_model
from deepcodeseek.server.pipeline import METHODS

from .ablate import DEPTH, write_ahead
from .ablate_statement import share
from .atomic import write_lines
from .evaluate import (
    NOTHING_WRITTEN,
    Asked,
    Sample,
    Written,
    commit_or_version,
    read_samples,
    run,
    shipped_engine,
    some_of,
)
from .figures import Outcome, compare, latency, row
from .progress import silent

ON_TOP = ("fused", "reranked")
CASES = AS_IT_IS, IN_A_CHAT, ADAPTED = "as it is", "in a chat", "adapted"
DESCRIPTION = (
    "The statement that the expander writes at a cursor, 24 tokens at most. *Names the right API*: the one "
    "which the developer called, in percent of all samples, with 95 % Wilson intervals. *top-5*: with what "
    "was written as a part of the question, 95 % bootstrap intervals; *gained / lost, p*: at top-5 against "
    "the same method without it, first `fused`, then `reranked`, McNemar's p. *ms*: of writing. `as it is`: "
    "plain text to go on with; `adapted`: with an adapter that was trained on other projects."
)
COMMAND = (
    "python -m deepcodeseek.index_builder.ablate_expander --index INDEX --samples samples.jsonl "
    "--name {name!r} --out expander.json --count {count} --seed {seed}"
)


def main() -> None:
    """Ask in all ways and add what came of it to a file."""
    given = _arguments()
    engine = shipped_engine(given.index)
    every = [sample for sample in read_samples(given.samples) if sample.get("clean", True)]
    samples = some_of(every, given.count, given.seed)
    content: dict[str, Any] = {"description": DESCRIPTION, "commands": [], "results": {}}
    if given.out.is_file():
        content = json.loads(given.out.read_text(encoding="utf-8"))
    command = COMMAND.format(name=given.name, count=given.count, seed=given.seed)
    content["commands"] = sorted({*content["commands"], command})
    cases = dict(measure(engine, samples, given.case or CASES, given.adapter))
    about = {"n": len(samples), "commit": commit_or_version(), "index": engine.index.id}
    known = content["results"].get(given.name, {}).get("cases", {})
    content["results"][given.name] = {**about, "cases": {**known, **cases}}
    write_lines(given.out, [json.dumps(content, indent=1)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--index", type=Path, required=True, help="an index directory")
    parser.add_argument("--samples", type=Path, required=True, help="samples that state their target")
    parser.add_argument("--name", required=True, help="of the code base, in the results")
    parser.add_argument("--out", type=Path, required=True, help="the file of results")
    parser.add_argument("--adapter", type=Path, help="the folder of an adapter; default: the one in use")
    parser.add_argument("--case", action="append", choices=CASES, help="one of the cases; default: all")
    parser.add_argument("--count", type=int, default=150, help="how many of the clean samples are drawn")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def measure(
    engine: Engine, samples: Sequence[Sample], cases: Sequence[str] = CASES, adapter: Path | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each way of asking by its name, with its figures."""
    without = {method: _ask(engine, samples, method, NOTHING_WRITTEN) for method in ON_TOP}
    yield "nothing", {"predicted": {method: _figures(asked, asked) for method, asked in without.items()}}
    for name, generator in _generators(cases, adapter):
        generator.start()
        written = write_ahead(replace(engine, generator=generator), samples, "code")
        generator.close()
        asked = {method: _ask(engine, samples, method, written) for method in ON_TOP}
        found = {
            "right": share(sum(_names_target(sample, written) for sample in samples), len(samples)),
            "ms": latency([Outcome(key, 0, {"expand": each.ms}) for key, each in written.items()])["expand"],
            "predicted": {method: _figures(asked[method], without[method]) for method in ON_TOP},
        }
        print(name, json.dumps(found), flush=True)
        yield name, found


def _generators(cases: Sequence[str], adapter: Path | None) -> Iterator[tuple[str, GeneratorProcess]]:
    """By case; that of an adapter where there is one."""
    base, learned = find_model("generator"), find_model("adapter")
    assert base, "no generator installed"
    if adapter:
        learned = ModelFiles("adapter", adapter, json.loads((adapter / CARD).read_text(encoding="utf-8")))
    if AS_IT_IS in cases:
        yield AS_IT_IS, GeneratorProcess(base, "plain")
    if IN_A_CHAT in cases:
        yield IN_A_CHAT, GeneratorProcess(base, "instruct")
    if ADAPTED in cases and learned:
        yield ADAPTED, GeneratorProcess(base, "plain", learned)


def _ask(
    engine: Engine, samples: Sequence[Sample], method: str, written: Mapping[str, Written]
) -> list[Outcome]:
    return list(run(engine, samples, METHODS[method], Asked(), silent, written))


def _names_target(sample: Sample, written: Mapping[str, Written]) -> bool:
    code = written[sample["id"]].query.code if sample["id"] in written else ""
    name = str(sample.get("target_name") or sample["target"].rpartition(".")[2])
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", code) is not None


def _figures(asked: Sequence[Outcome], without: Sequence[Outcome]) -> dict[str, Any]:
    ranks, before = ({each.id: each.rank for each in outcomes} for outcomes in (asked, without))
    flips, figures = compare(before, ranks, DEPTH), row("subset", "all", list(ranks.values()))
    return {
        "top": {str(k): [round(value, 1) for value in estimate] for k, estimate in figures.top.items()},
        "mrr": [round(value, 3) for value in figures.mrr],
        "gained": len(flips.gained),
        "lost": len(flips.lost),
        "p": round(flips.p, 4),
    }


def expansion_table(content: Mapping[str, Any]) -> str:
    """Markdown: for each code base and way of asking, what is written and what it is worth."""
    head = (
        "| code base | expander | names the right API, % | top-5, `fused` | top-5, `reranked` "
        "| gained / lost, p | ms, p95 |",
        "|---|---|---|---|---|---|---|",
    )
    rows = (
        _row(f"{name}, n = {result['n']}", case, found)
        for name, result in content["results"].items()
        for case, found in result["cases"].items()
    )
    told = (content["description"], *content.get("notes", ()))
    return "\n".join((*head, *rows, "", *told, "", *_alternatives(content.get("alternatives", ())))) + "\n"


def _alternatives(tried: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Markdown: what else the same time was spent on (tried once; see LOG.md)."""
    yield "| other uses of the time | code base | top-1 and 5 without | with | ms |"
    yield "|---|---|---|---|---|"
    for each in tried:
        without, given = (
            " / ".join(f"{top:.1f}" for top in each[part] if top is not None) for part in ("without", "with")
        )
        about = f"{each['way']} | {each['base']}, n = {each['n']}"
        yield f"| {about} | {without} | {given} | {each['ms'] or ''} |"


def _row(base: str, case: str, found: Mapping[str, Any]) -> str:
    predicted = [found["predicted"][method] for method in ON_TOP]
    tops = " | ".join("{:.1f} [{:.1f}, {:.1f}]".format(*each["top"]["5"]) for each in predicted)
    if "right" not in found:
        return f"| {base} | {case} | | {tops} | | |"
    right, ms = found["right"], found["ms"]
    low, high = right["interval"]
    flips = "; ".join(f"{each['gained']} / {each['lost']}, {each['p']:.2f}" for each in predicted)
    return (
        f"| {base} | {case} | {right['percent']} [{low}, {high}] | {tops} | {flips} "
        f"| {ms['p50']:,.0f}, {ms['p95']:,.0f} |"
    )


if __name__ == "__main__":
    main()
