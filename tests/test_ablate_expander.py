"""What expansion is worth, by how the model is asked."""

from __future__ import annotations

import pytest
from test_evaluate import SAMPLES

from deepcodeseek.index_builder.ablate_expander import expansion_table, measure
from deepcodeseek.server.engine import Engine


@pytest.mark.usefixtures("example_report")
def test_each_way_of_asking_is_compared_with_the_list_without(engine: Engine) -> None:
    cases = dict(measure(engine, SAMPLES))
    nothing = cases.pop("nothing")["predicted"]
    assert cases.keys() >= {"as it is", "in a chat"}
    for found in cases.values():
        assert found["ms"]["p50"] > 0
        assert found["right"]["interval"][0] <= found["right"]["percent"] <= found["right"]["interval"][1]
        for method, figures in found["predicted"].items():
            gained = 100 * (figures["gained"] - figures["lost"]) / len(SAMPLES)
            assert figures["top"]["5"][0] == pytest.approx(nothing[method]["top"]["5"][0] + gained, abs=0.2)


def test_the_table_has_a_row_for_each_case() -> None:
    figures = {"top": {"5": [50.0, 40.0, 60.0]}, "gained": 3, "lost": 1, "p": 0.625}
    both = {"fused": figures, "reranked": figures}
    asked = {"right": {"percent": 7.0, "interval": [4.0, 11.0]}, "ms": {"p50": 210.4, "p95": 1300.0}}
    cases = {"nothing": {"predicted": both}, "as it is": {**asked, "predicted": both}}
    table = expansion_table({"description": "Told.", "results": {"Code": {"n": 10, "cases": cases}}})
    assert table.splitlines()[2:4] == [
        "| Code, n = 10 | nothing | | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] | | |",
        "| Code, n = 10 | as it is | 7.0 [4.0, 11.0] | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] "
        "| 3 / 1, 0.62; 3 / 1, 0.62 | 210, 1,300 |",
    ]
