"""The contract of every scorer.

A scorer is a callable for `datasets.Dataset.map` that adds columns and changes nothing else. Its state is its
configuration. What it loads is in attributes that start with an underscore and are not pickled, so the cache
fingerprint is the same before and after a call and in every process.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from datasets import Dataset, Features, Value

from hf_vitselect.call_text import check_fields
from hf_vitselect.data.columns import LENGTHS, RESERVED, refuse_reserved
from hf_vitselect.data.dataset_layout import is_conversation_column
from hf_vitselect.data.image_files import mapped_files_digest
from hf_vitselect.data.image_roots import ACCESS, mapped_access, mapped_dataset, mark_access
from hf_vitselect.data.refusals import reason_of
from hf_vitselect.data.rows import read_mapping, read_table, refuse_transform
from hf_vitselect.errors import ColumnError, LayoutError, ModelError, RowError
from hf_vitselect.models.revisions import identify, is_pinned


@dataclass(kw_only=True, eq=False)
class Scorer(ABC):
    """A column of scores for every row of a pool.

    A subclass sets its configuration as public attributes, names its columns in `values` and computes them
    in `score_rows`. A row that cannot be scored gets nulls, a status and the reason.

    Args:
        column: name of the main column.
        model: a Hub id or a folder; None for a scorer without a model.
        revision: a commit, branch or tag on the Hub.

    Raises:
        ColumnError: if the column's name already has a meaning in a pool, or could not name a folder.
        ValueError: if an argument has the wrong type.
    """

    column: str
    model: str | None = None
    revision: str | None = None

    cost: ClassVar[str] = ""
    """What a row costs: forwards, gradients or requests. Shown on the methods page."""

    needs: ClassVar[str] = ""
    """What the scorer requires. Shown on the methods page."""

    version: ClassVar[int] = 1
    """Part of the cache fingerprint. Increment it when the same configuration gives other numbers."""

    def __post_init__(self) -> None:
        refuse_name(self.column)
        model: Any = self.model
        self.model = str(model) if isinstance(model, os.PathLike) else model
        check_fields(self, Scorer)
        self._start_empty()

    def _start_empty(self, commit: dict[str, Any] | None = None) -> None:
        self._rank: int | None = None
        self._commit = commit
        self._loaded: tuple[dict[str, Any], Any] | None = None

    @property
    @abstractmethod
    def values(self) -> Features:
        """The columns of a scored row's values, the main one first, with their exact types."""

    @property
    def features(self) -> Features:
        """All columns that this scorer adds: the values, the status, the reason."""
        text = Value("string")
        return Features({**self.values, self.status_column: text, self.reason_column: text})

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that are read besides the conversation's."""
        return ()

    def read(self, batch: pa.Table | Mapping[str, Any]) -> tuple[Any, bool]:
        """The argument of `score_rows`, by default conversations, and whether it is several rows."""
        return (read_table(batch), True) if isinstance(batch, pa.Table) else read_mapping(batch)

    @abstractmethod
    def score_rows(self, rows: Any) -> Sequence[tuple[Any, ...] | RowError]:
        """Score rows.

        Args:
            rows: a batch from `read`: conversations, or the errors of those that could not be read.

        Returns:
            For each row its values, in the order of `values`, or the error that explains why it has none.
        """

    def columns(self, rows: Any) -> dict[str, list[Any]]:
        """The cells of every column of `features`, for rows as in `score_rows`."""
        return self.fill(self.score_rows(rows))

    def fill(self, scored: Sequence[tuple[Any, ...] | RowError]) -> dict[str, list[Any]]:
        """Turn the result of `score_rows` into cells: the one place where an error becomes a status."""
        columns = {
            name: [row.known.get(name) if isinstance(row, RowError) else row[i] for row in scored]
            for i, name in enumerate(self.values)
        }
        columns[self.status_column] = [row.status if isinstance(row, RowError) else "ok" for row in scored]
        columns[self.reason_column] = [
            reason_of(row) if isinstance(row, RowError) else None for row in scored
        ]
        return columns

    def load(self, identity: Mapping[str, Any]) -> Any:
        """Load the model for `score_rows`, at the first row and again when a folder's files change.

        Args:
            identity: the exact weights, as `hf_vitselect.models.revisions.identify` names them.
        """
        return None

    @property
    def loaded(self) -> Any:
        """The result of `load` for the current weights."""
        identity = self._identity()
        if self._loaded is None or self._loaded[0] != identity:
            loaded = self.load(identity)
            if self._identity() != identity:
                raise ModelError(
                    f"expected the files of {self.model} not to change while they are loaded, but they did; "
                    "score again when nothing writes there"
                )
            self._loaded = (identity, loaded)
        return self._loaded[1]

    @property
    def status_column(self) -> str:
        """The name of the status column: `ok`, or the kind of reason why a row has no score."""
        return f"{self.column}_status"

    @property
    def reason_column(self) -> str:
        """The name of the column with the reason in words; null where the status is `ok`."""
        return f"{self.column}_reason"

    def __call__(self, batch: Any, rank: int | None = None, *_: Any) -> Any:
        """Score a row or a batch of rows, as `datasets.Dataset.map` gives them.

        Args:
            batch: a lazy row or batch of `datasets`, an Arrow table, or a plain mapping.
            rank: the worker's number, which picks its GPU.

        Returns:
            The Arrow table with the columns appended, so `remove_columns` of `map` has no effect; for a plain
            mapping only the new columns.

        Raises:
            ColumnError: if a column would be overwritten.
            LayoutError: if the columns are not a known conversation layout.
        """
        self._rank = rank
        table = batch if isinstance(batch, pa.Table) else getattr(batch, "pa_table", None)
        if table is None and not hasattr(batch, "keys"):
            raise LayoutError(
                f"expected a row or batch with its columns' names, got {type(batch).__name__}; leave out "
                "input_columns= of map: the scorer reads only what it needs, and images stay as they are"
            )
        refuse_overwrite(self, table.column_names if table is not None else list(batch))
        mapped = mapped_dataset()
        if table is None and isinstance(mapped, Dataset):
            refuse_transform(mapped)
            raise LayoutError(
                f"expected rows as they are stored, got them in the format {mapped.format['type']!r}, which "
                "converts them; remove it with dataset.with_format(None)"
            )
        if table is None:
            given: Any = {**batch, ACCESS: mapped_access(mapped)}
        else:  # A task has marked its tables.
            given = table if mapped is None else mark_access(table, mapped_access(mapped))
        rows, batched = self.read(given)
        columns = self.columns(rows)
        if table is None:
            return columns if batched else {name: values[0] for name, values in columns.items()}
        for field in self.features.arrow_schema:
            table = table.append_column(field, pa.array(columns[field.name], type=field.type))
        return table

    def recipe(self) -> dict[str, Any]:
        """Origin of the scores, as plain JSON: class, configuration, exact weights, code version.

        Batch sizes are left out, so that a run that ran out of memory can resume with smaller ones.
        """
        sizes = ("batch_size", "batch_tokens")
        state = {name: value for name, value in self.__getstate__().items() if name not in sizes}
        plain = {name: value.recipe() if hasattr(value, "recipe") else value for name, value in state.items()}
        return {"scorer": type(self).__name__, **plain}

    def __getstate__(self) -> dict[str, Any]:
        public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        state = public | {"identity": self._identity(), "version": self.version}
        files = mapped_files_digest()
        return state | {"files": files} if files else state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        configuration = dict(state)
        identity = configuration.pop("identity")
        del configuration["version"]
        configuration.pop("files", None)
        vars(self).update(configuration)
        self._start_empty(identity if is_pinned(identity) else None)

    def _identity(self) -> dict[str, Any]:
        """The exact weights; a Hub commit is resolved once, a folder is checked every time."""
        if self.model is None:
            return {}
        if self._commit is not None:
            return self._commit
        identity = self.identify()
        if is_pinned(identity):
            self._commit = identity
        return identity

    def identify(self) -> dict[str, Any]:
        """The exact weights in fingerprint and recipe, as plain JSON."""
        return identify(str(self.model), self.revision)

    def _device(self) -> str:
        from hf_vitselect.models.worker_gpu import worker_device

        return worker_device(self._rank)


