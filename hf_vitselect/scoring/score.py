"""Scores a pool shard by shard, so that a killed run goes on where it was."""

import os
import warnings
from collections.abc import Iterator, Sequence
from tempfile import TemporaryDirectory
from typing import Literal

import pyarrow as pa
from datasets import Dataset, Features, IterableDataset, concatenate_datasets
from tqdm.auto import tqdm

from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.image_files import files_digest, image_files
from hf_vitselect.data.image_roots import image_roots, mark_roots
from hf_vitselect.data.provenance import recorded_scorers, recorded_source, with_record
from hf_vitselect.data.refusals import Refusals, refuse_if_none_left, warn_if_most_are_refused
from hf_vitselect.data.row_ids import column_digest, pool_digest, row_ids, tables_digest
from hf_vitselect.data.rows import refuse_transform, undecoded
from hf_vitselect.data.stored import UNSTORED, encode_batch, with_features
from hf_vitselect.errors import ColumnError, LayoutError
from hf_vitselect.scorers.base.scorer import Scorer, refuse_overwrite
from hf_vitselect.scorers.base.shared_forward import group_by_forward
from hf_vitselect.scoring.engine import Engine
from hf_vitselect.scoring.ranks import Rank
from hf_vitselect.scoring.shards import Ledger
from hf_vitselect.scoring.task import Work

_ADVICE = "docs/rows.md says for each status what to do"


def score(
    dataset: Dataset | IterableDataset,
    scorers: Scorer | Sequence[Scorer],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    shard_size: int = 500,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
) -> Dataset:
    """Attaches the columns of one or several scorers to a pool.

    Scorers of the same model and settings share its forwards: a view of a row is measured once for all of
    them. The numbers are those that each would give alone, whatever the engine and the workers.

    A worker that dies is replaced. Rows that kill it again are found by halving their shard, and get nulls
    and the status `worker_died`.

    Processes that a launcher started side by side (`torchrun`, `accelerate launch`, or your own with
    `RANK`, `WORLD_SIZE` and `LOCAL_RANK`) share the shards if they have the same `output_dir`. None
    waits for another: one that is done with its own shards helps with the others', and each returns the
    whole pool.

    Args:
        dataset: the pool; any conversation layout. Of a stream, which must know its features, no picture is
            decoded but those that its own `map` or `filter` decodes: put `stream.decode(False)` before
            those.
        scorers: what to attach.
        output_dir: keeps every finished shard as Parquet; the same call goes on after a crash, with another
            number of workers too. Without it nothing is kept, and in this process the work is that of
            `dataset.map(scorer, batched=True)`; scorers that share forwards are cached together.
        shard_size: rows in one shard; at most so many are lost in a crash, and for each worker so many are in
            memory.
        workers: worker processes, or Ray actors. By default one for each GPU if there are several, else none.
            `workers=1` is one process beside this one, which a row can kill without killing the run.
        engine: `ray` runs the workers on the Ray cluster that this process is, or gets, connected to.

    Returns:
        The pool with the columns joined, in the pool's order, images byte for byte as they were. It
        remembers its scorers, and `select_diverse` writes them into the recipe. Of a stream, what was
        written to `output_dir`.

    Where more than half of the rows are refused a warning says so, with the first reasons.

    Raises:
        AllRefusedError: if no scorer has scored a single row; its `scored` has every row's reason. What
            `output_dir` holds of it is removed, so that a corrected call is not refused.
        ColumnError: if a column would be overwritten, two scorers add the same one, or the pool has columns
            of the names that `Selection.scores` adds.
        LayoutError: if the columns are no known conversation layout, there are no rows, or the pool has a
            transform.
        StaleRunError: if `output_dir` holds shards of other scorers or of another pool.
        ValueError: for a stream without `output_dir`, an engine that does not exist, or empty shards.
        WorkerError: if workers die before they have scored anything.
    """
    scorers = [scorers] if isinstance(scorers, Scorer) else list(scorers)
    if not isinstance(dataset, (Dataset, IterableDataset)):
        raise LayoutError(
            f"expected a datasets.Dataset or IterableDataset (one split), got {type(dataset).__name__}"
        )
    refuse_transform(dataset)
    if isinstance(dataset, IterableDataset):
        dataset = with_features(dataset)
    if dataset.features is None:
        raise LayoutError(
            "expected a stream that knows its features; give them to the function that made it, as features="
        )
    if shard_size < 1:
        raise ValueError(f"expected shard_size from 1, got {shard_size}")
    refuse_reserved(dataset.features)
    _refuse_columns(dataset.features, scorers)
    record = {
        "source": recorded_source(dataset),
        "scorers": recorded_scorers(dataset) + [scorer.recipe() for scorer in scorers],
    }
    chosen = Engine.choose(engine, workers)
    if isinstance(dataset, IterableDataset):
        if output_dir is None:
            raise ValueError("expected output_dir=, where the rows of a stream are written with their scores")
        scored = _score_stream(dataset, scorers, output_dir, shard_size, chosen)
    else:
        if len(dataset) == 0:
            raise LayoutError("expected rows to score, got an empty data set")
        scored = _score_rows(dataset.with_format(None), scorers, output_dir, shard_size, chosen)
    scored.info.description = with_record(dataset.info.description, record)
    _report_refusals(scored, scorers, output_dir)
    return scored


