"""How much the question helps with the answer (IFD, arXiv 2308.12032; PreSel, arXiv 2503.07591)."""

from dataclasses import dataclass

from hf_vitselect.scorers.base.response import ResponseScorer, ViewStats
from hf_vitselect.scorers.base.views import View, whole, without_questions


@dataclass(kw_only=True, eq=False)
class QuestionGain(ResponseScorer):
    """The response's mean loss without the question divided by its mean loss with it.

    The inverse of two published ratios, both loss with / loss without: IFD of Cherry LLM (arXiv 2308.12032,
    text only) and PreSel's instruction relevance score (arXiv 2503.07591, images kept). The papers prefer
    opposite ends: Cherry LLM drops IFD above 1 (a gain below 1) and keeps the lowest gains that remain;
    PreSel gives tasks with high gains the larger share.

    Unofficial re-implementation; differences in docs/papers.md. Without the question, the texts of all user
    turns are blank. Images, system and tool turns and the template's frame stay.

    Adds `question_gain` (float32, a ratio from 0 up, 1 = the question changes nothing, above 1 = it helps),
    `question_gain_status` and `question_gain_reason`. A row with a loss of 0 given the question is
    `non_finite`; a row whose response has another number of tokens without its question is `bad_row`. Costs
    two forwards per row, which share the images where they come before the question. Arguments and errors are
    those of `NecessityScorer`.

    Examples:
        >>> scored = pool.map(QuestionGain("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    column: str = "question_gain"

    cost = "2 forwards, images once"

    @property
    def views(self) -> tuple[View, ...]:
        """The whole row, and the row without its questions."""
        return (whole, without_questions)

    def value(self, stats: ViewStats) -> float:
        """The ratio of the losses."""
        return stats[without_questions].mean / stats[whole].mean
