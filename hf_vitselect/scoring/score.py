"""Score a pool shard by shard, so that a killed run resumes."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pyarrow as pa
from datasets import Dataset, Features, IterableDataset, concatenate_datasets

from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.image_files import files_digest, image_files
from hf_vitselect.data.image_roots import image_access, mark_access
from hf_vitselect.data.provenance import recorded_scorers, recorded_source, with_record
from hf_vitselect.data.refusals import Refusals, refuse_if_none_left, warn_if_most_are_refused
from hf_vitselect.data.row_ids import column_digest, pool_digest, row_ids, tables_digest
from hf_vitselect.data.rows import refuse_transform, undecoded
from hf_vitselect.data.stored import UNSTORED, encode_batch, with_features
from hf_vitselect.errors import ColumnError, LayoutError
from hf_vitselect.progress import bars_are_visible, no_dataset_bars, progress
from hf_vitselect.scorers.base.scorer import Scorer, refuse_overwrite
from hf_vitselect.scorers.base.shared_forward import group_by_forward
from hf_vitselect.scoring.engine import Engine
from hf_vitselect.scoring.ranks import Rank
from hf_vitselect.scoring.shards import Ledger
from hf_vitselect.scoring.task import Task
from hf_vitselect.scoring.worker_pool import Shard

_ADVICE = "docs/guides/rows.md says for each status what to do"


def score(
    dataset: Dataset | IterableDataset,
    scorers: Scorer | Sequence[Scorer],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    shard_size: int = 500,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
) -> Dataset:
    """Add the columns of one or several scorers to a pool.

    Scorers with the same model and settings share its forwards. Each gives the scores that it would give
    alone, with any engine and any number of workers; with `QuestionGain` up to rounding, as rows are batched
    in another way.

    A worker that dies is replaced. Rows that kill it again are found by halving their shard; they get nulls
    and the status `worker_died`.

    Processes that a launcher starts side by side (`torchrun`, `accelerate launch`, or your own with `RANK`,
    `WORLD_SIZE` and `LOCAL_RANK`) share the shards if they have the same `output_dir`. None waits for
    another: a process that is done with its own shards helps with the others', and each returns the whole
    pool.

    If more than half of the rows are refused, a warning gives the first reasons.

    Args:
        dataset: the pool; any conversation layout. A stream must know its features. Its images are not
            decoded, except by its own `map` or `filter`; put `stream.decode(False)` before those.
        scorers: the scorers whose columns are added.
        output_dir: folder that keeps every finished shard as Parquet. The same call resumes after a crash,
            also with another number of workers. Without it nothing is kept, and without workers this is
            `dataset.map(scorer, batched=True)`; scorers that share forwards are cached together.
        shard_size: rows per shard. A crash loses at most the unfinished shards; each worker holds one in
            memory.
        workers: number of worker processes or Ray actors, by default one per GPU if there are several, else
            none. `workers=1` is one process next to this one, which a row can kill without killing the run.
        engine: `ray` runs the workers on the Ray cluster that this process is connected to; it connects
            first if necessary.

    Returns:
        The pool with the columns added, in the pool's order, its images byte for byte as they were. It
        records its scorers, which `select_diverse` writes into the recipe. For a stream, the dataset written
        to `output_dir`.

    Raises:
        AllRefusedError: if no scorer has scored any row; its `scored` has every row's reason. The shards in
            `output_dir` are removed, so that a corrected call is not refused.
        ColumnError: if a column would be overwritten, two scorers add the same column, or the pool has
            columns with names that `Selection.scores` adds.
        LayoutError: for an unknown conversation layout, no rows, or a pool with a transform.
        StaleRunError: if `output_dir` holds shards of other scorers or of another pool.
        ValueError: for a stream without `output_dir`, an unknown engine, or empty shards.
        WorkerError: if workers die before any row is scored.
    """
    scorers = [scorers] if isinstance(scorers, Scorer) else list(scorers)
    dataset = _checked(dataset, scorers, shard_size)
    record = {
        "source": recorded_source(dataset),
        "scorers": recorded_scorers(dataset) + [scorer.recipe() for scorer in scorers],
    }
    chosen = Engine.choose(engine, workers)
    if isinstance(dataset, IterableDataset):
        if output_dir is None:
            raise ValueError("expected output_dir=, where the rows of a stream are written with their scores")
        with no_dataset_bars():
            scored = _score_stream(dataset, scorers, output_dir, shard_size, chosen)
    elif output_dir is None and chosen.workers is None:
        with nullcontext() if bars_are_visible() else no_dataset_bars():  # the bar of `map` is the only one
            scored = _map(dataset, scorers, shard_size)
    else:
        kept = TemporaryDirectory() if output_dir is None else nullcontext(output_dir)
        with kept as folder, no_dataset_bars():
            columns = _score_shards(
                dataset, scorers, folder, shard_size, chosen, in_memory=output_dir is None
            )
        scored = concatenate_datasets([dataset, columns], axis=1)
    scored.info.description = with_record(dataset.info.description, record)
    report_refusals(scored, scorers, output_dir)
    return scored


def _checked(
    dataset: Dataset | IterableDataset, scorers: Sequence[Scorer], shard_size: int
) -> Dataset | IterableDataset:
    """Refuse what cannot be scored, before any work. A stream gets its features, a pool loses its format."""
    if not isinstance(dataset, (Dataset, IterableDataset)):
        raise LayoutError(
            f"expected a datasets.Dataset or IterableDataset (one split), got {type(dataset).__name__}"
        )
    refuse_transform(dataset)
    if shard_size < 1:
        raise ValueError(f"expected shard_size from 1, got {shard_size}")
    if isinstance(dataset, IterableDataset):
        dataset = with_features(dataset)
        if dataset.features is None:
            raise LayoutError("expected a stream that knows its features; give features= where it is made")
    refuse_reserved(dataset.features)
    find_layout(dataset.features)
    added: list[str] = []
    for scorer in scorers:
        refuse_overwrite(scorer, list(dataset.features))
        if twice := [name for name in scorer.features if name in added]:
            raise ColumnError(f"two scorers add {twice}; give one of them another column=")
        added.extend(scorer.features)
    if isinstance(dataset, Dataset):
        if len(dataset) == 0:
            raise LayoutError("expected rows to score, got an empty dataset")
        dataset = dataset.with_format(None)
    return dataset


def _map(dataset: Dataset, scorers: Sequence[Scorer], batch_size: int) -> Dataset:
    """Score in this process and keep nothing but the cache of `datasets`."""
    task = Task(scorers)
    names = [*dataset.column_names, *task.features]
    for scorer in group_by_forward(scorers):
        dataset = dataset.map(scorer, batched=True, batch_size=batch_size, desc=f"Scoring {scorer.column}")
    task.refuse_changed_weights()
    # The columns of grouped scorers are side by side now.
    return dataset if dataset.column_names == names else dataset.select_columns(names)


def _score_shards(
    dataset: Dataset,
    scorers: Sequence[Scorer],
    folder: str | os.PathLike[str],
    shard_size: int,
    engine: Engine,
    *,
    in_memory: bool,
) -> Dataset:
    """Score a pool shard by shard and return only the new columns."""
    ids = row_ids(dataset)
    shard_ids = [ids[start : start + shard_size] for start in range(0, len(ids), shard_size)]
    digests = [pool_digest(rows) for rows in shard_ids]
    reads = [name for scorer in scorers for name in scorer.reads if name in dataset.column_names]
    ledger = Ledger(folder, _settings(dataset, ids, scorers, shard_size, reads))
    task = Task(scorers, image_access(dataset))
    names = dict.fromkeys([*find_layout(dataset.column_names).needed_columns, *reads])
    inputs = dataset.select_columns(list(names)).with_format("arrow")
    missing = [
        shard
        for shard, rows in enumerate(shard_ids)
        if not ledger.has(shard, len(rows), digests[shard], settled=True)
    ]
    order = list(engine.rank.order(missing))

    def shards() -> Iterator[Shard]:
        for shard in order:
            if not ledger.path(shard).exists():  # another rank may have been faster
                yield shard, inputs[shard * shard_size : (shard + 1) * shard_size]

    def keep(shard: int, rows: pa.Table, columns: pa.Table) -> None:
        ledger.write(shard, columns, digests[shard])
        if shard == order[0] and len(order) > 1:
            _warn_early(columns, scorers)
        bar.update(len(rows))

    done = len(ids) - sum(len(shard_ids[shard]) for shard in missing)
    with progress(total=len(ids), initial=done, title="Scoring", unit="row") as bar:
        engine.run(task, shards(), keep)
    return ledger.read(len(shard_ids), task.features, in_memory=in_memory)


def _settings(
    dataset: Dataset, ids: Sequence[str], scorers: Sequence[Scorer], shard_size: int, reads: Sequence[str]
) -> dict[str, Any]:
    """Everything that the shards of a pool depend on, as plain JSON."""
    settings = {
        "pool": pool_digest(ids),
        "rows": len(ids),
        "shard_size": shard_size,
        "scorers": [scorer.recipe() for scorer in scorers],
    }
    if files := image_files(undecoded(dataset)):
        missing = list(files.values()).count(None)
        settings["image_files"] = {"there": len(files) - missing, "missing": missing}
    if reads:
        settings["reads"] = {name: column_digest(dataset, name) for name in reads}
    return settings


def _score_stream(
    stream: IterableDataset,
    scorers: Sequence[Scorer],
    folder: str | os.PathLike[str],
    shard_size: int,
    engine: Engine,
) -> Dataset:
    """Score a stream shard by shard and return its rows with the new columns.

    A stream has no length and no fingerprint. A resumed run reads it from the start, and checks that each
    finished shard was made from the same rows.
    """
    task, features = Task(scorers, image_access(stream)), stream.features
    settings = {
        "stream": sorted(features),
        "shard_size": shard_size,
        "scorers": [scorer.recipe() for scorer in scorers],
    }
    ledger = Ledger(folder, settings)
    digests: dict[int, str] = {}

    def shards() -> Iterator[Shard]:
        # The first pass scores this rank's own shards, the second those that other ranks have left.
        for second in range(min(2, engine.rank.world)):
            # Not as Arrow tables: those of a generator's rows have whatever types each row suggests.
            batches = stream.with_format(None).decode(False).iter(batch_size=shard_size)
            for shard, batch in enumerate(batches):
                table = encode_batch(batch, features)
                files = files_digest([mark_access(table, task.access)]) or ""
                digests[shard] = tables_digest([table]) + files
                done = ledger.has(shard, len(table), digests[shard], settled=False)
                if not done and (second or engine.rank.owns(shard)):
                    yield shard, table

    def keep(shard: int, rows: pa.Table, columns: pa.Table) -> None:
        if UNSTORED in rows.column_names:
            rows = rows.drop_columns(UNSTORED)
        for name in columns.column_names:
            rows = rows.append_column(columns.schema.field(name), columns.column(name))
        ledger.write(shard, rows, digests[shard])
        bar.update(len(rows))

    with progress(title="Scoring", unit="row") as bar:
        engine.run(task, shards(), keep)
    if not digests:
        raise LayoutError("expected rows to score, got an empty stream")
    ledger.refuse_more_than(len(digests))
    return ledger.read(len(digests), Features({**features, **task.features}))


def _warn_early(columns: pa.Table, scorers: Sequence[Scorer]) -> None:
    """Warn after the first shard, not after hours, if no row has a score."""
    for scorer in scorers:
        refusals = Refusals.read(Dataset(columns), scorer.column)
        if refusals.refused == refusals.rows:
            warnings.warn(
                f"the first {refusals.rows:,} rows have no {scorer.column}: {refusals}; {_ADVICE}",
                stacklevel=2,
            )


def report_refusals(
    scored: Dataset, scorers: Sequence[Scorer], output_dir: str | os.PathLike[str] | None = None
) -> None:
    """Warn of a column without most rows' scores; refuse a pool in which no scorer has scored any row."""
    refusals_of = {scorer.column: Refusals.read(scored, scorer.column) for scorer in scorers}
    if all(refusals.refused == refusals.rows for refusals in refusals_of.values()):
        column, refusals = next(iter(refusals_of.items()))
        if output_dir is not None and Rank.here().world == 1:  # else other ranks may still be reading
            Ledger.discard(output_dir)
        refuse_if_none_left(refusals, f"have no {column}", _ADVICE, scored)
    for column, refusals in refusals_of.items():
        warn_if_most_are_refused(refusals, f"have no {column}", _ADVICE)
