"""A processor's chat template: the text of a conversation, and where its responses are in it."""

import json
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

from hf_vitselect.data.conversation import Turn
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.options import EndOfTurn, refuse_end_of_turn
from hf_vitselect.models.prompt_date import without_clock
from hf_vitselect.models.response_spans import answer_spans, refuse_dropped

_logger = logging.getLogger(__name__)


class ChatTemplate:
    """A chat template that ends every response.

    Attributes:
        inserted: the token inserted where the template writes no end of turn; empty if it always writes one.
        placeholder: what the template writes for an image; None without images.
        image_token: what the processor expands it to; None without images.
        special: the texts of all special tokens, which no row may spell.
        images_first: whether the processor puts its one image first, without a placeholder, as BLIP-2's does.
    """

    def __init__(self, processor: Any, end_of_turn: EndOfTurn = "auto") -> None:
        refuse_end_of_turn(end_of_turn)
        self._processor = processor
        tokenizer = getattr(processor, "tokenizer", processor)
        self.image_token = _text(getattr(processor, "image_token", None))
        # Gemma writes another token than it expands it to.
        self.placeholder = _text(getattr(processor, "boi_token", None)) or self.image_token
        self.images_first = hasattr(processor, "num_query_tokens")
        added = tokenizer.added_tokens_decoder.values()
        self.special = sorted(
            {token.content for token in added if token.special}
            | set(tokenizer.all_special_tokens)
            | {token for token in (self.image_token, self.placeholder) if token}
        )
        template = processor.chat_template
        template = template.get("default", "") if isinstance(template, dict) else template
        # Only where it is needed: a processor of another kind may not take a template.
        self._options = {"chat_template": without_clock(template)} if "strftime_now" in template else {}
        self._as_strings = self._wants_strings()
        self._eos = _text(tokenizer.eos_token) or ""
        self._tokens = sorted({*self.special, *(token.content for token in added)}, key=len, reverse=True)
        end, always = self._find_ends()
        closing = [re.escape(token) for token in dict.fromkeys((end, self._eos)) if token]
        self._ends = re.compile(rf"\s*(?:{'|'.join(closing)})" if closing else "(?!)")
        self._insert = self._find_insert(tokenizer, end, always, end_of_turn)
        self.inserted = "" if always else self._insert

    def render(self, turns: Sequence[Turn], tools: str | None = None) -> tuple[str, list[tuple[int, int]]]:
        """Render a conversation: its text, and characters `[start, end)` of every response, end included."""
        plain, answers = answer_spans(turns, partial(self._apply, tools=tools))
        refuse_dropped(turns, partial(self._apply, tools=tools))
        if tools and plain == self._apply(turns):
            raise RowError("bad_row", "the row has tools, and the chat template takes none")
        own = [turn for turn in turns if turn.role == "assistant"]
        limits = [*(first for first, _ in answers[1:]), len(plain)]
        spans, cuts = [], [0]
        for turn, (first, last), limit in zip(own, answers, limits, strict=True):
            shift = len(self._insert) * (len(cuts) - 1)
            if not turn.calls and turn.parts and turn.parts[-1] is None and turn.text.strip():
                # Images stand between the answer and its end.
                end = self._ends.search(plain, last, limit)
                if end is None and self._insert:
                    raise RowError("bad_row", "an answer ends in an image, and the template writes no end")
                spans += [(first + shift, last + shift)]
                spans += [(end.start() + shift, end.end() + shift)] if end else []
            elif end := self._ends.match(plain, last):
                spans.append((first + shift, end.end() + shift))
            else:
                spans.append((first + shift, last + shift + len(self._insert)))
                cuts.append(last)
        pieces = [plain[start:stop] for start, stop in pairwise([*cuts, len(plain)])]
        return self._insert.join(pieces), spans

    def _wants_strings(self) -> bool:
        """Whether the template knows only contents that are strings, as those of language models do."""
        probe = "vitselect probe"
        parts = [{"role": "user", "content": [{"type": "text", "text": probe}]}]
        try:
            rendered = self._processor.apply_chat_template(parts, tokenize=False, **self._options)
        except Exception:  # A template may raise anything; it then gets strings.
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
        # A template that prompts for one more answer whatever comes last begins it as it began the question.
        opening = max(self._tokens, key=before.rfind, default="") if before else ""
        last = "" if last == opening and last in before and last != self._eos else last
        with suppress(RowError):
            two = self._apply([asks, says, asks, says])
            first = self._token_after(two[two.index(says.text) + len(says.text) :])
            # Without an end this is the start of the next question, and was that of the first.
            first = "" if first in before and first not in (last, self._eos) else first
            return last or first, bool(last and first)
        return last, bool(last)

    def _token_after(self, text: str) -> str:
        """The added token that a text begins with after white space; empty if none."""
        return next((token for token in self._tokens if text.lstrip().startswith(token)), "")

    def _find_insert(self, tokenizer: Any, end: str, always: bool, end_of_turn: EndOfTurn) -> str:
        """Text to insert after an answer that the template does not close."""
        if end_of_turn == "template":
            if not always:
                _logger.warning(
                    "The chat template does not write an end-of-turn token after every answer, and "
                    "end_of_turn='template' adds none: a model trained on it does not learn to stop"
                )
            return ""
        token = end or self._eos
        if not token or len(tokenizer(token, add_special_tokens=False)["input_ids"]) != 1:
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
        options = self._options | ({"tools": json.loads(tools)} if tools else {})
        messages = list(map(self._message, turns))
        try:
            return str(self._processor.apply_chat_template(messages, tokenize=False, **options))
        except Exception as error:  # Templates raise what they like, jinja's errors and others.
            raise RowError("bad_row", f"the chat template refuses the turns: {error}") from error

    def _message(self, turn: Turn) -> dict[str, Any]:
        """The message as templates read it."""
        return {"role": turn.role, "content": self._content(turn), **turn.tool_fields}

    def _content(self, turn: Turn) -> Any:
        if turn.calls and not any(part is None or part for part in turn.parts):
            return ""  # An empty list of parts would count as some content.
        if self._as_strings:
            slot = "" if self.images_first else f"{self.placeholder}\n"
            return "".join(slot if part is None else part for part in turn.parts)
        parts = turn.parts or ("",)
        return [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]


def _text(token: Any) -> str | None:
    return None if token is None else str(getattr(token, "content", token))
