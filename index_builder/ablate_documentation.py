"""What documentation is worth: written, synthesized where none was written, and synthesized alone.

    python -m deepcodeseek.index_builder.ablate_documentation --workspace DIR --samples FILE --work DIR
        --out results.json

Builds three indexes below `--work` (kept: another run only predicts) and predicts the samples by each way of
searching documentation, and by everything together.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcodeseek.server.engine import load_engine
from deepcodeseek.server.models import find_model, load_encoder
from deepcodeseek.server.pipeline import METHODS

from .atomic import write_lines
from .build import build_index
from .database import Documentation, Options
from .evaluate import shipped_engine
from .metrics import score_files, score_json
from .predict import predict_file
from .progress import silent

ROWS: tuple[tuple[str, Documentation, str], ...] = (
    # what it is called, how the index is built, the method
    ("words, written", "all", "bm25-docs"),
    ("words, written or synthesized", "all", "bm25-all-docs"),
    ("words, all stripped", "stripped", "bm25-docs"),
    ("words, stripped and synthesized", "stripped", "bm25-all-docs"),
    ("vectors, written", "written", "dense-docs"),
    ("vectors, written or synthesized", "all", "dense-docs"),
    ("vectors, stripped and synthesized", "stripped", "dense-docs"),
    ("all signals, written", "written", "fused"),
    ("all signals, written or synthesized", "all", "fused"),
    ("all signals, stripped and synthesized", "stripped", "fused"),
)
DESCRIPTION = (
    "What documentation is worth: top-k accuracy in percent, 95 % Wilson intervals, the same {n} samples. "
    "*Written*: comments and record descriptions as they stand ({written:,} of {apis:,} APIs have any). "
    "*Synthesized*: made of names, parameters and what the code does, where nothing was written. *Stripped*: "
    "as if nobody had ever written a comment above a definition; then only names are left, or what is "
    "synthesized."
)
COMMAND = (
    "python -m deepcodeseek.index_builder.ablate_documentation --workspace servicenow-dev "
    "--samples servicenow-dev/samples.jsonl --work INDEXES --out documentation.json"
)


def main() -> None:
    """Build, predict, score, write."""
    arguments = _arguments()
    results, counts = [], {}
    for documentation in ("all", "written", "stripped"):
        counts[documentation] = _build(arguments.workspace, arguments.work / documentation, documentation)
    for name, documentation, method in ROWS:
        out = arguments.work / "predictions.jsonl"
        with_engine = shipped_engine(arguments.work / documentation)
        predict_file(with_engine, arguments.samples, out, METHODS[method], True, None, silent)
        result = score_files(arguments.samples, out, arguments.subset)
        results.append(score_json(name, result))
        print(name, result.top, flush=True)
    written, apis = counts["written"]
    description = DESCRIPTION.format(n=results[0]["n"], written=written, apis=apis)
    content = {"description": description, "commands": [COMMAND], "results": results}
    write_lines(arguments.out, [json.dumps(content, indent=1)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("workspace", "samples", "work", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--subset", default="clean")
    return parser.parse_args()


def _build(workspace: Path, out: Path, documentation: Documentation) -> tuple[int, int]:
    """How many APIs somebody documented, and how many there are."""
    model = find_model("encoder")
    assert model
    build_index(workspace, out, load_encoder(model), silent, options=Options(documentation=documentation))
    index = load_engine(out).index
    origins = [index.api(i).doc_origin for i in range(index.count)]
    return origins.count("written"), len(origins)


if __name__ == "__main__":
    main()
