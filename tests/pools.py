"""Pictures, conversations and data sets for the tests."""

import io
from typing import Any

import numpy as np
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as PILImage

Picture = PILImage.Image


def stripes(width: int = 16, height: int = 16, seed: int = 0) -> Picture:
    """A picture of random colour stripes."""
    colours = np.random.default_rng(seed).integers(0, 256, (height, 1, 3), dtype=np.uint8)
    return PILImage.fromarray(np.repeat(colours, width, axis=1))


def encode(picture: Picture, kind: str = "PNG", **options: Any) -> bytes:
    """The picture's file content."""
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


def png(seed: int = 0) -> bytes:
    """A small picture's file content, another one for every seed."""
    return encode(stripes(seed=seed))


def user(text: str, pictures: int = 0) -> dict[str, Any]:
    """A question, its pictures first."""
    parts = [{"type": "image", "text": None} for _ in range(pictures)]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def assistant(text: str) -> dict[str, Any]:
    """An answer."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def pool(rows: list[tuple[list[dict[str, Any]], list[Any]]]) -> Dataset:
    """A data set of messages and pictures, each picture as bytes, as a path or None."""
    part = {"type": Value("string"), "text": Value("string")}
    features = Features(
        {
            "messages": List({"role": Value("string"), "content": List(part)}),
            "images": List(Image()),
        }
    )
    cells = [[_cell(picture) for picture in pictures] for _, pictures in rows]
    return Dataset.from_dict({"messages": [turns for turns, _ in rows], "images": cells}, features=features)


def mixed_pool(rows: int = 12, seed: int = 0) -> Dataset:
    """Rows with one picture, none and two, one and two answers, short and long ones."""
    made = []
    for i in range(rows):
        pictures = (1, 0, 2, 1)[i % 4]
        turns = [user(f"what colour is it? {i}", pictures), assistant("red" + " or green" * (i % 5))]
        if i % 3 == 0:
            turns += [user("and the circle?"), assistant(f"blue {i}")]
        made.append((turns, [png(seed + 10 * i + k) for k in range(pictures)]))
    return pool(made)


def with_vectors(dataset: Dataset, vectors: Any) -> Dataset:
    """A data set with the column `embedding`, from an array of one vector a row."""
    kind = List(Value("float32"), length=vectors.shape[1])
    return dataset.add_column("embedding", vectors.tolist(), feature=kind)


def raw_images(dataset: Dataset, column: str = "images") -> list[Any]:
    """The image cells as they are encoded."""
    return dataset.select_columns([column]).with_format("arrow")[:].column(0).to_pylist()


def _cell(picture: Any) -> dict[str, Any]:
    if isinstance(picture, bytes):
        return {"bytes": picture, "path": None}
    return {"bytes": None, "path": picture}


def one_picture_pool(rows: int = 12) -> Dataset:
    """The rows of `mixed_pool` with at most one picture, which is all that BLIP-2 takes."""
    return (
        mixed_pool(2 * rows)
        .filter(lambda pictures: len(pictures) < 2, input_columns="images")
        .select(range(rows))
    )
