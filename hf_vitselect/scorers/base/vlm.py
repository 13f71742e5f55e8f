"""Scorers that run a vision-language model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_vitselect.models.options import ModelOptions
from hf_vitselect.models.prompt_date import PROMPT_DATE
from hf_vitselect.models.revisions import identify, remote_code
from hf_vitselect.scorers.base.shared_forward import SharedForwardScorer

if TYPE_CHECKING:
    from hf_vitselect.models.vlm import VLM


@dataclass(kw_only=True, eq=False)
class VLMScorer(ModelOptions, SharedForwardScorer):
    """A scorer that reads rows with a vision-language model and its chat template."""

    needs = "a vision-language model"
    version = 3  # in half precision the output layer runs in float32

    def __post_init__(self) -> None:
        ModelOptions.__post_init__(self)
        SharedForwardScorer.__post_init__(self)

    def recipe(self) -> dict[str, Any]:
        """The recipe, with the date that prompts give as today's."""
        return super().recipe() | {"prompt_date": PROMPT_DATE}

    def identify(self) -> dict[str, Any]:
        """The exact weights, the files of a named processor, and code of other repositories."""
        identity = super().identify()
        if isinstance(self.processor, str):
            identity = identity | {"processor": identify(self.processor)}
        code = remote_code(str(self.model), identity.get("commit")) if self.trust_remote_code else []
        return identity | {"code": code} if code else identity

    def load(self, identity: Mapping[str, Any]) -> "VLM":
        """The model with its processor."""
        from hf_vitselect.models.vlm import VLM

        return VLM.load(identity["model"], self, identity=identity, device=self._device())
