"""What is measured on a pool: each stage prepares what is not counted, and returns the call that is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_vitselect import select_diverse
from hf_vitselect.data import read_scores, read_texts
from hf_vitselect.filters import NearDuplicates
from hf_vitselect.rules import FacilityLocation, KCenter, Rule, SemDeDup
from hf_vitselect.selection import Method, QuestionKinds, filter_rows, scorer_recipes
from scaling import pools

Figures = Mapping[str, Any]
SHORT = 384
"""Dimensions of the vectors of facility location and k-center."""


def default(rows: int, folder: Path) -> Callable[[], Figures]:
    """Pick 15% by the default method, row ids included."""
    pool = pools.load(folder)

    def call() -> Figures:
        recipe = select_diverse(pool, 0.15).recipe
        dropped = {record.filter.partition("(")[0]: record.dropped for record in recipe.filters}
        return {"picked": recipe.selected, "kinds": len(recipe.shares), "dropped": dropped}

    return call


def kinds(rows: int, folder: Path) -> Callable[[], Figures]:
    """Find the kinds of question, reading included."""
    pool = pools.load(folder)

    def call() -> Figures:
        _, kinds = QuestionKinds().find(read_texts(pool))
        return {"form": kinds.form, "kinds": len(kinds.names), "others": kinds.kinds[-1].rows}

    return call


def near_duplicates(rows: int, folder: Path) -> Callable[[], Figures]:
    """Find near-copies by texts and image features, reading included."""
    pool = pools.load(folder)
    method = Method(filters=(NearDuplicates(),))

    def call() -> Figures:
        drops = NearDuplicates().find(_filter_rows(pool, method))
        return {"dropped": len(drops.rows)}

    return call


def semdedup(rows: int, folder: Path) -> Callable[[], Figures]:
    """Pick 15% by SemDeDup, 768 dimensions."""
    return _rule(SemDeDup(), pools.vectors_of(rows, pools.DIMENSIONS, folder), 0.15)


def facility_location(rows: int, folder: Path) -> Callable[[], Figures]:
    """Pick 2% by facility location, 384 dimensions."""
    return _rule(FacilityLocation(), pools.vectors_of(rows, SHORT, folder), 0.02)


def k_center(rows: int, folder: Path) -> Callable[[], Figures]:
    """Pick 2% by k-center, 384 dimensions."""
    return _rule(KCenter(), pools.vectors_of(rows, SHORT, folder), 0.02)


STAGES: Mapping[str, Callable[[int, Path], Callable[[], Figures]]] = {
    "the default, 15%": default,
    "kinds": kinds,
    "near-duplicates": near_duplicates,
    "SemDeDup, 15%": semdedup,
    "FacilityLocation, 2%": facility_location,
    "KCenter, 2%": k_center,
}


def _rule(rule: Rule, features: np.memmap, budget: float) -> Callable[[], Figures]:
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
        picked=np.empty(0, dtype=np.int64),
        budget=1,
    )
