"""The layout of one dataset: which of its columns hold turns, images, tools and media; what is refused."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Audio, ClassLabel, Features, Image, Value, Video

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.image_access import NO_ACCESS, ImageAccess
from hf_vitselect.data.images import IMAGE_SUFFIXES, image_cells
from hf_vitselect.data.layouts import CONTEXT_COLUMNS, LAYOUTS, KnownLayout
from hf_vitselect.data.messages import Message
from hf_vitselect.data.placeholders import Draft, place_images
from hf_vitselect.data.stored import UNSTORED, from_text, is_empty
from hf_vitselect.data.tool_calls import read_tool
from hf_vitselect.data.turns import draft_turns
from hf_vitselect.data.unknown_layout import unknown_layout
from hf_vitselect.errors import LayoutError, RowError

SYSTEM_COLUMNS = ("system", "system_prompt", "system_message", "sys_prompt", "system_instruction")
UNREAD_COLUMNS = ("history", "functions", "documents", "chat_template_kwargs")

_MEDIA_COLUMN = re.compile(
    r"(video|audio)s?([ _-]?(path|file|filename|url|bytes|frame)s?)?|frames|mp4|webm|wav|mp3|flac",
    re.IGNORECASE,
)
_NUMBERED_COLUMN = re.compile(r"(image|images|img|picture)[ _-]?(\d+)", re.IGNORECASE)
# Not `image_id`, `image_size` or `image_source`.
_IMAGE_COLUMN = re.compile(
    r"((left|right|first|second|input|question|query|main|source|original|raw|encoded|file)[ _-]?)?"
    r"(image|img|picture|pic|photo|screenshot|jpe?g|png|webp)s?"
    r"([ _-]?(path|file|filename|name|url|uri|link|src|list|bytes|data|content|base64|b64|str|string)s?)*"
    r"|file_names?",
    re.IGNORECASE,
)
_IMAGE_FILES = tuple(f".{suffix}" for suffix in IMAGE_SUFFIXES)
_NULL_WORDS = ("", "none", "null", "nan", "na", "n/a")
_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Layout:
    """The columns that hold the conversations of a dataset.

    Attributes:
        text_columns: hold the turns, the required ones first.
        image_columns: one that holds all images, or several that hold one each, in order.
        other_image_columns: may name images too, such as `image_path` next to `image`. They are not read; a
            row with no other image is refused.
        system_column: holds the system prompt.
        tools_column: holds the tools.
        media_columns: hold video and audio; a row that uses one is refused.
        read_messages: from a row's cells to its messages.
        has_problems: whether a column says why a row could not be stored.
    """

    text_columns: tuple[str, ...]
    image_columns: tuple[str, ...]
    other_image_columns: tuple[str, ...]
    system_column: str | None
    tools_column: str | None
    media_columns: tuple[str, ...]
    read_messages: Callable[[Mapping[str, Any]], Iterable[Message]]
    has_problems: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that belong to the conversation."""
        others = [name for name in (self.system_column, self.tools_column) if name]
        problems = [UNSTORED] if self.has_problems else []
        return (*self.text_columns, *self.image_columns, *others, *self.media_columns, *problems)

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """All columns that `read` looks at."""
        return (*self.columns, *self.other_image_columns)

    def read(self, row: Mapping[str, Any], access: ImageAccess = NO_ACCESS) -> Conversation:
        """Read one row of plain values, its images not decoded.

        Args:
            row: its cells by column.
            access: the files that its images may name.

        Raises:
            RowError: `bad_row`, `image_missing`, `placeholder_mismatch`, `media_unsupported`, `image_error`.
        """
        if row.get(UNSTORED):
            raise RowError("bad_row", row[UNSTORED])
        try:
            for name in self.media_columns:
                if not is_empty(row.get(name)):
                    raise RowError("media_unsupported", f"something in the column {name!r}")
            turns, images = place_images(self._drafts(row), self.image_cells(row), access)
            if not images:
                self._refuse_other_images(row)
            return Conversation(turns, images, self._tools(row))
        except _UNREADABLE as error:
            raise RowError("bad_row", f"not a conversation: {error}") from error

    def answer_characters(self, row: Mapping[str, Any]) -> int | None:
        """Length of a row's answers in characters; None if they cannot be read. Reads no image."""
        try:
            turns = self._drafts(row)
        except (*_UNREADABLE, RowError):
            return None
        return sum(len(turn.filled().text) for turn in turns if turn.role == "assistant")

    def image_cells(self, row: Mapping[str, Any]) -> list[Any]:
        """The images in a row's image columns, including the empty ones."""
        if len(self.image_columns) < 2:
            return [cell for name in self.image_columns for cell in image_cells(row.get(name))]
        # Most rows use only the first of the numbered columns.
        cells = [row.get(name) for name in self.image_columns]
        while cells and is_empty(cells[-1]):
            cells.pop()
        return cells

    def _refuse_other_images(self, row: Mapping[str, Any]) -> None:
        """Refuse a row that would pass for text."""
        for name in self.other_image_columns:
            if any(_names_image(name, cell) for cell in image_cells(row.get(name))):
                own = " and ".join(self.image_columns)
                raise RowError(
                    "image_missing",
                    f"nothing in {own}, but something in {name!r}, which is not read; "
                    f"fill {own} from it, or drop it with dataset.remove_columns({name!r})",
                )

    def _drafts(self, row: Mapping[str, Any]) -> list[Draft]:
        drafts = draft_turns(self.read_messages(row))
        system = row.get(self.system_column) if self.system_column else None
        if is_empty(system):
            return drafts
        (first,) = draft_turns([Message("system", system)])
        if first in drafts:
            return drafts
        if any(draft.role == "system" for draft in drafts):
            raise ValueError(f"a system turn, and another in the column {self.system_column!r}")
        return [first, *drafts]

    def _tools(self, row: Mapping[str, Any]) -> str | None:
        tools = row.get(self.tools_column) if self.tools_column else None
        if is_empty(tools):
            return None
        plain = [read_tool(tool) for tool in from_text(tools)]
        return json.dumps(plain, ensure_ascii=False)


