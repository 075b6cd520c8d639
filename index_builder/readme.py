"""Writes the generated parts of the README and of the page of all figures, from code and result files.

python -m deepcodeseek.index_builder.readme        writes; a test fails when they are stale
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from deepcodeseek.server.settings import Settings, option_name

from .ablate_expander import expansion_table
from .ablate_statement import statement_text
from .bench_expander import expander_table
from .bench_lsp import latency_table
from .metrics import earlier_fusion, results_table, seeds_table
from .open_questions import open_questions
from .soak_lsp import soak_text
from .vscode_settings import CLIENT_README, PACKAGE, client_settings_table, updated_package

RESULTS = Path(__file__).parent / "results"
EXTRACTION = RESULTS / "extraction.json"  # of another shape: what is found, not how it is ranked
BY_SEED = (("stages", "reranker-stages.json"), ("synthetic", "synthetic-size.json"))
BY_METHOD = ("adapted.json", "script-includes.json", "other-domains.json")
DOCUMENTATION = "documentation.json"
ABLATIONS = RESULTS / "ablations.json"
GRAPH = RESULTS / "graph-filter.json"
CORPORA = RESULTS / "corpora.json"
CAUSAL = RESULTS / "causal.json"  # time and memory
CAUSAL_EXPORT = RESULTS / "causal-export.json"  # what was said of exports
CAUSAL_TRAINED = RESULTS / "causal-trained.json"
SCALE = RESULTS / "scale.json"  # times and sizes
EXPANSION = RESULTS / "expander.json"  # by code base
STATEMENT = RESULTS / "statement.json"  # of inline completions
EXPANDER_SIZES = RESULTS / "expander-sizes.json"  # memory and times
LSP = RESULTS / "lsp.json"  # of the server under typing
SOAK = RESULTS / "soak.json"  # and of an hour of it
README = Path(__file__).parents[1] / "README.md"
PAGES = (README, RESULTS / "README.md")


def main() -> None:
    """Rewrite the pages, and the settings in the VS Code extension's manifest and README, in place."""
    for page in PAGES:
        page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")
    package = updated_package(PACKAGE.read_text(encoding="utf-8"))
    PACKAGE.write_text(package, encoding="utf-8")
    readme = CLIENT_README.read_text(encoding="utf-8")
    CLIENT_README.write_text(with_part(readme, "settings", client_settings_table(package)), encoding="utf-8")


def updated(page: str) -> str:
    """A page's text with its generated parts made anew."""
    for name, content in generated_parts().items():
        if begin_of(name) in page:
            page = with_part(page, name, content)
    return page


def generated_parts() -> dict[str, str]:
    """Each part by its name; every one stands in one of the pages."""
    return {
        "settings": settings_table(),
        "results": results_text(BY_METHOD),
        "documentation": results_text((DOCUMENTATION,)),
        "extraction": extraction_table(),
        "scale": scale_text(json.loads(SCALE.read_text(encoding="utf-8"))),
        "graph": graph_table(),
        "lsp": latency_table(json.loads(LSP.read_text(encoding="utf-8"))),
        "soak": soak_text(json.loads(SOAK.read_text(encoding="utf-8"))),
        "statement": statement_text(json.loads(STATEMENT.read_text(encoding="utf-8"))),
        "expansion": expansion_table(json.loads(EXPANSION.read_text(encoding="utf-8"))),
        "expander": expander_table(json.loads(EXPANDER_SIZES.read_text(encoding="utf-8"))),
        "ablations": ablations_table(),
        "causal": causal_tables(),
        "corpora": corpora_table(),
        **{name: seeds_text(file) for name, file in BY_SEED},
        "questions": open_questions(RESULTS),
    }


def begin_of(name: str) -> str:
    """The mark that a part begins behind."""
    return f"<!-- {name}:begin -->\n"


def with_part(text: str, name: str, content: str) -> str:
    """A text with what stands between the two marks of a name replaced."""
    begin, end = begin_of(name), f"<!-- {name}:end -->"
    before, rest = text.split(begin, 1)
    return before + begin + content + end + rest.split(end, 1)[1]


def settings_table() -> str:
    """Markdown table of the client options."""
    rows = (
        f"| `{option_name(f.name)}` | `{json.dumps(f.default)}` | {f.metadata['description']} |"
        for f in fields(Settings)
    )
    return "\n".join(("| option | default | |", "|---|---|---|", *rows)) + "\n"


def results_text(files: Sequence[str]) -> str:
    """Results by method: what was measured, on what, with which command, and the table."""
    contents = (json.loads((RESULTS / name).read_text(encoding="utf-8")) for name in files)
    return "\n".join(_result(content) for content in contents)


def seeds_text(file: str) -> str:
    """Results of several trainings each: what was done, with which command, and the table."""
    content = json.loads((RESULTS / file).read_text(encoding="utf-8"))
    command = f"```sh\n{content['command']}\n```"
    about = f"{content['description']} {earlier_fusion(content)}".rstrip()
    return f"{about}\n\n{seeds_table(content['results'])}\n{command}\n"


