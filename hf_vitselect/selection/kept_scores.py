"""Scores of some rows of a pool, kept in a folder so that no row is scored twice."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray

from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.errors import AllRefusedError, StaleRunError
from hf_vitselect.resume import write_atomically
from hf_vitselect.rules.base import NO_ROWS
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scoring.score import score
from hf_vitselect.selection.named_rows import find_rows


@dataclass(eq=False)
class KeptScores:
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
    ) -> "KeptScores":
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
