"""Selection rules: arrays in, picked rows and their gains out.

A rule that is imported and listed here is also one of the command line, by its name.
"""

from hf_vitselect.rules.base import Rule
from hf_vitselect.rules.clusters import kmeans
from hf_vitselect.rules.coincide import Coincide
from hf_vitselect.rules.facility_location import FacilityLocation
from hf_vitselect.rules.grouped_sampling import GroupedSampling
from hf_vitselect.rules.k_center import KCenter
from hf_vitselect.rules.length_matched import LengthMatchedRandom
from hf_vitselect.rules.leverage import Leverage
from hf_vitselect.rules.mmssr import MMSSR
from hf_vitselect.rules.neighbor_penalty import NeighborPenalty
from hf_vitselect.rules.presel import PreSel
from hf_vitselect.rules.prototypicality import Prototypicality
from hf_vitselect.rules.random import Random
from hf_vitselect.rules.score_threshold import ScoreThreshold
from hf_vitselect.rules.semdedup import SemDeDup
from hf_vitselect.rules.top_score import TopScore

__all__ = [
    "MMSSR",
    "Coincide",
    "FacilityLocation",
    "GroupedSampling",
    "KCenter",
    "LengthMatchedRandom",
    "Leverage",
    "NeighborPenalty",
    "PreSel",
    "Prototypicality",
    "Random",
    "Rule",
    "ScoreThreshold",
    "SemDeDup",
    "TopScore",
    "kmeans",
]

RULES: dict[str, type[Rule]] = {name: globals()[name] for name in __all__ if name not in ("Rule", "kmeans")}
"""Every rule by its name."""
