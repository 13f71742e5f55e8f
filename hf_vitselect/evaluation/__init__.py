"""Does a subset beat random? Held-out evaluations, trials, statistics and the comparison.

`compare` fine-tunes and evaluates, and returns a `Comparison`. A selection to compare is a rule, a `Method`
(a rule with its columns) or a `Selection`. An evaluation is a class of this room or any function of a model's
folder.
"""

from hf_vitselect.evaluation.compare import compare
from hf_vitselect.evaluation.comparison import Comparison
from hf_vitselect.evaluation.generate import Generated, token_f1
from hf_vitselect.evaluation.held_out import Evaluation, ExactMatch, HeldOut, LogLikelihood, MultipleChoice
from hf_vitselect.evaluation.statistics import LEVEL, Difference, difference, pooled_difference
from hf_vitselect.evaluation.stopping import decide, look_levels

__all__ = [
    "LEVEL",
    "Comparison",
    "Difference",
    "Evaluation",
    "ExactMatch",
    "Generated",
    "HeldOut",
    "LogLikelihood",
    "MultipleChoice",
    "compare",
    "decide",
    "difference",
    "look_levels",
    "pooled_difference",
    "token_f1",
]