def refuse_overwrite(scorer: Scorer, columns: Sequence[str]) -> None:
    """Refuse to score a pool that already has one of the scorer's columns, or a reserved name."""
    refuse_reserved(dict.fromkeys(columns))
    if reserved := [name for name in scorer.features if name in RESERVED]:
        raise ColumnError(
            f"{type(scorer).__name__} would add {reserved}, which Selection.scores adds; give it other names"
        )
    refuse_taken(type(scorer).__name__, list(scorer.features), columns)


def refuse_taken(scorer: str, added: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse to add columns that a pool already has."""
    if taken := [name for name in added if name in columns]:
        raise ColumnError(
            f"{scorer} would overwrite {taken}; "
            f"remove them with dataset.remove_columns({taken}), or give the scorer another column= (--suffix)"
        )


def refuse_name(column: Any) -> None:
    """Refuse what cannot be the name of a scorer's column, which also names folders."""
    if not isinstance(column, str) or not column:
        raise ColumnError(f"column: expected a name, got {column!r}")
    if any(sign in column for sign in "/\\\0"):
        raise ColumnError(f"column: expected a name without slashes, got {column!r}; give another one")
    ours = column in (*RESERVED, LENGTHS) or is_conversation_column(column)
    if ours or column.endswith(("_status", "_reason")):
        raise ColumnError(
            f"column: expected a new name, got {column!r}, which already has a meaning in a pool; "
            f"give another one, such as {column + '_score'!r}"
        )
