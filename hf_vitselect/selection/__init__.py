"""Selections: chosen subsets of scored pools, how they are chosen, and the recipes that rebuild them."""

from hf_vitselect.selection.filter_pool import FilteredPool, filter_pool
from hf_vitselect.selection.filter_rows import filter_rows
from hf_vitselect.selection.lazy import score_candidates
from hf_vitselect.selection.method import (
    CleanBalanced,
    EasyFirst,
    HardFirst,
    Method,
    MLLMSelector,
    MostDiverse,
    SelfFilter,
    read_method,
)
from hf_vitselect.selection.question_kinds import QuestionKinds
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.sample import Sample
from hf_vitselect.selection.scorer_recipes import scorer_recipes
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection

__all__ = [
    "CleanBalanced",
    "EasyFirst",
    "FilteredPool",
    "HardFirst",
    "MLLMSelector",
    "Method",
    "MostDiverse",
    "QuestionKinds",
    "Recipe",
    "Sample",
    "Selection",
    "SelfFilter",
    "filter_pool",
    "filter_rows",
    "read_method",
    "score_candidates",
    "scorer_recipes",
    "select_diverse",
]
