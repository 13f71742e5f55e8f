"""Asks a chat model behind an endpoint in OpenAI's protocol: the only room that knows its errors."""

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import sleep
from typing import Any

import httpx2
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from hf_vitselect.errors import ModelError, RowError

_logger = logging.getLogger(__name__)

Question = str | list[dict[str, Any]]

_PROBE = "Hello."
_LONGEST_PAUSE = 60.0
_REFUSED = {400, 413, 422}
_PASSING = {408, 425, 429}
_TOO_LONG = re.compile(
    r"context[ _](length|size|window)|too long|too large|too many tokens|tokens.*must be <=", re.I | re.S
)
_NO_COMPLETION = (
    json.JSONDecodeError,
    UnicodeDecodeError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
)


class ChatEndpoint:
    """A chat model of the Hub's inference providers, or of a server that speaks OpenAI's protocol.

    Args:
        model: the model's name as the endpoint knows it.
        base_url: the server, such as `http://localhost:8000/v1`; the Hub's providers if None.
        provider: one of the Hub's providers; the Hub chooses if None.
        api_key_env: the environment variable that holds the key. If None the Hub's providers get the
            token that `huggingface_hub` finds, and a server of your own gets no token.
        options: what goes with every request: temperature, seed, max_tokens.
        timeout: seconds to wait for an answer.
        retries: how often a request is sent again after trouble that may pass.

    Raises:
        ModelError: if the environment variable is not set.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None,
        provider: str | None,
        api_key_env: str | None,
        options: Mapping[str, Any],
        timeout: float,
        retries: int,
    ) -> None:
        self.model = model
        self.options = dict(options)
        self.retries = retries
        self.name = f"{model} at {base_url or 'the inference providers of the Hub'}"
        self._works = False
        self._said: set[str] = set()
        if api_key_env is not None and api_key_env not in os.environ:
            raise ModelError(f"expected the key for {self.name} in the environment variable {api_key_env}")
        # Left to itself the client would send the Hub's token to any server; this word is vLLM's "no key".
        key = os.environ[api_key_env] if api_key_env else "EMPTY" if base_url else None
        self._client: Any = InferenceClient(
            base_url or model,
            provider=provider,  # type: ignore[arg-type]
            token=key,
            timeout=timeout,
        )

    def ask(self, questions: Sequence[Question], concurrency: int) -> list[str | RowError]:
        """The answers, in the questions' order.

        Trouble that may pass (no connection, a timeout, no chat completion in the answer, HTTP 408, 425,
        429 and 5xx) is tried again after 1, 2, 4, ... 60 seconds, or after what Retry-After says.

        Args:
            questions: one message each, a text or a list of content parts in OpenAI's form.
            concurrency: requests under way at a time.

        Returns:
            For each question the answer, or the endpoint's refusal of this question (HTTP 400, 413, 422):
            `too_long` where it speaks of the context, else `bad_row`.

        Raises:
            ModelError: if the endpoint cannot be used (any other 4xx, no answer after the last try, or it
                refuses a plain greeting too).
        """
        with ThreadPoolExecutor(concurrency) as threads:
            answers = list(threads.map(self._ask, questions))
        refused = next((answer for answer in answers if isinstance(answer, RowError)), None)
        # Refusals must not turn every row of a pool into a bad one where it is the settings that are wrong.
        if refused and not self._works and isinstance(self._ask(_PROBE), RowError):
            raise self._unusable(f"refuses even a greeting: {refused}")
        return answers

    def _ask(self, question: Question) -> str | RowError:
        trouble = ""
        for tried in range(self.retries + 1):
            pause = min(2.0**tried, _LONGEST_PAUSE)
            try:
                completion = self._client.chat_completion(
                    [{"role": "user", "content": question}], model=self.model, **self.options
                )
                answer = str(completion.choices[0].message.content or "")
                self._works = True
                self._said.clear()
                return answer
            except HfHubHTTPError as error:
                status = error.response.status_code
                trouble = f"HTTP {status}: {error.response.text[:500]}"
                if status in _REFUSED:
                    too_long = status == 413 or _TOO_LONG.search(trouble)
                    return RowError("too_long" if too_long else "bad_row", trouble)
                if status < 500 and status not in _PASSING:
                    raise self._unusable(f"answers {trouble}") from error
                pause = _retry_after(error.response.headers) or pause
            except (httpx2.RequestError, TimeoutError) as error:
                trouble = f"{type(error).__name__}: {error}"
            except _NO_COMPLETION as error:
                trouble = f"the answer is no chat completion ({type(error).__name__}: {error})"
            except (ValueError, OfflineModeIsEnabled) as error:  # No token, no such provider, HF_HUB_OFFLINE.
                raise self._unusable(f"cannot be asked: {error}") from error
            if tried < self.retries:
                said = f"{self.name}: {trouble}; trying again in {pause:g} s"
                if said not in self._said:  # else another thread or row has said it
                    self._said.add(said)
                    _logger.warning(said)
                sleep(pause)
        raise self._unusable(
            f"gave no answer in {self.retries + 1} tries, the last: {trouble}; "
            f"the question ends in {str(question)[-300:]!r}"
        )

    def _unusable(self, why: str) -> ModelError:
        return ModelError(
            f"{self.name} {why}. Shards that score(..., output_dir=) has finished are kept: "
            "the same call resumes after them"
        )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a number or a date; None if the server says nothing that can be read."""
    said = headers.get("Retry-After", "")
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
