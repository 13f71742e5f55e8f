"""A world of real photographs: one to four garments of Fashion-MNIST on a 3 x 3 grid.

The photographs are those of Debian's package (MIT license):

    apt-get download dataset-fashion-mnist
    dpkg-deb -x dataset-fashion-mnist_*.deb fashion

and the folder is fashion/usr/share/datasets/fashion-mnist. Every world here draws from its own part of them,
so pools, captions, validation and test rows never share a photograph.
"""

import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_vitselect.demo import Question, World, ask_for_word

# The class labels 0 to 9, as single words.
NAMES = ("tee", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
SORTS = {
    **dict.fromkeys(("tee", "pullover", "coat", "shirt"), "top"),
    **dict.fromkeys(("sandal", "sneaker", "boot"), "shoe"),
    **dict.fromkeys(("trousers", "dress", "bag"), "other"),
}
CELLS = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")
ROWS, SIDES = ("top", "middle", "bottom"), ("left", "middle", "right")
NUMBERS = ("one", "two", "three", "four")
REPEATS = 0.3  # how often a garment has the class of the one before, besides by chance
CELL = 16  # pixels, as a patch of the demo's models

# The photographs of each part: of the 60,000 training images and the 10,000 of t10k.
PARTS = {
    "pool": ("train", slice(0, 50_000)),
    "captions": ("train", slice(50_000, 60_000)),
    "validation": ("t10k", slice(0, 5_000)),
    "test": ("t10k", slice(5_000, 10_000)),
}


@dataclass(frozen=True)
class Garment:
    """One garment of a scene: its cell, counted from 0 (top left), its class and its photograph's index."""

    cell: int
    name: str
    photograph: int

    @property
    def sort(self) -> str:
        """`top`, `shoe` or `other`."""
        return SORTS[self.name]


Scene = tuple[Garment, ...]


class Garments(World):
    """The garments of one part of the photographs.

    Args:
        folder: the four files of Fashion-MNIST in IDX format, compressed.
        part: one of PARTS.
    """

    kinds = ("what", "where", "count", "yes_no", "sort", "choice", "same", "row")

    def __init__(self, folder: str | Path, part: str) -> None:
        file, rows = PARTS[part]
        photographs = read_idx(Path(folder) / f"{file}-images-idx3-ubyte.gz")[rows]
        labels = read_idx(Path(folder) / f"{file}-labels-idx1-ubyte.gz")[rows]
        self.photographs = photographs
        self.of_class = [np.flatnonzero(labels == label).tolist() for label in range(len(NAMES))]

    def draw_scene(self, rng: random.Random) -> Scene:
        """A random scene; a garment often has the class of the one before."""
        garments: list[Garment] = []
        for cell in rng.sample(range(len(CELLS)), rng.choices((1, 2, 3, 4), (20, 35, 30, 15))[0]):
            name = rng.choice(NAMES)
            if garments and rng.random() < REPEATS:
                name = garments[-1].name
            garments.append(Garment(cell, name, rng.choice(self.of_class[NAMES.index(name)])))
        return tuple(sorted(garments, key=lambda garment: garment.cell))

    def draw_image(self, scene: Scene, rng: random.Random) -> bytes:
        """The scene as PNG bytes: dark on light, moved by a pixel, under other light and contrast."""
        dark = np.zeros((3 * CELL, 3 * CELL), dtype=np.float32)
        for garment in scene:
            photograph = Image.fromarray(self.photographs[garment.photograph]).resize(
                (CELL, CELL), Image.Resampling.BILINEAR
            )
            top = min(max(0, garment.cell // 3 * CELL + rng.randint(-1, 1)), 2 * CELL)
            left = min(max(0, garment.cell % 3 * CELL + rng.randint(-1, 1)), 2 * CELL)
            cell = dark[top : top + CELL, left : left + CELL]
            np.maximum(cell, np.asarray(photograph, dtype=np.float32), out=cell)
        light, contrast = rng.randint(235, 255), rng.uniform(0.7, 0.9)
        pixels = (light - contrast * dark).clip(0, 255).astype(np.uint8)
        file = BytesIO()
        Image.fromarray(pixels).convert("RGB").save(file, "PNG", compress_level=1)
        return file.getvalue()

    def describe(self, scene: Scene) -> str:
        """The scene in reading order, such as "top left: bag, right: coat"."""
        return ", ".join(f"{CELLS[garment.cell]}: {garment.name}" for garment in scene)

    def ask(self, kind: str, scene: Scene, rng: random.Random) -> Question | None:
        """A question of this kind, or None if the scene does not allow one."""
        return _ASKERS[kind](scene, rng)

    def ask_fact(self, rng: random.Random) -> Question:
        """A question about words alone, which no image helps to answer."""
        garment, number, side = rng.choice(NAMES), rng.choice(NUMBERS), rng.choice(SIDES)
        return ask_for_word({"a garment": garment, "a number": number, "a side": side}, rng)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a compressed IDX file of bytes, of any number of dimensions."""
    if not path.is_file():
        raise FileNotFoundError(f"expected {path}; see the docstring of {Path(__file__).name} for the files")
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _alone(scene: Scene) -> list[Garment]:
    """The garments that are the only one of their class."""
    names = [garment.name for garment in scene]
    return [garment for garment in scene if names.count(garment.name) == 1]


def _ask_what(scene: Scene, rng: random.Random) -> Question | None:
    garment = rng.choice(scene)
    return Question.among(f"what is at the {CELLS[garment.cell]}?", garment.name, NAMES)


def _ask_where(scene: Scene, rng: random.Random) -> Question | None:
    if not (alone := _alone(scene)):
        return None
    garment = rng.choice(alone)
    text = rng.choice(("where is the {}?", "in which place is the {}?"))
    return Question.among(text.format(garment.name), CELLS[garment.cell], CELLS)


def _ask_count(scene: Scene, rng: random.Random) -> Question | None:
    what = rng.choice(("things", "shoes", "tops"))
    count = sum(what == "things" or f"{garment.sort}s" == what for garment in scene)
    if count == 0:
        return None
    return Question.among(f"how many {what} are there?", NUMBERS[count - 1], NUMBERS)


def _ask_yes_no(scene: Scene, rng: random.Random) -> Question | None:
    if not (tops_and_shoes := [garment for garment in scene if garment.sort != "other"]):
        return None
    garment, sort = rng.choice(tops_and_shoes), rng.choice(("top", "shoe"))
    answer = "yes" if sort == garment.sort else "no"
    return Question.among(f"is the thing at the {CELLS[garment.cell]} a {sort}?", answer, ("yes", "no"))


def _ask_sort(scene: Scene, rng: random.Random) -> Question | None:
    garment = rng.choice(scene)
    sorts = ("top", "shoe", "other")
    return Question.among(f"of which sort is the thing at the {CELLS[garment.cell]}?", garment.sort, sorts)


def _ask_choice(scene: Scene, rng: random.Random) -> Question | None:
    names = {garment.name for garment in scene}
    answer = rng.choice(sorted(names))
    options = [answer, *rng.sample([name for name in NAMES if name not in names], 2)]
    rng.shuffle(options)
    return Question.among(
        f"which one is there: a {options[0]}, a {options[1]} or a {options[2]}?", answer, options
    )


def _ask_same(scene: Scene, rng: random.Random) -> Question | None:
    if len(scene) < 2:
        return None
    same = len({garment.name for garment in scene}) == 1
    # Of the scenes with this many garments, this share has one class: as many of the others are asked about.
    share = (REPEATS + (1 - REPEATS) / len(NAMES)) ** (len(scene) - 1)
    if not same and rng.random() >= share / (1 - share):
        return None
    return Question.among("are all things of one kind?", "yes" if same else "no", ("yes", "no"))


def _ask_row(scene: Scene, rng: random.Random) -> Question | None:
    if not (alone := _alone(scene)):
        return None
    garment = rng.choice(alone)
    return Question.among(f"in which row is the {garment.name}?", ROWS[garment.cell // 3], ROWS)


# A model of 4,000 flawless rows learns every kind beyond its majority answer. It does not learn others, which
# stay near one half: "is there a bag?", "is the bag left of the coat?", "is anything at the left?".
_ASKERS: dict[str, Callable[[Scene, random.Random], Question | None]] = {
    "what": _ask_what,
    "where": _ask_where,
    "count": _ask_count,
    "yes_no": _ask_yes_no,
    "sort": _ask_sort,
    "choice": _ask_choice,
    "same": _ask_same,
    "row": _ask_row,
}
