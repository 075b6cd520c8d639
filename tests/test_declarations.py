"""Declarations and sources of npm packages, against lists made without the extractor."""

from __future__ import annotations

import json
from pathlib import Path

import platformdirs
import pytest
from compare_declarations import NPM, PACKAGES, Missing, Package, compare, need, report

FOLDER = platformdirs.user_cache_path("deepcodeseek", appauthor=False) / "packages"
RESULTS = Path(__file__).parents[1] / "index_builder/results/extraction.json"


def rows(package: Package) -> list[dict[str, object]]:
    published = json.loads(RESULTS.read_bytes())["results"]
    return [row for row in published if row["package"] == package.name]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_extraction_is_as_good_as_published(package: Package) -> None:
    try:
        need(FOLDER, package)
    except Missing:
        pytest.skip(f"not installed: {NPM.replace('FOLDER', str(FOLDER))}")
    result = compare(FOLDER, package)
    for row, count in zip(rows(package), result.counts().values(), strict=True):
        shown = "\n".join(report(result, 10))
        assert count.recall >= float(str(row["recall"])) - 0.005, shown
        assert count.precision >= float(str(row["precision"])) - 0.005, shown


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_figures_are_published(package: Package) -> None:
    assert [row["what"] for row in rows(package)] == ["names", "methods"]
