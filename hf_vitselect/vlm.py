"""Loads and runs a vision-language model: the only scoring forward."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from hf_vitselect.encoding import Encoded, Encoder
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.rows import Conversation, Turn

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResponseLoss:
    """What the model thinks of one row's response.

    Attributes:
        nll: float32 of shape (response tokens,), negative log-likelihood in nats per token.
        hit: bool of the same shape, whether the token is the model's first choice. All true means that
            greedy decoding writes this very response.
    """

    nll: torch.Tensor
    hit: torch.Tensor

    @property
    def mean(self) -> float:
        """The mean negative log-likelihood in nats per response token; NaN without any token."""
        return self.nll.double().mean().item()


class VLM:
    """A model with its encoder, ready to score.

    Args:
        model: an `AutoModelForImageTextToText`, on its device.
        processor: its processor, with a chat template.
        max_length: the longest row in tokens; the model's own context if None.
    """

    def __init__(self, model: Any, processor: Any, max_length: int | None = None) -> None:
        self.model = model.eval()
        text_config = model.config.get_text_config()
        context = getattr(text_config, "max_position_embeddings", None)
        limits = [limit for limit in (max_length, context) if limit is not None]
        self.encoder = Encoder(processor, min(limits, default=None))

    @classmethod
    def load(
        cls,
        model: str,
        *,
        processor: Any = None,
        revision: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        max_length: int | None = None,
        trust_remote_code: bool = False,
    ) -> "VLM":
        """Loads a model and its processor from the Hub or a folder.

        Args:
            model: a Hub id or a folder.
            processor: used in place of the model's own `AutoProcessor`.
            revision: a commit, branch or tag on the Hub.
            dtype: a torch dtype's name; ``auto`` is the checkpoint's.
            device: a torch device; the first GPU if there is one, else the CPU.
            max_length: the longest row in tokens; the model's own context if None.
            trust_remote_code: as in `transformers`.

        Raises:
            ModelError: if the processor has no chat template or a slow tokenizer, or refuses a
                plain question.
        """
        options = {"revision": revision, "trust_remote_code": trust_remote_code}
        if processor is None:
            processor = AutoProcessor.from_pretrained(model, **options)
        loaded = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype, **options)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        vlm = cls(loaded.to(device), processor, max_length)
        # A model that cannot run at all must fail here, and not turn every row of a pool into a bad one.
        try:
            vlm.response_losses([vlm.encoder.encode(_PROBE)])
        except RowError as error:
            raise ModelError(f"{model} cannot read a question and its answer: {error}") from error
        return vlm

    @torch.inference_mode()
    def response_losses(self, rows: Sequence[Encoded]) -> list[ResponseLoss]:
        """One forward over rows of any length; logits are made for response positions only.

        The first token of a row has no prediction and is not counted even where it is a response token.

        Args:
            rows: encoded by `self.encoder`.
        """
        inputs, response = self.encoder.collate(rows)
        response[:, 0] = False
        predicts = response.roll(-1, dims=1)
        device = self.model.device
        # Pictures come in fp32; not every model casts them to its own precision.
        inputs = {
            key: value.to(device, self.model.dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
        }
        logits = logits_at(self.model, self.model, inputs, predicts.to(device))
        targets = inputs["input_ids"][response.to(device)]
        nll = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none").cpu()
        hit = (logits.argmax(-1) == targets).cpu()
        ends = response.sum(1).cumsum(0).tolist()
        return [ResponseLoss(nll[a:b], hit[a:b]) for a, b in zip([0, *ends], ends, strict=False)]

    def score(
        self, rows: Sequence[Conversation | RowError], batch_size: int
    ) -> list[ResponseLoss | RowError]:
        """The response losses of every row; a row that cannot be scored is its error.

        Args:
            rows: read by `hf_vitselect.rows`. Of many rows, so many are decoded at a time as fill 16
                batches, because their pictures stay in memory until they are scored.
            batch_size: rows in one forward, of similar length. Rows with pictures and rows without don't
                share one: whether the latter are there then changes nothing for the former, not even
                the rounding.
        """
        window = 16 * batch_size
        return [
            result
            for start in range(0, len(rows), window)
            for result in self._score_window(rows[start : start + window], batch_size)
        ]

    def _score_window(
        self, rows: Sequence[Conversation | RowError], batch_size: int
    ) -> list[ResponseLoss | RowError]:
        results = [_encode_or_error(self.encoder, row) for row in rows]
        blind: list[tuple[int, Encoded]] = []
        seeing: list[tuple[int, Encoded]] = []
        for i, (row, encoded) in enumerate(zip(rows, results, strict=True)):
            if isinstance(row, Conversation) and isinstance(encoded, Encoded):
                (seeing if row.pictures else blind).append((i, encoded))
        losses: dict[int, ResponseLoss | RowError] = {}
        for alike in (blind, seeing):
            alike.sort(key=lambda pair: pair[1].length)
            for start in range(0, len(alike), batch_size):
                places, batch = zip(*alike[start : start + batch_size], strict=True)
                losses |= zip(places, self._losses_or_errors(batch), strict=True)
        return [row if isinstance(row, RowError) else losses[i] for i, row in enumerate(results)]

    def _losses_or_errors(self, rows: Sequence[Encoded]) -> list[ResponseLoss | RowError]:
        try:
            return list(self.response_losses(rows))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            if len(rows) == 1:
                _logger.warning("A row is marked bad_row, because the model refuses it: %s", error)
                return [RowError("bad_row", f"the model refuses it: {error}")]
            return [result for row in rows for result in self._losses_or_errors([row])]


def logits_at(
    model: Any, forward: Callable[..., Any], inputs: Mapping[str, torch.Tensor], keep: torch.Tensor
) -> torch.Tensor:
    """A model's own forward, whose output layer sees only the kept positions.

    A hook before the output layer serves every architecture, and whatever the model does to its
    logits afterwards (scaling, soft capping) still happens.

    Args:
        model: whose output layer it is.
        forward: what to call with the inputs, the model or one of its methods.
        inputs: without labels.
        keep: bool of the shape of ``input_ids``.

    Returns:
        Shape (kept, vocabulary).
    """

    def pick(_: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (arguments[0][keep].unsqueeze(0), *arguments[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        logits: torch.Tensor = forward(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return logits[0]


_PROBE = Conversation((Turn("user", ("q",)), Turn("assistant", ("a",))))


def _encode_or_error(encoder: Encoder, row: Conversation | RowError) -> Encoded | RowError:
    if isinstance(row, RowError):
        return row
    try:
        return encoder.encode(row)
    except RowError as error:
        return error
