"""The conversation in a row: turns of text with slots for images, and the images.

Three words that are used throughout: an *answer* is the text of an assistant turn; a *response* is what
training supervises, an answer and the end-of-turn token after it; a *completion* is a column.
"""

from dataclasses import dataclass, replace

from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.data.images import RowImage


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        role: `system`, `user`, `assistant` or `tool`.
        parts: texts in order; `None` is a slot for the conversation's next image.
    """

    role: str
    parts: tuple[str | None, ...]

    @property
    def text(self) -> str:
        """The turn's texts joined, without its images."""
        return "".join(part for part in self.parts if part is not None)


@dataclass(frozen=True)
class Conversation:
    """A row of any layout.

    Attributes:
        turns: the messages in order.
        images: one for each slot, in order.
        tools: a JSON list of the tools for the chat template to describe.
    """

    turns: tuple[Turn, ...]
    images: tuple[RowImage, ...] = ()
    tools: str | None = None

    @property
    def transcript(self) -> str:
        """The whole conversation as `USER: ... ASSISTANT: ...`, without its images."""
        tools = f"TOOLS: {self.tools} " if self.tools else ""
        return tools + " ".join(f"{turn.role.upper()}: {turn.text.strip()}" for turn in self.turns)

    def under(self, access: ImageAccess) -> "Conversation":
        """The same row, with images that may be these files."""
        return replace(self, images=tuple(replace(image, access=access) for image in self.images))