def extraction_table() -> str:
    """Markdown table of what is extracted from well-known packages, and what is left."""
    results = json.loads(EXTRACTION.read_text(encoding="utf-8"))["results"]
    rows = [
        f"| {r['package']} {r['version']} | {r['against']} | {r['what']} | {r['n']:,} | {r['recall']:.1%} "
        f"| {r['precision']:.1%} |"
        for r in results
    ]
    notes = dict.fromkeys(f"- {r['package']}: {r['note']}" for r in results if "note" in r)
    head = ("| package | against | what | n | recall | precision |", "|---|---|---|---|---|---|")
    return "\n".join((*head, *rows, "", *notes)) + "\n"


def ablations_table() -> str:
    """Markdown table of what each part is worth."""
    content = json.loads(ABLATIONS.read_text(encoding="utf-8"))
    head = (
        "| case | n | top-1 | top-5 | top-40 | gained / lost at top-5 | p | ms |",
        "|---|---|---|---|---|---|---|---|",
    )
    notes = "".join(f"\n{note}\n" for note in content.get("notes", ()))
    return _table(head, map(_ablation_row, content["cases"])) + notes


def _ablation_row(case: dict[str, Any]) -> str:
    tops = " | ".join(f"{value:.1f} [{low:.1f}, {high:.1f}]" for value, low, high in _tops(case))
    flips, ms = f"{case['gained']} / {case['lost']}", case["ms"]["total"]["p50"]
    return f"| {case['case']} | {case['n']} | {tops} | {flips} | {case['p']:.3f} | {ms:,.0f} |"


def _tops(case: dict[str, Any]) -> list[list[float]]:
    return [case["top"][k] for k in ("1", "5", "40")]


def corpora_table() -> str:
    """Markdown table of the corpora that models are trained on and measured on."""
    corpora = json.loads(CORPORA.read_text(encoding="utf-8"))["corpora"]
    head = (
        "| list | packages | licence | APIs | calls of them | balanced samples | of them clean |",
        "|---|---|---|---|---|---|---|",
    )
    rows = (
        f"| `{c['list']}` | {', '.join(c['packages'])} | {', '.join(c['licences'])} | {c['apis']:,} "
        f"| {c['mined']:,} | {c['balanced']:,} | {c['clean']:,} |"
        for c in corpora
    )
    sums = (
        f"{sum(c['balanced'] for c in corpora if c['list'] == name):,} samples in `{name}`"
        for name in ("train", "eval-only")
    )
    return _table(head, (*rows, "", f"{', '.join(sums)}."))


def causal_tables() -> str:
    """Markdown tables: what causal rerankers take, what their export keeps, and what a small one learned."""
    sizes = json.loads(CAUSAL.read_text(encoding="utf-8"))
    counts = list(sizes["rows"][0]["naive_ms"])
    head = (
        "| model | weights | disk | memory | a query | each candidate "
        f"| {' / '.join(counts)} candidates, shared prompt | naive |",
        "|---|---|---|---|---|---|---|---|",
    )
    export = json.loads(CAUSAL_EXPORT.read_text(encoding="utf-8"))
    exports = (
        "| weights | agreement with the float model | export | seconds | memory |",
        "|---|---|---|---|---|",
    )
    trained = json.loads(CAUSAL_TRAINED.read_text(encoding="utf-8"))
    stages = ("| stage | top-1 | top-5 | top-10 |", "|---|---|---|---|")
    return "\n".join(
        (
            _table(head, map(_causal_row, sizes["rows"])),
            f"{sizes['description']} {_ratio(sizes['rows'])}\n",
            _table(exports, map(_export_row, export["rows"])),
            f"{export['description']} `models export` refuses what keeps too little of the order.\n",
            _table(stages, map(_stage_row, trained["results"])),
            f"{trained['description']}\n",
        )
    )


def _causal_row(row: dict[str, Any]) -> str:
    extended = f", {row['layers_built'][-1]} layers built" if len(row.get("layers_built", ())) > 1 else ""
    seconds = [_seconds(row.get(name, {})) for name in ("shared_ms", "naive_ms")]
    alone = [f"{row[name]:,} ms" if name in row else "" for name in ("query_ms", "document_ms")]
    return (
        f"| {row['model']}{extended} | {row['bits']} bits | {row['disk_mb']:,} MB | {row['peak_mb']:,} MB "
        f"| {' | '.join((*alone, *seconds))} |"
    )


def _ratio(rows: list[dict[str, Any]]) -> str:
    """How much longer the large shape takes, where the paper says 2.5 times."""
    small, large = (
        next(row["shared_ms"]["20"] for row in rows if (row["model"], row["bits"]) == (model, 8))
        for model in ("0.6B", "8B")
    )
    return f"With 8 bits and 20 candidates 8B takes {large / small:.0f} times the 0.6B (the paper: 2.5)."


def _export_row(row: dict[str, Any]) -> str:
    kept = "refused" if row["refused"] else "written"
    return f"| {row['bits']} bits | {row['said'][-1]} | {kept} | {row['seconds']} | {row['peak_mb']:,} MB |"