def _report_refusals(
    scored: Dataset, scorers: Sequence[Scorer], output_dir: str | os.PathLike[str] | None
) -> None:
    found = {scorer.column: Refusals.read(scored, scorer.column) for scorer in scorers}
    if all(refusals.refused == refusals.rows for refusals in found.values()):
        column, refusals = next(iter(found.items()))
        if output_dir is not None and Rank.here().world == 1:  # else other ranks may still be reading
            Ledger.discard(output_dir)
        refuse_if_none_left(refusals, f"have no {column}", _ADVICE, scored)
    for column, refusals in found.items():
        warn_if_most_are_refused(refusals, f"have no {column}", _ADVICE)


def _warn_early(columns: pa.Table, scorers: Sequence[Scorer]) -> None:
    """Says after the first shard, and not after hours, that nothing comes of it."""
    for scorer in scorers:
        names = (scorer.status_column, scorer.reason_column)
        refusals = Refusals.of(zip(*(columns.column(name).to_pylist() for name in names), strict=True))
        if refusals.refused == refusals.rows:
            warnings.warn(
                f"the first {refusals.rows:,} rows have no {scorer.column}: {refusals}; {_ADVICE}",
                stacklevel=2,
            )


def _refuse_columns(there: Features, scorers: Sequence[Scorer]) -> None:
    find_layout(there)
    added: list[str] = []
    for scorer in scorers:
        refuse_overwrite(scorer, list(there))
        if twice := [name for name in scorer.features if name in added]:
            raise ColumnError(f"two scorers add {twice}; give one of them another column=")
        added.extend(scorer.features)


def _score_rows(
    dataset: Dataset,
    scorers: Sequence[Scorer],
    output_dir: str | os.PathLike[str] | None,
    shard_size: int,
    engine: Engine,
) -> Dataset:
    if output_dir is not None:
        return _beside(dataset, _score_shards(dataset, scorers, output_dir, shard_size, engine))
    if engine.workers is not None:
        with TemporaryDirectory() as folder:
            columns = _score_shards(dataset, scorers, folder, shard_size, engine, in_memory=True)
        return _beside(dataset, columns)
    work = Work(scorers)
    names = [*dataset.column_names, *work.features]
    for scorer in group_by_forward(scorers):
        dataset = dataset.map(scorer, batched=True, batch_size=shard_size, desc=f"Scoring {scorer.column}")
    work.refuse_other_weights()
    # Where scorers were joined, theirs stand side by side.
    return dataset if dataset.column_names == names else dataset.select_columns(names)


def _beside(dataset: Dataset, columns: Dataset) -> Dataset:
    joined: Dataset = concatenate_datasets([dataset, columns], axis=1)
    return joined


