"""Results as one HTML page that needs nothing else: figures, two plots, and the misses to look through.

The page holds code of the measured workspace. None of it is trusted: Jinja escapes all of it, and a content
security policy lets run the two scripts that are written here and nothing else, nor reach any network.
Plotly, because a plot of some forty cases is read by pointing at them; its script is part of the page and
makes up its 5 MB.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepcodeseek.server.text import whole_characters

from .atomic import write_lines
from .evaluate import result_name
from .figures import UNRANKED
from .metrics import DEPTHS
from .misses import Miss, measured

Result = Mapping[str, Any]

TEMPLATES = Path(__file__).parent / "templates"
DEEPEST = 100  # no answer has more
COLORS = (
    "#2f8fd0",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#56b4e9",
)  # Okabe and Ito's


_KEYS = frozenset(
    (
        "method",
        "commit",
        "index",
        "cursor",
        "facts",
        "first_only",
        "deadline_ms",
        "rows",
        "ms",
        "ranks",
        "clean",
    )
)


class ReportProblem(Exception):
    """What a report cannot be made of; the message says what to do."""


def read_result(path: Path) -> Result:
    """What `eval run --json` kept; raises ReportProblem for any other file."""
    result = _read(path)
    missing = sorted(_KEYS - result.keys())
    if missing:
        raise ReportProblem(f"{path}: no result of `eval run`: {missing[0]!r} is missing")
    return result


def read_ablations(path: Path) -> Result:
    """What `eval ablate --json` kept; raises ReportProblem for any other file."""
    result = _read(path)
    cases = result.get("cases")
    if not cases or not all("total" in case["ms"] for case in cases):
        raise ReportProblem(f"{path}: no result of `eval ablate`")
    return result


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReportProblem(f"{path}: not a result: {error}") from None
    if not isinstance(result, dict):
        raise ReportProblem(f"{path}: not a result")
    return result


def stale_note(result: Result, index: str) -> tuple[str, ...]:
    """What to say of misses that are shown with another index than was measured."""
    if result["index"] == index:
        return ()
    return (
        f"{result_name(result)} was measured on the index {result['index']}; what is shown of its misses "
        f"is of {index}, which may rank otherwise.",
    )


def write_report(
    out: Path,
    results: Sequence[Result],
    ablations: Result | None = None,
    misses: Sequence[Miss] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write the page; it appears when it is whole. Raises ReportProblem where a library is missing."""
    write_lines(out, [whole_characters(page(results, ablations, misses, notes))])


def page(
    results: Sequence[Result], ablations: Result | None, misses: Sequence[Miss], notes: Sequence[str]
) -> str:
    """The page as text."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ReportProblem(
            f"{error.name} is missing: run `{sys.executable} -m pip install 'deepcodeseek[report]'`"
        ) from None
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["estimate"] = _estimate
    scripts = (get_plotlyjs(), (TEMPLATES / "report.js").read_text(encoding="utf-8"))
    return environment.get_template("report.html").render(
        policy=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        scripts=scripts,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        depths=DEPTHS,
        summaries=[_summary(result) for result in results],
        cases=ablations["cases"] if ablations else (),
        charts=_charts(results, ablations),
        misses=misses,
        choices=_choices(misses),
        unranked=UNRANKED,
        notes=notes,
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _summary(result: Result) -> dict[str, Any]:
    return {**result, "name": result_name(result), "row": _row(result), "total": result["ms"]["total"]}


def _row(result: Result) -> Result:
    """The figures of the clean samples, or of all where none is."""
    subsets = {row["value"]: row for row in result["rows"] if row["group"] == "subset"}
    if not subsets:
        raise ReportProblem(f"the result of {result['method']} has no sample")
    return dict(subsets.get("clean") or subsets["all"])


def _choices(misses: Sequence[Miss]) -> dict[str, list[str]]:
    keys = ("method", "record_type", "scope")
    return {key: sorted({str(getattr(miss, key)) for miss in misses}) for key in keys}


def _estimate(estimate: Sequence[float], digits: int = 1) -> str:
    value, low, high = (f"{number:.{digits}f}" for number in estimate)
    return f"{value} [{low}, {high}]"


# Plots


def _charts(results: Sequence[Result], ablations: Result | None) -> dict[str, Any]:
    """Plotly's figures by the id of their place in the page."""
    charts = {"recall": [trace for i, result in enumerate(results) for trace in _recall(result, i)]}
    return charts | ({"latency": _latency(ablations["cases"])} if ablations else {})


def _recall(result: Result, number: int) -> list[dict[str, Any]]:
    """The curve over all depths, and the intervals at those of the table."""
    ranks = [result["ranks"][key] for key in measured(result)]
    depths = list(range(1, DEEPEST + 1))
    shares = [100 * sum(UNRANKED < rank <= depth for rank in ranks) / len(ranks) for depth in depths]
    color, top = COLORS[number % len(COLORS)], _row(result)["top"]
    tops = [top[str(k)] for k in DEPTHS]
    values = [value for value, _, _ in tops]
    curve = {"x": depths, "y": shares, "mode": "lines", "line": {"color": color, "shape": "hv"}}
    points = {
        "x": DEPTHS,
        "y": values,
        "error_y": _error(tops),
        "mode": "markers",
        "marker": {"color": color},
    }
    return [
        {"name": _plain(result_name(result)), **curve},
        {"name": _plain(result_name(result)), **points, "showlegend": False, "hoverinfo": "skip"},
    ]


def _latency(cases: Sequence[Result]) -> list[dict[str, Any]]:
    """Cases by time and quality, those over the same samples together: no others can be compared."""
    counts = sorted({case["n"] for case in cases}, reverse=True)
    return [
        _scatter([case for case in cases if case["n"] == n], COLORS[i % len(COLORS)])
        for i, n in enumerate(counts)
    ]


def _scatter(cases: Sequence[Result], color: str) -> dict[str, Any]:
    named, tops = _named(cases), [case["top"]["5"] for case in cases]
    return {
        "name": f"{cases[0]['n']} samples",
        "x": [case["ms"]["total"]["p50"] for case in cases],
        "y": [value for value, _, _ in tops],
        "mode": "markers+text",
        "marker": {"color": color, "size": 9},
        "text": [_plain(case["case"]) if case["case"] in named else "" for case in cases],
        "hovertext": [f"{_plain(case['case'])}<br>top-5 {_estimate(case['top']['5'])}" for case in cases],
        "hovertemplate": "%{hovertext}<br>%{x:.0f} ms",
        "textposition": "top center",
    }


def _named(cases: Sequence[Result]) -> set[str]:
    """Names of the fastest case and of the best one; more would stand on top of each other."""
    points = [(case["ms"]["total"]["p50"], -case["top"]["5"][0], case["case"]) for case in cases]
    return {min(points)[2], min(points, key=lambda point: (point[1], point[0]))[2]}


def _plain(name: str) -> str:
    """Plotly reads some HTML in its texts, links among it."""
    return html.escape(name, quote=False)


def _error(tops: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, _, high in tops],
        "arrayminus": [value - low for value, low, _ in tops],
        "width": 3,
    }
