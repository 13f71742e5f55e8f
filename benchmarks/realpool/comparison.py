"""Does selecting beat random rows on the real pool? The comparison, through the package's function."""

from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset, load_from_disk

from hf_vitselect.compare import Comparison, Method, compare
from hf_vitselect.demo.stages import small_training
from hf_vitselect.evaluation import ExactMatch, LogLikelihood, MultipleChoice
from hf_vitselect.rules import NeighborPenalty, Rule, TopScore
from realpool.chain import BUDGET, CHANCE

# As in docs/self_filter.md: a quarter of the steps of `run_chain`, because there are many fine-tunes.
_tuning = partial(small_training, epochs=3, batch_size=16, learning_rate=5e-4)
SELECTIONS: dict[str, Rule | Method] = {"TopScore": TopScore(), "NeighborPenalty": NeighborPenalty()}


def run_comparison(run: Path, held_out: Dataset, out: Path, *, seeds: int, processes: int) -> Comparison:
    """Random, length-matched random, TopScore and NeighborPenalty at 15%.

    Args:
        run: the folder of a finished `run_chain`: its scored pool and its aligned model.
        held_out: rows about other pictures.
        out: the comparison's folder; the same call goes on where it stopped.
        seeds: fine-tunes of each subset.
        processes: how many of them at once.
    """
    asked = held_out.select(np.flatnonzero(np.isin(held_out["kind"], list(CHANCE))))
    return compare(
        load_from_disk(run / "score" / "scored"),
        SELECTIONS,
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