def find_layout(columns: Sequence[str] | Features) -> Layout:
    """Find the layout of a dataset from its columns. Features also reveal images under other names.

    Raises:
        LayoutError: if not exactly one layout matches, or a column of the conversation is not read.
    """
    names = list(columns)
    known = _known_layout(names)
    own = {*known.text_columns, *known.optional}
    others = {*UNREAD_COLUMNS, *known.unread}
    if unread := [name for name in names if name.lower() in others and name not in own]:
        raise LayoutError(
            f"expected the conversation in {'+'.join(known.text_columns)}, got {unread} next to it, "
            f"which is not read; move it into the turns, or drop it with dataset.remove_columns({unread})"
        )
    images = _image_columns(names)
    layout = Layout(
        (*known.text_columns, *(name for name in known.optional if name in names)),
        images,
        tuple(name for name in names if name not in images and _IMAGE_COLUMN.fullmatch(name)),
        _at_most_one("system prompt", [name for name in SYSTEM_COLUMNS if name in names]),
        "tools" if "tools" in names else None,
        tuple(name for name in names if _MEDIA_COLUMN.fullmatch(name)),
        known.read_messages,
        UNSTORED in names,
    )
    _refuse_features(layout, columns)
    return layout


def _known_layout(names: Sequence[str]) -> KnownLayout:
    """The one layout of these columns; `question` and `answer` with `choices` are multiple choice."""
    matches = [layout for layout in LAYOUTS if set(layout.text_columns) <= set(names)]
    matches = [
        layout
        for layout in matches
        if not any(set(layout.text_columns) < set(other.text_columns) for other in matches)
    ]
    matches = [layout for layout in matches if not layout.can_be_metadata] or matches
    if not matches:
        raise LayoutError(unknown_layout(names, [name for name in names if not holds_media(name)]))
    if len(matches) > 1:
        both = ["+".join(layout.text_columns) for layout in matches]
        raise LayoutError(
            f"expected one conversation layout, got {' and '.join(both)}; "
            "drop one with dataset.remove_columns"
        )
    return matches[0]