def _score_shards(
    dataset: Dataset,
    scorers: Sequence[Scorer],
    output_dir: str | os.PathLike[str],
    shard_size: int,
    engine: Engine,
    *,
    in_memory: bool = False,
) -> Dataset:
    """The new columns of a pool, shard by shard."""
    ids = row_ids(dataset)
    settings = {
        "pool": pool_digest(ids),
        "rows": len(ids),
        "shard_size": shard_size,
        "scorers": [scorer.recipe() for scorer in scorers],
    }
    read = [name for scorer in scorers for name in scorer.reads if name in dataset.column_names]
    if files := image_files(undecoded(dataset)):
        missing_files = list(files.values()).count(None)
        settings["image_files"] = {"there": len(files) - missing_files, "missing": missing_files}
    if read:
        settings["reads"] = {name: column_digest(dataset, name) for name in read}
    ledger = Ledger(output_dir, settings)
    wanted = [*find_layout(dataset.column_names).columns, *read]
    inputs = dataset.select_columns(list(dict.fromkeys(wanted))).with_format("arrow")
    of_shard = [ids[start : start + shard_size] for start in range(0, len(ids), shard_size)]
    digests = [pool_digest(rows) for rows in of_shard]
    missing = [
        shard
        for shard, rows in enumerate(of_shard)
        if not ledger.has(shard, len(rows), digests[shard], settled=True)
    ]

    def shards() -> Iterator[tuple[int, pa.Table]]:
        for shard in engine.rank.order(missing):
            if not ledger.path(shard).exists():  # another rank may have been faster
                yield shard, inputs[shard * shard_size : (shard + 1) * shard_size]

    first = [True]

    def keep(shard: int, rows: pa.Table, columns: pa.Table) -> None:
        ledger.write(shard, columns, digests[shard])
        if first and len(missing) > 1:
            first.clear()
            _warn_early(columns, scorers)
        progress.update(len(rows))

    left = sum(len(of_shard[shard]) for shard in missing)
    work = Work(scorers, image_roots(dataset))
    with tqdm(total=len(ids), initial=len(ids) - left, desc="Scoring", unit="row") as progress:
        engine.run(work, shards(), keep)
    return ledger.read(len(of_shard), work.features, in_memory=in_memory)


def _score_stream(
    stream: IterableDataset,
    scorers: Sequence[Scorer],
    output_dir: str | os.PathLike[str],
    shard_size: int,
    engine: Engine,
) -> Dataset:
    """A stream's rows with their new columns.

    A stream has no length and no fingerprint, so it is read from its start also when a run goes on, and each
    finished shard must have been made from the very rows that come now.
    """
    work, features = Work(scorers, image_roots(stream)), stream.features
    settings = {
        "stream": sorted(features),
        "shard_size": shard_size,
        "scorers": [scorer.recipe() for scorer in scorers],
    }
    ledger = Ledger(output_dir, settings)
    shards_read = 0
    digests: dict[int, str] = {}

    def shards() -> Iterator[tuple[int, pa.Table]]:
        nonlocal shards_read
        # The first time its own, the second time what other ranks have left.
        for ranks in range(min(2, engine.rank.world)):
            # Not as Arrow tables: those of a generator's rows have whatever types each row suggests.
            batches = stream.with_format(None).decode(False).iter(batch_size=shard_size)
            for shard, batch in enumerate(batches):
                table = encode_batch(batch, features)
                digests[shard] = tables_digest([table]) + (
                    files_digest([mark_roots(table, work.roots)]) or ""
                )
                there = ledger.has(shard, len(table), digests[shard], settled=False)
                if not there and (ranks or shard % engine.rank.world == engine.rank.number):
                    yield shard, table
                shards_read = shard + 1

    def keep(shard: int, rows: pa.Table, columns: pa.Table) -> None:
        if UNSTORED in rows.column_names:
            rows = rows.drop_columns(UNSTORED)
        for name in columns.column_names:
            rows = rows.append_column(columns.schema.field(name), columns.column(name))
        ledger.write(shard, rows, digests[shard])
        progress.update(len(rows))

    with tqdm(desc="Scoring", unit="row") as progress:
        engine.run(work, shards(), keep)
    if shards_read == 0:
        raise LayoutError("expected rows to score, got an empty stream")
    ledger.refuse_more_than(shards_read)
    return ledger.read(shards_read, Features({**features, **work.features}))
