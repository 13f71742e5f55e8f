"""Rows of rendered images with questions and answers of made-up words."""

import io
import random

import numpy as np
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image
from scoring.models import WORDS

from hf_vitselect.data import Conversation, RowImage, Turn


def rows_about_images(
    rows: int, per_image: int, tokens: int, seed: int = 0, side: int = 480
) -> list[Conversation]:
    """Conversations of one turn, those about one image next to each other.

    Args:
        rows: how many.
        per_image: rows about one image.
        tokens: mean length of question and answer together, in words of about one token. Lengths are ragged:
            log-normal with a standard deviation of 0.6 in the logarithm, one part in three the question.
        seed: of everything.
        side: of the images, in pixels; they are JPEG files.
    """
    chance = np.random.default_rng(seed)
    words = random.Random(seed)
    made = []
    for number in range(rows):
        if number % per_image == 0:
            image = RowImage(_jpeg(chance, side))
        length = max(6, int(chance.lognormal(np.log(tokens) - 0.18, 0.6)))
        question, answer = (" ".join(words.choices(WORDS, k=k)) for k in (length // 3, length - length // 3))
        turns = (Turn("user", (None, question)), Turn("assistant", (answer,)))
        made.append(Conversation(turns, (image,)))
    return made


def as_dataset(rows: int, per_image: int, tokens: int, side: int = 480) -> Dataset:
    """The same rows as a data set of LLaVA's layout."""
    made = rows_about_images(rows, per_image, tokens, side=side)
    roles = {"user": "human", "assistant": "gpt"}
    cells = {
        "conversations": [
            [
                {"from": roles[turn.role], "value": "".join(part or "<image>" for part in turn.parts)}
                for turn in row.turns
            ]
            for row in made
        ],
        "image": [{"bytes": row.images[0].data, "path": None} for row in made],
    }
    return Dataset.from_dict(cells).cast_column("image", ImageFeature())


def _jpeg(chance: np.random.Generator, side: int) -> bytes:
    coarse = chance.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(sink, "JPEG")
    return sink.getvalue()
