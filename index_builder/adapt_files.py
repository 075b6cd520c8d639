"""What adapting made, put where the server looks, and what an earlier run made there taken away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deepcodeseek.server.models import CARD, ModelKind, ModelProblem, read_card

from .atomic import model_folder, remove_folder, write_lines

KINDS: tuple[ModelKind, ...] = ("query", "fusion", "reranker")


def put_in_place(made: Path, out: Path, about: dict[str, Any], is_owned: bool) -> bool:
    """Rename the models in `made` into `out`, with `about` in their cards; remove other adapted ones there.

    Nobody judged those beside what is there now, nor knows what they had left out. Whether there were any.
    `is_owned`: nobody but adapting writes into `out`. Raises OSError.
    """
    removed = False
    for kind in KINDS:
        place = out / kind
        if (made / kind).is_dir():
            card = read_card(made / kind / CARD) | about
            write_lines(made / kind / CARD, [json.dumps(card, indent=2, ensure_ascii=False)])
            with model_folder(place) as staged:
                for file in (made / kind).iterdir():
                    file.rename(staged / file.name)
        elif _is_ours(place, is_owned):
            remove_folder(place)
            removed = True
    return removed


def _is_ours(place: Path, is_owned: bool) -> bool:
    """Whether an earlier run wrote it: by its card, and without one where nobody else writes."""
    try:
        card = read_card(place / CARD)
    except ModelProblem:
        return is_owned and place.is_dir()
    return card.get("name") == "adapted" or "adapted" in card
