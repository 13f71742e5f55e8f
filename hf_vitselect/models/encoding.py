"""From a conversation to model inputs and a response mask: the only file that knows processors and templates.

The response is found from the processor's own chat template: private-use markers around every answer
show where the template puts it, and the tokenizer's character offsets show which tokens hold it. Cutting
by a tokenised prefix instead loses the first answer token whenever template and answer share a token.
"""

import hashlib
import io
import json
import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor
from transformers.utils import cached_file

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.pixels import refuse_resize
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.chat_templates import without_clock
from hf_vitselect.models.options import EndOfTurn, refuse_end_of_turn
from hf_vitselect.models.response_spans import find_answers, refuse_dropped
from hf_vitselect.models.revisions import adapter_base
from hf_vitselect.models.weights import load_errors

_logger = logging.getLogger(__name__)

_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
_HAS_NONE = (
    "patch_size",
    "vision_feature_select_strategy",
    "num_additional_image_tokens",
    "image_seq_len",
    "num_query_tokens",
)
"""What processors need to place an image, and what old checkpoints left to the model."""


@dataclass(frozen=True)
class Encoded:
    """One row as a model reads it.

    Attributes:
        inputs: the processor's tensors for a batch of one; `input_ids` is int64 of shape (1, L).
        response: bool of shape (1, L), the tokens that SFT supervises.
        seen: the number of tokens up to the last picture's last one; 0 without pictures.
        opening: a digest of those tokens and of the pictures as the model gets them: rows with the same one
            begin alike. Empty without pictures.
    """

    inputs: dict[str, torch.Tensor]
    response: torch.Tensor
    seen: int = 0
    opening: bytes = b""

    @property
    def length(self) -> int:
        """The number of tokens, image tokens included."""
        return int(self.response.shape[1])


