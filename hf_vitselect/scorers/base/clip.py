"""What the scorers of a CLIP model's features have in common."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.shared_forward import MeasuringScorer

if TYPE_CHECKING:
    from hf_vitselect.models.clip import Clip, ClipFeatures


class ClipFeatureScorer(MeasuringScorer):
    """Columns from the unit features of a row's pictures and of its text.

    `score` runs both towers once for all subclasses with the same model and settings.

    Args:
        model: a CLIP model, a Hub id or a folder.
        column: name of the main column; the signal's own if None.
        revision: a commit, branch or tag on the Hub.
        batch_size: rows in one forward.
    """

    needs = "a CLIP model"

    def __init__(
        self, model: str, *, column: str | None = None, revision: str | None = None, batch_size: int = 64
    ) -> None:
        super().__init__(model, column=column, revision=revision)
        self.batch_size = batch_size

    def measure(self, rows: Sequence[Conversation | RowError]) -> list["ClipFeatures | RowError"]:
        """The features of every row."""
        features: list[ClipFeatures | RowError] = self.loaded.features(rows, self.batch_size)
        return features

    def load(self, identity: Mapping[str, Any]) -> "Clip":
        """The CLIP model and its processor."""
        from hf_vitselect.models.clip import Clip

        return Clip(identity["model"], revision=identity.get("commit"), device=self._device())
