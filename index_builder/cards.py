"""The model cards that people read, made from those that the server reads.

    python -m deepcodeseek.index_builder.cards

What is trained here states in its model.json on what and how; README.md beside it says the same in a table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.models import CARD, SHIPPED, ModelKind, shipped
from deepcodeseek.server.pipeline import RERANK_DEPTH

from .train_reranker import REACH
from .train_shipped_reranker import FUSED

README = "README.md"
LICENCE = "Apache-2.0; no code of the projects is in it"
CORPORA = "python -m deepcodeseek.index_builder.corpora --out DIR"
ABOUT: Mapping[ModelKind, str] = MappingProxyType(
    {
        "fusion": """# Fusion

A network of one hidden layer ({recipe[hidden]} units) that scores a candidate from all evidence of the
retrieval: ranks, and scores only as they stand to the others of the same question. {questions:,} questions:
calls mined from the projects below, each asked as it stands and with nothing after the cursor.

| | |
|---|---|
| licence | {licence} |
| command | `{corpora}`, then `deepcodeseek {command}` |
| recipe | {recipe_text} |
| loss by epoch | {loss_text} |
{files}

The same command gives other weights now, of about the same worth ([log](../../../index_builder/LOG.md)): of a
file with very many calls fewer are mined than when these were made, and processors round otherwise.
""",
        "reranker": """# Reranker

A cross-encoder of six layers (22.7 million parameters, int8): it reads the lines at the cursor and an API
with its nearest known usage, and says how well they go together. That is added to the score of the fusion. It
began as all-MiniLM-L6-v2 ([card](../all-minilm-l6-v2/README.md), Apache-2.0) and learned from {lists:,} lists
of candidates: calls mined from the projects below, half of them asked with nothing after the cursor.

| | |
|---|---|
| licence | {licence} |
| command | `{corpora}`, then `deepcodeseek {command}` |
| what ships | {stage}: reinforcement is kept where it gains more than chance gives |
| SFT | {sft} |
| RL | {rl} |
{files}
""",
        "adapter": """# Expander, next statement

Low-rank matrices (rank {recipe[rank]}, {layers}) beside those of SmolLM2-135M-Instruct, the GGUF that
`deepcodeseek models get` fetches (Apache-2.0): with them it writes the statement that comes next. They serve
that file alone, SHA-256 `{base}`, and what is made of it. {lessons:,} calls, mined from the projects below:
the lines before as the server asks, and behind them the statement, which alone was learned.

| | |
|---|---|
| licence | {licence} |
| command | `{corpora}`, then `deepcodeseek {command}` |
| recipe | {recipe_text} |
{files}
""",
    }
)
COMMANDS: Mapping[ModelKind, str] = MappingProxyType(
    {
        "fusion": "train fusion --corpora DIR --out MODELS --epochs {recipe[epochs]} --seed {recipe[seed]}",
        "reranker": "train reranker --corpora DIR --out MODELS --lists {lists} --seed {recipes[0][seed]}",
        "adapter": "train expander --corpora DIR --out MODELS --lessons {lessons} --seed {recipe[seed]}",
    }
)
RESULTS = Path(__file__).parent / "results"
WIDER = (
    ("other-domains.json", "Phaser", "Phaser: "),
    ("other-domains.json", "OpenUI5", "OpenUI5: "),
    ("adapted.json", "Script Includes", ""),
)
"""Files of RESULTS, the code that was asked about, and what its methods begin with there."""
MEANING = MappingProxyType(
    {
        "general.npz": "evidence on questions of the projects that were not trained on, by which "
        "`train adapt` shows what is forgotten",
    }
)


def main() -> None:
    """Write the cards of all that was trained here."""
    for kind in ABOUT:
        folder = SHIPPED.get(kind)
        if folder and folder.is_dir():
            (folder / README).write_text(card_text(kind, folder), encoding="utf-8")


def card_text(kind: ModelKind, folder: Path) -> str:
    """The card of a model for people."""
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    recipes = card.get("recipes", [{}, {}])
    text = ABOUT[kind].format(
        **card | {"licence": LICENCE, "corpora": CORPORA, "command": COMMANDS[kind].format(**card)},
        recipe_text=_recipe(card.get("recipe", {})),
        loss_text=", ".join(f"{loss:.3f}" for loss in card.get("loss", [])),
        sft=_recipe(recipes[0]),
        rl=_recipe(recipes[1]),
        files="\n".join(_file(path) for path in sorted(folder.iterdir()) if path.name not in (CARD, README)),
    )
    return text + _sources(card) + _figures(card) + _of_lists(card)


def _recipe(recipe: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in recipe.items())


def _file(path: Path) -> str:
    meaning = f": {MEANING[path.name]}" if path.name in MEANING else ""
    return f"| `{path.name}` | {path.stat().st_size:,} bytes, SHA-256 `{sha256_file(path)}`{meaning} |"


def _sources(card: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {each['name']} | {', '.join(each['packages'])} |" for each in card["trained_on"])
    return f"""
