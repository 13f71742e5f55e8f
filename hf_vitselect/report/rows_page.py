"""What rows may look like and which status they get, from the code."""

import inspect
import json
from collections.abc import Iterable

from hf_vitselect.data.dataset_layout import SYSTEM_COLUMNS, UNREAD_COLUMNS
from hf_vitselect.data.layouts import LAYOUTS
from hf_vitselect.data.pixels import MOST_PIXELS, MOST_RESIZED, to_rgb
from hf_vitselect.data.turns import MASK_KEYS, MEDIA_KEYS, ROLES, UNREAD_KEYS
from hf_vitselect.errors import STATUSES

_HEAD = """\
# Rows

Written by `python -m hf_vitselect.report.rows_page > docs/rows.md`; a test holds it to the code. A row is a
conversation with its images. It is read in one place, whoever asks: `map`, `score` (in shards, workers,
streams), row ids, selection, training, evaluation and publishing. What is not understood is refused: a column
by an error, a row by its status, with the reason in `{column}_reason`.

## Layouts
"""

_IMAGES = """\
## Images

- They are in the column `images` (a list) or `image` (one, or a list); or in numbered columns (`image_1`,
  `image_2`, ...), in the order of their numbers. Two of these at once are an error. So is a column such as
  `picture` or `image_path` where none of them is there.
- An image is encoded bytes, a record of `bytes` and `path`, a path, base64 (as a data URI, or alone), or an
  open Pillow image. URLs are not fetched, and lists of pixels are `bad_row`.
- No image is null, `""`, `[]`, `[null]`, or no column. A null among images is left out, unless there is a
  placeholder for it.
- `<image>` in a user or system turn places the next image, and so does `<|image|>`. A numbered one
  (`<image_1>`, `<image 1>`, `<|image_1|>`) places the image of that number; each number must occur once.
  Without placeholders the images stand before the first user text. A placeholder in an answer is text.
- The part `{"type": "image"}` places the next image, or holds it itself (`image`, `image_url`, `url`, `path`,
  `base64`, `bytes`). `index` numbers it.
- Other spellings (`[IMG]`, `<img>`, `<|image_pad|>`), in a row with images and without `<image>`, are
  `placeholder_mismatch`.
"""

_FILES = """\
## Images in files

A path is looked up as it stands, a relative one from the working directory. Rows of a pool from the Hub
cannot name files of this machine, but those that `datasets` itself has downloaded with the pool: all others
are `image_missing`, whether they are named by `..`, by a link or outright. A pool is known to be from the Hub
where it is what `load_dataset` gives, streamed or not, or what `score` and `select_diverse` make of it; not
where it is kept in memory (`keep_in_memory`) or was saved before. A push embeds the files of the picked rows,
or is refused.
"""

_PIXELS = f"""\
## Pixels

One decoder serves scores, embeddings and training. It makes an image RGB and upright (EXIF rotation). Of an
animation, or of a file of several pages, it takes the first.

{{to_rgb}}

Refused as `image_error` before they are decoded or resized: more than {MOST_PIXELS:,} pixels, and more than
{MOST_RESIZED:,} pixels after a processor has resized the shorter side, as those of CLIP and LLaVA do with
thin images (20,000 x 1). So is an image for which memory does not suffice; the other rows are scored.
"""

_FORMS = """\
## Stored forms

Each cell is decoded before it is read: `Json` columns, large lists, string views, dictionaries, the records
of lists of older versions of `datasets`; and cells, messages or contents as JSON text or, as CSV writers
leave them, as Python literals. A number as content is its text, in a column of floats 42.0 is `42`. Where
every content of a row is a text in quotes, as JSON is stored, the row is `bad_row`: nobody knows if they are
the text's own.

Class labels where texts belong are an error. A bare `IterableDataset.map` does not tell a scorer what its
columns hold, and so cannot refuse them: use `score`.

A format (`with_format`) changes nothing in `score`; `map` takes rows without a format, or in Arrow's. A
transform (`set_transform`) is an error.
"""


def rows_page() -> str:
    """The page, as Markdown."""
    return "\n".join(
        [
            _HEAD,
            *(_layout(layout.text_columns, layout.example) for layout in LAYOUTS),
            "A message's keys are `role` and `content`, or `from` and `value`. A data set has one layout.\n",
            "| role | spellings, in any case |",
            "|---|---|",
            *(f"| {role} | {_code(spellings)} |" for role, spellings in ROLES.items()),
            "",
            _IMAGES,
            _FILES,
            _PIXELS.format(to_rgb=_conversions()),
            _FORMS,
            "## Other parts of a conversation\n",
            f"- A column {_code(SYSTEM_COLUMNS, 'or')} is a system turn before the others.",
            "- A column `tools` goes to the chat template; where that takes none, the row is `bad_row`. So",
            "  is one of which the template leaves out any other text, as some do with system turns.",
            "- Columns of video or audio (`video`, `videos`, `audio_path`, ...), message keys "
            f"{_code(MEDIA_KEYS)}, placeholders and parts: `media_unsupported` for the rows that use them.",
            f"- Message keys {_code(UNREAD_KEYS)}: `bad_row`, unless they are empty.",
            f"- Message keys {_code(MASK_KEYS)}: not used. Every answer counts; a warning says so.",
            f"- Columns {_code(UNREAD_COLUMNS)}: an error.",
            "",
            "## Statuses\n",
            "| status | when | what to do |",
            "|---|---|---|",
            *(f"| `{status}` | {when} | {what} |" for status, (when, what) in STATUSES.items()),
            "",
        ]
    )


def _conversions() -> str:
    """The list in the documentation of `to_rgb`."""
    return str(inspect.getdoc(to_rgb)).split("\n\n")[1]


def _layout(columns: Iterable[str], example: object) -> str:
    return f"{_code(columns, 'and')}\n\n```json\n{json.dumps(example)}\n```\n"


def _code(names: Iterable[str], last: str = "") -> str:
    *first, final = (f"`{name}`" for name in names)
    return f"{', '.join(first)} {last} {final}" if first and last else ", ".join([*first, final])


if __name__ == "__main__":
    print(rows_page(), end="")
