"""How much the images help with the answer (VisNec, arXiv 2603.01195)."""

from dataclasses import dataclass

from hf_vitselect.scorers.base.response import ResponseScorer, ViewStats
from hf_vitselect.scorers.base.views import View, whole, without_images


@dataclass(kw_only=True, eq=False)
class ImageGain(ResponseScorer):
    """The response's mean loss without the images minus its mean loss with them.

    Unofficial re-implementation of VisNec's score (arXiv 2603.01195); differences in docs/papers.md. VisNec
    drops rows that are not positive and takes the highest within semantic clusters, which is left to the
    selection rule.

    Adds `image_gain` (float32, nats per response token, any sign: higher = the answer needs the images more,
    near 0 = the text alone gives it away, negative = the images hurt), `image_gain_status` and
    `image_gain_reason`. A row without images is `image_missing` and costs nothing; a row whose response has
    another number of tokens without its images is `bad_row`. Costs two forwards per row.
    Arguments and errors are those of `NecessityScorer`.

    Examples:
        >>> scored = pool.map(ImageGain("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    column: str = "image_gain"

    cost = "2 forwards"
    needs = "a vision-language model, images"

    @property
    def views(self) -> tuple[View, ...]:
        """The whole row, and its text alone."""
        return (whole, without_images)

    def value(self, stats: ViewStats) -> float:
        """The loss that the images save."""
        return stats[without_images].mean - stats[whole].mean