@dataclass(frozen=True)
class SavedProcessor:
    """A processor as plain bytes, so that it travels to workers and hashes alike in every process.

    Attributes:
        kind: the processor's class.
        files: name and content of every file that it saves.
    """

    kind: type
    files: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, processor: Any) -> "SavedProcessor":
        """The processor's saved form."""
        with tempfile.TemporaryDirectory() as folder:
            processor.save_pretrained(folder)
            paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            files = tuple((path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths)
        return cls(type(processor), files)

    def load(self) -> Any:
        """The processor again."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.files:
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return self.kind.from_pretrained(folder)  # type: ignore[attr-defined]

    def recipe(self) -> dict[str, str]:
        """Class and sha256 of the files, as plain JSON."""
        digest = hashlib.sha256(repr(self.files).encode()).hexdigest()
        return {"class": self.kind.__name__, "digest": digest}


def load_processor(
    model: str,
    *,
    revision: str | None = None,
    base_revision: str | None = None,
    trust_remote_code: bool = False,
) -> Any:
    """A model's own processor; that of the base model for an adapter that was saved without one.

    Args:
        model: a Hub id or a folder.
        revision: a commit, branch or tag on the Hub.
        base_revision: the same of an adapter's base model; the adapter's own word for it if None.
        trust_remote_code: as in `transformers`.

    Raises:
        ModelError: if there is none that can be loaded.
    """
    with load_errors(model, what="a model with its processor"):
        base = adapter_base(model, revision)
        if base is not None and not any(_has_file(model, file, revision) for file in _PROCESSOR_FILES):
            model, revision = base[0], base_revision or base[1]
        return AutoProcessor.from_pretrained(model, revision=revision, trust_remote_code=trust_remote_code)


class Encoder:
    """Encodes conversations with one processor.

    Args:
        processor: a `transformers` processor with a chat template and a fast tokenizer.
        context: the longest row in tokens, or None for no limit.
        end_of_turn: `auto`, where the chat template writes no end-of-turn token after a response, inserts the
            tokenizer's EOS there, in inputs and response mask alike; `template` leaves the text as it is.

    Attributes:
        inserted: the token that is inserted where the template writes none; empty if it always does, or under
            `template`.

    Raises:
        ModelError: if the processor has no chat template, its tokenizer is a slow one, another part of
            the model reads the text too, or there is no EOS to insert.
        ValueError: if `end_of_turn` is neither.
    """

    def __init__(
        self, processor: Any, context: int | None = None, *, end_of_turn: EndOfTurn = "auto"
    ) -> None:
        refuse_end_of_turn(end_of_turn)
        tokenizer = getattr(processor, "tokenizer", processor)
        if getattr(processor, "chat_template", None) is None:
            if getattr(tokenizer, "chat_template", None) is None:
                raise ModelError(
                    f"expected a processor with a chat template, got {type(processor).__name__} without one; "
                    "set processor.chat_template and save the processor beside the model"
                )
            processor.chat_template = tokenizer.chat_template
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"expected a fast tokenizer (it gives character offsets), got {type(tokenizer).__name__}"
            )
        # InstructBLIP's Q-Former reads the whole text, so losses of the answer would be too low.
        if others := [name for name in processor.model_input_names if name.endswith("_input_ids")]:
            raise ModelError(
                "expected a processor that gives the text to the language model alone, got "
                f"{type(processor).__name__} with {others}, where the model would read the answer before it "
                "writes it; take a model without them, such as BLIP-2 instead of InstructBLIP"
            )
        self.processor = processor
        self.tokenizer = tokenizer
        self.context = context
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self._image_token = _text(getattr(processor, "image_token", None))
        # What the template writes for a picture; Gemma writes another token than it expands it to.
        self._placeholder = _text(getattr(processor, "boi_token", None)) or self._image_token
        self._image_ids = self._find_image_ids()
        self._sees = hasattr(processor, "image_processor")
        added = tokenizer.added_tokens_decoder.values()
        self._special = sorted(
            {token.content for token in added if token.special}
            | set(tokenizer.all_special_tokens)
            | {token for token in (self._image_token, self._placeholder) if token}
        )
        # BLIP-2's processor takes one picture and puts it first: its template renders no placeholder.
        self._puts_picture_first = hasattr(processor, "num_query_tokens")
        template = processor.chat_template
        template = template.get("default", "") if isinstance(template, dict) else template
        # Only where it is needed: a processor of another kind may not take a template.
        self._template = {"chat_template": without_clock(template)} if "strftime_now" in template else {}
        self._as_strings = self._wants_strings()
        self._eos = _text(tokenizer.eos_token) or ""
        self._tokens = sorted({*self._special, *(token.content for token in added)}, key=len, reverse=True)
        end, always = self._find_ends()
        closing = [re.escape(token) for token in dict.fromkeys((end, self._eos)) if token]
        self._ends = re.compile(rf"\s*(?:{'|'.join(closing)})" if closing else "(?!)")
        self._inserts = self._find_inserts(end, always, end_of_turn)
        self.inserted = "" if always else self._inserts

    def encode(self, row: Conversation) -> Encoded:
        """The row's inputs and its response mask.

        Raises:
            RowError: `no_response`, `control_tokens`, `media_unsupported`, `image_missing`,
                `image_error`, `placeholder_mismatch`, `too_long` or `bad_row`.
            ModelError: if the processor expands placeholders without saying where.
        """
        if not any(turn.role == "assistant" and turn.text.strip() for turn in row.turns):
            raise RowError("no_response", "no assistant turn with any text")
        for turn in row.turns:
            for token in self._special:
                if token in turn.text or token in (row.tools or ""):
                    where = f"a {turn.role} turn" if token in turn.text else "a tool"
                    raise RowError("control_tokens", f"{where} spells the special token {token!r}")
        if row.images and not self._sees:
            raise RowError(
                "media_unsupported",
                f"{type(self.processor).__name__} is no processor of images; give another as processor=",
            )
        images = [self._decode(picture) for picture in row.images]
        text, spans = self.render(row.turns, row.tools)
        rendered = text.count(self._placeholder) if self._placeholder else 0
        if rendered != len(images) and (rendered or len(images) > 1 or not self._puts_picture_first):
            raise RowError(
                "placeholder_mismatch",
                f"the template renders {rendered} placeholder(s) for {len(images)} image(s)",
            )
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
            inputs = _tensors(encoding)
        except MemoryError as error:
            sizes = ", ".join(f"{image.width} x {image.height}" for image in images) or "no image"
            raise RowError(
                "image_error" if images else "bad_row", f"it does not fit into memory ({sizes})"
            ) from error
        except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as error:
            raise RowError("bad_row", f"the processor refuses it: {error}") from error
        ids = inputs["input_ids"][0].tolist()
        if self.context is not None and len(ids) > self.context:
            raise RowError("too_long", f"{len(ids)} tokens, the limit is {self.context}")
        if rendered and max(last for _, last in offsets) > _shift(len(text), replaced):
            raise ModelError(
                "expected a processor that says where it expands placeholders "
                f"(return_text_replacement_offsets), got {type(self.processor).__name__}, which does not; "
                "its response tokens cannot be told"
            )
        response = self._response(ids, offsets, spans, replaced)
        if not any(response):
            raise RowError("no_response", "no token of the answer is left after tokenising")
        seen = max((place + 1 for place, token in enumerate(ids) if token in self._image_ids), default=0)
        opening = _digest(inputs, seen) if seen else b""
        return Encoded(inputs, torch.tensor([response], dtype=torch.bool), seen, opening)

    def render(self, turns: Sequence[Turn], tools: str | None = None) -> tuple[str, list[tuple[int, int]]]:
        """The rendered text, and the character span of every response in it, end of turn included.

        Raises:
            RowError: `bad_row` if the template refuses the turns or changes an answer.
        """
        plain, answers = find_answers(turns, partial(self._apply, tools=tools))
        refuse_dropped(turns, partial(self._apply, tools=tools))
        if tools and plain == self._apply(turns):
            raise RowError("bad_row", "the row has tools, and the chat template takes none")
        own = [turn for turn in turns if turn.role == "assistant"]
        limits = [*(first for first, _ in answers[1:]), len(plain)]
        spans, cuts = [], [0]
        for turn, (first, last), limit in zip(own, answers, limits, strict=True):
            shift = len(self._inserts) * (len(cuts) - 1)
            if turn.parts and turn.parts[-1] is None and turn.text.strip():
                # Images stand between the answer and its end.
                end = self._ends.search(plain, last, limit)
                if end is None and self._inserts:
                    raise RowError("bad_row", "an answer ends in an image, and the template writes no end")
                spans += [(first + shift, last + shift)]
                spans += [(end.start() + shift, end.end() + shift)] if end else []
            elif end := self._ends.match(plain, last):
                spans.append((first + shift, end.end() + shift))
            else:
                spans.append((first + shift, last + shift + len(self._inserts)))
                cuts.append(last)
        pieces = [plain[start:stop] for start, stop in pairwise([*cuts, len(plain)])]
        return self._inserts.join(pieces), spans

    @property
    def probes(self) -> list[Conversation]:
        """A question with its answer, and one about an image if the processor takes any.

        A model that cannot run on them cannot run at all, and no row of a pool is to blame.
        """
        answer = Turn("assistant", ("a",))
        rows = [Conversation((Turn("user", ("q",)), answer))]
        if self._sees:
            rows.append(Conversation((Turn("user", (None, "q")), answer), (_probe_image(),)))
        return rows

    def refuse_probe(self, error: RowError, model: Any = None) -> None:
        """Refuses a processor, or its model, that cannot run on a probe.

        Args:
            error: what came of it.
            model: whose configuration may say what the processor lacks.

        Raises:
            ModelError: saying what is missing, and how to set it.
        """
        # A limit is to blame for the first; a template that writes no images is good for text.
        if error.status in ("too_long", "placeholder_mismatch"):
            return
        kind, why = type(self.processor).__name__, str(error).removeprefix(f"{error.status}: ")
        lacking = [name for name in _HAS_NONE if getattr(self.processor, name, "") is None]
        if not lacking:
            raise ModelError(
                f"expected a processor that fits the model, got {kind}: {why}; "
                "give the right one as processor= (--processor_name_or_path)"
            ) from error
        known = _settings(getattr(model, "config", None))
        lines = ", ".join(f"processor.{name} = {known.get(name, ...)!r}" for name in lacking)
        raise ModelError(
            f"expected a processor that can place images, got {kind} without {', '.join(lacking)}: {why}; "
            f"set {lines}, save it, and give it as processor= (--processor_name_or_path)"
        ) from error

    def check(self) -> None:
        """Encodes the probes.

        Raises:
            ModelError: if the processor refuses one.
        """
        for probe in self.probes:
            try:
                self.encode(probe)
            except RowError as error:
                self.refuse_probe(error)

    def collate(self, rows: Sequence[Encoded]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Joins rows into a batch, padded on the right.

        One rule serves the token tensors and the pictures of every family: pad all dimensions but the
        first with zeros (token ids with the pad token) to the largest, then concatenate. Rows without
        pictures add nothing to the picture tensors.

        Returns:
            The inputs, and the response mask, bool of shape (len(rows), longest row).
        """
        keys = dict.fromkeys(key for row in rows for key in row.inputs)
        inputs = {
            key: _cat(
                [row.inputs[key] for row in rows if key in row.inputs],
                self.pad_id if key == "input_ids" else 0,
            )
            for key in keys
        }
        if self._puts_picture_first and "pixel_values" not in inputs:
            # BLIP-2 runs its vision tower always; a picture that no image token asks for changes nothing.
            blank = self.processor.image_processor(Image.new("RGB", (32, 32)), return_tensors="pt")
            inputs["pixel_values"] = blank["pixel_values"]
        return inputs, _cat([row.response for row in rows], 0)

    def _decode(self, picture: RowImage) -> Image.Image:
        image = picture.decode()
        refuse_resize(image, getattr(self.processor, "image_processor", None))
        return image

    def _response(
        self,
        ids: Sequence[int],
        offsets: Sequence[tuple[int, int]],
        spans: Sequence[tuple[int, int]],
        replaced: Sequence[Mapping[str, Any]],
    ) -> list[bool]:
        """Which tokens overlap a span; image tokens never do."""
        shifted = [(_shift(start, replaced), _shift(end, replaced)) for start, end in spans if start < end]
        pictures = [tuple(item["new_span"]) for item in replaced]
        response = []
        reached = 0
        for token, (first, last) in zip(ids, offsets, strict=True):
            # Some tokenizers leave a token's white space out of its offsets: it is the gap before them.
            first, reached = min(first, reached), last
            response.append(
                token not in self._image_ids
                and any(first < end and last > start for start, end in shifted)
                and not any(first < end and last > start for start, end in pictures)
            )
        return response

    def _find_image_ids(self) -> set[int]:
        ids = {getattr(self.processor, "image_token_id", None)}
        if self._image_token:
            ids.add(self.tokenizer.convert_tokens_to_ids(self._image_token))
        return {token for token in ids if token is not None}

    def _wants_strings(self) -> bool:
        """Whether the template knows only string contents, as those of language models do."""
        probe = "vitselect probe"
        parts = [{"role": "user", "content": [{"type": "text", "text": probe}]}]
        try:
            rendered = self.processor.apply_chat_template(parts, tokenize=False, **self._template)
        except Exception:  # A template may raise anything; it then gets the other form.
            return True
        return probe not in rendered or "'text'" in rendered

    def _find_ends(self) -> tuple[str, bool]:
        """The token that the template writes after an answer, and whether it does so after every one."""
        asks, says = Turn("user", ("vitselect asks",)), Turn("assistant", ("vitselect answers",))
        try:
            one = self._apply([asks, says])
            before, after = one[: one.index(asks.text)], one[one.rindex(says.text) + len(says.text) :]
        except (RowError, ValueError) as error:
            raise ModelError(f"the chat template cannot render a question and its answer: {error}") from error
        last = self._token_after(after)
        # A template that asks for one more answer whatever comes last begins it as it began the question.
        opening = max(self._tokens, key=before.rfind, default="") if before else ""
        last = "" if last == opening and last in before and last != self._eos else last
        with suppress(RowError):
            two = self._apply([asks, says, asks, says])
            first = self._token_after(two[two.index(says.text) + len(says.text) :])
            # With no end it is what begins the next question, as it did the first.
            first = "" if first in before and first not in (last, self._eos) else first
            return last or first, bool(last and first)
        return last, bool(last)

    def _token_after(self, text: str) -> str:
        """The added token that a text begins with, white space aside; empty if there is none."""
        return next((token for token in self._tokens if text.lstrip().startswith(token)), "")

    def _find_inserts(self, end: str, always: bool, end_of_turn: EndOfTurn) -> str:
        """What to insert after an answer that the template does not close."""
        if end_of_turn == "template":
            if not always:
                _logger.warning(
                    "The chat template does not write an end-of-turn token after every answer, and "
                    "end_of_turn='template' adds none: a model that is trained on it does not learn to stop"
                )
            return ""
        token = end or self._eos
        if not token or len(self.tokenizer(token, add_special_tokens=False)["input_ids"]) != 1:
            raise ModelError(
                "expected an end-of-turn token in the chat template or an EOS token in the tokenizer, got "
                f"{token!r}; set tokenizer.eos_token, or do without an end by end_of_turn='template'"
            )
        if not always:
            _logger.warning(
                "The chat template does not write an end-of-turn token after every answer: %s is inserted "
                "there, in inputs and supervised tokens (end_of_turn='template' leaves it out)",
                token,
            )
        return token

    def _apply(self, turns: Sequence[Turn], tools: str | None = None) -> str:
        more = self._template | ({"tools": json.loads(tools)} if tools else {})
        messages = [{"role": turn.role, "content": self._content(turn)} for turn in turns]
        try:
            return str(self.processor.apply_chat_template(messages, tokenize=False, **more))
        except Exception as error:  # Templates raise what they like, jinja's errors and others.
            raise RowError("bad_row", f"the chat template refuses the turns: {error}") from error

    def _content(self, turn: Turn) -> Any:
        if self._as_strings:
            slot = "" if self._puts_picture_first else f"{self._placeholder}\n"
            return "".join(slot if part is None else part for part in turn.parts)
        parts = turn.parts or ("",)
        return [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]


def _settings(config: Any) -> dict[str, Any]:
    """What a model's configuration says of the settings that its processor lacks."""
    vision = getattr(config, "vision_config", None)
    known = {
        "patch_size": getattr(vision, "patch_size", None),
        "vision_feature_select_strategy": getattr(config, "vision_feature_select_strategy", None),
        "num_query_tokens": getattr(config, "num_query_tokens", None),
    }
    return {name: value for name, value in known.items() if value is not None}


def _probe_image() -> RowImage:
    sink = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(sink, "PNG")
    return RowImage(data=sink.getvalue())


def _has_file(model: str, file: str, revision: str | None) -> bool:
    found = cached_file(
        model,
        file,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return found is not None


def _cat(tensors: Sequence[torch.Tensor], fill: int) -> torch.Tensor:
    shape = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    padded = []
    for tensor in tensors:
        missing = [size - have for size, have in zip(shape, tensor.shape[1:], strict=True)]
        pairs = [amount for size in reversed(missing) for amount in (0, size)]
        padded.append(torch.nn.functional.pad(tensor, pairs, value=fill))
    return torch.cat(padded)


def _tensors(encoding: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {key: torch.as_tensor(np.asarray(value)) for key, value in encoding.items()}


def _digest(inputs: Mapping[str, torch.Tensor], seen: int) -> bytes:
    """Of the first tokens, and of everything that is not one value for each token: the pictures."""
    digest = hashlib.blake2b(digest_size=16)
    for key, value in sorted(inputs.items()):
        told = value[:, :seen] if value.shape == inputs["input_ids"].shape else value
        digest.update(f"{key} {told.dtype} {tuple(told.shape)} ".encode())
        digest.update(told.contiguous().numpy().data)
    return digest.digest()


def _text(token: Any) -> str | None:
    return None if token is None else str(getattr(token, "content", token))


def _shift(position: int, replaced: Sequence[Mapping[str, Any]]) -> int:
    """Where a character of the rendered text stands after the placeholders have been expanded."""
    gained = 0
    for item in replaced:
        (start, end), (new_start, new_end) = item["span"], item["new_span"]
        if end <= position:
            gained += (new_end - new_start) - (end - start)
    return position + gained