def is_conversation_column(name: str) -> bool:
    """Whether a column of this name is read as part of a conversation, or refused as such."""
    known = {"tools", *SYSTEM_COLUMNS, *UNREAD_COLUMNS, *CONTEXT_COLUMNS}.union(
        *((*layout.text_columns, *layout.optional) for layout in LAYOUTS)
    )
    return name in known or holds_media(name)


def holds_media(name: str) -> bool:
    """Whether a column of this name holds images, video or audio."""
    return any(pattern.fullmatch(name) for pattern in (_IMAGE_COLUMN, _NUMBERED_COLUMN, _MEDIA_COLUMN))


def _image_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The column of the images, or the numbered columns of one each."""
    numbered = [
        (match[1], int(match[2]), name) for name in names if (match := _NUMBERED_COLUMN.fullmatch(name))
    ]
    ways = [name for name in ("images", "image") if name in names]
    ways += [f"{stem}_1, {stem}_2, ..." for stem in dict.fromkeys(stem for stem, _, _ in numbered)]
    _at_most_one("images", ways)
    return tuple(name for _, _, name in sorted(numbered)) if numbered else tuple(ways)


def _at_most_one(what: str, names: Sequence[str]) -> str | None:
    if len(names) > 1:
        raise LayoutError(
            f"expected one column for the {what}, got {' and '.join(names)}; "
            "drop the others with dataset.remove_columns"
        )
    return names[0] if names else None


def _refuse_features(layout: Layout, columns: Sequence[str] | Features) -> None:
    """Refuse class labels in place of texts, and images and media that would not be read."""
    features = columns if isinstance(columns, Features) else {}
    texts = [*layout.text_columns, *([layout.system_column] if layout.system_column else [])]
    if labels := [name for name in texts if _has_labels(features.get(name))]:
        raise LayoutError(
            f"expected texts in {labels}, got class labels, which are numbers; "
            "replace them by their names with dataset.map and the ClassLabel's int2str"
        )
    media = [name for name, feature in features.items() if isinstance(feature, (Audio, Video))]
    if unread := [name for name in media if name not in layout.media_columns]:
        raise LayoutError(
            f"expected video and audio in columns of that name, got {unread}; such rows cannot be scored: "
            f"drop the columns with dataset.remove_columns({unread})"
        )
    for name in columns:  # Without this check rows would lose images, or pass for text.
        feature = getattr(features.get(name), "feature", features.get(name))
        if name in layout.image_columns:
            continue
        if isinstance(feature, Image) or (
            not layout.image_columns and (_IMAGE_COLUMN.fullmatch(name) or _may_hold_images(feature))
        ):
            if layout.image_columns:
                raise LayoutError(
                    f"expected images in {' and '.join(layout.image_columns)} alone, got {name!r}, which is "
                    f"not read; drop one with dataset.remove_columns, such as [{name!r}], and give the other "
                    "the name that is read"
                )
            raise LayoutError(
                f"expected images in a column images or image, got {name!r}, which is not read; "
                f"rename it with dataset.rename_column({name!r}, 'images'), "
                f"or drop it with dataset.remove_columns({name!r})"
            )


def _names_image(column: str, cell: Any) -> bool:
    """Whether a cell may be an image or name one; numbers, and files of another kind, do not."""
    if isinstance(cell, str):
        known = cell.strip().lower() not in _NULL_WORDS
        return known and (cell.lower().endswith(_IMAGE_FILES) or not column.lower().startswith("file"))
    return not is_empty(cell) and not isinstance(cell, (int, float))


def _may_hold_images(feature: Any) -> bool:
    """Whether a feature is of bytes, or of records of bytes and a path."""
    if isinstance(feature, Mapping):
        return feature.keys() == {"bytes", "path"}
    return isinstance(feature, Value) and "binary" in feature.dtype


def _has_labels(feature: Any) -> bool:
    """Whether a feature has class labels anywhere inside."""
    if isinstance(feature, Mapping):
        return any(map(_has_labels, feature.values()))
    return isinstance(feature, ClassLabel) or _has_labels(getattr(feature, "feature", {}))
