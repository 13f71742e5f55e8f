"""Loads and runs a vision-language model: the only scoring forward."""

import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.batching import Limit, batches, size
from hf_vitselect.models.encoding import Encoded, Encoder, SavedProcessor, load_processor
from hf_vitselect.models.forward import compile_layers, full_precision, run_forward
from hf_vitselect.models.options import EndOfTurn, ModelOptions
from hf_vitselect.models.prefetch import encoded_ahead
from hf_vitselect.models.prefix_sharing import Pack, attention_mask, branch, join, owners, pack, singles
from hf_vitselect.models.token_stats import ResponseStats, token_signals
from hf_vitselect.models.weights import load_whole

_logger = logging.getLogger(__name__)

CHUNK = 256
"""Positions whose logits exist at the same time."""

_CPU_TOKENS = 2048
"""The largest forward on a CPU, if several sequences fill it: by then nothing is gained by more of them, and
their tensors leave the caches."""

_WINDOW = 256
"""Rows that are sorted by length together, where batches are counted in tokens."""


@dataclass
class Tally:
    """What a model has done so far.

    Attributes:
        rows: rows scored.
        alone: the tokens that they have, each row by itself.
        tokens: the tokens that went through the model, those that rows share once.
        padded: the same with padding.
        forward_seconds: wall time in forwards.
        seconds: wall time in `VLM.score`: what is not in forwards is the model's waiting.
    """

    rows: int = 0
    alone: int = 0
    tokens: int = 0
    padded: int = 0
    forward_seconds: float = 0.0
    seconds: float = 0.0

    def add(self, rows: Sequence[Encoded], packs: Sequence[Pack], seconds: float) -> None:
        """Counts one forward."""
        places = [place for pack in packs for place in pack.places]
        self.rows += len(places)
        self.alone += sum(rows[place].length for place in places)
        self.tokens += sum(pack.length for pack in packs)
        self.padded += size(packs)[1]
        self.forward_seconds += seconds

    def __str__(self) -> str:
        padding = 1 - self.tokens / max(1, self.padded)
        busy = self.forward_seconds / max(1e-9, self.seconds)
        return (
            f"{self.rows} rows, {self.alone} tokens as {self.tokens}, {padding:.1%} padding, "
            f"{busy:.1%} of {self.seconds:.1f} s in forwards"
        )


def longest_row(config: Any, max_length: int | None = None) -> int | None:
    """The longest row that is scored, in tokens: the model's context, or less; None if there is no limit.

    Args:
        config: the model's.
        max_length: what was asked for.
    """
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min((limit for limit in (max_length, context) if limit is not None), default=None)


