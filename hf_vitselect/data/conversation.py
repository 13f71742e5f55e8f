"""A row of any layout, once it is read: turns of text with slots where the images stand, and the images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hf_vitselect.data.images import RowImage


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        role: `system`, `user`, `assistant` or `tool`.
        parts: texts in order; `None` is a slot for the next picture of the conversation.
    """

    role: str
    parts: tuple[str | None, ...]

    @property
    def text(self) -> str:
        """The turn's texts joined, without its pictures."""
        return "".join(part for part in self.parts if part is not None)


@dataclass(frozen=True)
class Conversation:
    """A row of any layout, read.

    Attributes:
        turns: the messages in order.
        images: one for each slot, in order.
        tools: the JSON of the tools that the template is to describe, a list.
    """

    turns: tuple[Turn, ...]
    images: tuple[RowImage, ...] = ()
    tools: str | None = None

    @property
    def transcript(self) -> str:
        """The whole conversation as `USER: ... ASSISTANT: ...`, without its pictures."""
        tools = f"TOOLS: {self.tools} " if self.tools else ""
        return tools + " ".join(f"{turn.role.upper()}: {turn.text.strip()}" for turn in self.turns)

    def under(self, roots: Sequence[str] | None) -> "Conversation":
        """The same row, whose pictures may lie in the files of these folders only, or of any if None."""
        return replace(self, images=tuple(replace(image, roots=roots) for image in self.images))
