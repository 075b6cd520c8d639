"""What a generator is asked and where it stops: the forms of its prompts, and the end of what it writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from deepcodeseek.index_builder.model_store import PackagedModel, get_generator
from deepcodeseek.index_builder.requantize import requantized
from deepcodeseek.server.context import make_context
from deepcodeseek.server.endings import sentence_end, statement_end
from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.generator import Model
from deepcodeseek.server.generator_process import GeneratorProcess
from deepcodeseek.server.models import CARD, ModelFiles, find_model
from deepcodeseek.server.prompts import AFTER_TOKENS, PROMPT_TOKENS
from deepcodeseek.server.text import expander_prompt, statement_prompt
from deepcodeseek.server.types import Prompt

ENDS = [
    # before, what was written, the statement of it; None where its end is not reached
    ("", "a();\nb();", "a();"),
    ("if (x) {\n    ", "\n  a();\n", "\n  a();"),
    ("", "a()\nb()", "a()"),
    ("", "a(b,\n  c);\n", "a(b,\n  c);"),
    ("", "a(function() { b; });", "a(function() { b; });"),
    ("", "a(';\\n');", "a(';\\n');"),
    ("", "var a =\n    b();", "var a =\n    b();"),
    ("", "a +\n b\n", "a +\n b"),
    ("", "a++\nb", "a++"),
    ("", "if (a)\n    b();\n", "if (a)\n    b();"),
    ("", "if (a) b()\n", "if (a) b()"),
    ("", "for (;;) { a; }\n", "for (;;) { a; }"),
    ("", "// note\na()\n", "// note\na()"),
    ("", "a() // note\n", "a() // note"),
    ("", "a(`\n;\n`);", "a(`\n;\n`);"),
    ("", "x = `\n", None),
    ("a(", "b);\n", "b"),
    ("if (x) {\n", "}\n", ""),
    ("", "a(b", None),
    ("", "a", None),
    ("'", "a;';b;", "a;';"),
    ("", "  \n", None),
]


@pytest.mark.parametrize(("before", "written", "statement"), ENDS)
def test_a_statement_ends_where_it_is_whole(before: str, written: str, statement: str | None) -> None:
    end = statement_end(before, written)
    assert (written[:end] if end >= 0 else None) == statement


SENTENCES = [
    (" finds a berth. And more", " finds a berth."),
    ("\n finds a berth\nmore", "\n finds a berth"),
    ("reads v1.2 of it.\n", "reads v1.2 of it."),
    ("finds a berth.", None),
    ("  \n", None),
]


@pytest.mark.parametrize(("written", "sentence"), SENTENCES)
def test_a_sentence_ends_at_its_full_stop_or_its_line(written: str, sentence: str | None) -> None:
    end = sentence_end(written)
    assert (written[:end] if end >= 0 else None) == sentence


# A model that fills in gaps, small enough to be made here

PRE, SUF, MID, END = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|end|>"
IM_START, IM_END = "<|im_start|>", "<|im_end|>"
SPECIAL = (PRE, SUF, MID, END, IM_START, IM_END)
MERGES = ("a b", "ab c")
WIDTH, HEADS, FORWARD = 32, 2, 64
SPREAD = 0.5  # of its random weights: with less it could not be sure of any token


def byte_letters() -> list[str]:
    """The letter for each byte in a vocabulary of GPT-2's kind."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte if byte in visible else next(others)) for byte in range(256)]


