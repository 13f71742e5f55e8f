"""Scores a pool shard by shard, so that a killed run goes on where it was."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, concatenate_datasets
from tqdm.auto import tqdm

from hf_vitselect.engines.ledger import Ledger
from hf_vitselect.errors import ColumnError, LayoutError
from hf_vitselect.measuring import join
from hf_vitselect.rows import find_layout, row_ids
from hf_vitselect.scorer import Scorer, refuse_overwrite
from hf_vitselect.sources import pool_source

_RECORD = "hf_vitselect: "


def score(
    dataset: Dataset,
    scorers: Scorer | Sequence[Scorer],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    shard_size: int = 500,
) -> Dataset:
    """Attaches the columns of one or several scorers to a pool.

    Scorers of the same model and settings share its forwards: a view of a row is measured once for all of
    them. The numbers are those that each would give alone.

    Args:
        dataset: the pool; any conversation layout.
        scorers: what to attach.
        output_dir: keeps every finished shard as Parquet; the same call goes on after a crash. Without
            it the work is that of ``dataset.map(scorer, batched=True)``; scorers that share forwards are
            cached together.
        shard_size: rows in one shard; at most so many are lost in a crash.

    Returns:
        The pool with the columns joined, images byte for byte as they were. It remembers its scorers,
        and `select_diverse` writes them into the recipe.

    Raises:
        ColumnError: if a column would be overwritten, or two scorers add the same one.
        LayoutError: if the columns are no known conversation layout, or there are no rows.
        StaleRunError: if ``output_dir`` holds shards of other scorers or of another pool.
    """
    scorers = [scorers] if isinstance(scorers, Scorer) else list(scorers)
    if not isinstance(dataset, Dataset):
        raise LayoutError(f"expected a datasets.Dataset (one split), got {type(dataset).__name__}")
    dataset = dataset.with_format(None)  # a format may decode pictures
    find_layout(dataset.column_names)
    if len(dataset) == 0:
        raise LayoutError("expected rows to score, got an empty data set")
    added: list[str] = []
    for scorer in scorers:
        refuse_overwrite(scorer, dataset.column_names)
        if twice := [name for name in scorer.features if name in added]:
            raise ColumnError(f"two scorers add {twice}; give one of them another column=")
        added.extend(scorer.features)
    record = {
        "source": recorded_source(dataset),
        "scorers": recorded_scorers(dataset) + [scorer.recipe() for scorer in scorers],
    }
    if output_dir is None:
        columns = [*dataset.column_names, *added]
        for scorer in join(scorers):
            dataset = dataset.map(
                scorer, batched=True, batch_size=shard_size, desc=f"Scoring {scorer.column}"
            )
        # Where scorers were joined, theirs stand side by side.
        scored = dataset if dataset.column_names == columns else dataset.select_columns(columns)
    else:
        scored = concatenate_datasets(
            [dataset, _sharded_columns(dataset, scorers, output_dir, shard_size)], axis=1
        )
    scored.info.description = _describe(dataset.info.description or "", record)
    return scored


def recorded_scorers(dataset: Dataset) -> list[dict[str, Any]]:
    """The recipes of the scorers that `score` has attached to this pool, in order."""
    scorers: list[dict[str, Any]] = _recorded(dataset).get("scorers", [])
    return scorers


def recorded_source(dataset: Dataset) -> dict[str, Any]:
    """Where this pool came from when `score` saw it first, or comes from now."""
    source: dict[str, Any] = _recorded(dataset).get("source") or pool_source(dataset)
    return source


def pool_digest(ids: Sequence[str]) -> str:
    """sha256 over a pool's row ids in order: the same pool on any machine, whatever its other columns."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _sharded_columns(
    dataset: Dataset, scorers: Sequence[Scorer], output_dir: str | os.PathLike[str], shard_size: int
) -> Dataset:
    ids = row_ids(dataset)
    settings = {
        "pool": pool_digest(ids),
        "rows": len(ids),
        "shard_size": shard_size,
        "scorers": [scorer.recipe() for scorer in scorers],
    }
    read = [name for scorer in scorers for name in scorer.reads if name in dataset.column_names]
    if read:
        settings["reads"] = {name: _column_digest(dataset, name) for name in read}
    ledger = Ledger(output_dir, settings)
    wanted = [*find_layout(dataset.column_names).columns, *read]
    inputs = dataset.select_columns(list(dict.fromkeys(wanted)))
    features = Features({name: kind for scorer in scorers for name, kind in scorer.features.items()})
    starts = range(0, len(ids), shard_size)
    joined = join(scorers)
    with tqdm(total=len(ids), desc="Scoring", unit="row") as progress:
        for shard, start in enumerate(starts):
            stop = min(start + shard_size, len(ids))
            if not ledger.path(shard).exists():
                table = inputs.with_format("arrow")[start:stop]
                for scorer in joined:
                    table = scorer(table)
                columns = [table.column(name).combine_chunks() for name in features]
                ledger.write(shard, pa.Table.from_arrays(columns, schema=features.arrow_schema))
            progress.update(stop - start)
    files = [str(ledger.path(shard)) for shard in range(len(starts))]
    return Dataset.from_parquet(files, features=features, cache_dir=str(ledger.folder / "joined"))


def _column_digest(dataset: Dataset, name: str) -> str:
    digest = hashlib.sha256()
    for table in dataset.select_columns([name]).with_format("arrow").iter(batch_size=1000):
        # Taken anew, equal values have equal bytes, wherever in a larger buffer they lay.
        values = table.column(0).combine_chunks().take(pa.array(range(len(table))))
        digest.update(pa.RecordBatch.from_arrays([values], [name]).serialize())
    return digest.hexdigest()


def _recorded(dataset: Dataset) -> dict[str, Any]:
    """What `score` has written into the data set's description, which survives maps and saving."""
    for line in (dataset.info.description or "").splitlines():
        if line.startswith(_RECORD):
            record: dict[str, Any] = json.loads(line.removeprefix(_RECORD))
            return record
    return {}


def _describe(description: str, record: Mapping[str, Any]) -> str:
    kept = [line for line in description.splitlines() if not line.startswith(_RECORD)]
    return "\n".join([*kept, _RECORD + json.dumps(record)])
