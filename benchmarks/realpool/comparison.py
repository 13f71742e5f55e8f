"""Does selecting beat random rows on the real pool? The comparison, through the package's function."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset, concatenate_datasets, load_from_disk

from hf_vitselect import score
from hf_vitselect.data import pool_digest, row_ids
from hf_vitselect.demo import small_training
from hf_vitselect.evaluation import (
    Comparison,
    ExactMatch,
    LogLikelihood,
    MultipleChoice,
    compare,
)
from hf_vitselect.rules import NeighborPenalty, Rule, TopScore
from hf_vitselect.scorers import EL2NScorer
from hf_vitselect.selection import Method
from realpool.chain import BUDGET, CHANCE

# As in docs/results/self_filter.md: a quarter of the steps of `run_chain`, because there are many fine-tunes.
_tuning = partial(small_training, epochs=3, batch_size=16, learning_rate=5e-4)
SELECTIONS: dict[str, Rule | Method] = {
    "TopScore": TopScore(),  # also NeighborPenalty's gamma=0: hard rows, however alike
    "NeighborPenalty": NeighborPenalty(),
    "easy first": TopScore(lowest=True),
    "EL2N": Method(rule=TopScore(), by="el2n"),
}


def run_comparison(
    run: Path, self_filter: Mapping[str, Path], held_out: Dataset, out: Path, *, seeds: int, processes: int
) -> Comparison:
    """Random, length-matched random, and selections at 15%.

    Args:
        run: the folder of a finished `run_chain`: its scored pool and its aligned model.
        self_filter: folders of finished runs of examples/self_filter.py on the same pool, by name; what
            they would pick is compared too.
        held_out: rows about other images.
        out: the comparison's folder; the same call resumes an interrupted run.
        seeds: fine-tunes of each subset.
        processes: how many of them at once.
    """
    scored, selections = load_from_disk(run / "score" / "scored"), dict(SELECTIONS)
    scored = score(scored, EL2NScorer(str(run / "seed")), out / "el2n")
    for number, (name, folder) in enumerate(self_filter.items()):
        column = f"score_net_{number + 1}" if number else "score_net"
        scored = _with_difficulty(scored, folder, column)
        difficulty = Method(rule=NeighborPenalty(rescale="minmax"), by=column, over="clip")
        selections = {**selections, name: difficulty}
    asked = held_out.select(np.flatnonzero(np.isin(held_out["kind"], list(CHANCE))))
    return compare(
        scored,
        selections,
        str(run / "base"),
        {
            "exact match": ExactMatch(asked, batch_size=64),
            "multiple choice": MultipleChoice(asked, batch_size=64),
            "log-likelihood": LogLikelihood(held_out, batch_size=64),
        },
        out,
        budgets=[BUDGET],
        seeds=seeds,
        args=_tuning(out),
        matched=["NeighborPenalty"],
        columns=["source", "kind"],
        processes=processes,
    )


def _with_difficulty(scored: Dataset, self_filter: Path, column: str) -> Dataset:
    """The pool with Self-Filter's difficulty added to its own columns, and the CLIP embedding as `clip`."""
    names = {"embedding": "clip", "embedding_status": "clip_status"}
    names |= {"score_net": column, "score_net_status": f"{column}_status"}
    parts = [scored]
    for folder in ("difficulty",) if "clip" in scored.column_names else ("clip", "difficulty"):
        of = json.loads((self_filter / folder / "ledger.json").read_text())["pool"]
        if of != pool_digest(row_ids(scored)):
            raise ValueError(f"{self_filter} is of another pool; run examples/self_filter.py on this one")
        shards = sorted(map(str, (self_filter / folder).glob("shard-*.parquet")))
        columns = Dataset.from_parquet(shards, cache_dir=str(self_filter / folder / "joined"))
        parts.append(
            columns.rename_columns({old: new for old, new in names.items() if old in columns.features})
        )
    return concatenate_datasets(parts, axis=1)
