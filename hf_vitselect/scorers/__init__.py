"""Scorers: one signal, one paper, one file."""

from typing import Any

from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scorers.blend import Blend
from hf_vitselect.scorers.capability import CapabilityScorer
from hf_vitselect.scorers.clip import ClipEmbedding
from hf_vitselect.scorers.clip_score import ClipScore
from hf_vitselect.scorers.el2n import EL2NScorer
from hf_vitselect.scorers.grand import GraNdScorer
from hf_vitselect.scorers.image_gain import ImageGain
from hf_vitselect.scorers.judge import JudgeScore
from hf_vitselect.scorers.miwv import MIWVScorer
from hf_vitselect.scorers.necessity import NecessityScorer
from hf_vitselect.scorers.other_answer import OtherAnswer
from hf_vitselect.scorers.perplexity import PerplexityScorer
from hf_vitselect.scorers.question_gain import QuestionGain
from hf_vitselect.scorers.score_net import ScoreNetScorer
from hf_vitselect.scorers.text import TextEmbedding
from hf_vitselect.scorers.upd import UPDScorer

__all__ = [
    "Blend",
    "CapabilityScorer",
    "ClipEmbedding",
    "ClipScore",
    "EL2NScorer",
    "GraNdScorer",
    "ImageGain",
    "JudgeScore",
    "MIWVScorer",
    "NecessityScorer",
    "OtherAnswer",
    "PerplexityScorer",
    "QuestionGain",
    "ScoreNetScorer",
    "TextEmbedding",
    "UPDScorer",
]

SCORERS: dict[str, type[Scorer]] = {name: globals()[name] for name in __all__}
"""Every scorer by its name."""

SIGNALS: dict[str, type[Any]] = {
    str(kind.__dataclass_fields__["column"].default): kind
    for kind in SCORERS.values()
    if issubclass(kind, ResponseScorer) and not hasattr(kind, "fit")
}
"""The scorers of a seed model's losses, by their columns."""
