"""The charts that the explorer opens with, as the state of an Embedding Atlas 0.26."""

from typing import Any

from hf_vitselect.explorer.rows import ExploredRows

_HIDDEN = ("x", "y", "neighbors", "question", "answer")


def dashboard(rows: ExploredRows) -> dict[str, Any]:
    """The map, a table, and a chart of each group and score; brushing one filters the others."""
    charts: list[dict[str, Any]] = []
    color = next(iter(rows.groups), None)
    if rows.has_map:
        data = {"x": "x", "y": "y", "text": "conversation", "image": "image", "neighbors": "neighbors"}
        colored = data if color is None else {**data, "category": color}
        charts.append({"type": "embedding", "title": "Map", "data": colored})
    shown = [name for name in rows.table.column_names if name not in _HIDDEN]
    charts.append({"type": "instances", "title": "Rows", "columns": shown})
    if rows.has_map:
        charts.append(_binned_map(color))
    charts += [{"type": "count-plot", "title": name, "data": {"field": name}} for name in rows.groups]
    charts += [_histogram(name) for name in rows.scores]
    charts.append({"type": "predicates", "title": "Filter by SQL"})
    return {"charts": {str(number): chart for number, chart in enumerate(charts, start=1)}}


def _histogram(name: str) -> dict[str, Any]:
    """All rows faded, the filtered ones in front."""
    encoding = {"x": {"field": name}, "y": {"aggregate": "count"}}
    return {
        "title": name,
        "layers": [
            {"mark": "bar", "style": {"fillColor": "$markColorFade"}, "encoding": encoding},
            {"mark": "bar", "filter": "$filter", "encoding": encoding},
        ],
        "selection": {"brush": {"encoding": "x"}},
    }


def _binned_map(color: str | None) -> dict[str, Any]:
    """The map in bins, also for browsers without WebGPU, in which the map itself stays empty."""
    encoding: dict[str, Any] = {"x": {"field": "x"}, "y": {"field": "y"}, "size": {"aggregate": "count"}}
    style = {}
    if color is not None:
        encoding["color"] = {"field": color}
        style = {"fillColor": "$encoding", "strokeColor": "$encoding", "fillOpacity": 0.6}
    return {
        "title": "Map in bins",
        "layers": [{"mark": "point", "filter": "$filter", "style": style, "encoding": encoding}],
        "selection": {"brush": {"encoding": "xy"}},
    }
