import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Value, concatenate_datasets
from PIL import Image
from recipes import with_recipe

from hf_vitselect.errors import ColumnError, LayoutError
from hf_vitselect.report.composition import column_shares, recorded_shares
from hf_vitselect.report.plots import plots
from hf_vitselect.report.statistics import duplicates, score_columns, score_values, statistics
from hf_vitselect.report.tables import table
from hf_vitselect.rules import Random, TopScore
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection


@pytest.fixture(scope="module")
def selection(scored_pool: Dataset) -> Selection:
    return select_diverse(scored_pool, 10, rule=TopScore())


def picture(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return image.convert("RGBA")


def test_statistics_skip_unscored_rows(selection: Selection, scored_pool: Dataset) -> None:
    pool, subset = statistics(selection)
    scores = np.array([value for value in scored_pool["necessity"] if value is not None])
    assert (pool["rows"], pool["count"], subset["rows"], subset["count"]) == ("pool", 38, "subset", 10)
    assert pool["mean"] == pytest.approx(scores.mean())
    assert pool["50%"] == pytest.approx(np.median(scores))
    assert subset["min"] == pytest.approx(np.sort(scores)[-10])


def test_no_statistics_without_a_score(scored_pool: Dataset) -> None:
    bare = scored_pool.select_columns(["messages", "images"])
    assert statistics(select_diverse(bare.add_column("n", [1] * 40), 3, by="m", rule=Random())) == []


def test_numeric_scorer_columns_are_scores(selection: Selection) -> None:
    scorers = [{"column": name} for name in ("embedding", "rank", "necessity_status", "missing", "necessity")]
    assert score_columns(with_recipe(selection, by=None, scorers=scorers)) == ["rank", "necessity"]


@pytest.mark.parametrize(("kind", "values"), [("bool", [True, None]), ("int8", [7, None])])
def test_scores_of_every_number_type(selection: Selection, kind: str, values: list[Any]) -> None:
    scores = Dataset.from_dict({"selected": [True, False]}).add_column("s", values, feature=Value(kind))
    pool, subset = score_values(replace(selection, scores=scores), "s")
    assert pool.tolist() == subset.tolist() == [float(values[0])]


def test_composition_counts_and_shares(selection: Selection, scored_pool: Dataset) -> None:
    kinds = column_shares(scored_pool, selection, "kind")
    assert list(kinds) == ["caption", "count", "colour"]
    assert sum(kind["pool"] for kind in kinds.values()) == 40
    for name, kind in kinds.items():
        assert kind["subset"] == selection.dataset["kind"].count(name)
        assert kind["subset_share"] == kind["subset"] / 10


def test_composition_of_nulls(selection: Selection, scored_pool: Dataset) -> None:
    assert column_shares(scored_pool, selection, "necessity")["(none)"]["pool"] == 2


def test_composition_of_uncountable_columns(selection: Selection, scored_pool: Dataset) -> None:
    for column in ("embedding", "missing"):
        with pytest.raises(ColumnError, match=r"choose one of .*'kind'"):
            column_shares(scored_pool, selection, column)
    with pytest.raises(LayoutError, match=r"40 rows .* got 39"):
        column_shares(scored_pool.select(range(39)), selection, "kind")


def test_selection_remembers_its_composition(selection: Selection, scored_pool: Dataset) -> None:
    remembered = recorded_shares(selection)
    assert remembered["kind"] == column_shares(scored_pool, selection, "kind")
    lengths = remembered["answer_characters"]
    answers = [sum(len(t["content"][0]["text"]) for t in m[1::2]) for m in scored_pool["messages"]]
    assert sum(quarter["pool"] for quarter in lengths.values()) == 40
    assert sum(quarter["subset"] for quarter in lengths.values()) == 10
    assert next(iter(lengths)).startswith(f"{min(answers)} to ")
    assert list(lengths)[-1].endswith(f" to {max(answers)}")


def test_duplicates_are_counted_by_content(scored_pool: Dataset) -> None:
    pool = scored_pool.select_columns(["messages", "images"])
    twice = concatenate_datasets([pool, pool.select([3, 5, 5])])
    selection = select_diverse(twice, 42, rule=Random())
    assert duplicates(selection)["pool"] == 3
    assert 2 <= duplicates(selection)["subset"] <= 3


def test_plots_are_pictures_on_white(selection: Selection, scored_pool: Dataset) -> None:
    drawn = plots(selection, scored_pool, "kind")
    assert list(drawn) == ["scores.png", "composition.png", "lengths.png"]
    for png in drawn.values():
        image = picture(png)
        assert image.width > 900
        assert image.getpixel((0, 0)) == (255, 255, 255, 255)
        assert len(image.getcolors(10**6)) > 20


def test_plots_are_the_same_twice(selection: Selection) -> None:
    assert plots(selection) == plots(selection)


def test_column_plot_needs_the_pool(selection: Selection) -> None:
    with pytest.raises(ColumnError, match="pass pool="):
        plots(selection, column="necessity")
    assert plots(selection, column="kind")["composition.png"] == plots(selection)["composition.png"]


def test_no_scores_no_histogram(selection: Selection) -> None:
    assert "scores.png" not in plots(with_recipe(selection, by=None, scorers=[]))


@pytest.mark.parametrize("name", ["$x^{$", r"\frac{", "a\nb\x07", "x" * 500, "<b>", "颜色"])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_plots_show_hostile_names(selection: Selection, scored_pool: Dataset, name: str) -> None:
    pool = scored_pool.remove_columns("kind").add_column(name, [name, *"ab" * 19, None])
    scores = selection.scores.rename_column("necessity", name)
    renamed = replace(with_recipe(selection, by=name), scores=scores)
    for png in plots(renamed, pool, name).values():
        assert picture(png).width > 900


@pytest.mark.parametrize("scores", [[1.0] * 40, [-1e30, 1e30] * 20, [0.0] * 39 + [float("inf")]])
def test_plots_of_odd_scores(selection: Selection, scores: list[float]) -> None:
    table = selection.scores.remove_columns("necessity").add_column("necessity", scores)
    assert picture(plots(replace(selection, scores=table))["scores.png"]).width > 900


def test_table_is_aligned() -> None:
    rows = [{"subset": "a|b\nc", "accuracy": 0.123456, "rows": 12345}, {"subset": None, "rows": 7}]
    assert table(rows).splitlines() == [
        r"| subset | accuracy |   rows |",
        r"|:-------|---------:|-------:|",
        r"| a\|b c |   0.1235 | 12,345 |",
        r"|        |          |      7 |",
    ]


def test_table_of_chosen_columns() -> None:
    assert table([{"a": 1, "b": True}], ["b"]).splitlines()[-1] == "| True |"
