"""Encode a conversation as a model's inputs and a mask of its response tokens.

The response is found in the text that the processor's chat template renders; the tokenizer's character
offsets give its tokens. Cutting by a tokenized prefix instead loses the first answer token whenever template
and answer share a token.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.pixels import refuse_resize
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.chat_template import ChatTemplate
from hf_vitselect.models.encoded import Encoded, EncodedRows
from hf_vitselect.models.options import EndOfTurn
from hf_vitselect.models.processors import SavedProcessor, refuse_failed_probe, refuse_unusable


class Encoder:
    """Encoder of conversations with one processor; `context` is the longest row in tokens, or None.

    Attributes:
        kept: rows encoded before, also by other encoders of this `identity`; None keeps none.
    """

    kept: EncodedRows | None = None

    def __init__(
        self, processor: Any, context: int | None = None, *, end_of_turn: EndOfTurn = "auto"
    ) -> None:
        refuse_unusable(processor)
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.context = context
        self.end_of_turn = end_of_turn
        self.template = ChatTemplate(processor, end_of_turn)
        self.pad_id: int = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0
        ids = {getattr(processor, "image_token_id", None)}
        if self.template.image_token:
            ids.add(self.tokenizer.convert_tokens_to_ids(self.template.image_token))
        self._image_ids = ids - {None}
        self._takes_images = hasattr(processor, "image_processor")

    def encode(self, row: Conversation) -> Encoded:
        """Encode a row, or raise the `RowError` that says why it cannot be encoded."""
        encoded = self._encode(row) if self.kept is None else self.kept.get(row, self._encode)
        if self.context is not None and encoded.length > self.context:
            raise RowError("too_long", f"{encoded.length} tokens, the limit is {self.context}")
        return encoded

    @property
    def identity(self) -> str:
        """A digest of all that encoded rows depend on: the processor's files and the end of turn."""
        saved = SavedProcessor.of(self.processor)
        parts = (saved.kind.__module__, saved.kind.__qualname__, saved.recipe()["digest"], self.end_of_turn)
        return "\n".join(parts)

    def _encode(self, row: Conversation) -> Encoded:
        self._refuse(row)
        images = [self._decode(image) for image in row.images]
        text, spans = self.template.render(row.turns, row.tools)
        placeholder = self.template.placeholder
        rendered = text.count(placeholder) if placeholder else 0
        if rendered != len(images) and (rendered or len(images) > 1 or not self.template.images_first):
            raise RowError(
                "placeholder_mismatch",
                f"the template renders {rendered} placeholder(s) for {len(images)} image(s)",
            )
        inputs, offsets, replaced = self._process(text, images)
        ids = inputs["input_ids"][0].tolist()
        if rendered and max(last for _, last in offsets) > _shift(len(text), replaced):
            raise ModelError(
                "expected a processor that says where it expands placeholders "
                f"(return_text_replacement_offsets), got {type(self.processor).__name__}, which does not; "
                "its response tokens cannot be found"
            )
        response = self._response(ids, offsets, spans, replaced)
        if not any(response):
            raise RowError("no_response", "no token of the answer is left after tokenizing")
        prefix = max((i + 1 for i, token in enumerate(ids) if token in self._image_ids), default=0)
        digest = _prefix_digest(inputs, prefix) if prefix else b""
        return Encoded(inputs, torch.tensor([response], dtype=torch.bool), prefix, digest)

    @property
    def probes(self) -> list[Conversation]:
        """A question with its answer, and one about an image if the processor takes images.

        A model that cannot run on them cannot run at all, and no row of a pool is to blame.
        """
        answer = Turn("assistant", ("a",))
        rows = [Conversation((Turn("user", ("q",)), answer))]
        if self._takes_images:
            rows.append(Conversation((Turn("user", (None, "q")), answer), (_probe_image(),)))
        return rows

    def check(self) -> None:
        """Encode the probes, and refuse a processor that cannot."""
        for probe in self.probes:
            try:
                self.encode(probe)
            except RowError as error:
                refuse_failed_probe(self.processor, error)

    def collate(self, rows: Sequence[Encoded]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Join rows into a batch: inputs, and response mask, bool of shape (len(rows), longest row).

        Every tensor of tokens or images is padded on the right in all dimensions but the first, with zeros or
        the pad token, and then concatenated. Rows without images add nothing to the tensors of images.
        """
        keys = dict.fromkeys(key for row in rows for key in row.inputs)
        inputs = {
            key: _pad_and_concatenate(
                [row.inputs[key] for row in rows if key in row.inputs],
                self.pad_id if key == "input_ids" else 0,
            )
            for key in keys
        }
        if self.template.images_first and "pixel_values" not in inputs:
            # BLIP-2 always runs its vision tower; an image that no image token asks for changes nothing.
            blank = self.processor.image_processor(Image.new("RGB", (32, 32)), return_tensors="pt")
            inputs["pixel_values"] = blank["pixel_values"]
        return inputs, _pad_and_concatenate([row.response for row in rows], 0)

    def _refuse(self, row: Conversation) -> None:
        """Refuse a row that cannot be encoded, before its images are decoded."""
        if not any(turn.role == "assistant" and turn.text.strip() for turn in row.turns):
            raise RowError("no_response", "no assistant turn with any text")
        for turn in row.turns:
            for token in self.template.special:
                if token in turn.text or token in (row.tools or ""):
                    where = f"a {turn.role} turn" if token in turn.text else "a tool"
                    raise RowError("control_tokens", f"{where} spells the special token {token!r}")
        if row.images and not self._takes_images:
            raise RowError(
                "media_unsupported",
                f"{type(self.processor).__name__} does not take images; give another as processor=",
            )

    def _decode(self, image: RowImage) -> Image.Image:
        decoded = image.decode()
        refuse_resize(decoded, getattr(self.processor, "image_processor", None))
        return decoded

    def _process(
        self, text: str, images: Sequence[Image.Image]
    ) -> tuple[dict[str, torch.Tensor], Sequence[tuple[int, int]], Sequence[Mapping[str, Any]]]:
        """The processor's tensors, every token's characters, and where placeholders were expanded."""
        bos = self.tokenizer.bos_token
        try:
            encoding = self.processor(
                text=[text],
                images=[images] if images else None,
                add_special_tokens=not (bos and text.startswith(bos)),
                return_offsets_mapping=True,
                return_text_replacement_offsets=True,
            )
            offsets = encoding.pop("offset_mapping")[0]
            replaced = (encoding.pop("text_replacement_offsets", None) or [[]])[0]
            tensors = {key: torch.as_tensor(np.asarray(value)) for key, value in encoding.items()}
        except MemoryError as error:
            sizes = ", ".join(f"{image.width} x {image.height}" for image in images) or "no image"
            raise RowError(
                "image_error" if images else "bad_row", f"it does not fit into memory ({sizes})"
            ) from error
        except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as error:
            raise RowError("bad_row", f"the processor refuses it: {error}") from error
        return tensors, offsets, replaced

    def _response(
        self,
        ids: Sequence[int],
        offsets: Sequence[tuple[int, int]],
        spans: Sequence[tuple[int, int]],
        replaced: Sequence[Mapping[str, Any]],
    ) -> list[bool]:
        """Mask of the tokens that overlap a span; image tokens never do."""
        shifted = [(_shift(start, replaced), _shift(end, replaced)) for start, end in spans if start < end]
        images = [tuple(item["new_span"]) for item in replaced]
        response = []
        reached = 0
        for token, (first, last) in zip(ids, offsets, strict=True):
            # Some tokenizers leave a token's white space out of its offsets: it is the gap before them.
            first, reached = min(first, reached), last
            response.append(
                token not in self._image_ids
                and any(first < end and last > start for start, end in shifted)
                and not any(first < end and last > start for start, end in images)
            )
        return response


def _probe_image() -> RowImage:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "PNG")
    return RowImage(data=file.getvalue())


def _pad_and_concatenate(tensors: Sequence[torch.Tensor], fill: int) -> torch.Tensor:
    shape = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    padded = []
    for tensor in tensors:
        missing = [size - have for size, have in zip(shape, tensor.shape[1:], strict=True)]
        pairs = [amount for size in reversed(missing) for amount in (0, size)]
        padded.append(torch.nn.functional.pad(tensor, pairs, value=fill))
    return torch.cat(padded)


def _prefix_digest(inputs: Mapping[str, torch.Tensor], prefix: int) -> bytes:
    """A digest of the first tokens, and of the tensors without one value per token: the images."""
    digest = hashlib.blake2b(digest_size=16)
    for key, value in sorted(inputs.items()):
        part = value[:, :prefix] if value.shape == inputs["input_ids"].shape else value
        digest.update(f"{key} {part.dtype} {tuple(part.shape)} ".encode())
        digest.update(part.contiguous().numpy().data)
    return digest.digest()


def _shift(position: int, replaced: Sequence[Mapping[str, Any]]) -> int:
    """A character's position after the placeholders before it have been expanded."""
    gained = 0
    for item in replaced:
        (start, end), (new_start, new_end) = item["span"], item["new_span"]
        if end <= position:
            gained += (new_end - new_start) - (end - start)
    return position + gained
