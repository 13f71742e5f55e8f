"""Pools of any size that resemble real ones, written as Arrow files that are mapped into memory.

Every image is a PNG of noise of its own. `task` names the rows' tasks.

| share | rows |
|---|---|
| 40% | one short question with an answer of a word or two |
| 20% | two to six of these, sometimes with an open one, about one image |
| 12% | a caption of a sentence, for one of a dozen fixed instructions |
| 8% | a description of several sentences, likewise |
| 12% | an open question with an answer of several sentences |
| 5% | a question without an image |
| 3% | a near-copy of an earlier row: other case, nearly the same image |

Things are words of a Zipf distribution, so that some questions occur often and most of them once.
"""

import random
import zlib
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, Image, List, Value
from selection.features import clip_like, difficulties

from hf_vitselect.data import with_record

DIMENSIONS = 768
COPIES = 0.03
_BATCH = 10_000
_BACK = 5_000  # rows between a near-copy and its original at most

SUFFIX = "\nAnswer the question using a single word or phrase."
THINGS = [
    "".join(parts)
    for parts in product("bdfgklmnprst", "aeiou", "lmnrst", ("", "a", "en", "o"), ("", "per", "son"))
]
VALUES = ("red", "green", "blue", "black", "white", "wooden", "metal", "small", "large", "old")
CLOSED = (
    ("What color is the {}?", VALUES),
    ("How many {}s stand next to the {}?", tuple(map(str, range(10)))),
    ("Does a {} stand behind the {}?", ("yes", "no")),
    ("Where is the {} standing?", ("left", "right", "street", "table", "field")),
    ("What is the {} made of?", ("wood", "metal", "glass", "stone")),
    ("What kind of {} is this?", VALUES),
    ("Which side of the photo is the {} on?", ("left", "right")),
    ("Does the {} have a {}?", ("yes", "no")),
    ("Who is holding the {}?", ("man", "woman", "girl", "nobody")),
    ("What is the {} doing with the {}?", ("eating", "holding", "watching", "nothing")),
    ("Is the {} larger than the {}?", ("yes", "no")),
    ("What is written on the {}?", ("stop", "open", "sale", "nothing")),
)
CAPTION = (
    "Provide a one-sentence caption for the provided image.",
    "Give a brief description of the image.",
    "Offer a concise interpretation of the image provided.",
    "Summarize the visual content of the image.",
    "Render a clear and concise summary of the photo.",
    "Write a terse but informative summary of the scene.",
)
DETAIL = (
    "Describe the following image in detail.",
    "What do you see happening in this image?",
    "Can you elaborate on the elements of the scene provided?",
    "Walk through the important details of the image.",
)
OPEN = (
    "Why might the {} be so close to the {}?",
    "What are the main features of the {} with the {}?",
    "Write a short story about a {} that meets a {}.",
    "How would the scene change if the {} and the {} moved away?",
    "Explain to a friend what a {} does with a {}.",
    "Which challenges does the {} face next to the {}, and how could they be met?",
)
SENTENCES = (
    "In this image, the {} stands close to the {}, which might relate to why it is so {}.",
    "If you describe what could happen next, how would the {} and each other {} change?",
    "To explain the main features, a {} does not have to be where a {} moved away.",
    "Write that the friend meets this {} with a {} and what they are made of.",
    "Can you see who is holding the {}, and is it the {} there or something {}?",
    "There are several {}s around, and a {} that is barely visible in the background.",
)
FEATURES = Features(
    {
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "images": List(Image()),
        "necessity": Value("float32"),
        "necessity_status": Value("string"),
        "image_gain": Value("float32"),
        "response_tokens": Value("int32"),
        "task": Value("string"),
        "embedding": List(Value("float32"), length=DIMENSIONS),
    }
)
Pairs = list[tuple[str, str]]
_SIDE = 16  # pixels of an image


