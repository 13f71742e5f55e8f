"""The rows page: the layouts, images and statuses of rows, from the code."""

import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

from hf_vitselect.data.archives import MOST_BYTES
from hf_vitselect.data.dataset_layout import SYSTEM_COLUMNS, UNREAD_COLUMNS
from hf_vitselect.data.fetching import (
    PARALLEL,
    PROTOCOLS,
    REDIRECTS,
    SECONDS,
    SECONDS_OF_SILENCE,
    SECONDS_TO_CONNECT,
    TRIES,
)
from hf_vitselect.data.layouts import ASKED_COLUMNS, CONTEXT_COLUMNS, LAYOUTS, TOOL_EXAMPLES, KnownLayout
from hf_vitselect.data.messages import MASK_KEYS, MEDIA_KEYS, PLAIN_KEYS, ROLES
from hf_vitselect.data.pixels import MOST_PIXELS, MOST_RESIZED, to_rgb
from hf_vitselect.data.rows import read_row
from hf_vitselect.data.tool_calls import CALL_ROLES
from hf_vitselect.errors import STATUSES

_HEAD = """\
# Row layouts

If your data looks like one of these layouts, `load_pool` reads it as it is. Everything reads rows through
the same code: `map`, `score`, row ids, selection, training, evaluation and publishing. A column that may
belong to the conversation and is not understood is an error. A row that cannot be read gets a status, and
the reason in `{column}_reason`.

## Layouts
"""

_RULES = """\
Below each row stands what it is read as. `<the image>` stands for an image of any form below.

- A data set has one layout: two of them are an error, as `question` and `answer` next to `messages`. A
  caption next to another layout is metadata.
- Columns of other names are renamed by `load_pool(path, columns={"messages": "dialog"})` or
  `--dataset_columns messages=dialog`.
- `question` and `answer` with `choices` or `options` are multiple choice. The answer is an index from 0, a
  letter or the text of a choice. If it may mean two choices, as 2 of 1, 2 and 3, the row is `bad_row`. A row
  whose choices are empty is an open question.
- `history` is a list of pairs, the oldest first.
- A message's keys are `role` and `content`, or `from` and `value`.
"""

_TOOLS = """\
## Tool calls

Calls are in `tool_calls` of an assistant's message, as OpenAI has them, in its `function_call`, or in a
message of their own, whose content is the JSON of one call or several. Arguments are a record or its JSON. A
null in a record is no argument, since Arrow adds nulls. Chat templates get every call in `tool_calls`, its
arguments as a record, and the id in `tool_call_id`. Calls are part of the answer: training supervises what
the template writes for them. If the template leaves out a name, an argument or a text, the row is `bad_row`.
"""

_CONTAINERS = """\
## Containers

`load_pool` and `--dataset_name` take:

- Parquet, JSON, JSON lines and CSV, also compressed (`.jsonl.gz`): a file, a folder, or a pattern such as
  `'rows/*.parquet'`. All files of a pool have one format.
- A folder that `save_to_disk`, `score` or `select` wrote, and a data set on the Hub.
- LLaMA-Factory's `dataset_info.json` or its folder, with the name of an entry as `config` or
  `--dataset_config`. Columns and tags are read as the entry says; columns that it does not map are dropped.
- WebDataset: a tar, several, or a folder of them, streamed or not. A sample is a `.json` record of any layout
  and its images (`a.json`, `a.jpg` or `a.0.png`, `a.1.png`), in the order of their numbers or as the record
  names them. A sample without record is `bad_row`. One without image is a text, or `image_missing` if it has
  a placeholder. Where a tar is damaged, a row says so, and the next tar follows.
"""