Trained on, all from npm at the versions that `index_builder/corpora.json` pins:

| project | packages |
|---|---|
{rows}
"""


def _figures(card: Mapping[str, Any]) -> str:
    if "nats_per_token" in card:
        what, figures = "nats for each token of the statement", _rows(card["nats_per_token"], "{:.3f}".format)
    else:
        what, figures = "top-1 / 5 / 40 in percent", _rows(card["top_k_percent"], _tops)
    if "measured_lists" in card:
        what = "top-1 / 5 of lists in percent"
    if "measured_questions" in card:
        counts = " and ".join(f"{count} in {name}" for name, count in card["measured_questions"].items())
        what += f" of all balanced calls, ambiguous ones too: {counts}"
    return f"""
Not trained on, and measured ({what}):

| | | |
|---|---|---|
{figures}
"""


def _of_lists(card: Mapping[str, Any]) -> str:
    """What the lists are that a cross-encoder is measured on, and what whole questions show beside them."""
    if "measured_lists" not in card:
        return ""
    counts = " and ".join(f"{count} of {name}" for name, count in card["measured_lists"].items())
    stage, found = card["stage"], card["top_k_percent"]
    worse = [part for part, tops in found[stage].items() if tops["1"] <= found[FUSED][part]["1"]]
    less = f"\nOn {' and '.join(worse)} {stage} puts no more right ones on top than no cross-encoder does.\n"
    rows = "\n".join(_wider_rows())
    return f"""
Lists: {counts}, about half asked with nothing after the cursor. A list is a balanced
call, ambiguous or not, whose API the retriever finds, at whatever rank, and the first {REACH} others; where
all of these are before it, it counts as not found. Calls whose API the retriever does not find are left out.
{_retriever(card)} Which stage ships was chosen by these lists.
{less if worse else ""}
Of whole questions (subset `clean`), found or not, with the first {RERANK_DEPTH} candidates read, by the
fusion that ships: top-1 in percent with 95 % intervals ([all figures](../../../README.md#figures)).
*Made now*: by the same command with the code of now, whose lists come from fusions that have not learned the
calls.

| | n | no cross-encoder | with this one | made now |
|---|---|---|---|---|
{rows}
"""


def _retriever(card: Mapping[str, Any]) -> str:
    """Whether what lists were made by is what ships."""
    if card.get("retrieved_by") == shipped("fusion").sha256:
        return "The retriever is the fusion that ships."
    return "The retriever is a fusion that shipped before."


def _wider_rows() -> Iterator[str]:
    for file, code, prefix in WIDER:
        content = json.loads((RESULTS / file).read_text(encoding="utf-8"))
        rows = {row["method"]: row for row in content["results"]}
        its = [rows[f"{prefix}{method}"] for method in ("fused", "reranked", "reranked, sft")]
        yield f"| {code} | {its[0]['n']} | {' | '.join(map(_top_1, its))} |"


def _top_1(row: Mapping[str, Any]) -> str:
    low, high = row["interval"]["1"]
    return f"{row['top']['1']} [{low}, {high}]"


def _rows(figures: Mapping[str, Mapping[str, Any]], written: Callable[[Any], str]) -> str:
    return "\n".join(
        f"| {first} | {second} | {written(value)} |"
        for first, parts in figures.items()
        for second, value in parts.items()
    )


def _tops(tops: Mapping[str, float]) -> str:
    return " / ".join(f"{top:.1f}" for top in tops.values())


if __name__ == "__main__":
    main()
