"""The charts that the explorer opens with name columns that exist."""

import pyarrow as pa

from hf_vitselect.explorer.dashboard import dashboard
from hf_vitselect.explorer.rows import ExploredRows


def test_dashboard_names_existing_columns() -> None:
    columns = ["row", "image", "question", "answer", "conversation", "outcome", "necessity"]
    table = pa.table({name: ["a", "b"] for name in columns})
    flat = dashboard(ExploredRows(table, ["necessity"], ["outcome"], has_map=False))["charts"]
    assert [chart["title"] for chart in flat.values()] == ["Rows", "outcome", "necessity", "Filter by SQL"]
    assert flat["1"]["columns"] == ["row", "image", "conversation", "outcome", "necessity"]
    mapped = dashboard(ExploredRows(table, [], [], has_map=True))["charts"]
    assert [chart["type"] for chart in mapped.values() if "type" in chart] == [
        "embedding",
        "instances",
        "predicates",
    ]
    assert "category" not in mapped["1"]["data"]
    colored = dashboard(ExploredRows(table, [], ["outcome"], has_map=True))["charts"]
    assert colored["1"]["data"]["category"] == "outcome"
