"""The check of what was pushed, before its card says that it is complete."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from datasets import Dataset, load_dataset

from hf_vitselect.data.row_ids import row_contents
from hf_vitselect.errors import HubError
from hf_vitselect.selection.selection import Selection


def check_pushed(
    selection: Selection,
    baselines: Mapping[str, Dataset],
    repo_id: str,
    commit: str,
    *,
    rows: bool,
    token: str | None,
) -> None:
    """Compare the rows of every config on the Hub with what was pushed, by their ids or contents.

    The picked rows are streamed if they were pushed (`rows`). `baselines` is the config `random_baseline`.

    Raises:
        HubError: If a config differs; the message names it.
    """

    def stream(config: str, split: str) -> Any:
        return load_dataset(repo_id, config, split=split, revision=commit, token=token, streaming=True)

    ids = selection.scores["row_id"][:]
    _compare(_row_ids(stream("scores", "train")), ids, "scores", repo_id)
    for split, subset in baselines.items():
        _compare(_row_ids(stream("random_baseline", split)), subset["row_id"][:], split, repo_id)
    if rows:
        picked = [row_id.rpartition("-")[0] for row_id in selection.row_ids]
        _compare(row_contents(stream("default", "train")), picked, "default", repo_id)


def _row_ids(rows: Any) -> Iterator[str]:
    for table in rows.select_columns(["row_id"]).with_format("arrow").iter(1000):
        yield from table.column(0).to_pylist()


def _compare(got: Iterator[str], pushed: Sequence[str], config: str, repo_id: str) -> None:
    for row, (theirs, ours) in enumerate(zip_longest(got, pushed)):
        if theirs != ours:
            raise HubError(
                f"expected {len(pushed):,} rows in {config} of {repo_id}, got others from row {row:,} on: "
                f"{theirs} for {ours}; call again: somebody else may have pushed at the same time"
            )
