"""The charts that the explorer opens with name columns that exist."""

import pyarrow as pa
from datasets import Dataset

from hf_vitselect.explorer.dashboard import dashboard
from hf_vitselect.explorer.rows import ExploredRows, explored_rows


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


def test_pool_columns_are_charted_once(scored_pool: Dataset) -> None:
    named = scored_pool.add_column("outcome", ["solved" if row % 2 else "failed" for row in range(40)])
    explored = explored_rows(named, projection="pca")
    assert explored.groups == ["outcome", "kind", "necessity_status"]
    titles = [chart["title"] for chart in dashboard(explored)["charts"].values()]
    assert titles[3:6] == explored.groups
    assert len({*titles}) == len(titles)
