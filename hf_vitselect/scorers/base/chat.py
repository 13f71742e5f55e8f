"""What the scorers that ask a chat model have in common."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hf_vitselect.scorers.base.scorer import Scorer

if TYPE_CHECKING:
    from hf_vitselect.models.chat_endpoint import ChatEndpoint

_HOW_TO_ASK = {"api_key_env", "timeout", "retries", "concurrency"}


class ChatScorer(Scorer):
    """Columns from the answers of a chat model behind an endpoint, at temperature 0.

    Args:
        model: the model's name as the endpoint knows it.
        column: name of the main column.
        base_url: a server that speaks OpenAI's protocol; the Hub's inference providers if None.
        provider: one of the Hub's providers; the Hub chooses if None.
        api_key_env: the environment variable that holds the endpoint's key.
        seed: goes with every request; left out if None.
        max_tokens: the longest answer.
        timeout: seconds to wait for an answer.
        retries: how often a request is sent again after trouble that may pass.
        concurrency: requests under way at a time in each process.

    Raises:
        ValueError: if both `base_url` and `provider` are given, or `base_url` is no http address or
            carries a key: it is published with the recipe.
    """

    needs = "an endpoint with a chat model"

    def __init__(
        self,
        model: str,
        *,
        column: str,
        base_url: str | None,
        provider: str | None,
        api_key_env: str | None,
        seed: int | None,
        max_tokens: int,
        timeout: float,
        retries: int,
        concurrency: int,
    ) -> None:
        super().__init__(column=column, model=str(model))
        if base_url is not None and provider is not None:
            raise ValueError(f"expected base_url or provider, got both: {base_url!r} and {provider!r}")
        if base_url is not None:
            _check_address(base_url)
        self.base_url = base_url
        self.provider = provider
        self.api_key_env = api_key_env
        self.seed = seed
        self.max_tokens = max_tokens
        self.timeout = timeout
        self.retries = retries
        self.concurrency = concurrency

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

    def recipe(self) -> dict[str, Any]:
        """What made the scores; not how the endpoint was reached, so a run may go on with more patience."""
        return {name: value for name, value in super().recipe().items() if name not in _HOW_TO_ASK}

    def _identity(self) -> dict[str, Any]:
        # Which weights an endpoint has behind a name is its own affair: there is no commit to resolve.
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
