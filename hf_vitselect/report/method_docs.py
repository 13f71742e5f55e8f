"""The documentation of a method, a rule or a scorer on a card: summary, formula, citation."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from hf_vitselect import rules, scorers
from hf_vitselect.report.markdown import Markdown
from hf_vitselect.selection.method import NAMED

_FORMULAS = {
    "NecessityScorer": "necessity = -(1/T) · Σ_t log p(y_t | images, question, y_<t), "
    "over the T response tokens",
    "PerplexityScorer": "perplexity = exp(-(1/T) · Σ_t log p(y_t | images, question, y_<t))",
    "ImageGain": "image_gain = loss(answer | question) - loss(answer | images, question)",
    "QuestionGain": "question_gain = loss(answer | images) / loss(answer | images, question)",
    "OtherAnswer": "other_answer_odds = max_t [max_v log p(v | images, question, y_<t) - log p(y_t | ...)]",
    "ClipScore": "clip_score = cos(image, text)",
    "ClipEmbedding": "embedding = [image / |image|, text / |text|]",
    "ScoreNetScorer": "score_net = -net(row)",
    "NeighborPenalty": "repeat: i = argmax s; pick i; s_j -= gamma · s_i · cos(i, j)²  "
    "for the nearest remaining rows j of i",
    "TopScore": "the rows with the highest score",
    "Random": "every row with the same probability",
}

_PAPERS = {
    "2402.12501": "Your Vision-Language Model Itself Is a Strong Filter: Towards High-Quality Instruction "
    "Tuning with Data Selection",
    "2503.20502": "MLLM-Selector: Necessity and Diversity-driven High-Value Data Selection for Enhanced "
    "Visual Instruction Tuning",
}


def formula(name: Any) -> Markdown | None:
    """The formula of a rule or a scorer in one line of plain text, if it has one."""
    return Markdown(_FORMULAS[name]) if name in _FORMULAS else None


def summary(name: Any) -> Markdown | None:
    """The first paragraph of the docstring of a method, a rule or a scorer of this package."""
    documentation = _documentation(name)
    return Markdown(" ".join(documentation.split("\n\n")[0].split())) if documentation else None


def citations(names: Iterable[Any]) -> Markdown:
    """BibTeX for the papers named in the docstrings of these methods, rules and scorers."""
    documentation = "\n".join(_documentation(name) for name in names)
    numbers = sorted(set(re.findall(r"arXiv (\d{4}\.\d{5})", documentation)))
    return Markdown("\n".join(_bibtex(number) for number in numbers))


def _bibtex(number: str) -> str:
    title = _PAPERS.get(number, f"arXiv {number}")
    return f"""\
@misc{{arxiv_{number.replace(".", "_")},
  title = {{{title}}},
  year = {{20{number[:2]}}},
  eprint = {{{number}}},
  archivePrefix = {{arXiv}},
  url = {{https://arxiv.org/abs/{number}}}
}}"""


def _documentation(name: Any) -> str:
    """The docstring of the method, rule or scorer of this name."""
    known = {kind: getattr(module, kind) for module in (rules, scorers) for kind in module.__all__} | NAMED
    return (inspect.getdoc(known[name]) or "") if name in known else ""
