"""Which capabilities a row exercises, as a vision-language model sees it (mmSSR, arXiv 2503.13383)."""

import base64
import io
import json
import math
import re
from collections.abc import Sequence
from typing import Any

from datasets import Features, Value
from PIL import Image

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import RowError
from hf_vitselect.rules.mmssr import CAPABILITIES, STYLES
from hf_vitselect.scorers.base.chat import ChatScorer

PROMPT = f"""\
Above is one training example for an assistant that looks at pictures and talks about them. How much does it \
exercise each of these capabilities, from 0 (not at all) to 5 (very much)?
{", ".join(CAPABILITIES)}
And which style of interaction does it have, one of these?
{"; ".join(STYLES)}
Reply with one JSON object and with nothing else: every capability's name with its number, and "style"."""


class CapabilityScorer(ChatScorer):
    """mmSSR's 14 capability scores and the interaction style of a row (arXiv 2503.13383, section 3).

    The paper has GPT-4o label some rows, fine-tunes a 7B model to score and one to style, and lets them
    answer once for each capability; here a vision-language model of your choice is asked once for all, with
    our own wording, and sees the pictures and the whole conversation. `hf_vitselect.rules.MMSSR` samples by
    it.

    Adds `capability` (float32, 0 to 5, the mean of all), `capability_<name>` for each of the 14 (float32,
    0 to 5), `capability_style` (string, one of nine), `capability_answer` (string, what the model said),
    `capability_status` and `capability_reason`. An answer that is no such JSON object gives nulls and
    `bad_row`.

    Args:
        model, base_url, provider, api_key_env, seed, timeout, retries, concurrency: as in `JudgeScore`.
        column: name of the main column, and the beginning of the others'.
        max_tokens: the longest answer.

    Raises:
        ValueError, ModelError: as `JudgeScore` does.

    Example:
        >>> scorer = CapabilityScorer("Qwen/Qwen2.5-VL-7B-Instruct", base_url="http://localhost:8000/v1")
        >>> scored = score(pool, scorer, output_dir="run", shard_size=100)  # doctest: +SKIP
    """

    cost = "1 request"
    needs = "an endpoint with a vision-language model"

    def __init__(
        self,
        model: str,
        *,
        column: str = "capability",
        base_url: str | None = None,
        provider: str | None = None,
        api_key_env: str | None = None,
        seed: int | None = 42,
        max_tokens: int = 400,
        timeout: float = 60.0,
        retries: int = 6,
        concurrency: int = 8,
    ) -> None:
        super().__init__(
            model,
            column=column,
            base_url=base_url,
            provider=provider,
            api_key_env=api_key_env,
            seed=seed,
            max_tokens=max_tokens,
            timeout=timeout,
            retries=retries,
            concurrency=concurrency,
        )

    @property
    def values(self) -> Features:
        """The mean, every capability, the style, what the model said."""
        numbers = [self.column, *(f"{self.column}_{name}" for name in CAPABILITIES)]
        texts = [f"{self.column}_style", f"{self.column}_answer"]
        return Features(
            {name: Value("float32") for name in numbers} | {name: Value("string") for name in texts}
        )

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> list[tuple[Any, ...] | RowError]:
        """Asks for all rows, several at a time."""
        questions = [_question(row) for row in rows]
        asked = [question for question in questions if not isinstance(question, RowError)]
        given = iter(self.loaded.ask(asked, self.concurrency))
        results = [it if isinstance(it, RowError) else next(given) for it in questions]
        return [it if isinstance(it, RowError) else self._read(it) for it in results]

    def _read(self, answer: str) -> tuple[Any, ...] | RowError:
        found = read_capabilities(answer)
        if found is None:
            known = {f"{self.column}_answer": answer}
            return RowError("bad_row", f"no capabilities as JSON in {answer!r}", known)
        numbers, style = found
        return math.fsum(numbers) / len(numbers), *numbers, style, answer


def read_capabilities(answer: str) -> tuple[list[float], str] | None:
    """The 14 numbers and the style in a model's answer; None if it is anything else."""
    written = re.search(r"\{.*\}", answer, re.DOTALL)
    try:
        said = json.loads(written[0]) if written else {}
        numbers = [float(said[name]) for name in CAPABILITIES]
        style = str(said["style"]).strip().lower()
    except (ValueError, KeyError, TypeError):
        return None
    if style not in STYLES or not all(0 <= number <= 5 for number in numbers):
        return None
    return numbers, style


def _question(row: Conversation | RowError) -> list[dict[str, Any]] | RowError:
    try:
        if isinstance(row, RowError):
            raise row
        pictures = [{"type": "image_url", "image_url": {"url": _address(it)}} for it in row.images]
    except RowError as error:
        return error
    return [*pictures, {"type": "text", "text": f"{row.transcript}\n\n{PROMPT}"}]


def _address(picture: RowImage) -> str:
    """The picture in a URL of its own."""
    data = picture.encoded()
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind = image.get_format_mimetype()
    except Exception as error:  # Pillow's plugins raise what they like.
        raise RowError("image_error", f"{len(data)} bytes that do not decode: {error}") from error
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
