"""What the paper leaves open, answered by the committed result files: a row and a sentence a question."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .metrics import earlier_fusion

Result = Mapping[str, Any]

HEAD = "| question | top-5 of `fused`, % | beside it | what it says |\n|---|---|---|---|\n"


def open_questions(results: Path) -> str:
    """Markdown table of the result files in a folder."""
    rows = (_domains, _synthetic, _documentation, _ambiguity, _metadata, _real_time)
    cells = (row(results) for row in rows)
    return HEAD + "".join(f"| {number}. {' | '.join(row)} |\n" for number, row in enumerate(cells, 1))


def _domains(results: Path) -> tuple[str, ...]:
    by_method = _by_method(results / "other-domains.json")
    pairs = {
        name: (by_method[f"{name}: fused"], by_method[f"{name}: bm25-docs"]) for name in ("Phaser", "OpenUI5")
    }
    times = " and ".join(f"{fused['top']['5'] / words['top']['5']:.1f}" for fused, words in pairs.values())
    top_40 = " and ".join(f"{fused['top']['40']:.1f}" for fused, _ in pairs.values())
    return (
        "Does it hold outside of Script Includes?",
        "<br>".join(f"{_top(fused)} {name}, n = {fused['n']}" for name, (fused, _) in pairs.items()),
        "<br>".join(f"{_top(words)} `bm25-docs`" for _, words in pairs.values()),
        f"On two code bases that no weight has seen (some choices were compared on them), top-5 is {times} "
        f"times that of BM25 over documentation, and top-40 is {top_40} %.",
    )


def _synthetic(results: Path) -> tuple[str, ...]:
    content = _read(results / "synthetic-size.json")
    before, *sizes = content["results"]
    tops = [row["top"]["5"] for row in sizes]
    spread = max(row["spread"]["5"] for row in sizes)
    low, high = before["interval"]["5"]
    verdict = (
        "More is better" if tops[-1] > high else "More is worse" if tops[-1] < low else "More is no better"
    )
    return (
        "How does the size of the synthetic set matter?",
        "<br>".join(f"{_top(row)} reranked, {row['method']}" for row in sizes),
        f"{_top(before)} reranked, {before['method']}, n = {before['n']}",
        f"{verdict}: reinforced on them, the cross-encoder goes from {before['top']['5']:.1f} to "
        f"{', '.join(f'{top:.1f}' for top in tops)} % of real calls ({sizes[0]['seeds']} seeds, standard "
        f"deviation at most {spread:.1f}). {earlier_fusion(content)}".rstrip(),
    )


def _documentation(results: Path) -> tuple[str, ...]:
    by_method = _by_method(results / "documentation.json")
    stripped = by_method["all signals, stripped and synthesized"]
    written = by_method["all signals, written"]
    words = [by_method[f"words, {name}"]["top"]["5"] for name in ("written", "all stripped")]
    return (
        "What happens where JSDoc is missing?",
        f"{_top(stripped)} every comment stripped, n = {stripped['n']}",
        f"{_top(written)} as written",
        f"With the comments gone, but for 3 %, and descriptions made of the code, top-5 goes from "
        f"{written['top']['5']:.1f} to {stripped['top']['5']:.1f} %. BM25 over documents alone "
        f"gives {words[0]:.1f} % as written, {words[1]:.1f} % over the names that are left.",
    )


def _ambiguity(results: Path) -> tuple[str, ...]:
    rows = {
        row["value"]: row for row in _read(results / "ambiguous.json")["rows"] if row["group"] == "subset"
    }
    hard, clean = rows["ambiguous, usable"], rows["clean"]
    return (
        "What about ambiguous intent?",
        f"{_estimate(hard['top']['5'])} ambiguous samples, n = {hard['n']}",
        f"{_estimate(clean['top']['5'])} clean samples, mined by `eval mine` as these are, n = {clean['n']}",
        f"Where the lines before lead to several APIs, or several APIs share the name, the target is among "
        f"the first 40 in {hard['top']['40'][0]:.1f} % (else {clean['top']['40'][0]:.1f} %); "
        f"{hard['n']} samples are few.",
    )


def _metadata(results: Path) -> tuple[str, ...]:
    cases = _read(results / "graph-filter.json")["cases"]
    none, whole, gone = (
        next(case for case in cases if case["graph"] is graph and set(case["removed"].values()) == {share})
        for graph, share in ((False, 0), (True, 0), (True, 100))
    )
    kept = min(case["targets"]["percent"] for case in cases)
    targets = "all targets" if kept == 100 else f"at least {kept:.1f} % of the targets"
    return (
        "What does the graph filter cost when metadata is incomplete?",
        f"{_share(gone['top']['5'])} no scope, package or access known, n = {gone['n']}",
        f"{_share(whole['top']['5'])} all known<br>{_share(none['top']['5'])} no filter",
        f"Whatever share of it is taken away, the filter keeps {targets}; with none left, "
        f"{gone['candidates']['percent']:.1f} % of the candidates instead of "
        f"{whole['candidates']['percent']:.1f} %.",
    )


def _real_time(results: Path) -> tuple[str, ...]:
    cases = {case["case"]: case for case in _read(results / "ablations.json")["cases"]}
    first, asked = cases["fused"], cases["answer at 400 ms with the expander"]
    off, on = cases["fused, no model on top"], cases["fused, query: hypothetical code"]
    return (
        "Is it really real-time end to end, expander included?",
        f"{_estimate(asked['top']['5'])} answers at 400 ms, n = {asked['n']}",
        f"{_estimate(off['top']['5'])} first list<br>{_estimate(on['top']['5'])} expander without a deadline",
        f"The first list takes {_ms(first)}. With the expander an answer takes {_ms(on)}; within 400 ms, in "
        f"which it gains {asked['gained']} and loses {asked['lost']} of {asked['n']} targets, {_ms(asked)}.",
    )


def _by_method(path: Path) -> dict[str, Result]:
    return {result["method"]: result for result in _read(path)["results"]}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _top(result: Result) -> str:
    return _interval(result["top"]["5"], *result["interval"]["5"])


def _estimate(estimate: tuple[float, float, float]) -> str:
    return _interval(*estimate)


def _share(share: Result) -> str:
    return _interval(share["percent"], *share["interval"])


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _ms(case: Result) -> str:
    total = case["ms"]["total"]
    return f"{total['p50']:,.0f} ms at the median and {total['p95']:,.0f} ms at the 95th percentile"
