"""What was predicted where the target was not first, and what spoke for it: asked anew, of the same index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.pipeline import METHODS, predict
from deepcodeseek.server.text import window_after, window_before
from deepcodeseek.server.types import Evidence, RankedApi

from .evaluate import Asked, Sample, context_of, result_name
from .figures import UNRANKED
from .progress import Progress

SHOWN = 5  # predictions of a miss
SIGNALS_SHOWN = 3  # of a prediction, the strongest
LINES_BEFORE = 14
LINES_AFTER = 6


@dataclass(frozen=True, slots=True)
class Guess:
    """One API of an answer."""

    name: str
    why: str  # the signals that rank it highest
    usage: str  # the known call nearest to the cursor, or ""
    where: str  # of that call


@dataclass(frozen=True, slots=True)
class Miss:
    """A sample whose target is not first."""

    id: str
    method: str
    rank: int  # when it was measured; UNRANKED where the target is not among the predictions
    record_type: str
    scope: str
    place: str
    before: str
    after: str
    statement: str  # what was really written
    target: str
    target_why: str
    expansion: str  # what the expander did, or ""
    guesses: tuple[Guess, ...]


def find_misses(
    engine: Engine, samples: Sequence[Sample], result: Mapping[str, Any], progress: Progress
) -> Iterator[Miss]:
    """The misses of a result that `eval run` kept, among those it stands for, in the order of the samples.

    Predictions are made without a deadline. A method that the code no longer has is passed over.
    """
    variant = METHODS.get(result["method"])
    asked = Asked(result["cursor"], result["facts"], result["first_only"])
    ranks = {key: result["ranks"][key] for key in measured(result)}
    missed = [sample for sample in samples if ranks.get(sample["id"], 1) != 1]
    for done, sample in enumerate(missed if variant else ()):
        progress(f"misses of {result['method']}", done, len(missed))
        context = context_of(engine, sample, asked)
        if variant is None or context is None:
            continue
        answer = predict(engine, context, variant, first_only=asked.first_only)
        expansion = next((stage.note for stage in answer.trace.stages if stage.stage == "expand"), "")
        yield _miss(sample, result, answer.ranked, expansion)


def measured(result: Mapping[str, Any]) -> list[str]:
    """Ids of the samples that a result stands for: the clean ones, or all where none is."""
    return [key for key in result["clean"] if key in result["ranks"]] or list(result["ranks"])


def _miss(sample: Sample, result: Mapping[str, Any], ranked: Sequence[RankedApi], expansion: str) -> Miss:
    found = next((item for item in ranked if item.api.api_name == sample["target"]), None)
    before, after = str(sample["code_before"]), str(sample.get("code_after") or "")
    return Miss(
        id=str(sample["id"]),
        method=result_name(result),
        rank=int(result["ranks"].get(sample["id"], UNRANKED)),
        record_type=str(sample.get("record_type") or "module"),
        scope=str(sample.get("scope") or "none"),
        place=str(sample.get("record_name") or sample.get("file") or ""),
        before=window_before(before, LINES_BEFORE),
        after=window_after(after, LINES_AFTER),
        statement=str(sample.get("code_middle", "")),
        target=str(sample["target"]),
        target_why=_why(found.evidence, len(found.evidence)) if found else "not among the candidates",
        expansion=expansion,
        guesses=tuple(_guess(item) for item in ranked[:SHOWN]),
    )


def _guess(item: RankedApi) -> Guess:
    usage = item.usage
    call = " ".join(usage.statement.split()) if usage else ""
    where = f"{usage.caller or usage.file}, line {usage.line}" if usage else ""
    return Guess(item.api.api_name, _why(item.evidence, SIGNALS_SHOWN), call, where)


def _why(evidence: Sequence[Evidence], shown: int) -> str:
    strongest = sorted(evidence, key=lambda one: one.rank)[:shown]
    return " · ".join(f"{one.signal} #{one.rank}" for one in strongest)
