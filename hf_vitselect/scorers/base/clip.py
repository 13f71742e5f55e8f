"""Scorers of a CLIP model's features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_vitselect.call_text import check_fields
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.shared_forward import SharedForwardScorer

if TYPE_CHECKING:
    from hf_vitselect.models.clip import Clip, ClipFeatures


@dataclass(kw_only=True, eq=False)
class ClipFeatureScorer(SharedForwardScorer):
    """A scorer of the unit features of a row's images and of its text."""

    batch_size: int = 64

    cost = "1 forward of both CLIP towers"
    needs = "a CLIP model"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, ClipFeatureScorer, batch_size=1)

    def forward(self, rows: Sequence[Conversation | RowError]) -> list["ClipFeatures | RowError"]:
        """The features of every row."""
        features: list[ClipFeatures | RowError] = self.loaded.features(rows, self.batch_size)
        return features

    def load(self, identity: Mapping[str, Any]) -> "Clip":
        """The CLIP model and its processor."""
        from hf_vitselect.models.clip import Clip

        return Clip(identity["model"], revision=identity.get("commit"), device=self._device())
