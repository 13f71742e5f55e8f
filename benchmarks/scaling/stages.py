"""What is measured on a pool: each stage prepares what is not counted, and returns the call that is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_vitselect import select_diverse
from hf_vitselect.data import read_scores, read_texts
from hf_vitselect.filters import NearDuplicates
from hf_vitselect.rules import FacilityLocation, KCenter, Rule, SemDeDup
from hf_vitselect.selection import CleanBalanced, Method, QuestionKinds, Sample, filter_rows, scorer_recipes
from scaling import pools

Figures = Mapping[str, Any]
Call = Callable[[], Figures]
SHORT = 384
"""Dimensions of the vectors of facility location and k-center."""


@dataclass(frozen=True)
class Stage:
    """What is measured.

    Attributes:
        prepare: from a pool's folder to the call.
        dimensions: of the embeddings that it needs, 0 for none.
        conversations: whether it needs more of the pool than these.
    """

    prepare: Callable[[Path], Call]
    dimensions: int = pools.DIMENSIONS
    conversations: bool = True

    def make(self, rows: int, folder: Path) -> None:
        """Make the files that it reads, unless they exist."""
        make = pools.make if self.conversations else pools.vectors_of
        make(rows, folder, self.dimensions)


def default(folder: Path) -> Call:
    """Pick 15% by the default method, row ids included."""
    return _pick(pools.load(folder), CleanBalanced())


def default_of_columns(folder: Path) -> Call:
    """The same with kinds from a column, and no embeddings: images are compared by hashes."""
    return _pick(pools.load(folder, 0), CleanBalanced(kinds="task"))


def kinds(folder: Path) -> Call:
    """Find the kinds of question, reading included."""
    pool = pools.load(folder, 0)

    def call() -> Figures:
        _, kinds = QuestionKinds().find(read_texts(pool))
        return {"form": kinds.form, "kinds": len(kinds.names), "others": kinds.kinds[-1].rows}

    return call


def near_duplicates(folder: Path) -> Call:
    """Find near-copies by texts and image features, reading included."""
    return _near_duplicates(pools.load(folder))


def hashed_duplicates(folder: Path) -> Call:
    """The same by texts and image hashes."""
    return _near_duplicates(pools.load(folder, 0))


def semdedup(folder: Path) -> Call:
    """Pick 15% by SemDeDup."""
    return _rule(SemDeDup(), pools.load_vectors(folder, pools.DIMENSIONS), 0.15)


def facility_location(folder: Path) -> Call:
    """Pick 2% by facility location."""
    return _rule(FacilityLocation(), pools.load_vectors(folder, SHORT), 0.02)


def k_center(folder: Path) -> Call:
    """Pick 2% by k-center."""
    return _rule(KCenter(), pools.load_vectors(folder, SHORT), 0.02)


STAGES: Mapping[str, Stage] = {
    "the default, 15%": Stage(default),
    "the default, 15%, kinds from a column, hashed images": Stage(default_of_columns, 0),
    "kinds": Stage(kinds, 0),
    "near-duplicates": Stage(near_duplicates),
    "near-duplicates, hashed images": Stage(hashed_duplicates, 0),
    "SemDeDup, 15%": Stage(semdedup),
    "FacilityLocation, 2%": Stage(facility_location, SHORT, conversations=False),
    "KCenter, 2%": Stage(k_center, SHORT, conversations=False),
}


def _pick(pool: Dataset, method: Method) -> Call:
    def call() -> Figures:
        recipe = select_diverse(pool, 0.15, method=method).recipe
        dropped = {record.filter.partition("(")[0]: record.dropped for record in recipe.filters}
        return {"picked": recipe.selected, "kinds": len(recipe.shares), "dropped": dropped}

    return call


def _near_duplicates(pool: Dataset) -> Call:
    method = Method(filters=(NearDuplicates(),))

    def call() -> Figures:
        drops = NearDuplicates().find(_filter_rows(pool, method))
        return {"dropped": len(drops.rows)}

    return call


def _rule(rule: Rule, features: np.memmap, budget: float) -> Call:
    rows = int(budget * len(features))

    def call() -> Figures:
        picks, gains = rule(None, features, rows, np.random.default_rng(0), {})
        notes = rule.notes(None, features, rows, np.random.default_rng(0))
        return {"picked": len(picks), "sum of gains": float(gains.sum()), **notes}

    return call


def _filter_rows(pool: Dataset, method: Method) -> Any:
    return filter_rows(
        pool,
        read_scores(pool, "necessity")[0],
        method,
        None,
        scorer_recipes(pool),
        Sample.whole(len(pool)),
        budget=1,
    )