_IMAGES = """\
## Images

- Images are in the column `images` (a list) or `image` (one, or a list); or in numbered columns (`image_1`,
  `image_2`, ...), in the order of their numbers. Two of these at once are an error. Without any of them, a
  column such as `picture` or `image_path` is an error too. Next to one of them it is
  ignored, but a row that has an image in it alone is refused as `image_missing`.
- An image is encoded bytes, a record of `bytes` and `path`, a path, a URL, base64 (plain or a data URI), or
  an open Pillow image. Lists of pixels are `bad_row`.
- A missing image is null, `""`, `[]`, `[null]`, or no column. A null among images is skipped unless a
  placeholder stands for it.
- `<image>` or `<|image|>` in a user or system turn places the next image. A numbered placeholder
  (`<image_1>`, `<image 1>`, `<|image_1|>`) places the image of that number; each number must occur once.
  Without placeholders the images come before the first user text. A placeholder in an answer is text.
- The part `{"type": "image"}` places the next image, or holds it itself (`image`, `image_url`, `url`, `path`,
  `base64`, `bytes`), as `{"type": "image_url", "image_url": {"url": ...}}` does. `index` numbers it. Texts
  and images keep their order.
- Other spellings (`[IMG]`, `<img>`, `<|image_pad|>`), in a row with images and without `<image>`, are
  `placeholder_mismatch`.
"""

_EXAMPLES = (
    ("a file below the image root", "train2017/000.jpg"),
    ("a file in a zip or tar", "images.zip::train2017/000.jpg"),
    ("a URL", "https://example.org/000.jpg"),
)
"""Images that a row can name, shown and tested."""

_FETCHED = ", ".join(f"`{name}`" for name in PROTOCOLS)
_FILES = f"""\
## Images in files

| an image | in the row |
|---|---|
{chr(10).join(f"| {kind} | `{name}` |" for kind, name in _EXAMPLES)}

A relative path starts at the *image root*. For `load_pool` and the commands that is the folder of a local
pool, or `image_root` (`--image_root`). For rows of your own, such as those of `load_dataset("json",
...)`, it is what `with_image_root(dataset, folder)` says; without it, a path in such rows is
`image_missing`, unless its column has the feature `Image`, whose files `datasets` opens too. The root
lasts through `map`, `filter`, `select`, `save_to_disk`, streams, `score` and `select_diverse`; it is
signed for this machine and never published. Pools of two roots cannot be concatenated.

No path leaves its root, whether by `..`, as an absolute path or by a link: such a row is `image_missing`.
It may name files of further folders if `allow_paths` (`--allow_paths`) lists them. Rows of a pool from
the Hub may name only what `datasets` has downloaded with it, unless `image_root` is given; those of
`keep_in_memory` are rows of your own.

A file that does not exist is `image_missing` for its row. `score`, `select` and `run` say how many such
rows there are, and the first three paths tried. This status is not cached: put the files there and run
again. Scores are computed again when a file, or the archive that holds it, has another size or time.

Archives are read in place. A zip's files must be stored or deflated; a tar must be uncompressed.
`image_error`: a member that is a link, has more than {MOST_BYTES:,} bytes, is truncated, or has another
size than the archive says; and an archive that is damaged.

A push embeds the files of the picked rows, or is refused. Images that turns name move to a column.

## Images behind URLs

Without `fetch_urls` (`--fetch_urls`) a URL is `image_remote`. With it, URLs of {_FETCHED} are fetched
once, {PARALLEL} at a time, and kept in the folder `hf_vitselect_images` of the cache of `datasets`;
delete it to fetch them again. `s3` needs the package `s3fs`, and `s3` and `hf` URLs are read with this
machine's credentials.

- Limits: {MOST_BYTES:,} bytes, {SECONDS_TO_CONNECT} s to connect, {SECONDS_OF_SILENCE} s of silence,
  {SECONDS} s in all, {REDIRECTS} redirects, {TRIES} tries. What fails is not tried again for five
  minutes.
- `image_missing`: nothing comes back, such as 404 or silence. `image_error`: a web page, or too many
  bytes.
- `image_remote`: another protocol, or an address that is not public (private, loopback, link-local,
  reserved), unless `allow_addresses` (`--allow_addresses 10.0.0.0/8`) lists it. The address is checked
  when the socket is made, so neither a redirect nor a name that resolves differently the second time gets
  around it.
- `http` and `https` are fetched without proxies. For `s3` and `hf` addresses and redirects are those of
  their clients and are not checked; nor are their seconds.
"""

_PIXELS = f"""\
## Pixels

Scores, embeddings and training share one decoder. It makes an image RGB and upright (EXIF rotation). From an
animation, or a file of several pages, it takes the first.

{{to_rgb}}

Refused as `image_error` before decoding or resizing: more than {MOST_PIXELS:,} pixels, and more than
{MOST_RESIZED:,} pixels after a processor has resized the shorter side, as those of CLIP and LLaVA do with
thin images (20,000 x 1). An image that does not fit into memory is refused too; the other rows are scored.
"""