class VLM:
    """A model with its encoder, ready to score.

    Args:
        model: an `AutoModelForImageTextToText`, on its device.
        processor: its processor, with a chat template.
        max_length: the longest row in tokens; the model's own context if None.
        end_of_turn: as in `hf_vitselect.models.encoding.Encoder`.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        max_length: int | None = None,
        *,
        end_of_turn: EndOfTurn = "auto",
    ) -> None:
        self.model = model.eval()
        text_config = model.config.get_text_config()
        self.encoder = Encoder(processor, longest_row(model.config, max_length), end_of_turn=end_of_turn)
        self.work = Tally()
        self.plain_because = _cannot_pack(model)
        """Why rows of one picture are not packed, or None if they are, as far as is known."""
        self._packing_tried = False
        self._ceiling = Limit(
            rows=1 if _looks_at_the_longest_row(text_config) else None,
            tokens=_CPU_TOKENS if model.device.type == "cpu" else None,
        )
        self._output_is_last: bool | None = None

    @classmethod
    def load(
        cls,
        model: str,
        options: ModelOptions | None = None,
        *,
        identity: Mapping[str, Any] | None = None,
        device: str | None = None,
    ) -> "VLM":
        """Loads a model and its processor from the Hub or a folder.

        Args:
            model: a Hub id or a folder, of a model or of a PEFT adapter.
            options: how to load it; the defaults if None.
            identity: the exact weights, as `hf_vitselect.models.revisions.identify` names them, with those of
                a named `processor` and remote `code`; what `options.revision` stands for now if None.
            device: a torch device; the first GPU if there is one, else the CPU.

        Raises:
            ModelError: if model or processor cannot be loaded, a weight is missing, the processor has no chat
                template or a slow tokenizer, or does not fit the model, or the layers cannot be compiled.
        """
        options = options or ModelOptions()
        exact = identity or {"commit": options.revision}
        revision, base_revision = exact.get("commit"), exact.get("base", {}).get("commit")
        code = exact.get("code", [])
        processor = options.processor
        if isinstance(processor, SavedProcessor):
            processor = processor.load()
        else:
            processor = load_processor(
                processor or model,
                revision=exact.get("processor", {}).get("commit") if processor else revision,
                base_revision=base_revision,
                trust_remote_code=options.trust_remote_code,
            )
        loaded = load_whole(
            AutoModelForImageTextToText,
            model,
            revision=revision,
            base_revision=base_revision,
            dtype=options.dtype,
            attn_implementation=options.attn_implementation,
            trust_remote_code=options.trust_remote_code,
            code_revision=code[0]["commit"] if len(code) == 1 else None,
        )
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        vlm = cls(loaded.to(device), processor, options.max_length, end_of_turn=options.end_of_turn)
        if options.torch_compile:
            compile_layers(loaded)
        # A model that cannot run at all must fail here, and not turn every row of a pool into a bad one.
        for found in vlm.score(vlm.encoder.probes):
            if isinstance(found, RowError):
                vlm.encoder.refuse_probe(found, loaded)
        return vlm

    def signals(self, rows: Sequence[Encoded]) -> list[ResponseStats]:
        """One forward over rows of any length.

        Rows with the same pictures and the same tokens before them cost these once, where the model allows
        it (`plain_because`). Logits are made for response positions only, 256 at a time: of them no more
        exists than 256 x vocabulary x (2 x 4 bytes + the model's own precision). A model that changes its
        logits after the output layer (soft caps, scales) keeps those of all response positions in its own
        precision. The first token of a row has no prediction and is not counted even where it is a response
        token.

        Args:
            rows: encoded by `self.encoder`.
        """
        found = self._count_forward(rows, self._pack(rows, range(len(rows)), Limit().allows))
        return [found[place] for place in range(len(rows))]

    def inputs(self, rows: Sequence[Encoded]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """One batch on the model's device, and which of its tokens are of responses and have a prediction.

        Returns:
            The inputs, floating ones in the model's precision, and bool of shape (len(rows), longest row).
        """
        inputs, response = self.encoder.collate(rows)
        response[:, 0] = False
        device = self.model.device
        # Pictures come in fp32; not every model casts them to its own precision.
        moved = {
            key: value.to(device, self.model.dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
        }
        return moved, response.to(device)

    def score(
        self,
        rows: Sequence[Conversation | RowError],
        batch_size: int | None = 8,
        batch_tokens: int | None = None,
    ) -> list[ResponseStats | RowError]:
        """The signals of every row; a row that cannot be scored is its error.

        Pictures are decoded and texts tokenised in threads, ahead of the model. A forward that runs out of
        memory is taken again in halves, and later ones are no larger than these.

        Args:
            rows: read by `hf_vitselect.data`. Those with the same pictures are scored together. As many are
                sorted by length as fill 16 batches (256 under `batch_tokens` alone; fewer at
                first), while as many more are decoded; only their pictures are in memory.
            batch_size: the largest number of rows in one forward, or None.
            batch_tokens: the largest number of tokens in one forward, padding included, or None. On a CPU
                never more than 2048, unless one row has more.
        """
        begun = time.perf_counter()
        limit = Limit(batch_size, batch_tokens)
        results: dict[int, ResponseStats | RowError] = {}
        for window in encoded_ahead(self.encoder, rows, 16 * batch_size if batch_size else _WINDOW):
            results |= {place: row for place, row in window if isinstance(row, RowError)}
            readable = {place: row for place, row in window if isinstance(row, Encoded)}
            results |= zip(readable, self._score_encoded(list(readable.values()), limit), strict=True)
        self.work.seconds += time.perf_counter() - begun
        _logger.info("Scored: %s", self.work)
        return [results[place] for place in range(len(rows))]

    def _score_encoded(self, rows: Sequence[Encoded], limit: Limit) -> list[ResponseStats | RowError]:
        found: dict[int, ResponseStats | RowError] = {}
        while todo := [place for place in range(len(rows)) if place not in found]:
            limit = limit.within(self._ceiling)
            for batch in batches(rows, self._pack(rows, todo, limit.allows), limit):
                results = self._signals_or_errors(rows, batch)
                if results is None:
                    self._ceiling = limit.below(*size(batch))
                    _logger.warning("Out of memory: forwards are now held to %s", self._ceiling)
                    break
                found |= results
        return [found[place] for place in range(len(rows))]

    def _signals_or_errors(
        self, rows: Sequence[Encoded], packs: Sequence[Pack]
    ) -> dict[int, ResponseStats | RowError] | None:
        """The results of one forward by place, or None if memory did not suffice for several rows."""
        try:
            return dict(self._count_forward(rows, packs))
        except _REFUSALS as error:
            _raise_if_no_row_is_to_blame(error)
            out_of_memory, reason = _is_out_of_memory(error), str(error)
        if out_of_memory and torch.cuda.is_available():
            torch.cuda.empty_cache()
        places = [place for pack in packs for place in pack.places]
        if len(places) == 1:
            row_error = RowError(
                "too_long" if out_of_memory else "bad_row", f"the model refuses it: {reason}"
            )
            _logger.warning("A row is marked %s: %s", row_error.status, row_error)
            return {places[0]: row_error}
        if out_of_memory:
            return None
        alone = [self._signals_or_errors(rows, [single]) for single in singles(rows, places)]
        return {place: result for results in alone if results for place, result in results.items()}

    def _pack(
        self, rows: Sequence[Encoded], places: Sequence[int], allows: Callable[[int, int], bool]
    ) -> list[Pack]:
        if self.plain_because is not None:
            return singles(rows, places)
        packs = pack(rows, places, allows)
        sharing = [each for each in packs if each.shared]
        for each in sharing:
            if not self._packing_tried:
                self._try_packing([rows[place] for place in each.places[:2]])
        known = self._packing_tried or not sharing
        return packs if known and self.plain_because is None else singles(rows, places)

    def _try_packing(self, rows: Sequence[Encoded]) -> None:
        """Finds whether two rows in one sequence have the losses that they have alone."""
        try:
            apart = self._forward(rows, singles(rows, range(2)))
        except _REFUSALS as error:
            _raise_if_no_row_is_to_blame(error)
            return  # these rows may be to blame: the next ones tell
        try:
            together = self._forward(rows, pack(rows, range(2), Limit().allows))
        except (*_REFUSALS, TypeError) as error:
            _raise_if_no_row_is_to_blame(error)
            if _is_out_of_memory(error):
                return
            self.plain_because = f"it refuses the mask: {error}"
        else:
            self.plain_because = _difference(apart, together, self.model.dtype)
        self._packing_tried = True
        _logger.info(
            "Rows of one picture in one sequence: %s", self.plain_because or "their losses are the same"
        )

    def _count_forward(self, rows: Sequence[Encoded], packs: Sequence[Pack]) -> dict[int, ResponseStats]:
        begun = time.perf_counter()
        found = self._forward(rows, packs)
        self.work.add(rows, packs, time.perf_counter() - begun)
        return found

    @torch.inference_mode()
    @full_precision()
    def _forward(self, rows: Sequence[Encoded], packs: Sequence[Pack]) -> dict[int, ResponseStats]:
        """The signals of the packed rows, by their places."""
        members = [[rows[place] for place in pack.places] for pack in packs]
        inputs, response = self.inputs(
            [join(them, pack.shared) for them, pack in zip(members, packs, strict=True)]
        )
        # Padding is on the right, where no token sees it: without a mask the fast causal kernels run.
        inputs.pop("attention_mask", None)
        if any(pack.shared for pack in packs):
            inputs |= self._tree(members, [pack.shared for pack in packs])
        tokens, hidden = self._response_tokens(inputs, response)
        counts = [int(row.response[0, 1:].sum()) for them in members for row in them]
        pooled = torch.stack([states.float().mean(0) for states in torch.split(hidden, counts)]).cpu()
        results = zip(*(torch.split(values.cpu(), counts) for values in tokens), pooled, strict=True)
        places = [place for pack in packs for place in pack.places]
        made = partial(ResponseStats, vocabulary=self.model.config.get_text_config().vocab_size)
        return {place: made(*result) for place, result in zip(places, results, strict=True)}

    def _tree(self, members: Sequence[Sequence[Encoded]], shared: Sequence[int]) -> dict[str, torch.Tensor]:
        """The inputs that let rows share tokens: who sees whom, and every token's position in its own row."""
        places = [
            branch([self._positions(row) for row in rows], start)
            for rows, start in zip(members, shared, strict=True)
        ]
        longest = max(place.shape[-1] for place in places)
        padded = [torch.nn.functional.pad(place, (0, longest - place.shape[-1])) for place in places]
        lengths = [[row.length for row in rows] for rows in members]
        device = self.model.device
        return {
            "attention_mask": attention_mask(owners(lengths, shared).to(device)),
            "position_ids": torch.cat(padded, -2).to(device),
        }

    def _positions(self, row: Encoded) -> torch.Tensor:
        """Shape (1, L), or (3, 1, L) where the model's positions tell a picture's height and width."""
        count = torch.arange(row.length)[None]
        rope = getattr(getattr(self.model, "model", None), "get_rope_index", None)
        if rope is None:
            return count
        if not row.seen:
            return count.expand(3, 1, -1)
        wanted = inspect.signature(rope).parameters
        found: torch.Tensor = rope(**{key: value for key, value in row.inputs.items() if key in wanted})[0]
        return found

    def _response_tokens(
        self, inputs: Mapping[str, torch.Tensor], response: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """What `token_signals` tells of all response tokens, and the states at them."""
        predicts = response.roll(-1, dims=1)
        chunked = self._output_is_last
        run = run_forward(
            self.model,
            self.model,
            inputs,
            lambda states: states[:, :0] if chunked else states[predicts].unsqueeze(0),
        )
        if chunked is None:
            self._output_is_last = run.raw.dtype == run.logits.dtype and torch.equal(run.raw, run.logits)
        head = self.model.get_output_embeddings()
        kept = torch.split(run.states[predicts] if chunked else run.logits[0], CHUNK)
        targets = torch.split(inputs["input_ids"][response], CHUNK)
        chunks = [
            token_signals(head(part) if chunked else part, right)
            for part, right in zip(kept, targets, strict=True)
        ]
        return [torch.cat(parts) for parts in zip(*chunks, strict=True)], run.states[response]


_REFUSALS = (RuntimeError, ValueError, IndexError)
"""What models raise for rows that they cannot run on."""


def _difference(
    apart: Mapping[int, ResponseStats], together: Mapping[int, ResponseStats], dtype: torch.dtype
) -> str | None:
    """How losses of packed rows are not those that the rows have alone, or None.

    A wrong position or mask shows as more than 1e-4 nats for some token even in a model with random weights.
    Half precision moves single tokens by more, so there the rows' means count.
    """
    pairs = [(apart[place], together[place]) for place in apart]
    if dtype == torch.float32:
        tolerance = 1e-4
        gaps = [(one.nll - two.nll).abs().max().item() for one, two in pairs]
    else:
        tolerance = 0.02
        gaps = [abs(one.mean - two.mean) for one, two in pairs]
    return None if max(gaps) <= tolerance else f"losses differ by {max(gaps):.2g} nats"


def _cannot_pack(model: Any) -> str | None:
    """Why a model's rows cannot share a sequence, as far as its configuration tells."""
    config = model.config.get_text_config()
    if config._attn_implementation != "sdpa":
        return f"its attention is {config._attn_implementation}, and only sdpa takes a mask of one's own"
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        return f"it has {', '.join(sorted(kinds))} layers, whose masks are their own"
    if not getattr(config, "layer_types", None) and getattr(config, "sliding_window", None):
        return f"it attends to {config.sliding_window} tokens only"
    return None


def _looks_at_the_longest_row(text_config: Any) -> bool:
    """Whether a forward turns all rows' positions by how long the longest of them is, as longrope does."""
    rope = getattr(text_config, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, Mapping))]
    return any(kind.get("rope_type") == "longrope" for kind in kinds)


def _raise_if_no_row_is_to_blame(error: Exception) -> None:
    if isinstance(error, torch.AcceleratorError):  # nothing runs on that device any more
        raise error
    if isinstance(error, torch._dynamo.exc.TorchDynamoException):
        raise ModelError(f"the layers cannot be compiled, leave torch_compile off: {error}") from error


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in str(error) for sign in ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
    )
