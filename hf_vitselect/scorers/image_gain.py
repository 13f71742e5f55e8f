"""How much the pictures help with the answer (VisNec, arXiv 2603.01195)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.scorers.base.views import View, whole, without_pictures

if TYPE_CHECKING:
    from hf_vitselect.models.token_stats import ResponseSignals


class ImageGain(ResponseScorer):
    """The response's mean loss without the pictures minus the mean loss with them.

    A re-implementation of VisNec's score (arXiv 2603.01195) from its abstract; no code was found. Not
    known: which model the paper scores with, how it takes the image away (here all pictures and their
    placeholders are left out of the prompt, and nothing stands in their place), and how it counts tokens.
    VisNec drops rows that are not positive and takes the highest inside semantic clusters; the selection
    rule does that, not this score.

    Adds `image_gain` (float32, nats per response token, any sign: higher = the answer needs the pictures
    more, near 0 = the text alone gives it away, negative = the pictures hurt), `image_gain_status` and
    `image_gain_reason`. A row without pictures is `image_missing` and costs no forward. A row whose
    answer has another number of tokens without its pictures is `bad_row`.

    Args:
        model: the model, a Hub id or a folder.
        column: name of the main column.
        processor, revision, dtype, batch_size, batch_tokens, max_length, end_of_turn,
            attn_implementation, torch_compile, trust_remote_code: as in `NecessityScorer`.

    Raises:
        ModelError: as in `NecessityScorer`.

    Example:
        >>> scored = pool.map(ImageGain("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    cost = "2 forwards"
    needs = "a vision-language model, pictures"

    signal = "image_gain"

    @property
    def views(self) -> tuple[View, ...]:
        """What is taken away, and what is not."""
        return (whole, without_pictures)

    def value(self, losses: Mapping[View, "ResponseSignals"]) -> float:
        """The loss that the pictures save."""
        return losses[without_pictures].mean - losses[whole].mean
