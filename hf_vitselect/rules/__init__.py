"""Selection rules: arrays in, picked rows and their gains out."""

from hf_vitselect.rules.base import Rule
from hf_vitselect.rules.grouped_sampling import GroupedSampling
from hf_vitselect.rules.length_matched import LengthMatchedRandom
from hf_vitselect.rules.neighbor_penalty import NeighborPenalty
from hf_vitselect.rules.random import Random
from hf_vitselect.rules.top_score import TopScore

__all__ = ["GroupedSampling", "LengthMatchedRandom", "NeighborPenalty", "Random", "Rule", "TopScore"]
