"""The catalogue: one signal, one paper, one file."""

from hf_vitselect.scorers.clip import ClipEmbedding
from hf_vitselect.scorers.clip_score import ClipScore
from hf_vitselect.scorers.judge import JudgeScore
from hf_vitselect.scorers.necessity import NecessityScorer
from hf_vitselect.scorers.score_net import ScoreNetScorer
from hf_vitselect.scorers.text import TextEmbedding

__all__ = ["ClipEmbedding", "ClipScore", "JudgeScore", "NecessityScorer", "ScoreNetScorer", "TextEmbedding"]
