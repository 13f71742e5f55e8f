"""Lazy scoring: only the rows that a subset of a given size may need are scored."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, concatenate_datasets
from numpy.typing import NDArray

from hf_vitselect.call_text import write_call
from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import NOT_SCORED, REPEATS, BudgetError, UsageError
from hf_vitselect.filters import NearDuplicates
from hf_vitselect.filters.base import Rows
from hf_vitselect.rules.random_keys import random_keys
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scoring.score import report_refusals
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.copies import record_recall, repeats_column
from hf_vitselect.selection.draw import Draw
from hf_vitselect.selection.kept_scores import KeptScores
from hf_vitselect.selection.method import CleanBalanced, Method
from hf_vitselect.selection.selection import Selection, find_named


def score_candidates(
    dataset: Dataset,
    scorers: Sequence[Scorer],
    budget: int | float,
    output_dir: str | os.PathLike[str],
    *,
    method: Method | None = None,
    seed: int = 0,
    exclude: Selection | Sequence[str] = (),
    **options: Any,
) -> Dataset:
    """Score the rows that a method may pick, and no others.

    A method that draws rows at random inside each kind needs the scores of the rows drawn. So rows are drawn
    kind by kind, in the order in which `select_diverse` picks them, and scored. The filters judge them as a
    sample of their kind. Where they leave too few for a kind's quota, more are drawn. Of a kind whose images
    are not used, only a few rows are scored.

    `select_diverse(scored, budget, method=method, seed=seed)` then picks nearly the rows that it would pick
    from a pool in which all rows are scored: thresholds and quotas are estimates. For a method that drops
    near-duplicates, rows that have the text of another row, and an image with nearly the same hash, are drawn
    after all others.

    Args:
        dataset: The pool.
        scorers: As in `score`; `method.scorers` gives those that the method uses.
        budget: The largest budget to select; smaller ones can be selected, too.
        output_dir: A folder that keeps finished shards, as in `score`. The same call resumes; a call with
            another budget, method or seed does not score again what finished ones have.
        method: `CleanBalanced()` by default.
        seed: Of the selection.
        exclude: Rows that are never picked, as in `select_diverse`: a selection, such as the seed model's
            rows, or row ids.
        **options: `shard_size`, `workers` and `engine` of `score`.

    Returns:
        The pool with the columns of the scorers. Rows that were not drawn have nulls and the status
        `not_scored` or, if they repeat another row, `repeats`. The method's score has a column more, such as
        `necessity_repeats`, with the id of the row that such a row repeats.

    Raises:
        AllRefusedError: If no row could be scored.
        BudgetError: If the budget is not a number of rows or a share.
        RowSetError: If a row to exclude is not in the pool.
        StaleRunError: If `output_dir` holds scores of other scorers or of another pool.
        UsageError: If the method's rule does not draw rows at random.
    """
    method = method or CleanBalanced()
    if not method.picks_at_random:
        raise UsageError(
            f"expected a method whose rule is Random, got {type(method.rule).__name__}, which compares all "
            "rows of the pool; call score"
        )
    refuse_reserved(dataset.features)
    ids, rows = row_ids(dataset), budget_rows(budget, len(dataset))
    never = find_named(exclude, ids, "exclude").positions
    free, keys = np.setdiff1d(np.arange(len(ids)), never), random_keys(ids, seed)
    if not len(free):
        raise BudgetError(f"expected rows to pick from, got {len(ids):,} rows, all of them excluded")
    scores = KeptScores.resume(dataset, ids, scorers, Path(output_dir), options)
    repeats, recall = _find_repeats(dataset, method, free, ids)
    draw = Draw.begin(dataset, method, free, repeats, keys, rows)
    while (new := draw.next_rows()).size:
        scores.add(new)
        draw.drawn = np.concatenate([draw.drawn, new])
        draw.more = draw.missing(scores.of(draw.drawn))
    whole = _in_pool(dataset, scores.of(draw.drawn), draw, ids)
    if recall:
        record_recall(whole, recall)
    report_refusals(whole, scorers)
    return whole


def _find_repeats(
    dataset: Dataset, method: Method, free: NDArray[np.int64], ids: Sequence[str]
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """The free row, kept, that each free row of the pool repeats, int64 `[n]`, or -1; each filter's recall.

    The row with the lowest id is kept. By the keys of the draw, the kept one of many copies would nearly
    always come first in the draw. Only a filter that divides groups has a recall.
    """
    repeats, part, recall = np.full(len(dataset), -1), dataset.select(free), {}
    ranks = np.array(ids)[free].argsort().argsort().astype(np.float64)
    for each in method.filters:
        if isinstance(each, NearDuplicates):
            drops = each.find(Rows.of(ranks, pool=part))
            assert drops.repeats is not None
            repeats[free[drops.rows]] = free[drops.repeats]
            if "recall" in drops.thresholds:
                recall[write_call(each, whole=True)] = drops.thresholds
    while (chained := (repeats >= 0) & (repeats[repeats] >= 0)).any():  # by several filters
        repeats[chained] = repeats[repeats[chained]]
    return repeats, recall


def _in_pool(dataset: Dataset, scored: Dataset, draw: Draw, ids: Sequence[str]) -> Dataset:
    """Give the pool the columns of its scored rows; the other rows get nulls and their status."""
    names = [name for name in scored.column_names if name not in dataset.column_names]
    features = Features({name: scored.features[name] for name in names})
    cells = [
        {name: status if name.endswith("_status") else None for name in names}
        for status in (NOT_SCORED, REPEATS)
    ]
    absent = Dataset(pa.Table.from_pylist(cells, schema=features.arrow_schema))
    row = len(scored) + (draw.repeats >= 0)
    row[draw.drawn] = np.arange(len(scored))
    columns = concatenate_datasets([scored.select_columns(names), absent]).select(row)
    repeats = pa.array([ids[row] if row >= 0 else None for row in draw.repeated.tolist()], pa.string())
    named = Dataset(pa.table({repeats_column(draw.method.by): repeats}))
    whole = concatenate_datasets([dataset, columns, named], axis=1)
    whole.info.description = scored.info.description
    return whole
