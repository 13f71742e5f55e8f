"""A chat model behind an endpoint in OpenAI's protocol, and its errors."""

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
"""One message: a text, or a list of content parts in OpenAI's form."""

_PROBE = "Hello."
_LONGEST_PAUSE = 60.0
_REFUSED = {400, 413, 422}
_PASSING = {408, 425, 429}
_TOO_LONG = re.compile(
    r"context[ _](length|size|window)|too long|too large|too many tokens|tokens.*must be <=", re.I | re.S
)
_BROKEN = (json.JSONDecodeError, UnicodeDecodeError, AttributeError, IndexError, KeyError, TypeError)


class ChatEndpoint:
    """A chat model of the Hub's inference providers, or of a server that speaks OpenAI's protocol.

    Without `api_key_env`, the Hub's providers get the token that `huggingface_hub` finds, a server none.
    `options` (temperature, seed, max_tokens) go with every request; `timeout` is in seconds.
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
        # By default the client would send the Hub's token to any server; "EMPTY" is vLLM's word for no key.
        key = os.environ[api_key_env] if api_key_env else "EMPTY" if base_url else None
        self._client: Any = InferenceClient(
            base_url or model,
            provider=provider,  # type: ignore[arg-type]
            token=key,
            timeout=timeout,
        )

    def ask(self, questions: Sequence[Question], concurrency: int) -> list[str | RowError]:
        """Ask several questions at a time; each gets its reply, or a `RowError` if the endpoint refuses it.

        A failure that may pass is retried after 1, 2, 4, ... 60 seconds, or after what Retry-After says. An
        endpoint that cannot be used, or refuses even a plain greeting, raises `ModelError`.
        """
        with ThreadPoolExecutor(concurrency) as threads:
            replies = list(threads.map(self._ask, questions))
        refused = next((reply for reply in replies if isinstance(reply, RowError)), None)
        # Wrong settings must not turn every row of a pool into a bad one.
        if refused and not self._works and isinstance(self._ask(_PROBE), RowError):
            raise self._unusable(f"refuses even a greeting: {refused}")
        return replies

    def _ask(self, question: Question) -> str | RowError:
        trouble = ""
        for tried in range(self.retries + 1):
            pause = min(2.0**tried, _LONGEST_PAUSE)
            try:
                completion = self._client.chat_completion(
                    [{"role": "user", "content": question}], model=self.model, **self.options
                )
                reply = str(completion.choices[0].message.content or "")
                self._works = True
                self._said.clear()
                return reply
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
            except _BROKEN as error:
                trouble = f"the reply is not a chat completion ({type(error).__name__}: {error})"
            except (ValueError, OfflineModeIsEnabled) as error:  # No token, no such provider, HF_HUB_OFFLINE.
                raise self._unusable(f"cannot be asked: {error}") from error
            if tried < self.retries:
                warning = f"{self.name}: {trouble}; trying again in {pause:g} s"
                if warning not in self._said:  # by another thread or for another row
                    self._said.add(warning)
                    _logger.warning(warning)
                sleep(pause)
        raise self._unusable(
            f"gave no reply in {self.retries + 1} tries, the last: {trouble}; "
            f"the question ends in {str(question)[-300:]!r}"
        )

    def _unusable(self, why: str) -> ModelError:
        return ModelError(
            f"{self.name} {why}. Shards that score(..., output_dir=) has finished are kept: "
            "the same call resumes after them"
        )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a number or a date; None without a readable header."""
    value = headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
