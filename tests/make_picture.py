"""Makes the README's picture of the terminal: `make demo`'s question, answered here and now."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from deepcodeseek.index_builder.predict import cursor_context
from deepcodeseek.index_builder.terminal import answer_view
from deepcodeseek.server.engine import load_engine
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.pipeline import predict

EXAMPLE = Path("tests/data/example")
DRAFT = EXAMPLE / "apps/berth-planning/drafts/x_hbr_berth/sys_script/Assign berth on arrival.script.js"
PICTURE = Path("tests/data/pictures/demo.svg")
WIDTH = 112

# Rich's own template loads a font from the network; a picture in a README must not.
TEMPLATE = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def main() -> None:
    """Ask, record what the terminal shows, write it as SVG."""
    engine = load_engine(index_directory(EXAMPLE))
    if engine.generator:
        engine.generator.start()  # which is no part of an answer
    context = cursor_context(engine.index, DRAFT, EXAMPLE, 15, 5)
    answer = predict(engine, context)
    if engine.generator:
        engine.generator.close()
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(answer_view(answer, context))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(
        str(PICTURE),
        title="deepcodeseek query",
        theme=DIMMED_MONOKAI,
        code_format=TEMPLATE,
        unique_id="demo",
    )
    print(PICTURE)


if __name__ == "__main__":
    main()
