"""Client options, checked: a frozen Settings and a line for each option that was not usable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from .types import PromptForm


def _option(
    default: Any, description: str, low: int = 0, high: int = 0, choices: tuple[str, ...] = ()
) -> Any:
    metadata = {"description": description, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every option has a default that works. Names are camelCase on the wire (maxItems, ...)."""

    max_items: int = _option(20, "How many APIs a completion offers.", 1, 100)
    deadline_ms: int = _option(
        400,
        "Milliseconds for a list, and for its refinement in a pause; what would come later is left out.",
        20,
        60_000,
    )
    lite: bool = _option(False, "Least memory: neither the generator nor the cross-encoder is loaded.")
    # Off: what the model that ships writes gains nothing, and takes the cross-encoder's time (see LOG.md).
    expand: bool = _option(False, "Write hypothetical code with the local GGUF model, to search with it.")
    expand_tokens: int = _option(24, "The most tokens of hypothetical code.", 1, 256)
    expand_prompt: str = _option(
        "auto",
        "How the GGUF model is asked: to go on (plain), in a chat (instruct), to fill a gap (fim), or as it "
        "is made for (auto).",
        choices=("auto", *get_args(PromptForm)),
    )
    rerank_depth: int = _option(20, "How many candidates the cross-encoder reads.", 0, 100)
    inline_completion: bool = _option(False, "Write the next statement with the local GGUF model.")
    auto_index: bool = _option(True, "Build the index when a workspace without one is opened.")
    index_directory: str = _option(
        "",
        "Where the index lies; empty: the user's cache directory. Another folder's index there is left "
        "alone: this one's gets a folder in it.",
    )
    models_directory: str = _option("", "Models to use before the installed ones, such as adapted ones.")


def parse_settings(options: object) -> tuple[Settings, tuple[str, ...]]:
    """Settings from a client's options, and one line for each option that is unknown or out of bounds."""
    if options is None:
        return Settings(), ()
    if not isinstance(options, Mapping):
        return Settings(), (f"the options are not an object but {type(options).__name__}: defaults are used",)
    known = {option_name(f.name): f for f in fields(Settings)}
    values: dict[str, Any] = {}
    problems = [f"unknown option {name!r}" for name in options if name not in known]
    for name, option in known.items():
        if name not in options:
            continue
        problem = _problem(options[name], option.default, option.metadata)
        if problem:
            problems.append(f"option {name!r} {problem}: {option.default!r} is used")
        else:
            values[option.name] = options[name]
    return Settings(**values), tuple(problems)


def _problem(value: object, default: object, bounds: Mapping[str, Any]) -> str:
    if type(value) is not type(default):
        return f"must be of type {type(default).__name__}, not {value!r}"
    if bounds["choices"] and value not in bounds["choices"]:
        return f"must be one of {', '.join(bounds['choices'])}, not {value!r}"
    if isinstance(value, int) and bounds["high"] and not bounds["low"] <= value <= bounds["high"]:
        return f"must lie between {bounds['low']} and {bounds['high']}, not {value}"
    return ""


def option_name(name: str) -> str:
    """A setting's name on the wire: max_items -> maxItems."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
