"""Find the part of a visual-instruction-tuning pool that is worth training on.

The door stays light: names are imported from their rooms on first use, so ``import hf_vitselect``
loads neither torch, transformers nor trl.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_vitselect.contamination import find_contamination
    from hf_vitselect.hub import apply_selection, push_to_hub
    from hf_vitselect.score_net import ScoreNet
    from hf_vitselect.scorer import Scorer
    from hf_vitselect.scorers import (
        Blend,
        CapabilityScorer,
        ClipEmbedding,
        ClipScore,
        EL2NScorer,
        GraNdScorer,
        ImageGain,
        JudgeScore,
        MIWVScorer,
        NecessityScorer,
        PerplexityScorer,
        QuestionGain,
        ScoreNetScorer,
        TextEmbedding,
        UPDScorer,
    )
    from hf_vitselect.scoring import score
    from hf_vitselect.selection import Selection, select_diverse

__version__ = "0.1.0"

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
    "PerplexityScorer",
    "QuestionGain",
    "ScoreNet",
    "ScoreNetScorer",
    "Scorer",
    "Selection",
    "TextEmbedding",
    "UPDScorer",
    "apply_selection",
    "find_contamination",
    "push_to_hub",
    "score",
    "select_diverse",
]

_ROOMS = {
    "Blend": "scorers",
    "CapabilityScorer": "scorers",
    "EL2NScorer": "scorers",
    "GraNdScorer": "scorers",
    "MIWVScorer": "scorers",
    "UPDScorer": "scorers",
    "find_contamination": "contamination",
    "ClipEmbedding": "scorers",
    "ClipScore": "scorers",
    "ImageGain": "scorers",
    "JudgeScore": "scorers",
    "NecessityScorer": "scorers",
    "PerplexityScorer": "scorers",
    "QuestionGain": "scorers",
    "ScoreNet": "score_net",
    "ScoreNetScorer": "scorers",
    "Scorer": "scorer",
    "Selection": "selection",
    "TextEmbedding": "scorers",
    "apply_selection": "hub",
    "push_to_hub": "hub",
    "score": "scoring",
    "select_diverse": "selection",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
