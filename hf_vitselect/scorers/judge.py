"""An LLM's rating of a row's text: one of Self-Filter's three input scores (arXiv 2402.12501, stage 1)."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from datasets import Features, Value

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.chat import ChatScorer

_logger = logging.getLogger(__name__)

CONVERSATION = "{conversation}"
"""Where the row's text stands in a prompt."""

PROMPT = f"""\
Below is one training example for an assistant that looks at pictures and talks about them. The pictures \
themselves are left out; judge by the text alone. Rate the quality of the example for training: is the \
request clear and worth asking, and is the answer to the point, complete, plausible and well written?

--- start of the example ---
{CONVERSATION}
--- end of the example ---

Reply with one number from 0 (useless) to 10 (excellent) and with nothing else."""

_RATING = re.compile(
    r"(?:(?:score|rating|quality)\s*(?::|=|is)?\s*)?([0-9]+(?:\.[0-9]+)?)(?:\s*(?:/|out of)\s*10)?\.?",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[*_`\"']")


class JudgeScore(ChatScorer):
    """The quality from 0 to 10 that a chat model gives to a row's text.

    Self-Filter (arXiv 2402.12501, stage 1 and its code) asks gpt-3.5-turbo-1106 at temperature 0 with
    seed 42 for at most 10 tokens; the prompt is our own wording. The judge sees the whole conversation as
    `USER: ... ASSISTANT: ...` and no picture. A seed and temperature 0 make most servers repeat
    themselves, and none promises it: keep the column, don't ask again.

    Adds `judge` (float32, 0 to 10, higher = better), `judge_answer` (string, what the judge said),
    `judge_status` and `judge_reason`. With another `column` all take its name: `x`, `x_answer`,
    `x_status`, `x_reason`.

    The rating is the answer's first line, as Self-Filter's code reads it, but only if that is one number
    from 0 to 10 and its dressing: `8`, `8.5`, `8/10`, `8 out of 10`, `Score: 8.`, `**8**`. Any
    other answer gives null and `bad_row` with the answer kept, and every batch logs how many there were.
    To count them in the end, and to read them:
    `scored.filter(lambda rating, answer: rating is None and answer is not None, input_columns=["judge",
    "judge_answer"])`. Self-Filter's code puts the mean in their place.

    A row without an answer is `no_response` and is not sent. A row that the endpoint refuses (HTTP 400,
    413, 422) is `too_long` or `bad_row`, without an answer.

    Args:
        model: the model's name as the endpoint knows it.
        column: name of the main column.
        base_url: a server that speaks OpenAI's protocol (vLLM, `transformers serve`, TGI, OpenAI's own),
            such as `http://localhost:8000/v1`; the Hub's inference providers if None.
        provider: one of the Hub's providers; the Hub chooses if None, and may choose another one next time.
        api_key_env: the environment variable that holds the endpoint's key. The key itself never enters the
            scorer. If None the Hub's providers get the token of `huggingface_hub`, and a `base_url` none.
        prompt: what is asked; `{conversation}` stands for the row's text.
        seed: goes with every request; left out if None.
        max_tokens: the longest answer; a judge that thinks aloud needs more.
        timeout: seconds to wait for an answer.
        retries: how often a request is sent again after trouble that may pass: no connection, a timeout, a
            broken answer, HTTP 408, 425, 429 and 5xx. The pauses are 1, 2, 4, ... 60 seconds, or what
            Retry-After says.
        concurrency: requests under way at a time in each process.

    Raises:
        ValueError: if the prompt has no `{conversation}`, both `base_url` and `provider` are given, or
            `base_url` is no http address or carries a key: it is published with the recipe.
        ModelError: while scoring, if the endpoint cannot be used or gives no answer after the last try.
            Under `hf_vitselect.score` with `output_dir` finished shards are kept and the same call goes
            on; under `map` the answers are lost.

    Example:
        >>> judge = JudgeScore("Qwen/Qwen3-8B", base_url="http://localhost:8000/v1")
        >>> scored = score(pool, judge, output_dir="run", shard_size=100)  # doctest: +SKIP
    """

    cost = "1 request"

    def __init__(
        self,
        model: str,
        *,
        column: str = "judge",
        base_url: str | None = None,
        provider: str | None = None,
        api_key_env: str | None = None,
        prompt: str = PROMPT,
        seed: int | None = 42,
        max_tokens: int = 10,
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
        if CONVERSATION not in prompt:
            raise ValueError(f"expected a prompt with {CONVERSATION} for the row's text, got {prompt!r}")
        self.prompt = prompt

    @property
    def values(self) -> Features:
        """The rating and what the judge said."""
        return Features({self.column: Value("float32"), f"{self.column}_answer": Value("string")})

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> list[tuple[Any, ...] | RowError]:
        """Asks for all rows, several at a time."""
        questions = [_question(row, self.prompt) for row in rows]
        asked = [question for question in questions if isinstance(question, str)]
        answers = self.loaded.ask(asked, self.concurrency)
        _warn(self.column, answers)
        given = iter(answers)
        results = [next(given) if isinstance(question, str) else question for question in questions]
        return [it if isinstance(it, RowError) else self._judged(it) for it in results]

    def _judged(self, answer: str) -> tuple[Any, ...] | RowError:
        rating = read_rating(answer)
        if rating is None:
            return RowError(
                "bad_row", f"no rating from 0 to 10 in {answer!r}", {f"{self.column}_answer": answer}
            )
        return rating, answer


def read_rating(answer: str) -> float | None:
    """The rating in a judge's answer, 0 to 10; None if its first line is anything but one rating."""
    first_line, *_ = _MARKUP.sub("", answer).strip().split("\n")
    match = _RATING.fullmatch(first_line.strip())
    rating = float(match[1]) if match else None
    return rating if rating is not None and rating <= 10 else None


def _question(row: Conversation | RowError, prompt: str) -> str | RowError:
    if isinstance(row, RowError):
        return row
    if not any(turn.role == "assistant" and turn.text.strip() for turn in row.turns):
        return RowError("no_response", "there is no answer to rate")
    return prompt.replace(CONVERSATION, row.transcript)


def _warn(column: str, answers: Sequence[str | RowError]) -> None:
    unclear = [answer for answer in answers if isinstance(answer, str) and read_rating(answer) is None]
    refused = [answer for answer in answers if isinstance(answer, RowError)]
    for what, some in (("are no rating from 0 to 10", unclear), ("are refusals by the endpoint", refused)):
        if some:
            _logger.warning(
                "%s: %d of %d answers %s, the first: %r", column, len(some), len(answers), what, str(some[0])
            )
