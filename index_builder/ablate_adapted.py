"""What learning is worth: reciprocal ranks, the fusion that ships, and what was adapted to the workspace.

    python -m deepcodeseek.index_builder.ablate_adapted --index DIR --samples FILE --work DIR --out FILE

Adapted weights are asked about a fifth of the callers' files at a time, of which they have learned nothing:
no call, no usage. Below `--work` lie the five models directories (kept: another run only asks).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deepcodeseek.server.pipeline import METHODS, Engine, load_engine

from .adapt import adapt, fold_of
from .evaluate import Asked, Sample, read_samples, run
from .figures import Outcome, latency, row
from .mine import FOLDS

ASKED = (("", Asked(first_only=True)), (", nothing after the cursor", Asked(first_only=True, after=False)))
DESCRIPTION = (
    "What learning is worth: top-k accuracy in percent, 95 % bootstrap intervals, n = {n} (subset "
    "`{subset}`), the first list. *rrf*: reciprocal ranks, no learning. *fused*: the learned fusion that "
    "ships, which has seen nothing of this workspace. *adapted*: `deepcodeseek train adapt`{how}, five folds "
    "by file: a sample is asked of weights that learned nothing of its file. *Nothing after the cursor*: as "
    "if the file ended there."
)
COMMAND = (
    "python -m deepcodeseek.index_builder.ablate_adapted --index INDEX "
    "--samples servicenow-dev/samples.jsonl --work MODELS --out adapted.json"
)


def main() -> None:
    """Ask, adapt five times, ask again, write."""
    arguments = _arguments()
    every = read_samples(arguments.samples)
    samples = [sample for sample in every if arguments.subset == "all" or sample.get(arguments.subset)]
    engine = load_engine(arguments.index, adapted=False)
    engines = list(_adapted(engine, arguments.index, samples, arguments.work, arguments.encoder))
    results = []
    for suffix, asked in ASKED:
        for method in ("rrf", "fused"):
            outcomes = run(engine, samples, METHODS[method], asked, lambda *_: None)
            results.append(_scored(f"{method}{suffix}", list(outcomes)))
        outcomes_by_fold = [
            run(each, members, METHODS["fused"], asked, lambda *_: None) for each, members in engines
        ]
        together = [outcome for outcomes in outcomes_by_fold for outcome in outcomes]
        results.append(_scored(f"adapted{suffix}", together))
    how = " with its encoder of questions" if arguments.encoder else " of the fusion alone"
    description = DESCRIPTION.format(n=len(samples), subset=arguments.subset, how=how)
    command = COMMAND + (" --encoder" if arguments.encoder else "")
    content = {"description": description, "commands": [command], "results": results}
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _adapted(
    engine: Engine, index: Path, samples: Sequence[Sample], work: Path, encoder: bool
) -> Iterator[tuple[Engine, list[Sample]]]:
    """For each fold the engine that has learned nothing of its files, and its samples."""
    folds = fold_of(str(sample["file"]) for sample in samples).tolist()
    for fold in range(FOLDS):
        members = [sample for sample, its in zip(samples, folds, strict=True) if its == fold]
        out = work / str(fold)
        if not (out / "fusion").is_dir():
            hidden = frozenset(str(sample["file"]) for sample in members)
            result = adapt(engine, index, out, None, hidden, lambda *_: None, print, encoder)
            print(fold, result, flush=True)
        yield load_engine(index, out), members


def _scored(name: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    figures, ms = row("subset", "all", [outcome.rank for outcome in outcomes]), latency(outcomes)["total"]
    print(name, figures.top, flush=True)
    return {
        "method": name,
        "n": figures.n,
        "top": {str(k): round(top, 1) for k, (top, _, _) in figures.top.items()},
        "interval": {str(k): [round(low, 1), round(high, 1)] for k, (_, low, high) in figures.top.items()},
        "mrr": round(figures.mrr[0], 3),
        "ms_p50": round(ms["p50"], 1),
        "ms_p95": round(ms["p95"], 1),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("index", "samples", "work", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--subset", default="clean")
    parser.add_argument("--encoder", action="store_true", help="adapt the encoder of questions too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
