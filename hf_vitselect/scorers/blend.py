"""Several scores as one."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from datasets import Dataset, Features, Value
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_scores, refuse_missing
from hf_vitselect.errors import ColumnError, RowError
from hf_vitselect.scorers.base.columns import ColumnScorer


@dataclass(frozen=True, eq=False)
class Ranks:
    """The fraction of a pool's scores that are lower, 0 to 1; ties count half."""

    values: NDArray[np.float64]  # the pool's scores, ascending

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The ranks, float64 of the same shape."""
        below, up_to = (np.searchsorted(self.values, scores, side=side) for side in ("left", "right"))
        ranks: NDArray[np.float64] = (below + up_to) / (2 * len(self.values))
        return ranks

    def recipe(self) -> dict[str, Any]:
        """The number of scores and their digest."""
        return {"rows": len(self.values), "digest": hashlib.sha256(self.values.tobytes()).hexdigest()}


@dataclass(frozen=True)
class Standard:
    """Scores minus their pool's mean, divided by its standard deviation; 0 if that is 0."""

    mean: float
    deviation: float

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The standard scores, float64 of the same shape."""
        return (scores - self.mean) / (self.deviation or np.inf)

    def recipe(self) -> dict[str, Any]:
        """Mean and deviation."""
        return {"mean": self.mean, "deviation": self.deviation}


class Blend(ColumnScorer):
    """A weighted sum of normalized scores, or a product of their powers.

    `Blend.fit` makes one, normalized over the pool to score. Adds `blend` (float32), `blend_status` and
    `blend_reason`. A row that lacks one of the scores has no blend, and that score's status. Costs
    nothing.

    Args:
        weights: the columns and their weights.
        scales: the normalization of each column; others are taken as they are.
        product: as in `fit`.
        column: name of the main column.

    Examples:
        >>> blend = Blend.fit(scored, {"necessity": 1.0, "clip_score": 0.5})  # doctest: +SKIP
        >>> scored = scored.map(blend, batched=True)  # doctest: +SKIP
    """

    cost = "nothing"

    def __init__(
        self,
        weights: Mapping[str, float],
        scales: Mapping[str, Ranks | Standard] | None = None,
        *,
        product: bool = False,
        column: str = "blend",
    ) -> None:
        super().__init__(column=column)
        self.weights = dict(weights)
        self.scales = dict(scales or {})
        self.product = product

    @classmethod
    def fit(
        cls,
        pool: Dataset,
        weights: Mapping[str, float],
        *,
        normalize: Literal["rank", "z"] | None = "rank",
        product: bool = False,
        column: str = "blend",
    ) -> "Blend":
        """Fit the normalization to a pool.

        Args:
            pool: with the columns; rows without a score do not count.
            weights: the columns and their weights; a negative weight reverses a score.
            normalize: `"rank"` among the pool's scores (0 to 1), `"z"` (minus the mean, divided by the
                standard deviation), or None.
            product: whether to multiply the scores to the power of their weights instead of adding weighted
                scores. D3 (arXiv 2503.11441) multiplies difficulty and dependability; scores must not be
                negative.
            column: name of the main column.

        Raises:
            ColumnError: if a column is missing, is not numeric or has no score.
            ValueError: if no column is given, or `normalize` is unknown.
        """
        cls.check_fit(pool.column_names, weights, normalize=normalize, product=product, column=column)
        scales: dict[str, Ranks | Standard] = {}
        for name in weights:
            scores, statuses = read_scores(pool, name)
            usable = scores[statuses == "ok"]
            if not len(usable):
                raise ColumnError(f"expected scores in {name!r}, but no row has one; score the pool again")
            if normalize == "rank":
                scales[name] = Ranks(np.sort(usable))
            elif normalize == "z":
                scales[name] = Standard(float(usable.mean()), float(usable.std()))
        return cls(weights, scales, product=product, column=column)

    @classmethod
    def check_fit(
        cls,
        columns: Sequence[str] | None,
        weights: Mapping[str, float],
        *,
        normalize: Literal["rank", "z"] | None = "rank",
        product: bool = False,
        column: str = "blend",
    ) -> "Blend":
        """Check the arguments of `fit`, and the pool's columns if known; make a blend without scales."""
        if not weights:
            raise ValueError("expected columns with weights, got none")
        if normalize not in ("rank", "z", None):
            raise ValueError(f"normalize: expected 'rank', 'z' or None, got {normalize!r}")
        if columns is not None:
            refuse_missing(weights, columns, "expected a column", "score the pool first")
        return cls(weights, product=product, column=column)

    @property
    def values(self) -> Features:
        """The blend."""
        return Features({self.column: Value("float32")})

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The blended columns."""
        return {name: Value("float64") for name in self.weights}

    def score_rows(self, rows: Dataset) -> list[tuple[Any, ...] | RowError]:
        """Blend the rows that have all scores."""
        if missing := [name for name in self.weights if name not in rows.column_names]:
            raise ColumnError(f"the blend reads {missing}, got {rows.column_names}; add those columns")
        blend = np.ones(len(rows)) if self.product else np.zeros(len(rows))
        merged = np.full(len(rows), "ok", dtype=object)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            for name, weight in self.weights.items():
                scores, statuses = read_scores(rows, name)
                merged = np.where(merged == "ok", statuses, merged)
                scaled = self.scales[name](scores) if name in self.scales else scores
                blend = blend * scaled**weight if self.product else blend + weight * scaled
            values = blend.astype(np.float32)
        return self.values_or_errors(rows, values.tolist(), merged)

    def recipe(self) -> dict[str, Any]:
        """The recipe, with each scale's parameters or their digest."""
        named = self.scales.items()
        scales = {name: {"scale": type(scale).__name__, **scale.recipe()} for name, scale in named}
        return super().recipe() | {"scales": scales}
