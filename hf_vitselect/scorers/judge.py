"""An LLM's rating of a row's text: one of Self-Filter's three input scores (arXiv 2402.12501, stage 1)."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Features, Value

from hf_vitselect.call_text import check_fields
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.chat import ChatScorer

_logger = logging.getLogger(__name__)

CONVERSATION = "{conversation}"
"""What a prompt holds in place of the row's text."""

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


@dataclass(kw_only=True, eq=False)
class JudgeScore(ChatScorer):
    """The quality from 0 to 10 that a chat model gives to a row's text.

    Unofficial re-implementation of a score of Self-Filter (arXiv 2402.12501, stage 1); differences in
    docs/papers.md. The judge sees the whole conversation as `USER: ... ASSISTANT: ...` and no image. Most
    servers repeat themselves at temperature 0 with a seed, but none promises it: keep the column instead of
    asking again.

    Adds `judge` (float32, 0 to 10, higher = better), `judge_answer` (string, the judge's reply),
    `judge_status` and `judge_reason`. Any other `column` is the prefix of all: `x`, `x_answer`, `x_status`,
    `x_reason`. Costs one request per row.

    The rating is the first line of the reply, if that is one number from 0 to 10 and its dressing: `8`,
    `8.5`, `8/10`, `8 out of 10`, `Score: 8.`, `**8**`. Any other reply is kept, gives null and `bad_row`, and
    is counted in a warning for each batch. To read such replies in the end: `scored.filter(lambda rating,
    answer: rating is None and answer is not None, input_columns=["judge", "judge_answer"])`. A row without an
    answer is `no_response` and is not sent. A row that the endpoint refuses (HTTP 400, 413, 422) is
    `too_long` or `bad_row`, without a reply. Options of `ChatScorer` are keywords too: `base_url`,
    `provider`, `api_key_env`, `max_tokens`, ...

    Args:
        model: the model's name as the endpoint knows it.
        column: name of the main column, and the prefix of the others.
        prompt: the question; `{conversation}` stands for the row's text.

    Raises:
        ValueError: if the prompt has no `{conversation}`, and as in `ChatScorer`.
        ModelError: as in `ChatScorer`.

    Examples:
        >>> judge = JudgeScore("Qwen/Qwen3-8B", base_url="http://localhost:8000/v1")
        >>> scored = score(pool, judge, output_dir="run", shard_size=100)  # doctest: +SKIP
    """

    column: str = "judge"
    max_tokens: int = 10
    prompt: str = PROMPT

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, JudgeScore)
        if CONVERSATION not in self.prompt:
            raise ValueError(f"expected a prompt with {CONVERSATION} for the row's text, got {self.prompt!r}")

    @property
    def values(self) -> Features:
        """The rating and what the judge said."""
        return Features({self.column: Value("float32"), f"{self.column}_answer": Value("string")})

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> list[tuple[Any, ...] | RowError]:
        """Ask about all rows, several at a time."""
        questions = [_question(row, self.prompt) for row in rows]
        replies = self.ask(questions)
        sent = zip(questions, replies, strict=True)
        _warn(self.column, [reply for question, reply in sent if isinstance(question, str)])
        return [reply if isinstance(reply, RowError) else self._read(reply) for reply in replies]

    def _read(self, reply: str) -> tuple[Any, ...] | RowError:
        rating = read_rating(reply)
        if rating is None:
            known = {f"{self.column}_answer": reply}
            return RowError("bad_row", f"no rating from 0 to 10 in {reply!r}", known)
        return rating, reply


def read_rating(reply: str) -> float | None:
    """The rating in a judge's reply, 0 to 10; None if its first line is anything but one rating."""
    first_line, *_ = _MARKUP.sub("", reply).strip().split("\n")
    match = _RATING.fullmatch(first_line.strip())
    rating = float(match[1]) if match else None
    return rating if rating is not None and rating <= 10 else None


def _question(row: Conversation | RowError, prompt: str) -> str | RowError:
    if isinstance(row, RowError):
        return row
    if not any(turn.role == "assistant" and turn.text.strip() for turn in row.turns):
        return RowError("no_response", "there is no answer to rate")
    return prompt.replace(CONVERSATION, row.transcript)


def _warn(column: str, replies: Sequence[str | RowError]) -> None:
    unclear = [reply for reply in replies if isinstance(reply, str) and read_rating(reply) is None]
    refused = [reply for reply in replies if isinstance(reply, RowError)]
    for what, some in (("are not a rating from 0 to 10", unclear), ("are refusals by the endpoint", refused)):
        if some:
            _logger.warning(
                "%s: %d of %d replies %s, the first: %r", column, len(some), len(replies), what, str(some[0])
            )
