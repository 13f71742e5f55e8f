"""Whether a similar row helps with the answer (MIWV, arXiv 2511.07074)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_features
from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.image_roots import image_access, mark_access
from hf_vitselect.data.row_ids import content_hash, row_contents
from hf_vitselect.data.rows import read_table, refuse_transform
from hf_vitselect.errors import ColumnError, RowError
from hf_vitselect.rules.neighbors.nearest_rows import nearest_rows
from hf_vitselect.scorers.base.response import ResponseScorer, ViewStats
from hf_vitselect.scorers.base.views import View, whole


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Each row's nearest other row."""

    pool: Dataset  # with the columns of the conversations only
    nearest: NDArray[np.int64]  # -1 for a row without a usable embedding
    _indices: dict[str, int] = field(default_factory=dict, repr=False)

    def of(self, row: Conversation) -> Conversation:
        """The row nearest to this one. Raises RowError if the pool does not have it or its embedding."""
        if not self._indices:
            self._indices.update((content, i) for i, content in enumerate(row_contents(self.pool)))
        index = self._indices.get(content_hash(row), -1)
        if index < 0 or self.nearest[index] < 0:
            raise RowError(
                "bad_row", "it has no nearest row: it is not in the pool given to fit, or was not embedded"
            )
        nearest = int(self.nearest[index])
        table = self.pool.with_format("arrow")[nearest : nearest + 1]
        (example,) = read_table(mark_access(table, image_access(self.pool)))
        if isinstance(example, RowError):
            raise RowError("bad_row", f"its nearest row cannot be read: {example}")
        return example

    def __getstate__(self) -> dict[str, Any]:
        return {"pool": self.pool, "nearest": self.nearest}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in {**state, "_indices": {}}.items():
            object.__setattr__(self, name, value)

    def recipe(self) -> dict[str, Any]:
        """The number of rows and the pool's fingerprint."""
        return {"rows": len(self.nearest), "fingerprint": self.pool._fingerprint}


@dataclass(kw_only=True, eq=False)
class MIWVScorer(ResponseScorer):
    """The response's mean loss after the most similar row as an example, minus its mean loss without it.

    Where an example of the same kind does not help with the answer, or disturbs, the model has something to
    learn. Unofficial re-implementation of MIWV (arXiv 2511.07074); differences in docs/papers.md. The
    example is the nearest row by the given column: its text and images stand before the first question.

    Made by `MIWVScorer.fit`. Adds `miwv` (float32, nats per response token, any sign, higher = more to
    learn), `miwv_status` and `miwv_reason`. A row that was not in the pool of `fit` or had no embedding is
    `bad_row`. Costs two forwards per row, one of them longer.

    Examples:
        >>> miwv = MIWVScorer.fit(pool, "llava-hf/llava-1.5-7b-hf", over="embedding")  # doctest: +SKIP
        >>> scored = pool.map(miwv, batched=True)  # doctest: +SKIP
    """

    column: str = "miwv"
    neighbors: Neighbors

    cost = "2 forwards, one of them longer"
    needs = "a vision-language model, an embedding"
    not_in_forward = (*ResponseScorer.not_in_forward, "neighbors")

    @classmethod
    def fit(cls, pool: Dataset, model: str, *, over: str = "embedding", **options: Any) -> "MIWVScorer":
        """Find each row's nearest other row.

        Args:
            pool: the rows to score, in any conversation layout, with an embedding column.
            model: the model before fine-tuning, a Hub id or a folder.
            over: the embedding column.
            **options: `column`, and as in `ModelOptions`.

        Raises:
            ColumnError: if the column is missing, is not of vectors, or fewer than two rows have one.
        """
        cls.check_fit(pool.column_names, model, over=over, **options)
        features, statuses = read_features(pool, over)
        usable = np.flatnonzero(statuses == "ok")
        if len(usable) < 2:
            raise ColumnError(f"expected two rows with a vector in {over!r}, got {len(usable)}")
        nearest = np.full(len(pool), -1, dtype=np.int64)
        nearest[usable] = usable[nearest_rows(features[usable], 1)[0][:, 0]]
        refuse_transform(pool)
        columns = list(find_layout(pool.features).needed_columns)
        neighbors = Neighbors(pool.with_format(None).select_columns(columns), nearest)
        return cls(model, neighbors=neighbors, **options)

    @classmethod
    def check_fit(
        cls, columns: Sequence[str] | None, model: str, *, over: str = "embedding", **options: Any
    ) -> "MIWVScorer":
        """Check the arguments of `fit`, and the pool's columns if known; make a scorer of no rows."""
        if columns is not None and over not in columns:
            raise ColumnError(f"expected the column {over!r}, got {list(columns)}; embed the pool first")
        none = Neighbors(Dataset.from_dict({}), np.empty(0, dtype=np.int64))
        return cls(model, neighbors=none, **options)

    @property
    def views(self) -> tuple[View, ...]:
        """The whole row, and the row after its example."""
        return (whole, self._after_example)

    def value(self, stats: ViewStats) -> float:
        """The loss that the example adds."""
        return stats[self._after_example].mean - stats[whole].mean

    def _after_example(self, row: Conversation) -> Conversation:
        example = self.neighbors.of(row)
        parts: list[str | None] = ["Here is an example.\n"]
        for turn in example.turns:
            parts += [f"{turn.role.upper()}: ", *turn.parts, *(f"{call}\n" for call in turn.calls), "\n"]
        first = next((i for i, turn in enumerate(row.turns) if turn.role == "user"), None)
        if first is None:
            raise RowError("bad_row", "it has no question that an example could precede")
        question = Turn("user", (*parts, "Now answer this.\n", *row.turns[first].parts))
        turns = (*row.turns[:first], question, *row.turns[first + 1 :])
        before = sum(part is None for turn in row.turns[:first] for part in turn.parts)
        images = (*row.images[:before], *example.images, *row.images[before:])
        return replace(row, turns=turns, images=images)
