"""Lazy scoring: only the rows that a subset of a given size may need are scored."""

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, concatenate_datasets
from numpy.typing import NDArray

from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.row_ids import pool_digest, row_ids
from hf_vitselect.errors import NOT_SCORED, REPEATS, AllRefusedError, BudgetError, StaleRunError, UsageError
from hf_vitselect.filters import NearDuplicates
from hf_vitselect.filters.base import Rows
from hf_vitselect.resume import write_atomically
from hf_vitselect.rules.base import NO_ROWS
from hf_vitselect.rules.quotas import quotas
from hf_vitselect.rules.random_keys import random_keys
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scoring.score import report_refusals, score
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.copies import count_copies, repeats_column
from hf_vitselect.selection.groups import Groups, group_rows, or_one_kind
from hf_vitselect.selection.judge import judge, missing_rows, stands_for
from hf_vitselect.selection.method import CleanBalanced, Method
from hf_vitselect.selection.pick import find_rows
from hf_vitselect.selection.scorer_recipes import scorer_recipes

_FIRST = 20  # rows of a kind to begin with, as filters need them to judge a kind
_SPARE = 1.1  # what is drawn in place of dropped rows may be dropped, too


def score_candidates(
    dataset: Dataset,
    scorers: Sequence[Scorer],
    budget: int | float,
    output_dir: str | os.PathLike[str],
    *,
    method: Method | None = None,
    seed: int = 0,
    exclude: Sequence[str] = (),
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
        exclude: Ids of rows that are never picked.
        **options: `shard_size`, `workers` and `engine` of `score`.

    Returns:
        The pool with the columns of the scorers. Rows that were not drawn have nulls and the status
        `not_scored` or, if they repeat another row, `repeats`. The method's score has a column more, such as
        `necessity_repeats`, with the id of the row that such a row repeats.

    Raises:
        AllRefusedError: If no row could be scored.
        BudgetError: If the budget is not a number of rows or a share.
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
    never, _ = find_rows(exclude, ids)
    free, keys = np.setdiff1d(np.arange(len(ids)), never), random_keys(ids, seed)
    if not len(free):
        raise BudgetError(f"expected rows to pick from, got {len(ids):,} rows, all of them excluded")
    scores = _Scores.resume(dataset, ids, scorers, Path(output_dir), options)
    draw = _Draw.begin(dataset, method, free, _find_repeats(dataset, method, free, ids), keys, rows)
    while (new := draw.next_rows()).size:
        scores.add(new)
        draw.drawn = np.concatenate([draw.drawn, new])
        draw.more = draw.missing(scores.of(draw.drawn))
    whole = _in_pool(dataset, scores.of(draw.drawn), draw, ids)
    report_refusals(whole, scorers)
    return whole


def _find_repeats(
    dataset: Dataset, method: Method, free: NDArray[np.int64], ids: Sequence[str]
) -> NDArray[np.int64]:
    """The free row, kept, that each free row of the pool repeats, int64 `[n]`, or -1.

    The row with the lowest id is kept. By the keys of the draw, the kept one of many copies would nearly
    always come first in the draw.
    """
    repeats, part = np.full(len(dataset), -1), dataset.select(free)
    ranks = np.array(ids)[free].argsort().argsort().astype(np.float64)
    for each in method.filters:
        if isinstance(each, NearDuplicates):
            drops = each.find(Rows.of(ranks, pool=part))
            assert drops.repeats is not None
            repeats[free[drops.rows]] = free[drops.repeats]
    while (chained := (repeats >= 0) & (repeats[repeats] >= 0)).any():  # by several filters
        repeats[chained] = repeats[repeats[chained]]
    return repeats


@dataclass(eq=False)
class _Scores:
    """The scored rows of a pool, in a folder for each time that some were scored.

    A folder that is finished has a list of its row ids next to it. An unfinished one counts only for a call
    that scores the same rows.

    Attributes:
        parts: The rows of each folder with their scores.
        rows: int64, all of these rows, by their positions in the pool.
    """

    dataset: Dataset
    ids: list[str]
    scorers: Sequence[Scorer]
    folder: Path
    options: dict[str, Any]
    parts: list[Dataset]
    rows: NDArray[np.int64]

    @classmethod
    def resume(
        cls,
        dataset: Dataset,
        ids: list[str],
        scorers: Sequence[Scorer],
        folder: Path,
        options: dict[str, Any],
    ) -> "_Scores":
        """Read what earlier calls have scored."""
        scores = cls(dataset, ids, scorers, folder, options, [], NO_ROWS)
        for record in sorted(folder.glob("draw_*.json")):
            rows, missing = find_rows(json.loads(record.read_text()), ids)
            if missing:
                raise StaleRunError(
                    f"expected scores of this pool in {folder}, got those of {len(missing):,} rows that are "
                    f"not in it; give another output folder, or delete {folder}"
                )
            scores._score(rows)
        return scores

    def add(self, rows: NDArray[np.int64]) -> None:
        """Score the rows, int64, that have no scores yet."""
        new = np.setdiff1d(rows, self.rows)
        if len(new):
            self._score(new)

    def of(self, rows: NDArray[np.int64]) -> Dataset:
        """Return rows, int64, with their scores, in this order."""
        order = np.argsort(self.rows)
        return concatenate_datasets(self.parts).select(order[np.searchsorted(self.rows, rows, sorter=order)])

    def _score(self, rows: NDArray[np.int64]) -> None:
        """Score rows in a folder of their own, even if all of them are refused: others may not be."""
        part, ids = self.dataset.select(rows), [self.ids[row] for row in rows]
        place = self.folder / f"draw_{pool_digest(ids)[:16]}"
        try:
            with warnings.catch_warnings():  # of the refused rows of the pool, not of each part
                warnings.filterwarnings("ignore", ".* rows .* have no ", UserWarning)
                part = score(part, self.scorers, place, **self.options)
            record = place.with_suffix(".json")
            if not record.exists():
                write_atomically(record, json.dumps(ids).encode())
        except AllRefusedError as error:
            if error.scored is None:
                raise
            part = error.scored
        self.parts.append(part)
        self.rows = np.concatenate([self.rows, rows])


@dataclass(eq=False)
class _Draw:
    """The state of the draw.

    Attributes:
        groups: The kinds of all rows of the pool, if the method has kinds.
        labels: int64 `[n]`, each row's kind; 0 without kinds.
        repeats: int64 `[n]`, the row that each row repeats, or -1.
        queues: The rows of each kind that may be drawn: in the order of their keys, copies last.
        more: int64 `[kinds]`, rows to draw next.
        drawn: int64, all rows drawn so far.
    """

    method: Method
    budget: int
    keys: NDArray[np.uint64]
    groups: Groups | None
    labels: NDArray[np.int64]
    repeats: NDArray[np.int64]
    queues: list[NDArray[np.int64]]
    more: NDArray[np.int64]
    drawn: NDArray[np.int64]

    @classmethod
    def begin(
        cls,
        dataset: Dataset,
        method: Method,
        free: NDArray[np.int64],
        repeats: NDArray[np.int64],
        keys: NDArray[np.uint64],
        budget: int,
    ) -> "_Draw":
        """Begin with as many rows of each kind as it would give without filters, but with a few at least."""
        groups = group_rows(dataset, method)
        kinds = or_one_kind(groups, len(dataset))
        free = free[np.lexsort((keys[free], repeats[free] >= 0))]
        queues = [free[kinds.labels[free] == kind] for kind in range(len(kinds.names))]
        sizes = np.array([np.count_nonzero(repeats[queue] < 0) for queue in queues])
        more = np.maximum(
            quotas(sizes, np.maximum(sizes, 1.0), min(budget, int(sizes.sum()))), np.minimum(sizes, _FIRST)
        )
        return cls(method, budget, keys, groups, kinds.labels, repeats, queues, more, NO_ROWS)

    def next_rows(self) -> NDArray[np.int64]:
        """Return the next rows of each kind, int64, in the pool's order."""
        count = self._count(self.drawn)
        drawn = [queue[n : n + m] for queue, n, m in zip(self.queues, count, self.more, strict=True)]
        return np.sort(np.concatenate(drawn))

    def missing(self, scored: Dataset) -> NDArray[np.int64]:
        """Return how many more rows of each kind to draw, given all that were drawn, int64 `[kinds]`."""
        order = np.argsort(self.drawn)  # as in the pool
        scored, at = scored.select(order), self.drawn[order]
        pool = Candidates.read(scored, self.method.by, None)
        usable = pool.usable
        at, drawn = at[usable], self._count(self.drawn)
        there = self._count(at)
        unknown = (there == 0) & (drawn < [len(queue) for queue in self.queues])
        more = np.where(unknown, np.maximum(drawn, _FIRST), 0)
        if not len(usable):
            return more
        later = [queue[n:] for queue, n in zip(self.queues, drawn, strict=True)]
        rest = np.concatenate([NO_ROWS, *(later[kind] for kind in np.flatnonzero(~unknown))])
        with warnings.catch_warnings():  # select_diverse warns of what is skipped or ignored
            warnings.filterwarnings("ignore", ".* is (skipped|ignored): ", UserWarning)
            judged = judge(
                scored.select(usable),
                pool.scores[usable],
                self.method,
                self.groups and self.groups.take(at),
                stands_for(self.groups, at, rest[self.repeats[rest] < 0], self.keys),
                count_copies(self.repeated, self.groups)[at],
                scorer_recipes(scored, [self.method.by, self.method.over, *self.method.filter_columns]),
                self.budget,
                NO_ROWS,
            )
        left = self._count(at[judged.left])
        spare = _SPARE * missing_rows(judged, self.budget) * there / np.maximum(left, 1)
        more = np.maximum(more, np.ceil(spare).astype(np.int64))
        more[judged.unsure] = np.maximum(more[judged.unsure], there[judged.unsure])
        more = np.minimum(more, [np.count_nonzero(self.repeats[rows] < 0) for rows in later])
        if not more.any() and judged.left.sum() < self.budget:
            return np.array(list(map(len, later)))  # copies, if there are any
        return more

    @property
    def repeated(self) -> NDArray[np.int64]:
        """The row that each row repeats, int64 `[n]`; -1 for a row that repeats none or was drawn."""
        repeated = self.repeats.copy()
        repeated[self.drawn] = -1
        return repeated

    def _count(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the rows of each kind."""
        return np.bincount(self.labels[rows], minlength=len(self.queues))


def _in_pool(dataset: Dataset, scored: Dataset, draw: _Draw, ids: Sequence[str]) -> Dataset:
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
