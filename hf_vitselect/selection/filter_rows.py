"""The rows of a scored pool as the filters of a method see them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import is_numeric, read_features, read_scores, read_values
from hf_vitselect.data.rows import read_texts
from hf_vitselect.data.text import first_answers
from hf_vitselect.filters.base import Rows
from hf_vitselect.rules.base import NO_ROWS
from hf_vitselect.scorers import SCORERS, ClipEmbedding
from hf_vitselect.selection.groups import Groups, or_one_kind
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.sample import Sample
from hf_vitselect.selection.scorer_recipes import ScorerRecipe


def filter_rows(
    dataset: Dataset,
    scores: NDArray[np.float64],
    method: Method,
    groups: Groups | None,
    scorers: Sequence[ScorerRecipe],
    sample: Sample,
    budget: int,
    picked: NDArray[np.int64] = NO_ROWS,
) -> Rows:
    """Gather what the method's filters look at; `dataset` holds the n rows that could be picked."""
    rows = len(dataset)
    kinds = or_one_kind(groups, rows)
    asks = any(each.uses_answers for each in method.filters)
    made_by = next((each.scorer for each in scorers if each.column == method.over), None)
    has_features = method.over in dataset.column_names and method.uses_image_features
    return Rows(
        scores=scores,
        columns={
            name: _filter_column(dataset, name)
            for name in method.filter_columns
            if name in dataset.column_names
        },
        kinds=kinds.labels,
        kind_names=kinds.names,
        answers=first_answers(read_texts(dataset)) if asks else np.full(rows, "", dtype=object),
        image_features=_image_features(dataset, method.over)
        if has_features and made_by == ClipEmbedding.__name__
        else None,
        pool=dataset,
        left=np.ones(rows, dtype=np.bool_),
        picked=picked,
        budget=budget,
        weights=sample.weights,
        copies=sample.copies,
        no_score=None if method.by in dataset.column_names else method.by,
        unknown_features=method.over if has_features and made_by not in SCORERS else None,
    )


def _filter_column(dataset: Dataset, name: str) -> NDArray[Any]:
    """A column with NaN or None where a row has no usable value."""
    if not is_numeric(dataset.features[name]):
        return read_values(dataset, name)
    values, statuses = read_scores(dataset, name)
    return np.where(statuses == "ok", values, np.nan)


def _image_features(dataset: Dataset, over: str) -> NDArray[np.float32]:
    """The image half of CLIP embeddings."""
    features, _ = read_features(dataset, over)
    return features[:, : features.shape[1] // 2]
