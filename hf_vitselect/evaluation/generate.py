"""Greedy generation of answers, batched."""

from collections.abc import Sequence

import torch

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.models.encoding import Encoded, Encoder
from hf_vitselect.models.vlm import VLM


@torch.inference_mode()
def write(vlm: VLM, rows: Sequence[Conversation], max_new_tokens: int) -> list[str]:
    """What the model writes as the last answer of each row, by greedy decoding.

    It sees exactly the tokens that stand before that answer in training.

    Raises:
        RowError: if a row cannot be read.
    """
    encoder = vlm.encoder
    encoded = [encoder.encode(row) for row in rows]
    inputs, prompts = encoder.collate([_prompt(row) for row in encoded])
    # Decoding goes on at the right edge, so the padding goes to the left one.
    padding = (~prompts).sum(1).tolist()
    inputs = {
        key: torch.stack([row.roll(pad) for row, pad in zip(value, padding, strict=True)])
        if value.shape == prompts.shape
        else value
        for key, value in inputs.items()
    }
    device, dtype = vlm.model.device, vlm.model.dtype
    inputs = {k: v.to(device, dtype if v.is_floating_point() else None) for k, v in inputs.items()}
    written = vlm.model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        pad_token_id=encoder.pad_id,
        eos_token_id=_ends(vlm, encoder, encoded),
    )
    # Models that are given embeddings, such as BLIP-2, return the new tokens alone.
    new = written[:, prompts.shape[1] :] if written.shape[1] > prompts.shape[1] else written
    return [text.strip() for text in encoder.tokenizer.batch_decode(new, skip_special_tokens=True)]


def _prompt(row: Encoded) -> Encoded:
    """The row up to its last answer; its mask is true everywhere, so that padding shows."""
    response = row.response[0].long()
    start = int((response.diff() == 1).nonzero()[-1]) + 1
    inputs = {
        key: value[:, :start] if value.shape == row.response.shape else value
        for key, value in row.inputs.items()
    }
    return Encoded(inputs, torch.ones(1, start, dtype=torch.bool))


def _ends(vlm: VLM, encoder: Encoder, rows: Sequence[Encoded]) -> list[int]:
    """Tokens that end an answer: the model's own, and what the template writes there."""
    known = vlm.model.generation_config.eos_token_id
    ends = {known} if isinstance(known, int) else set(known or ())
    last = {int(row.inputs["input_ids"][row.response][-1]) for row in rows}
    return sorted(ends | (last & set(encoder.tokenizer.all_special_ids)))
