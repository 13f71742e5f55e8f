"""filter_pool: what stays, what goes, and why."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from datasets import Value, load_from_disk
from pools import assistant, png, pool, user

from hf_vitselect.data.pools import load_pool
from hf_vitselect.data.provenance import with_record
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import ColumnError
from hf_vitselect.filters import Drops, Filter, LossTail, NearDuplicates, PrefersOtherAnswer, UnusedImage
from hf_vitselect.selection import filter_pool, select_diverse
from hf_vitselect.selection.method import Method


def make_pool(statuses=()):
    """Ten rows: 3 and 7 repeat row 1, 9 has the highest loss and an image that raises it."""
    talks = [([user(f"what is it? {i}", 1), assistant("a dog")], [png(i)]) for i in range(10)]
    for i in (3, 7):
        talks[i] = talks[1]
    losses = [1.0, 2.0, 1.2, 2.5, 1.3, 1.4, 1.5, 2.2, 1.6, 9.0]
    gains = [1.0] * 9 + [-0.5]
    rows = pool(talks).add_column("necessity", losses, feature=Value("float32"))
    rows = rows.add_column("image_gain", gains, feature=Value("float32"))
    if statuses:
        rows = rows.add_column("necessity_status", statuses, feature=Value("string"))
    return rows


def test_rows_go_with_their_reasons():
    rows = make_pool()
    filtered = filter_pool(rows, [NearDuplicates(), UnusedImage(), LossTail(cut=0.99)])
    assert filtered.dataset["necessity"][:] == rows.select([0, 1, 2, 4, 5, 6, 8])["necessity"][:]
    kept = row_ids(rows)[1]
    same = "the same text, images whose hashes differ in 0 of 384 bits, repeats"
    assert filtered.dropped["necessity"][:] == pytest.approx([2.5, 2.2, 9.0])
    assert filtered.dropped["dropped_by"][:] == ["NearDuplicates", "NearDuplicates", "UnusedImage"]
    assert filtered.dropped["dropped_reason"][:] == [f"{same} {kept}"] * 2 + [
        "its image saves -0.500 of the loss"
    ]
    assert [record.dropped for record in filtered.records] == [2, 1, 0]
    assert filtered.dropped.features["images"] == rows.features["images"]


def test_selections_drop_the_same_rows():
    rows, filters = make_pool(), (NearDuplicates(), UnusedImage())
    selection = select_diverse(rows, 3, method=Method(filters=filters, kinds=None))
    filtered = filter_pool(rows, filters, kinds=None)
    scores = selection.scores.filter(lambda reason: reason is not None, input_columns="dropped_reason")
    assert sorted(scores["dropped_reason"][:]) == sorted(filtered.dropped["dropped_reason"][:])


def test_unscored_rows_stay_unseen():
    statuses = ["ok"] * 3 + ["image_missing"] + ["ok"] * 6
    filtered = filter_pool(make_pool(statuses), [NearDuplicates()])
    assert (filtered.unscored, len(filtered.dataset), len(filtered.dropped)) == (1, 9, 1)
    assert filtered.dropped["necessity"][:] == pytest.approx([2.2])


def test_missing_columns_skip_their_filter():
    rows = make_pool().remove_columns(["necessity", "image_gain"])
    with pytest.warns(UserWarning, match="is skipped") as warned:
        filtered = filter_pool(rows, [UnusedImage(), LossTail(), NearDuplicates()])
    assert [str(warning.message) for warning in warned] == [
        "UnusedImage is skipped: the pool has no column 'image_gain'",
        "LossTail is skipped: the pool has no column 'necessity'",
    ]
    assert [record.skipped is None for record in filtered.records] == [False, False, True]
    assert len(filtered.dropped) == 2


@pytest.mark.parametrize("missing", ["other_answer_odds", "other_answer"])
def test_other_answers_need_both_columns(missing):
    rows = (
        make_pool().add_column("other_answer_odds", [0.0] * 9 + [6.0]).add_column("other_answer", ["a"] * 10)
    )
    assert len(filter_pool(rows.remove_columns("necessity"), [PrefersOtherAnswer()]).dropped) == 1
    with pytest.warns(UserWarning, match=f"is skipped: the pool has no column '{missing}'"):
        filter_pool(rows.remove_columns(missing), [PrefersOtherAnswer()])


def test_embeddings_need_a_record():
    rows = make_pool().add_column("embedding", [[1.0, 0.0]] * 10)
    with pytest.warns(UserWarning, match="the column 'embedding' is ignored"):
        record = filter_pool(rows, [NearDuplicates()]).records[0]
    assert (record.dropped, record.thresholds) == (2, {"ignored": "embedding"})
    rows.info.description = with_record(
        None, {"scorers": [{"column": "embedding", "scorer": "TextEmbedding"}]}
    )
    assert filter_pool(rows, [NearDuplicates()]).records[0].thresholds == {}


@dataclass(frozen=True, kw_only=True)
class FirstKind(Filter):
    """Drops all rows of the first kind."""

    uses_kinds = True

    def find(self, rows):
        dropped = np.flatnonzero(rows.kinds == 0)
        return Drops(rows=dropped, reasons=[rows.kind_names[0]] * len(dropped))


def test_columns_may_be_kinds():
    rows = make_pool().add_column("source", ["a", "b"] * 5)
    assert filter_pool(rows, [FirstKind()], kinds="source").dropped["dropped_reason"][:] == ["a"] * 5
    with pytest.raises(ColumnError, match="expected the column 'origin'"):
        filter_pool(rows, [FirstKind()], kinds="origin")
    with pytest.raises(ColumnError, match="expected the column 'loss'"):
        filter_pool(rows, [FirstKind()], by="loss")


def test_saved_pools_can_be_selected_from(tmp_path):
    filtered = filter_pool(make_pool(), [NearDuplicates()])
    filtered.save_to_disk(tmp_path / "out")
    filtered.save_to_disk(tmp_path / "out")  # in place of the first
    assert len(load_pool(str(tmp_path / "out"))) == 8
    assert load_from_disk(tmp_path / "out" / "dropped")["dropped_by"][:] == ["NearDuplicates"] * 2
    (record,) = json.loads((tmp_path / "out" / "filters.json").read_text())
    assert (record["filter"], record["dropped"]) == (
        "NearDuplicates(cosine=0.95, bits=24, jaccard=0.9, long=50, approximate=True)",
        2,
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="holds no filtered pool"):
        filtered.save_to_disk(tmp_path / "other")


def test_pools_may_lose_no_row(tmp_path):
    rows = make_pool().select([0, 2, 4])
    for part in (rows, rows.remove_columns("image_gain").add_column("image_gain", [1.0, 2.0, 3.0])):
        filtered = filter_pool(part, [NearDuplicates()])
        assert (len(filtered.dataset), len(filtered.dropped)) == (3, 0)
        filtered.save_to_disk(tmp_path / "out")
        dropped = load_from_disk(tmp_path / "out" / "dropped")
        assert dropped.column_names == [*part.column_names, "dropped_by", "dropped_reason"]
        assert dropped.features == filtered.dropped.features
