"""What adapting made, put where the server looks; what becomes of what an earlier run made there."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepcodeseek.server.models import CARD, ModelFiles, ModelKind, ModelProblem, read_card, read_model

from .atomic import model_folder, remove_folder, write_lines

NAMES: Mapping[ModelKind, str] = MappingProxyType(
    {"query": "encoder of questions", "fusion": "fusion", "reranker": "cross-encoder"}
)


def foreign_folders(out: Path, is_owned: bool, kinds: Collection[ModelKind]) -> list[Path]:
    """Folders in `out` by the names of models that adapting did not make, and so must not replace."""
    return [
        out / kind
        for kind in kinds
        if not is_owned and not _is_ours(kind, out / kind, is_owned) and any((out / kind).glob("*"))
    ]


def put_in_place(
    made: Path, out: Path, about: dict[str, Any], is_owned: bool, unfit: Collection[ModelKind] = ()
) -> dict[ModelKind, str]:
    """Rename the models in `made` into `out`, with `about` in their cards: besides what came of it,
    `workspace` and `left_out`, that of which nothing was learned.

    By kind, why other adapted ones that lie there go, or "" where they stay. `is_owned`: nobody but adapting
    writes into `out`; `unfit` would not answer. Raises OSError.
    """
    is_new = any((made / kind).is_dir() for kind in NAMES)
    earlier: dict[ModelKind, str] = {}
    for kind in NAMES:  # all of them first: a full disk must not part a fusion from its encoder
        if (made / kind).is_dir():
            card = read_card(made / kind / CARD) | about
            write_lines(made / kind / CARD, [json.dumps(card, indent=2, ensure_ascii=False)])
    for kind in NAMES:
        place = out / kind
        if (made / kind).is_dir():
            with model_folder(place) as staged:
                for file in (made / kind).iterdir():
                    file.rename(staged / file.name)
        elif _is_ours(kind, place, is_owned):
            model = None if kind in unfit else _model(kind, place)
            earlier[kind] = "nobody judged it beside what is new" if is_new else _why_not(model, about)
            if earlier[kind]:
                remove_folder(place)
    return earlier


def _why_not(model: ModelFiles | None, about: Mapping[str, Any]) -> str:
    """Why what was learned before cannot stay; "" where it learned from the workspace without what is left
    out."""
    if model is None:
        return "it cannot be used"
    if "workspace" not in model.card:
        return "its card does not say which workspace it learned from"
    if model.card["workspace"] != about["workspace"]:
        return "it learned from another workspace"
    saw = set(about["left_out"]) - set(model.card.get("left_out", ()))
    return "it may have seen what is left out now" if saw else ""


def _is_ours(kind: ModelKind, place: Path, is_owned: bool) -> bool:
    """Whether an earlier run wrote it: by its card, and without one where nobody else writes."""
    model = _model(kind, place)
    return model.is_adapted if model else is_owned and place.is_dir()


def _model(kind: ModelKind, place: Path) -> ModelFiles | None:
    """The model in a folder; None where there is none whose card can be read."""
    try:
        return read_model(kind, place)
    except ModelProblem:
        return None