_FORMS = """\
## Stored forms

Cells are decoded before they are read: `Json` columns, large lists, string views, dictionaries, and the
records of lists of older versions of `datasets`. Cells, messages and contents may also be JSON text or, as
CSV writers leave them, Python literals. A number as content is its text; in a column of floats 42.0 is `42`.
If every content of a row is a text in quotes, the row is `bad_row`: the quotes may be JSON's or the texts'
own.

Class labels in place of texts are an error. A bare `IterableDataset.map` hides the features from a
scorer, so it cannot refuse them: use `score`.

A format (`with_format`) changes nothing in `score`; `map` takes rows without a format, or in Arrow's. A
transform (`set_transform`) is an error.
"""


def rows_page() -> str:
    """The page, in Markdown."""
    return "\n".join(
        [
            _HEAD,
            *(_layout(layout) for layout in LAYOUTS),
            _RULES,
            _CONTAINERS,
            "## Roles\n",
            "| role | spellings, in any case |",
            "|---|---|",
            *(f"| {role} | {_code(spellings)} |" for role, spellings in ROLES.items()),
            f"| assistant, calling tools | {_code(CALL_ROLES)} |",
            "",
            _TOOLS,
            *(_example(example) for example in TOOL_EXAMPLES),
            _IMAGES,
            _FILES,
            _PIXELS.format(to_rgb=_conversions()),
            _FORMS,
            "## Other parts of a conversation\n",
            f"- A column {_code(SYSTEM_COLUMNS, 'or')} is a system turn before the others.",
            "- A column `tools` goes to the chat template. If the template ignores tools, or any text of the",
            "  row, as some do with system turns, the row is `bad_row`.",
            f"- Columns {_code(CONTEXT_COLUMNS)}, or a second one of {_code(ASKED_COLUMNS)}, next to an "
            "instruction, query or question: an error. So is a question or an answer next to a caption.",
            "- Columns `prompt` and `text` next to `instruction` and `output` are ignored: they often hold "
            "the same once more.",
            "- Columns of video or audio (`video`, `videos`, `audio_path`, ...), message keys "
            f"{_code(MEDIA_KEYS)}, placeholders and parts: `media_unsupported` for the rows that use them.",
            f"- Message keys {_code(MASK_KEYS)}: ignored with a warning. Every answer counts.",
            f"- Message keys {_code(PLAIN_KEYS)}, those that end in `_id` or `_at`, and numbers under any "
            "key: ignored. Any other key, such as `reasoning_content`: `bad_row` unless empty.",
            f"- Columns {_code(UNREAD_COLUMNS)}: an error, but for the `history` of a layout that has one.",
            "",
            "## Statuses\n",
            "| status | when | what to do |",
            "|---|---|---|",
            *(f"| `{status}` | {when} | {what} |" for status, (when, what) in STATUSES.items()),
            "",
            "Written by `python -m hf_vitselect.report.rows_page > docs/guides/rows.md`.",
            "",
        ]
    )


def _conversions() -> str:
    """The list in the docstring of `to_rgb`."""
    return str(inspect.getdoc(to_rgb)).split("\n\n")[1]


def _layout(layout: KnownLayout) -> str:
    more = f", with or without {_code(layout.optional, 'or')}" if layout.optional else ""
    return f"{_code(layout.text_columns, 'and')}{more}\n\n{_example(layout.example)}"


def _example(row: Mapping[str, Any]) -> str:
    """A row, and what it is read as."""
    turns = read_row(row).turns
    texts = ["".join("<image>" if part is None else part for part in turn.parts) for turn in turns]
    lines = [
        f"{turn.role}: {' '.join([*filter(None, [text]), *map(str, turn.calls)])}\n"
        for turn, text in zip(turns, texts, strict=True)
    ]
    return f"```json\n{json.dumps(row)}\n```\n\n```text\n{''.join(lines)}```\n"


def _code(names: Iterable[str], last: str = "") -> str:
    *first, final = (f"`{name}`" for name in names)
    return f"{', '.join(first)} {last} {final}" if first and last else ", ".join([*first, final])


if __name__ == "__main__":
    print(rows_page(), end="")