def _seconds(ms: dict[str, int]) -> str:
    return " / ".join(f"{value / 1000:.1f}" for value in ms.values()) + " s" if ms else ""


def _stage_row(row: dict[str, Any]) -> str:
    cells = (f"{row['top'][k]:.1f} [{low:.1f}, {high:.1f}]" for k, (low, high) in row["interval"].items())
    return f"| {row['method']}, n = {row['n']} | {' | '.join(cells)} |"


def graph_table() -> str:
    """Markdown table of what the graph filter keeps with less and less metadata."""
    content = json.loads(GRAPH.read_text(encoding="utf-8"))
    head = (
        "| metadata removed at random | APIs kept, % | targets kept, % | `fused` top-5 | top-40 |",
        "|---|---|---|---|---|",
    )
    rows = (f"| {_removed(case)} | {_shares(case)} |" for case in content["cases"])
    n, command = content["cases"][0]["n"], f"```sh\n{content['command']}\n```"
    return (
        "\n".join((*head, *rows, "", f"n = {n}, {content['apis']:,} APIs, 95 % intervals.", "", command))
        + "\n"
    )


def _removed(case: dict[str, Any]) -> str:
    if not case["graph"]:
        return "no filter at all"
    removed = [f"{share} % of the {whose}'s" for whose, share in case["removed"].items() if share]
    return " and ".join(removed).replace("apis's", "APIs'") or "nothing"


def _shares(case: dict[str, Any]) -> str:
    shares = (case["candidates"], case["targets"], case["top"]["5"], case["top"]["40"])
    return " | ".join(f"{s['percent']:.1f} [{s['interval'][0]:.1f}, {s['interval'][1]:.1f}]" for s in shares)


def scale_text(scale: dict[str, Any]) -> str:
    """Markdown tables of builds, of lookups, and of exact search against HNSW."""
    tables = (
        _table(_BUILD_HEAD, map(_build_row, scale["builds"])),
        _table(_LOOKUP_HEAD, map(_lookup_row, scale["lookups"])),
        _table(_CROSSOVER_HEAD, map(_crossover_row, scale["crossover"])),
    )
    notes = "".join(f"- {note}\n" for note in scale.get("notes", ()))
    return "\n".join((*tables, notes)) if notes else "\n".join(tables)


_BUILD_HEAD = (
    "| APIs | usages | build | of it embedding | processor time | peak memory | index | one file changed |",
    "|---|---|---|---|---|---|---|---|",
)
_LOOKUP_HEAD = (
    "| APIs | opening | server's memory | exact, 100 / 40 / 1 % kept | HNSW | BM25 over docs / code / usages "
    "| first list without encoder | with it |",
    "|---|---|---|---|---|---|---|---|",
)
_CROSSOVER_HEAD = (
    "| rows | exact | HNSW | of the nearest 200 it finds | building its graph |",
    "|---|---|---|---|---|",
)


def _build_row(build: dict[str, Any]) -> str:
    seconds, again = build["seconds"], build["again"]["seconds"]
    share = seconds["embedding"] / seconds["total"]
    return (
        f"| {build['apis']:,} | {build['usages']:,} | {seconds['total']:,.0f} s | {share:.0%} "
        f"| {build['cpu_seconds']:,.0f} s | {build['peak_mb']:,} MB | {build['index_mb']:,.0f} MB "
        f"| {again['total']:.1f} s |"
    )


def _lookup_row(lookup: dict[str, Any]) -> str:
    ms = lookup["ms"]
    exact = " / ".join(f"{ms[f'vectors, exact, {share} %']['p50']:.2f}" for share in (100, 40, 1))
    lexical = " / ".join(f"{ms[f'BM25, {table}']['p50']:.1f}" for table in ("doc", "code", "usage"))
    lists = " | ".join(_both(ms[name]) for name in ("first list, without the encoder", "first list"))
    return (
        f"| {lookup['apis']:,} | {lookup['open_seconds']:.1f} s | {lookup['server_mb']:,} MB | {exact} ms "
        f"| {ms['vectors, hnsw, 100 %']['p50']:.2f} ms | {lexical} ms | {lists} |"
    )


def _both(ms: dict[str, float]) -> str:
    return f"{ms['p50']:.0f} ms, p95 {ms['p95']:.0f}"


def _crossover_row(crossing: dict[str, Any]) -> str:
    return (
        f"| {crossing['rows']:,} | {crossing['exact']['p50']:.2f} ms | {crossing['hnsw']['p50']:.2f} ms "
        f"| {crossing['recall_percent']} % | {crossing['link_seconds']:,.0f} s |"
    )


def _table(head: Iterable[str], rows: Iterable[str]) -> str:
    return "\n".join((*head, *rows)) + "\n"


def _result(result: dict[str, Any]) -> str:
    command = "\n".join(result["commands"])
    notes = "".join(f"{note}\n\n" for note in result.get("notes", ()))
    return f"{result['description']}\n\n{results_table(result['results'])}\n{notes}```sh\n{command}\n```\n"


if __name__ == "__main__":
    main()
