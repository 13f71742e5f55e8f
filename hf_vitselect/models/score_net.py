"""Self-Filter's score net: a row's ease, from named scores or an embedding of it (arXiv 2402.12501)."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from datasets import Dataset, List, Value
from datasets import Sequence as SequenceFeature
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from hf_vitselect.data import columns as pool_columns
from hf_vitselect.data.columns import read_features, read_scores
from hf_vitselect.errors import ColumnError, ModelError
from hf_vitselect.models.weights import load_errors, refuse_unmatched_weights

_NOT_GRADED = ("image_missing", "bad_row")


class ScoreNet(nn.Module, PyTorchModelHubMixin, library_name="hf_vitselect", tags=["data-selection"]):
    """A map of a row's columns to one number; `ScoreNetTrainer` trains it, `ScoreNetScorer` negates it.

    The first stage of Self-Filter (arXiv 2402.12501): a linear map without bias over either several score
    columns (the paper: CLIP score, ImageReward, an LLM's grade), each scaled to [-1, 1] over the pool, or one
    embedding column (the paper: 1536-d CLIP). The columns' order and scaling are saved with the net. A score
    outside the pool's range maps outside [-1, 1].

    Where scores are missing for lack of an image (`image_missing`) or of a readable grade (`bad_row`), a row
    takes the means of those columns, as the paper does for its judge. Any other status, or no score at all,
    leaves the row without a number.

    `ScoreNet.fit` makes a net with the scaling of a pool.

    Args:
        columns: names of the input columns, in order; exactly one for an embedding.
        scaling: lowest, highest and mean value of every score column; None for an embedding.
        width: dimensions of the embedding; None for scores.
        hidden: units of one hidden layer (GELU); None is the paper's linear map.

    Raises:
        ValueError: for anything but scores with their scaling, or one embedding with its width.

    Examples:
        >>> net = ScoreNet(["clip_score", "judge"], scaling=[(0.1, 0.4, 0.3), (0.0, 10.0, 7.0)])
        >>> net.scale(np.array([[0.4, 5.0], [np.nan, 10.0]])).round(2).tolist()
        [[1.0, 0.0], [0.33, 1.0]]
    """

    def __init__(
        self,
        columns: Sequence[str],
        *,
        scaling: Sequence[Sequence[float]] | None = None,
        width: int | None = None,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        scores = scaling is not None and width is None and len(scaling) == len(columns) > 0
        embedding = scaling is None and width is not None and len(columns) == 1
        if not (scores or embedding):
            raise ValueError(
                "expected score columns with (low, high, mean) of each as scaling=, or one embedding column "
                f"with its width=; got {list(columns)}, {scaling}, {width}; ScoreNet.fit finds them in a pool"
            )
        self.columns = list(columns)
        self.scaling = None if scaling is None else np.asarray(scaling, dtype=np.float64)
        self.width = len(self.columns) if width is None else width
        self.layers: nn.Module = nn.Linear(self.width, 1, bias=False)
        if hidden is not None and hidden < 1:
            raise ValueError(f"hidden: expected 1 or more units, got {hidden}")
        if hidden is not None:
            self.layers = nn.Sequential(
                nn.Linear(self.width, hidden), nn.GELU(), nn.Linear(hidden, 1, bias=False)
            )

    @classmethod
    def fit(
        cls, pool: Dataset, columns: str | Sequence[str], *, hidden: int | None = None, seed: int = 0
    ) -> "ScoreNet":
        """Make an untrained net for columns of a pool.

        Args:
            pool: with the columns; rows without a score do not count for the scaling.
            columns: numeric columns, or one column of vectors.
            hidden: units of one hidden layer; None is the paper's linear map.
            seed: of the initial weights.

        Raises:
            ColumnError: if a column is missing, has another type or no usable row.
        """
        columns = [columns] if isinstance(columns, str) else list(columns)
        pool_columns.refuse_missing(columns, pool.column_names, "expected a column", "score the pool first")
        scaling, width = None, None
        if len(columns) == 1 and not isinstance(pool.features[columns[0]], Value):
            width = _width(pool.features[columns[0]], columns[0])
        else:
            scaling = [_scaling(pool, name) for name in columns]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(columns, scaling=scaling, width=width, hidden=hidden)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The net's outputs for float32 inputs of shape (rows, width), from `scale` or `read`.

        Returns:
            float32 of shape (rows,); higher = easier, and more weight in training.
        """
        with torch.autocast(inputs.device.type, enabled=False):
            outputs: torch.Tensor = self.layers(inputs.float()).squeeze(-1)
            return outputs

    def row_inputs(self, row: Mapping[str, Any]) -> NDArray[np.float32]:
        """One row's inputs, of shape (width,)."""
        if self.scaling is None:
            return np.asarray(row[self.columns[0]], dtype=np.float32)
        values = [np.nan if row[name] is None else row[name] for name in self.columns]
        inputs: NDArray[np.float32] = self.scale(np.array([values], dtype=np.float64))[0]
        return inputs

    @property
    def kind(self) -> Any:
        """The type of an input column."""
        return List(Value("float32"), length=self.width) if self.scaling is None else Value("float64")

    def is_batch(self, columns: Mapping[str, Any]) -> bool:
        """Whether these columns hold several rows: a batch has one dimension more than a row."""
        value: Any = columns.get(self.columns[0])
        if self.scaling is not None or value is None:
            return np.ndim(value) == 1
        return value[0] is None or np.ndim(value[0]) == 1

    def read(self, rows: Dataset) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
        """The inputs of many rows.

        Returns:
            float32 of shape (rows, width), and each row's status; the numbers of a row that is not `ok` have
            no meaning.

        Raises:
            ColumnError: if a column is missing or has another type or width.
        """
        if missing := [name for name in self.columns if name not in rows.column_names]:
            raise ColumnError(f"the score net reads {missing}, got {rows.column_names}; add those columns")
        if self.scaling is None:
            features, statuses = read_features(rows, self.columns[0])
            if not (statuses == "ok").any():  # the vectors' length is unknown too
                return np.zeros((len(rows), self.width), dtype=np.float32), statuses
            if features.shape[1] != self.width:
                raise ColumnError(
                    f"the score net was made for {self.width} dimensions in {self.columns[0]!r}, "
                    f"got {features.shape[1]}; give the embedding that it was trained on"
                )
            return features, statuses
        read = [read_scores(rows, name) for name in self.columns]
        values, statuses = (np.stack(arrays, axis=1) for arrays in zip(*read, strict=True))
        return self.scale(np.where(statuses == "ok", values, np.nan)), _row_statuses(statuses)

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scale scores to inputs, so that each column's range over the pool becomes [-1, 1].

        Args:
            values: float64 of shape (rows, columns); NaN becomes the column's mean.
        """
        assert self.scaling is not None
        low, high, mean = self.scaling.T
        filled = np.where(np.isnan(values), mean, values)
        spread = np.where(high > low, high - low, np.inf)
        scaled = np.where(high > low, 2 * (filled - low) / spread - 1, 0.0)
        return scaled.astype(np.float32)

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        """Load every weight, of the right shape, or none."""
        own = model.state_dict()
        with load_errors(model_file, what="the weights of a score net"):
            held = load_file(model_file, device=map_location)
        shared = own.keys() & held.keys()
        misshapen = [name for name in shared if own[name].shape != held[name].shape]
        refuse_unmatched_weights(
            f"the score net of {model.columns}", own.keys() - shared, held.keys() - shared, misshapen
        )
        model.load_state_dict(held)
        return model.eval()

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        raise ModelError(f"expected a score net with model.safetensors, got {model_file}; save it again")

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card that `save_pretrained` and `push_to_hub` write."""
        template = (files("hf_vitselect.hub_cards") / "score_net.md.jinja").read_text()
        weights = self.layers.weight[0].tolist() if isinstance(self.layers, nn.Linear) else None
        scaling = None if self.scaling is None else self.scaling.tolist()
        shown: dict[str, Any] = {"columns": self.columns, "scaling": scaling, "weights": weights}
        data = self._hub_mixin_info.model_card_data
        card: ModelCard = ModelCard.from_template(
            card_data=data, template_str=template, width=self.width, linear=weights is not None, **shown
        )
        return card


def _scaling(pool: Dataset, column: str) -> tuple[float, float, float]:
    scores, statuses = read_scores(pool, column)
    usable = scores[statuses == "ok"]
    if len(usable) == 0:
        raise ColumnError(f"expected scores in {column!r}, but no row has one; score the pool again")
    return float(usable.min()), float(usable.max()), float(usable.mean())


def _width(kind: Any, column: str) -> int:
    if not isinstance(kind, (List, SequenceFeature)) or kind.length < 1:
        raise ColumnError(
            f"expected numbers or vectors of a fixed length in {column!r}, got {kind}; "
            "cast the column to List(Value('float32'), length=...)"
        )
    return int(kind.length)


def _row_statuses(statuses: NDArray[np.object_]) -> NDArray[np.object_]:
    """Merge the statuses of scores, of shape (rows, columns), into one for every row."""
    merged = np.full(len(statuses), "ok", dtype=object)
    graded = (statuses == "ok").any(axis=1)
    for column in range(statuses.shape[1] - 1, -1, -1):
        status = statuses[:, column]
        fails = (status != "ok") & ~(np.isin(status, _NOT_GRADED) & graded)
        merged[fails] = status[fails]
    return merged
