"""How much the question helps with the answer (IFD, arXiv 2308.12032; PreSel, arXiv 2503.07591)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.scorers.base.views import View, whole, without_questions

if TYPE_CHECKING:
    from hf_vitselect.models.token_stats import ResponseSignals


class QuestionGain(ResponseScorer):
    """The response's mean loss without the question divided by the mean loss with it.

    The inverse of two published ratios: IFD of Cherry LLM (arXiv 2308.12032, text only) and PreSel's
    instruction relevance score IRS (arXiv 2503.07591, pictures kept), both loss with / loss without. They
    want opposite ends: Cherry LLM drops IFD above 1, which is a gain below 1, and then keeps the highest
    IFD, the lowest gain; PreSel gives tasks of low mean IRS, of high gain, the larger share. Selecting is
    the rule's affair.

    A re-implementation. Without the question, the texts of all user turns are blank; pictures, system and
    tool turns and the template's frame stay (many templates write a system turn of their own that cannot
    be left out). Cherry LLM's code takes the loss of the bare answer, without any frame.

    Adds `question_gain` (float32, a ratio from 0 up, 1 = the question changes nothing, above 1 = it
    helps), `question_gain_status` and `question_gain_reason`. A row whose answer the model is certain
    of, so that the loss with the question is 0, is `non_finite`. A row whose answer has another number of
    tokens without its question is `bad_row`.

    Args:
        model: the model, a Hub id or a folder.
        column: name of the main column.
        processor, revision, dtype, batch_size, batch_tokens, max_length, end_of_turn,
            attn_implementation, torch_compile, trust_remote_code: as in `NecessityScorer`.

    Raises:
        ModelError: as in `NecessityScorer`.

    Example:
        >>> scored = pool.map(QuestionGain("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    cost = "2 forwards"

    signal = "question_gain"

    @property
    def views(self) -> tuple[View, ...]:
        """What is taken away, and what is not."""
        return (whole, without_questions)

    def value(self, losses: Mapping[View, "ResponseSignals"]) -> float:
        """The ratio of the losses."""
        return losses[without_questions].mean / losses[whole].mean
