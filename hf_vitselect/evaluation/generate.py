"""Greedy generation of answers in batches, and the evaluation that scores the generated text."""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.evaluation.held_out import HeldOut, read_answered
from hf_vitselect.models.encoded import Encoded
from hf_vitselect.models.vlm import VLM


def token_f1(answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """F1 of the words of each answer, as in SQuAD (arXiv 1606.05250, section 6.1).

    The harmonic mean of precision and recall over words, without case, punctuation and articles, in [0, 1].
    Two empty texts agree.

    Examples:
        >>> token_f1(["a red ring", "No."], ["the red circle", "no"])
        [0.5, 1.0]
    """
    scores = []
    for answer, reference in zip(map(_words, answers), map(_words, references), strict=True):
        common = (Counter(answer) & Counter(reference)).total()
        scores.append(2 * common / (len(answer) + len(reference)) if answer or reference else 1.0)
    return scores


def _words(text: str) -> list[str]:
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


@dataclass(frozen=True, eq=False)
class Generated(HeldOut):
    """A metric of the last answer of each row as the model generates it, by greedy decoding.

    Attributes:
        metric: from generated and right answers, both lists of texts, to one number per answer or a single
            number; higher is better.
        max_new_tokens: longest answer, in tokens.

    Examples:
        >>> Generated(held_out, max_new_tokens=16)("model")  # doctest: +SKIP
        [0.5, 1.0]
    """

    metric: Callable[[list[str], list[str]], ArrayLike] = token_f1
    max_new_tokens: int = 64

    def prompts(self) -> Iterator[tuple[int, Conversation | RowError]]:
        """Every row, whose last turn must be an answer."""
        yield from enumerate(read_answered(self.rows))

    def __call__(self, model: str) -> ArrayLike:
        """Return what the metric returns; raise RowError if a row cannot be read."""
        vlm, rows = self.load(model), read_answered(self.rows)
        answers: list[str] = []
        for start in range(0, len(rows), self.batch_size):
            answers += generate(vlm, rows[start : start + self.batch_size], self.max_new_tokens)
        return self.metric(answers, [row.turns[-1].text.strip() for row in rows])


@torch.inference_mode()
def generate(vlm: VLM, rows: Sequence[Conversation], max_new_tokens: int) -> list[str]:
    """Generate the last answer of each row by greedy decoding.

    The prompt is exactly the tokens that precede this answer in training.
    """
    encoder = vlm.encoder
    encoded = [encoder.encode(row) for row in rows]
    inputs, prompts = encoder.collate([_prompt(row) for row in encoded])
    # Decoding continues at the right edge, so the padding moves to the left.
    padding = (~prompts).sum(1).tolist()
    inputs = {
        key: torch.stack([row.roll(pad) for row, pad in zip(value, padding, strict=True)])
        if value.shape == prompts.shape
        else value
        for key, value in inputs.items()
    }
    device, dtype = vlm.model.device, vlm.model.dtype
    inputs = {k: v.to(device, dtype if v.is_floating_point() else None) for k, v in inputs.items()}
    tokens = vlm.model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        pad_token_id=encoder.pad_id,
        eos_token_id=_end_tokens(vlm, encoded),
    )
    # Models that are fed embeddings, such as BLIP-2, return only the new tokens.
    new = tokens[:, prompts.shape[1] :] if tokens.shape[1] > prompts.shape[1] else tokens
    return [text.strip() for text in encoder.tokenizer.batch_decode(new, skip_special_tokens=True)]


def _prompt(row: Encoded) -> Encoded:
    """The row up to its last answer. Its mask is true everywhere, so that padding shows."""
    response = row.response[0].long()
    start = int((response.diff() == 1).nonzero()[-1]) + 1
    inputs = {
        key: value[:, :start] if value.shape == row.response.shape else value
        for key, value in row.inputs.items()
    }
    return Encoded(inputs, torch.ones(1, start, dtype=torch.bool))


def _end_tokens(vlm: VLM, rows: Sequence[Encoded]) -> list[int]:
    """Tokens that end an answer: the model's own, and those that the template writes there."""
    known = vlm.model.generation_config.eos_token_id
    ends = {known} if isinstance(known, int) else set(known or ())
    last = {int(row.inputs["input_ids"][row.response][-1]) for row in rows}
    return sorted(ends | (last & set(vlm.encoder.tokenizer.all_special_ids)))
