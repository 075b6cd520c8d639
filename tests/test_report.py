"""The report: one page, whole without a network, in which no code of the workspace runs."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import EXAMPLE

from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.figures import Outcome, rows
from deepcodeseek.index_builder.misses import Guess, Miss, find_misses
from deepcodeseek.index_builder.report import page, write_report
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.generation import index_directory

EVIL = '</script><img src=x onerror=alert(1)><a href="https://evil.example">"\'&{{7*7}}\u2028\ud800'


class Elements(HTMLParser):
    """Each element with its attributes, and the text of scripts and of everything else."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._is_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._is_script = tag == "script"
        if self._is_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.scripts[-1] += data
        else:
            self.text += data

    def names(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def result(method: str, ranks: dict[str, int]) -> dict[str, Any]:
    samples = [{"id": key, "clean": True, "record_type": EVIL} for key in ranks]
    figures = rows(samples, [Outcome(key, rank, {}) for key, rank in ranks.items()])
    return {
        "method": method,
        "commit": "c0ffee",
        "index": "i",
        "cursor": "statement",
        "facts": "given",
        "first_only": True,
        "deadline_ms": None,
        "rows": [
            {"group": r.group, "value": r.value, "n": r.n, "top": {str(k): v for k, v in r.top.items()}}
            | {"mrr": r.mrr}
            for r in figures
        ],
        "ms": {"total": {"p50": 20, "p95": 30}},
        "clean": list(ranks),
        "ranks": ranks,
    }


def case(name: str, n: int, ms: float, top: float) -> dict[str, Any]:
    estimate = [top, top - 5, top + 5]
    return {
        "case": name,
        "n": n,
        "top": dict.fromkeys(("1", "5", "40"), estimate),
        "gained": 1,
        "lost": 2,
        "p": 0.5,
        "ms": {"total": {"p50": ms, "p95": 2 * ms}},
    }


RESULT = result("fused", {"a": 1, "b": 3, "c": 0, "d": 40})
CASES = {
    "cases": [
        case("fused", 449, 28, 52),
        case("slower and worse", 449, 30, 50),
        case(EVIL, 449, 5, 30),
        case("with a model", 150, 800, 53),
    ]
}
MISS = Miss(
    id=EVIL,
    method=EVIL,
    rank=0,
    record_type=EVIL,
    scope=EVIL,
    place=EVIL,
    before=EVIL,
    after=EVIL,
    statement=EVIL,
    target=EVIL,
    target_why=EVIL,
    expansion=EVIL,
    guesses=(Guess(EVIL, EVIL, EVIL, EVIL),),
)


@pytest.fixture(scope="module")
def evil() -> Elements:
    return Elements(page([result(EVIL, {"a": 1, "b": 0})], CASES, [MISS], [EVIL]))


@pytest.fixture(scope="module")
def clean() -> Elements:
    return Elements(page([RESULT], CASES, [], []))


def test_code_put_into_the_page_stays_text(evil: Elements, clean: Elements) -> None:
    assert not evil.names("img")
    assert [attributes["href"] for attributes in evil.names("a")] == ["#misses"]
    assert len(evil.scripts) == len(clean.scripts) == 3
    assert evil.scripts[1:] == clean.scripts[1:]
    assert evil.text.count(EVIL) > 12
    charts = json.loads(evil.scripts[0])
    assert {trace["name"] for trace in charts["recall"]} == {f"{html.escape(EVIL, quote=False)}, first list"}


def test_only_the_two_scripts_run_and_nothing_is_fetched(evil: Elements) -> None:
    policy = next(m["content"] for m in evil.names("meta") if "http-equiv" in m)
    assert policy is not None
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in evil.scripts[1:]]
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == [f"'sha256-{digest}'" for digest in hashes]
    assert not rules.keys() & {"connect-src", "frame-src", "font-src"}
    assert not [
        attributes for _, attributes in evil.found if attributes.keys() & {"src", "onclick", "srcset"}
    ]
    assert not evil.names("link")


