"""Does a subset beat random? Held-out evaluations, trials, statistics and the comparison."""

from hf_vitselect.evaluation.compare import compare
from hf_vitselect.evaluation.comparison import Comparison
from hf_vitselect.evaluation.held_out import (
    Evaluation,
    ExactMatch,
    Generated,
    HeldOut,
    LogLikelihood,
    MultipleChoice,
    token_f1,
)
from hf_vitselect.evaluation.methods import Method

__all__ = [
    "Comparison",
    "Evaluation",
    "ExactMatch",
    "Generated",
    "HeldOut",
    "LogLikelihood",
    "Method",
    "MultipleChoice",
    "compare",
    "token_f1",
]
