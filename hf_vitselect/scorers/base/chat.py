"""Scorers that ask a chat model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hf_vitselect.call_text import check_fields
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.scorer import Scorer

if TYPE_CHECKING:
    from hf_vitselect.models.chat_endpoint import ChatEndpoint, Question

_HOW_TO_ASK = {"api_key_env", "timeout", "retries", "concurrency"}


@dataclass(kw_only=True, eq=False)
class ChatScorer(Scorer):
    """Columns from the replies of a chat model behind an endpoint, at temperature 0.

    Args:
        model: the model's name as the endpoint knows it.
        column: name of the main column, and the prefix of the others.
        base_url: a server that speaks OpenAI's protocol (vLLM, `transformers serve`, TGI, OpenAI's own), such
            as `http://localhost:8000/v1`; the Hub's inference providers if None.
        provider: one of the Hub's providers; if None the Hub chooses one, maybe another one each time.
        api_key_env: the environment variable that holds the endpoint's key; the key itself never enters the
            scorer. If None the Hub's providers get the token of `huggingface_hub`, and a `base_url` none.
        seed: sent with every request; not sent if None.
        max_tokens: the longest reply; a model that thinks aloud needs more.
        timeout: seconds to wait for a reply, above 0.
        retries: how often a request is repeated after a failure that may pass: no connection, a timeout, a
            broken reply, HTTP 408, 425, 429 and 5xx. The pauses are 1, 2, 4, ... 60 seconds, or what
            Retry-After says.
        concurrency: simultaneous requests of each process.

    Raises:
        ValueError: if an argument has the wrong type, a number is out of range, both `base_url` and
            `provider` are given, or `base_url` is not an http address or contains a key: it is published with
            the recipe.
        ModelError: while scoring, if the endpoint cannot be used or does not reply to the last try. `score`
            with an `output_dir` keeps finished shards, and the same call resumes; under `map` the replies
            are lost.
    """

    model: str = field(kw_only=False)
    # An endpoint has no revisions; recipes have the key all the same.
    revision: None = field(default_factory=lambda: None, init=False)
    base_url: str | None = None
    provider: str | None = None
    api_key_env: str | None = None
    seed: int | None = 42
    max_tokens: int = 400
    timeout: float = 60.0
    retries: int = 6
    concurrency: int = 8

    cost = "1 request"
    needs = "an endpoint with a chat model"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, ChatScorer, max_tokens=1, retries=0, concurrency=1)
        if not 0 < self.timeout < math.inf:
            raise ValueError(f"timeout: expected seconds above 0, got {self.timeout}")
        if self.base_url is not None and self.provider is not None:
            raise ValueError(
                f"expected base_url or provider, got both: {self.base_url!r} and {self.provider!r}"
            )
        if self.base_url is not None:
            _check_address(self.base_url)

    def load(self, identity: Mapping[str, Any]) -> "ChatEndpoint":
        """The endpoint; nothing is sent yet."""
        from hf_vitselect.models.chat_endpoint import ChatEndpoint

        return ChatEndpoint(
            identity["model"],
            base_url=self.base_url,
            provider=self.provider,
            api_key_env=self.api_key_env,
            options={"temperature": 0, "seed": self.seed, "max_tokens": self.max_tokens},
            timeout=self.timeout,
            retries=self.retries,
        )

    def ask(self, questions: "Sequence[Question | RowError]") -> list[str | RowError]:
        """Ask several questions at a time; a row's error is not sent and stays in the result."""
        sent = [question for question in questions if not isinstance(question, RowError)]
        replies = iter(self.loaded.ask(sent, self.concurrency))
        return [question if isinstance(question, RowError) else next(replies) for question in questions]

    def recipe(self) -> dict[str, Any]:
        """The recipe without how the endpoint was reached, so that a run may resume with other timeouts."""
        return {name: value for name, value in super().recipe().items() if name not in _HOW_TO_ASK}

    def _identity(self) -> dict[str, Any]:
        # An endpoint does not say which weights it serves, so no commit is recorded.
        return {"model": self.model, "endpoint": self.base_url or f"huggingface/{self.provider or 'auto'}"}


def _check_address(base_url: str) -> None:
    address = urlsplit(base_url)
    if address.username or address.password or address.query:  # Not shown: it may hold the key.
        raise ValueError(
            "expected a base_url without user, password and query, because it is published with the recipe; "
            "put the key into an environment variable and name that with api_key_env="
        )
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(f"expected a base_url such as http://localhost:8000/v1, got {base_url!r}")