def test_a_page_with_half_characters_is_written(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", [RESULT], None, [MISS])
    assert "\ud800" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_curves_and_plot(clean: Elements) -> None:
    charts = json.loads(clean.scripts[0])
    curve, points = charts["recall"]
    assert [curve["y"][k - 1] for k in (1, 2, 3, 39, 40, 100)] == [25, 25, 50, 50, 75, 75]
    assert (points["x"], points["y"]) == ([1, 5, 10, 40], [25, 50, 50, 75])
    whole, part = charts["latency"]
    assert (whole["name"], part["name"]) == ("449 samples", "150 samples")
    assert whole["text"] == ["fused", "", html.escape(EVIL, quote=False)]
    assert part["text"] == ["with a model"]


def test_keyboard_and_both_schemes(evil: Elements) -> None:
    """What scrolls takes the focus, what filters has a label, and colours follow the scheme."""
    assert all("tabindex" in attributes for attributes in evil.names("pre"))
    assert all("tabindex" in a for a in evil.names("div") if a.get("class") == "wide")
    assert len(evil.names("label")) == len(evil.names("select")) + len(evil.names("input"))
    assert "prefers-color-scheme: dark" in evil.text


def test_a_miss_tells_what_was_predicted_and_why(engine: Engine) -> None:
    sample = {
        "id": "b",
        "file": "new.js",
        "code_before": "var berth = call.berth;\nvar vessel = call.vessel;\n",
        "code_middle": "var plan = new x_hbr_berth.BerthAllocator();",
        "code_after": "",
        "target": "x_hbr_berth.BerthAllocator",
    }
    first, other = sample | {"id": "a"}, sample | {"id": "unknown"}
    (miss,) = find_misses(engine, [first, sample, other], RESULT, lambda *_: None)
    assert (miss.id, miss.rank, miss.target, len(miss.guesses)) == ("b", 3, sample["target"], 5)
    assert re.search(r"\w #\d", miss.target_why)
    assert all(re.search(r"\w #\d", guess.why) for guess in miss.guesses)
    assert any(guess.usage and guess.where for guess in miss.guesses)


@pytest.mark.usefixtures("example_report")
def test_the_command_makes_a_page_of_results(tmp_path: Path) -> None:
    runner, samples, index = CliRunner(), tmp_path / "samples.jsonl", str(index_directory(EXAMPLE))
    assert runner.invoke(main, ["eval", "mine", str(EXAMPLE), "--out", str(samples)]).exit_code == 0
    samples.write_text("\n".join(samples.read_text().splitlines()[:40]) + "\n")
    asked = ["--index", index, "--samples", str(samples)]
    run = ["eval", "run", *asked, "--json", str(tmp_path / "r"), "--method", "bm25-docs"]
    assert runner.invoke(main, run).exit_code == 0
    (kept,) = (tmp_path / "r").iterdir()
    done = runner.invoke(main, ["eval", "report", str(kept), *asked, "--out", str(tmp_path / "r.html")])
    assert done.exit_code == 0, done.output
    found = Elements((tmp_path / "r.html").read_text())
    misses = [a for a in found.names("details") if a.get("class") == "miss"]
    clean = set(json.loads(kept.read_text())["clean"])
    ranks = json.loads(kept.read_text())["ranks"]
    assert len(misses) == sum(ranks[key] != 1 for key in clean) > 3
    assert "rank otherwise" not in found.text


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("[1", [], "not a result"),
        ("[]", [], "not a result"),
        ('{"cases": []}', [], "'clean' is missing"),
        ("{}", ["--index", "nowhere"], "give both or none"),
    ],
)
def test_what_is_no_result_is_said_so(content: str, options: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(content)
    arguments = ["eval", "report", str(tmp_path / "r.json"), "--out", str(tmp_path / "r.html"), *options]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code != 0
    assert message in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("content", ["{}", '{"cases": []}', '{"cases": [{"ms": {"p50": 1}}]}'])
def test_what_are_no_ablations_is_said_so(content: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(RESULT))
    (tmp_path / "a.json").write_text(content)
    arguments = ["eval", "report", str(tmp_path / "r.json"), "--ablations", str(tmp_path / "a.json")]
    done = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "r.html")])
    assert "no result of `eval ablate`" in done.output