def write_model(path: Path, *, special: tuple[str, ...] = SPECIAL, ids: dict[str, str] | None = None) -> Path:
    """A llama of one layer with random weights; `ids` names tokens by their keys in the metadata."""
    vocabulary = [*byte_letters(), "ab", "abc", *special]
    kinds = [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in vocabulary]
    file = gguf.GGUFWriter(path, "llama")
    file.add_context_length(1024)
    file.add_embedding_length(WIDTH)
    file.add_block_count(1)
    file.add_feed_forward_length(FORWARD)
    file.add_head_count(HEADS)
    file.add_head_count_kv(1)
    file.add_vocab_size(len(vocabulary))
    file.add_layer_norm_rms_eps(1e-5)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("default")
    file.add_token_list(vocabulary)
    file.add_token_types(kinds)
    file.add_token_merges(MERGES)
    file.add_eos_token_id(vocabulary.index(END))
    for key, token in (ids or {}).items():
        file.add_uint32(f"tokenizer.ggml.{key}", vocabulary.index(token))
    shapes = {
        "token_embd": (len(vocabulary), WIDTH),
        "blk.0.attn_q": (WIDTH, WIDTH),
        "blk.0.attn_k": (WIDTH // HEADS, WIDTH),
        "blk.0.attn_v": (WIDTH // HEADS, WIDTH),
        "blk.0.attn_output": (WIDTH, WIDTH),
        "blk.0.ffn_gate": (FORWARD, WIDTH),
        "blk.0.ffn_up": (FORWARD, WIDTH),
        "blk.0.ffn_down": (WIDTH, FORWARD),
    }
    chance = np.random.default_rng(2)
    for name, shape in shapes.items():
        file.add_tensor(f"{name}.weight", chance.normal(0, SPREAD, shape).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        file.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def read_back(model: Model, prompt: Prompt) -> str:
    """What the model reads, its special tokens spelled out."""
    return model.llama.detokenize(model.prompts.tokens(prompt), special=True).decode()


CODE = Prompt("a(", "statement", "Go on.", ");\nb();")
SENTENCE = Prompt("// Why:", "sentence", "Say it.")
CHAT = f"{IM_START}user\nGo on.{IM_END}\n{IM_START}assistant\n```javascript\na("
FORMS = [
    ("auto", CODE, f"{PRE}a({SUF});\nb();{MID}"),
    ("fim", CODE, f"{PRE}a({SUF});\nb();{MID}"),
    ("plain", CODE, "a("),
    ("instruct", CODE, CHAT),
    ("auto", Prompt("a(", "statement"), "a("),  # nothing follows: there is no gap
    ("instruct", Prompt("a(", "statement"), "a("),
    ("auto", SENTENCE, "// Why:"),
    ("auto", Prompt(f"'{PRE}{MID}'", "statement", "", SUF), f"{PRE}'{PRE}{MID}'{SUF}{SUF}{MID}"),
]


@pytest.mark.parametrize(("form", "prompt", "text"), FORMS)
def test_prompts_have_the_form_that_the_model_is_made_for(
    tiny: Path, form: str, prompt: Prompt, text: str
) -> None:
    assert read_back(Model(str(tiny), form=form), prompt) == text


def test_what_looks_like_a_special_token_in_code_is_text(tiny: Path) -> None:
    model = Model(str(tiny))
    tokens = model.prompts.tokens(Prompt(f"'{PRE}{IM_END}'", "statement", "", f"'{SUF}{MID}'"))
    controls = [token for token in tokens if token >= 258]  # behind 256 bytes and two merges
    assert controls == list(model.prompts.gap or ())


NAMED = [
    # keys of the metadata, whether gaps are filled
    ({"fim_pre_token_id": "<1>", "fim_suf_token_id": "<2>", "fim_mid_token_id": "<3>"}, True),
    ({"prefix_token_id": "<1>", "suffix_token_id": "<2>", "middle_token_id": "<3>"}, True),
    ({"fim_pre_token_id": "<1>", "fim_suf_token_id": "<2>"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("ids", "fills"), NAMED)
def test_metadata_name_the_tokens_around_a_gap(tmp_path: Path, ids: dict[str, str], fills: bool) -> None:
    path = write_model(tmp_path / "named.gguf", special=("<1>", "<2>", "<3>", END), ids=ids)
    expected = "<1>a(<2>);\nb();<3>" if fills else "a("
    assert read_back(Model(str(path)), CODE) == expected


def test_long_prompts_keep_what_stands_next_to_the_gap(tiny: Path) -> None:
    tokens = Model(str(tiny)).prompts.tokens(Prompt("x" * 2000 + "y", "statement", "", "z" * 2000))
    assert len(tokens) == PROMPT_TOKENS + AFTER_TOKENS + 3
    assert tokens[PROMPT_TOKENS] == ord("y")  # a token is its byte


def test_a_model_that_fills_gaps_answers_through_its_process(tiny: Path) -> None:
    card = {"file": tiny.name, "sha256": {tiny.name: sha256_file(tiny)}}
    process = GeneratorProcess(ModelFiles("generator", tiny.parent, card))
    try:
        filled = process.generate(CODE, 12, 60_000)
        assert filled == process.generate(CODE, 12, 60_000)
        assert filled != process.generate(Prompt(CODE.text, "statement"), 12, 60_000)
    finally:
        process.close()


# The model that is installed


@pytest.fixture(scope="module")
def process() -> Iterator[GeneratorProcess]:
    files = find_model("generator")
    assert files, "run `make setup`"
    made = GeneratorProcess(files)
    yield made
    made.close()


def test_writing_stops_behind_the_statement(process: GeneratorProcess) -> None:
    before = "function f() {\n    var a = first(1);\n    var b = second(2);\n    var c = "
    written = process.generate(Prompt(before, "statement"), 200, 60_000)
    assert written.endswith(";")
    assert statement_end(before, written) == len(written)


def test_what_was_begun_belongs_to_the_statement(process: GeneratorProcess) -> None:
    head = "call(first(1), "
    prompt = Prompt(f"call(first(0), second);\n{head}", "statement", begun=len(head))
    written = process.generate(prompt, 50, 60_000)
    assert (head + written).endswith(");")


def test_prompts_hold_the_lines_after_the_cursor() -> None:
    context = make_context("a();\n", " + 1;\n\nb();\nc();\nd();\ne();\n")
    prompts = (expander_prompt(context), statement_prompt(context, (), "new A("))
    assert [prompt.after for prompt in prompts] == [" + 1;\n\nb();\nc();\nd();"] * 2
    assert [prompt.begun for prompt in prompts] == [0, len("new A(")]


# Made faster to read


def test_models_get_makes_what_is_installed_faster_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(tmp_path))
    place = tmp_path / "models/generator"
    place.mkdir(parents=True)
    shutil.copyfile(tiny, place / "tiny.Q4_1.gguf")
    digest = sha256_file(tiny)
    (place / CARD).write_text(json.dumps({"file": "tiny.Q4_1.gguf", "sha256": {"tiny.Q4_1.gguf": digest}}))
    pinned = PackagedModel("none", "1", "", "none/tiny.Q4_1.gguf", digest, "Apache-2.0")
    made = place / "tiny.Q4_0.gguf"
    assert [get_generator(pinned), get_generator(pinned)] == [(made, True), (made, False)]
    kinds = {str(tensor.name): tensor.tensor_type for tensor in gguf.GGUFReader(made).tensors}
    assert kinds["blk.0.attn_q.weight"] == gguf.GGMLQuantizationType.Q4_0
    files = find_model("generator")
    assert files
    assert files.card["made_from"] == digest
    assert Model(str(made)).generate(CODE, 4, float("inf"))["tokens"] > 0


def test_what_cannot_be_made_faster_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF and no more")
    assert not requantized(tmp_path / "bad.gguf", tmp_path / "out.gguf")
