"""Placeholders: where they stand in a text, and which image each one shows."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hf_vitselect.data.conversation import ToolCall, Turn
from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.data.images import RowImage, read_image
from hf_vitselect.data.stored import is_empty
from hf_vitselect.errors import RowError

_PLACEHOLDER = re.compile(r"<\|?image(?:[ _-]?(\d+))?\|?>")
_MEDIA_PLACEHOLDER = re.compile(r"<\|?(?:video|audio)(?:_pad)?(?:[ _-]?\d+)?\|?>", re.IGNORECASE)
# An image named inside the text, as in the first data of Qwen-VL and MiniCPM.
_NAMED = re.compile(r"<(?:img|image)>[^<>\n]*</(?:img|image)>", re.IGNORECASE)
# Placeholders of other models and tools. They are refused, not read: `<img>` or `[image]` may be plain text.
_FOREIGN_PLACEHOLDER = re.compile(
    r"<\|?/?(image(content|here|token)?|img|picture|photo)(?![a-z]|_caption)[^<>\n]{0,200}>"
    r"|<im_patch>|<\|?vision_(start|end)\|?>|<start_of_image>|<(\|media(_pad)?\||__media__)>"
    r"|\[(image|img|picture)([ _-]?\d+)?\]|!\[[^\]\n]*\]\([^)\n]+\)"
    r"|\{\{? ?(image|img|picture)([ _-]?\d+)? ?\}?\}",
    re.IGNORECASE,
)


class Slot(NamedTuple):
    """A place for an image, which may be numbered, or hold the image's cell itself."""

    number: int | None = None
    image: Any = None


class Draft(NamedTuple):
    """A turn whose images are not known yet; its fields are those of `Turn`."""

    role: str
    parts: Sequence[str | Slot]
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    name: str | None = None

    def filled(self) -> Turn:
        """The turn."""
        parts = [None if isinstance(part, Slot) else part for part in self.parts]
        return Turn(self.role, tuple(parts), self.calls, self.call_id, self.name)


def split_text(role: str, text: str) -> list[str | Slot]:
    """Split a text at its placeholders. In an answer they are text: only questions place images."""
    if role == "assistant" or "<" not in text:
        return [str(text)]  # not one of the texts that only a cell holds, such as `JsonText`
    if media := _MEDIA_PLACEHOLDER.search(text):
        raise RowError("media_unsupported", f"the placeholder {media[0]!r}")
    if named := _NAMED.search(text):
        raise RowError(
            "placeholder_mismatch", f"{named[0]!r} names an image in the text; write <image> alone"
        )
    pieces = _PLACEHOLDER.split(text)
    last = len(pieces) - 1
    parts: list[str | Slot] = []
    for i in range(0, len(pieces), 2):
        if i > 0:
            parts.append(Slot(int(pieces[i - 1]) if pieces[i - 1] else None))
        piece = pieces[i].removeprefix("\n" if i > 0 else "").removesuffix("\n" if i < last else "")
        if piece or last == 0:
            parts.append(piece)
    return parts


def place_images(
    drafts: Sequence[Draft], cells: Sequence[Any], access: ImageAccess
) -> tuple[tuple[Turn, ...], tuple[RowImage, ...]]:
    """Give every slot its image, which may be one of the files of `access`.

    Raises:
        RowError: `placeholder_mismatch` or `image_missing`; for an open image `image_error`.
        ValueError: for a cell that is not an image.
    """
    filled = [i for i, cell in enumerate(cells) if not is_empty(cell)]
    slots = _slots(drafts)
    if filled and not slots:
        drafts = _images_first(drafts, len(filled))
        slots = _slots(drafts)
    if any(slot.image is not None for slot in slots):
        inline = [read_image(cell, access) for cell in _inline_images(slots, filled)]
        # Only a column has the feature `Image`. A record in a turn is the row's own.
        images = tuple(replace(image, in_feature=False) for image in inline)
    elif len(slots) != len(filled):
        nulls = len(cells) - len(filled)
        counts = f"{len(slots)} placeholder(s), {len(filled)} image(s)"
        if nulls and (not filled or len(slots) == len(cells)):
            raise RowError("image_missing", f"{counts} and {nulls} null(s)")
        raise RowError("placeholder_mismatch", counts)
    else:
        images = tuple([read_image(cells[i], access) for i in _order(slots, filled, len(cells))])
    return tuple([draft.filled() for draft in drafts]), images


def _slots(drafts: Sequence[Draft]) -> list[Slot]:
    return [part for draft in drafts for part in draft.parts if isinstance(part, Slot)]


def _images_first(drafts: Sequence[Draft], images: int) -> Sequence[Draft]:
    """Put images without placeholders before the first user text."""
    for draft in drafts:
        for part in draft.parts:
            if draft.role != "assistant" and (foreign := _FOREIGN_PLACEHOLDER.search(str(part))):
                raise RowError(
                    "placeholder_mismatch",
                    f"{foreign[0]!r} looks like an image placeholder, but is not read; write <image>",
                )
    first = next((i for i, draft in enumerate(drafts) if draft.role == "user"), None)
    if first is None:
        return drafts
    asked = drafts[first]._replace(parts=[*[Slot()] * images, *drafts[first].parts])
    return [*drafts[:first], asked, *drafts[first + 1 :]]


def _inline_images(slots: Sequence[Slot], in_column: Sequence[int]) -> list[Any]:
    if in_column:
        raise RowError("placeholder_mismatch", "images both in the contents and in a column of their own")
    without = sum(slot.image is None for slot in slots)
    if without:
        raise RowError("placeholder_mismatch", f"{without} of {len(slots)} image parts without their image")
    return [slot.image for slot in slots]


def _order(slots: Sequence[Slot], filled: Sequence[int], cells: int) -> Sequence[int]:
    """The cell of each slot's image: the next filled one, or the one of its number, for which nulls count."""
    numbers = [slot.number for slot in slots if slot.number is not None]
    if not numbers:
        return filled
    first = 0 if 0 in numbers else 1
    indices = [number - first for number in numbers]
    if sorted(indices) != filled:
        nulls = f" and {cells - len(filled)} null(s)" if cells > len(filled) else ""
        raise RowError(
            "placeholder_mismatch", f"placeholders numbered {numbers} for {len(filled)} image(s){nulls}"
        )
    return indices
