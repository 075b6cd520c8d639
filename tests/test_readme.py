"""The README says what is so: commands, options, links, figures."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import click
import pytest

from deepcodeseek.index_builder.cards import ABOUT, card_text
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.prepared import MAX_SAMPLES
from deepcodeseek.index_builder.readme import CORPORA, PAGES, README, begin_of, generated_parts, updated
from deepcodeseek.server.models import SHIPPED, ModelKind

ROOT = Path(__file__).parents[1]
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = sorted(
    {line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()}
)
TABLE_COMMANDS = sorted(set(re.findall(r"^\| `(deepcodeseek [^`]+)`", TEXT, re.MULTILINE)))


def test_the_generated_parts_are_current() -> None:
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    assert [updated(page) for page in pages] == pages, "run: python -m deepcodeseek.index_builder.readme"
    for name in generated_parts():
        assert sum(begin_of(name) in page for page in pages) == 1, name


@pytest.mark.parametrize("kind", [kind for kind in ABOUT if kind in SHIPPED])
def test_the_model_cards_are_current(kind: ModelKind) -> None:
    folder = SHIPPED[kind]
    written = (folder / "README.md").read_text(encoding="utf-8")
    assert card_text(kind, folder) == written, "run: python -m deepcodeseek.index_builder.cards"


def test_the_card_of_the_fusion_counts_the_corpora_that_are_listed() -> None:
    """Each balanced call is asked twice; of a large corpus some are drawn."""
    card = json.loads((SHIPPED["fusion"] / "model.json").read_text(encoding="utf-8"))
    corpora = json.loads(CORPORA.read_text(encoding="utf-8"))["corpora"]
    learned = [min(MAX_SAMPLES, corpus["balanced"]) for corpus in corpora if corpus["list"] == "train"]
    measured = {c["name"]: min(MAX_SAMPLES, c["balanced"]) for c in corpora if c["list"] == "eval-only"}
    assert card["questions"] == 2 * sum(learned)
    assert card["measured_questions"] == measured


@pytest.mark.parametrize(
    ("top_1", "said"),
    [
        ((30.0, 29.0), "On here and there SFT puts no more right ones on top"),
        ((30.1, 29.0), "On there SFT puts no more right ones on top"),
        ((30.1, 31.0), ""),
    ],
)
def test_a_card_says_where_a_cross_encoder_gains_nothing(
    top_1: tuple[float, float], said: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(SHIPPED["reranker"], tmp_path / "reranker")
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    tops = {part: {"1": top, "5": 50.0} for part, top in zip(("here", "there"), top_1, strict=True)}
    before = {part: {"1": 30.0, "5": 50.0} for part in tops}
    card |= {"top_k_percent": {"fused, no cross-encoder": before, "SFT": tops}, "measured_lists": {"here": 7}}
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    text = card_text("reranker", folder)
    assert "7 of here, about half" in text
    assert said in text
    assert bool(said) == ("no more right ones" in text)


@pytest.mark.parametrize("line", [c for c in COMMANDS + TABLE_COMMANDS if "deepcodeseek " in c])
def test_every_command_and_option_exists(line: str) -> None:
    words = line.split("deepcodeseek ", 1)[1].replace("[", " ").replace("]", " ").split()
    command: click.Command = main
    while isinstance(command, click.Group):
        name = words.pop(0)
        assert name.split("\\|")[0] in command.commands, line
        command = command.commands[name.split("\\|")[0]]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith("make ")])
def test_every_target_exists(line: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", TEXT))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