class Writer:
    """Writes questions and answers.

    Args:
        seed: Of all random choices.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        weights = 1 / np.arange(1, len(THINGS) + 1)
        self._cumulative = list(np.cumsum(weights))
        self._kinds = (
            (0.40, "closed", self._closed),
            (0.60, "several", self._several),
            (0.72, "caption", lambda: [(self._rng.choice(CAPTION), self._text(1))]),
            (0.80, "detail", lambda: [(self._rng.choice(DETAIL), self._text(self._rng.randint(4, 9)))]),
            (1.00, "open", self._open),
        )

    def row(self) -> tuple[str, Pairs]:
        """The task, and the questions and answers, of a new row."""
        place = self._rng.random()
        return next((task, make()) for limit, task, make in self._kinds if place < limit)

    def copies(self) -> bool:
        """Whether the next row is a near-copy."""
        return self._rng.random() < COPIES

    def without_image(self) -> bool:
        """Whether the next row has no image."""
        return self._rng.random() < 0.05

    def back(self, most: int) -> int:
        """How many rows before the next one its original is, 1 to `most`."""
        return self._rng.randint(1, min(most, _BACK))

    def _closed(self) -> Pairs:
        question, answers = self._rng.choice(CLOSED)
        return [(question.format(*self._things(2)) + SUFFIX, self._rng.choice(answers))]

    def _several(self) -> Pairs:
        pairs = [pair for _ in range(self._rng.randint(2, 6)) for pair in self._closed()]
        return pairs + (self._open() if self._rng.random() < 0.2 else [])

    def _open(self) -> Pairs:
        return [(self._rng.choice(OPEN).format(*self._things(2)), self._text(self._rng.randint(3, 7)))]

    def _text(self, sentences: int) -> str:
        return " ".join(self._rng.choice(SENTENCES).format(*self._things(3)) for _ in range(sentences))

    def _things(self, count: int) -> Sequence[str]:
        return self._rng.choices(THINGS, cum_weights=self._cumulative, k=count)


def make(rows: int, folder: Path, dimensions: int = DIMENSIONS) -> Path:
    """Write a pool of `rows` rows with its scores and embeddings; return its Arrow file.

    Args:
        rows: How many.
        folder: Of the files.
        dimensions: 0 leaves the embeddings out, 768 has them.
    """
    file = _file(folder, dimensions)
    if file.exists():
        return file
    features = FEATURES if dimensions else Features({name: FEATURES[name] for name in list(FEATURES)[:-1]})
    folder.mkdir(parents=True, exist_ok=True)
    chance, losses = np.random.default_rng(1), difficulties(rows).astype(np.float32) + np.float32(0.01)
    vectors = vectors_of(rows, folder, DIMENSIONS) if dimensions else None
    part = file.with_suffix(".part")
    with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_stream(sink, features.arrow_schema) as stream:
        for start, tasks, messages, images, originals in _texts(rows):
            stop = start + len(messages)
            loss = losses[start:stop]
            columns: dict[str, Any] = {
                "messages": messages,
                "images": images,
                "necessity": loss,
                "necessity_status": ["ok"] * len(loss),
                "image_gain": (loss * chance.normal(0.4, 0.4, len(loss))).astype(np.float32),
                "response_tokens": [max(1, sum(map(_answer_length, row))) for row in messages],
                "task": tasks,
            }
            if vectors is not None:
                block = _with_copies(vectors, start, stop, originals, chance)
                block[[not row for row in images], : DIMENSIONS // 2] = 0
                vectors[start:stop] = block
                columns["embedding"] = pa.FixedSizeListArray.from_arrays(block.reshape(-1), DIMENSIONS)
            stream.write_batch(pa.RecordBatch.from_pydict(columns, schema=features.arrow_schema))
    part.rename(file)
    return file


def load(folder: Path, dimensions: int = DIMENSIONS) -> Dataset:
    """The pool in a folder, mapped into memory; the embeddings count as those of CLIP."""
    scorers = [{"column": "embedding", "scorer": "ClipEmbedding"}] if dimensions else []
    info = DatasetInfo(description=with_record("", {"scorers": scorers}))
    return Dataset.from_file(str(_file(folder, dimensions)), info=info)


def _file(folder: Path, dimensions: int) -> Path:
    return folder / f"pool_{dimensions}.arrow"


def vectors_of(rows: int, folder: Path, dimensions: int) -> np.memmap:
    """Synthetic embeddings on disk, float32 `[rows, dimensions]`; made unless they exist."""
    file = _vectors_file(folder, dimensions)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        made = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(rows, dimensions))
        clip_like(rows, dimensions, out=made)
        made.flush()
        part.rename(file)
    return load_vectors(folder, dimensions)


def load_vectors(folder: Path, dimensions: int) -> np.memmap:
    """The same, if they exist."""
    return np.load(_vectors_file(folder, dimensions), mmap_mode="r+")


def _vectors_file(folder: Path, dimensions: int) -> Path:
    return folder / f"vectors_{dimensions}.npy"


def _texts(rows: int) -> Iterator[tuple[int, list[str], list[Any], list[Any], dict[int, int]]]:
    """Blocks of rows: the first row, tasks, messages, images, and the originals of near-copies."""
    writer, earlier = Writer(0), []
    for start in range(0, rows, _BATCH):
        tasks, messages, images, originals = [], [], [], {}
        for row in range(start, min(start + _BATCH, rows)):
            if row and writer.copies():
                original = row - writer.back(row)
                task, pairs, image = earlier[original - row]
                pairs = [(question.upper(), answer) for question, answer in pairs]
                originals[row] = original
            else:
                (task, pairs), image = writer.row(), not writer.without_image()
            earlier.append((task, pairs, image))
            tasks.append(task)
            messages.append(
                [
                    {"role": role, "content": text}
                    for question, answer in pairs
                    for role, text in (("user", question), ("assistant", answer))
                ]
            )
            images.append([{"bytes": _png(originals.get(row, row), row), "path": None}] if image else [])
        del earlier[:-_BACK]
        yield start, tasks, messages, images, originals


def _png(original: int, row: int) -> bytes:
    """The gray noise of an original, with one pixel of the row's own."""
    pixels = bytearray(random.Random(original).randbytes(_SIDE**2))
    pixels[row % _SIDE**2] = row % 256
    lines = b"".join(b"\0" + pixels[at : at + _SIDE] for at in range(0, _SIDE**2, _SIDE))
    header = 2 * _SIDE.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4) for name, data in chunks
    )


def _with_copies(
    vectors: np.memmap, start: int, stop: int, originals: dict[int, int], chance: np.random.Generator
) -> np.ndarray:
    """The embeddings of a block, those of near-copies near their originals'."""
    block = np.array(vectors[start:stop])
    for row, original in originals.items():
        near = block[original - start] if original >= start else vectors[original]
        block[row - start] = near + chance.normal(0, 0.005, DIMENSIONS).astype(np.float32)
    return block


def _answer_length(message: dict[str, str]) -> int:
    """Tokens of an answer, roughly."""
    return len(message["content"]) // 4 if message["role"] == "assistant" else 0
