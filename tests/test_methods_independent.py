"""The example's Script Includes and their methods, against lists made without the extractor."""

from __future__ import annotations

import pytest
from compare_methods import Missing, compare, need_acorn, report
from conftest import EXAMPLE


def test_methods_against_an_independent_list() -> None:
    try:
        need_acorn()
    except Missing as missing:
        pytest.skip(str(missing))
    result = compare(EXAMPLE)
    shown = "\n".join(report(result, 10))
    assert len(result.theirs) >= 50, shown
    assert result.stated <= result.found, shown
    assert not result.failed, shown
    assert min(result.recall, result.precision) >= 0.99, shown
