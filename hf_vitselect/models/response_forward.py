"""The only scoring forward: statistics of response tokens, with logits at their positions alone."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from hf_vitselect.models.encoded import Encoded
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.forward import full_precision, output_logits, run_forward
from hf_vitselect.models.prefix_sharing import (
    RowSequence,
    attention_mask,
    branch,
    concatenate,
    token_owners,
)
from hf_vitselect.models.token_stats import ResponseStats, token_stats

CHUNK = 256
"""Positions whose logits exist at the same time."""


class ResponseForward:
    """The forward of a model, on its device, over sequences of rows."""

    def __init__(self, model: Any, encoder: Encoder) -> None:
        self.model = model
        self.encoder = encoder
        self._output_is_last: bool | None = None  # not known before the first forward

    def inputs(self, rows: Sequence[Encoded]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """One batch on the model's device, floating inputs in its precision.

        With it bool of shape (len(rows), longest row): the response tokens that have a prediction.
        """
        inputs, response = self.encoder.collate(rows)
        response[:, 0] = False
        device = self.model.device
        # Images come in float32; not every model casts them to its own precision.
        moved = {
            key: value.to(device, self.model.dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
        }
        return moved, response.to(device)

    @torch.inference_mode()
    @full_precision()
    def __call__(self, rows: Sequence[Encoded], sequences: Sequence[RowSequence]) -> dict[int, ResponseStats]:
        """The statistics of the rows in these sequences, by their indices."""
        members = [[rows[index] for index in sequence.indices] for sequence in sequences]
        shared = [sequence.shared for sequence in sequences]
        inputs, response = self.inputs([concatenate(*pair) for pair in zip(members, shared, strict=True)])
        # Padding is on the right, where no token sees it: without a mask the fast causal kernels run.
        inputs.pop("attention_mask", None)
        if any(shared):
            inputs |= self._sharing_inputs(members, shared)
        stats, hidden = self._response_tokens(inputs, response)
        positions = [row.response[0, 1:].nonzero()[:, 0] + 1 for them in members for row in them]
        counts = [len(of_row) for of_row in positions]
        pooled = torch.stack([states.float().mean(0) for states in torch.split(hidden, counts)]).cpu()
        *of_tokens, tokens = (
            torch.split(values.cpu(), counts) for values in (*stats, inputs["input_ids"][response])
        )
        results = zip(*of_tokens, pooled, tokens, positions, strict=True)
        indices = [index for sequence in sequences for index in sequence.indices]
        made = partial(
            ResponseStats,
            vocabulary=self.model.config.get_text_config().vocab_size,
            tokenizer=self.encoder.tokenizer,
        )
        return {index: made(*result) for index, result in zip(indices, results, strict=True)}

    def _sharing_inputs(
        self, members: Sequence[Sequence[Encoded]], shared: Sequence[int]
    ) -> dict[str, torch.Tensor]:
        """The mask that hides rows from each other, and every token's position in its own row."""
        positions = [
            branch([self._positions(row) for row in rows], start)
            for rows, start in zip(members, shared, strict=True)
        ]
        longest = max(each.shape[-1] for each in positions)
        padded = [torch.nn.functional.pad(each, (0, longest - each.shape[-1])) for each in positions]
        lengths = [[row.length for row in rows] for rows in members]
        device = self.model.device
        return {
            "attention_mask": attention_mask(token_owners(lengths, shared).to(device)),
            "position_ids": torch.cat(padded, -2).to(device),
        }

    def _positions(self, row: Encoded) -> torch.Tensor:
        """Shape (1, L), or (3, 1, L) for a model whose positions include an image's height and width."""
        count = torch.arange(row.length)[None]
        rope = getattr(getattr(self.model, "model", None), "get_rope_index", None)
        if rope is None:
            return count
        if not row.prefix:
            return count.expand(3, 1, -1)
        known = inspect.signature(rope).parameters
        positions: torch.Tensor = rope(**{key: row.inputs[key] for key in known if key in row.inputs})[0]
        return positions

    def _response_tokens(
        self, inputs: Mapping[str, torch.Tensor], response: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The `token_stats` of all response tokens, and the states at them."""
        predicts = response.roll(-1, dims=1)
        chunked = self._output_is_last
        output = run_forward(
            self.model,
            self.model,
            inputs,
            lambda states: states[:, :0] if chunked else states[predicts].unsqueeze(0),
        )
        if chunked is None:  # the first forward: its logits may be rounded, see `output_logits`
            raw, logits = output.raw, output.logits
            self._output_is_last = chunked = raw.dtype == logits.dtype and torch.equal(raw, logits)
        head = self.model.get_output_embeddings()
        kept = torch.split(output.states[predicts] if chunked else output.logits[0], CHUNK)
        targets = torch.split(inputs["input_ids"][response], CHUNK)
        chunks = [
            token_stats(output_logits(head, part) if chunked else part, right)
            for part, right in zip(kept, targets, strict=True)
        ]
        return [torch.cat(parts) for parts in zip(*chunks, strict=True)], output.states[response]
