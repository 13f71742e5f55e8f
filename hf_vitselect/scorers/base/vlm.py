"""What the scorers that run a vision-language model have in common: how it is loaded, and recorded."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hf_vitselect.models.chat_templates import PROMPT_DATE
from hf_vitselect.models.revisions import identify, remote_code
from hf_vitselect.scorers.base.shared_forward import MeasuringScorer

if TYPE_CHECKING:
    from hf_vitselect.models.encoding import EndOfTurn
    from hf_vitselect.models.vlm import VLM


class VLMScorer(MeasuringScorer):
    """A scorer that looks at rows through a vision-language model and its chat template.

    Args:
        model, column, processor, revision, dtype, max_length, end_of_turn, trust_remote_code: as in
            `NecessityScorer`.

    Raises:
        ValueError: if `end_of_turn` is neither `auto` nor `template`.
    """

    needs = "a vision-language model"
    version = 2  # the end of turn is supervised also where the template writes none

    def __init__(
        self,
        model: str,
        *,
        column: str | None = None,
        processor: Any = None,
        revision: str | None = None,
        dtype: str = "auto",
        max_length: int | None = None,
        end_of_turn: "EndOfTurn" = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__(model, column=column, revision=revision)
        if end_of_turn not in ("auto", "template"):
            raise ValueError(f"end_of_turn: expected 'auto' or 'template', got {end_of_turn!r}")
        self.dtype = str(dtype).removeprefix("torch.")
        self.max_length = max_length
        self.end_of_turn = end_of_turn
        self.trust_remote_code = trust_remote_code
        self.processor = str(processor) if isinstance(processor, os.PathLike) else processor
        if self.processor is not None and not isinstance(self.processor, str):
            from hf_vitselect.models.encoding import SavedProcessor

            self.processor = SavedProcessor.of(processor)

    def recipe(self) -> dict[str, Any]:
        """Also the day that the prompts are written on."""
        return super().recipe() | {"prompt_date": PROMPT_DATE}

    def identify(self) -> dict[str, Any]:
        """The exact weights, the exact files of a processor that is named, and code from elsewhere."""
        identity = super().identify()
        if isinstance(self.processor, str):
            identity = identity | {"processor": identify(self.processor)}
        code = remote_code(str(self.model), identity.get("commit")) if self.trust_remote_code else []
        return identity | {"code": code} if code else identity

    def load(self, identity: Mapping[str, Any]) -> "VLM":
        """The model with its processor."""
        from hf_vitselect.models.vlm import VLM

        processor, code = self.processor, identity.get("code", [])
        return VLM.load(
            identity["model"],
            processor=processor if processor is None or isinstance(processor, str) else processor.load(),
            revision=identity.get("commit"),
            base_revision=identity.get("base", {}).get("commit"),
            processor_revision=identity.get("processor", {}).get("commit"),
            dtype=self.dtype,
            device=self._device(),
            max_length=self.max_length,
            end_of_turn=self.end_of_turn,
            trust_remote_code=self.trust_remote_code,
            code_revision=code[0]["commit"] if len(code) == 1 else None,
            **self.load_options(),
        )

    def load_options(self) -> dict[str, Any]:
        """Further arguments of `VLM.load`."""
        return {}
