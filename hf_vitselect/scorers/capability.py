"""Which capabilities a row exercises, as a vision-language model sees it (mmSSR, arXiv 2503.13383)."""

import base64
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datasets import Features, Value
from PIL import Image

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import RowError
from hf_vitselect.rules.mmssr import CAPABILITIES
from hf_vitselect.scorers.base.chat import ChatScorer

if TYPE_CHECKING:
    from hf_vitselect.models.chat_endpoint import Question

STYLES = (
    "multi-choice",
    "coordinate",
    "yes/no",
    "word or short phrase",
    "short description",
    "detailed description",
    "comparison",
    "chain of thought",
    "specified style",
)

PROMPT = f"""\
Above is one training example for an assistant that looks at pictures and talks about them. How much does it \
exercise each of these capabilities, from 0 (not at all) to 5 (very much)?
{", ".join(CAPABILITIES)}
And which style of interaction does it have, one of these?
{"; ".join(STYLES)}
Reply with one JSON object and with nothing else: every capability's name with its number, and "style"."""


@dataclass(kw_only=True, eq=False)
class CapabilityScorer(ChatScorer):
    """mmSSR's 14 capability scores of a row and its interaction style, as a vision-language model sees it.

    Unofficial re-implementation of mmSSR (arXiv 2503.13383, section 3); differences in docs/papers.md. The
    model sees the images and the whole conversation and is asked once for all scores.
    `hf_vitselect.rules.MMSSR` samples by them.

    Adds `capability` (float32, 0 to 5, the mean of the 14, higher = exercises more), `capability_<name>` for
    each (float32, 0 to 5), `capability_style` (string, one of nine), `capability_answer` (string, the model's
    reply), `capability_status` and `capability_reason`. A reply without such a JSON object gives nulls and
    `bad_row`. Costs one request per row. Options of `ChatScorer` are keywords too: `base_url`, `provider`,
    `api_key_env`, `max_tokens`, ...

    Args:
        model: the model's name as the endpoint knows it.
        column: name of the main column, and the prefix of the others.

    Raises:
        ValueError, ModelError: as in `ChatScorer`.

    Examples:
        >>> scorer = CapabilityScorer("Qwen/Qwen2.5-VL-7B-Instruct", base_url="http://localhost:8000/v1")
        >>> scored = score(pool, scorer, output_dir="run", shard_size=100)  # doctest: +SKIP
    """

    column: str = "capability"

    needs = "an endpoint with a vision-language model"

    @property
    def values(self) -> Features:
        """The mean, every capability, the style, the model's reply."""
        numbers = [self.column, *(f"{self.column}_{name}" for name in CAPABILITIES)]
        texts = [f"{self.column}_style", f"{self.column}_answer"]
        return Features(
            {name: Value("float32") for name in numbers} | {name: Value("string") for name in texts}
        )

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> list[tuple[Any, ...] | RowError]:
        """Ask about all rows, several at a time."""
        replies = self.ask([_question(row) for row in rows])
        return [reply if isinstance(reply, RowError) else self._read(reply) for reply in replies]

    def _read(self, reply: str) -> tuple[Any, ...] | RowError:
        capabilities = read_capabilities(reply)
        if capabilities is None:
            known = {f"{self.column}_answer": reply}
            return RowError("bad_row", f"no capabilities as JSON in {reply!r}", known)
        numbers, style = capabilities
        return math.fsum(numbers) / len(numbers), *numbers, style, reply


def read_capabilities(reply: str) -> tuple[list[float], str] | None:
    """The 14 numbers and the style in a model's reply; None if it lacks any."""
    braces = re.search(r"\{.*\}", reply, re.DOTALL)
    try:
        fields = json.loads(braces[0]) if braces else {}
        numbers = [float(fields[name]) for name in CAPABILITIES]
        style = str(fields["style"]).strip().lower()
    except (ValueError, KeyError, TypeError):
        return None
    if style not in STYLES or not all(0 <= number <= 5 for number in numbers):
        return None
    return numbers, style


def _question(row: Conversation | RowError) -> "Question | RowError":
    try:
        if isinstance(row, RowError):
            raise row
        images = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in row.images]
    except RowError as error:
        return error
    return [*images, {"type": "text", "text": f"{row.transcript}\n\n{PROMPT}"}]


def _data_url(image: RowImage) -> str:
    data = image.encoded()
    try:
        with Image.open(io.BytesIO(data)) as opened:
            kind = opened.get_format_mimetype()
    except Exception as error:  # Pillow's plugins raise what they like.
        raise RowError("image_error", f"{len(data)} bytes that do not decode: {error}") from error
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
