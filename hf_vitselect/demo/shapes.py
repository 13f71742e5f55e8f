"""The demo's world: one to three things on a 3 x 3 grid, each with a color, a shape and a size.

An image is a scene drawn at 48 x 48 pixels with a little jitter. A checksum of a scene's description says
whether it is held out, so held-out scenes never appear in the pool or the captions, whatever the seeds.
"""

import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from io import BytesIO

from PIL import Image, ImageDraw

from hf_vitselect.demo.world import Question, Scene, World, ask_for_word

IMAGE_SIZE = 48  # pixels, both sides
HELD_OUT_SHARE = 0.10  # of all scenes

COLORS = {
    "red": (214, 40, 40),
    "yellow": (240, 215, 30),
    "green": (40, 160, 60),
    "blue": (40, 70, 200),
    "purple": (140, 50, 170),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SIZES = {"small": 4, "large": 7}  # radius in pixels
CELLS = (
    ("top left", "top", "top right"),
    ("left", "center", "right"),
    ("bottom left", "bottom", "bottom right"),
)
PLACES = tuple(place for row in CELLS for place in row)
NUMBERS = ("one", "two", "three")


@dataclass(frozen=True)
class Thing:
    """One thing in a scene; `cell` counts the grid's cells from 0 (top left) to 8 (bottom right)."""

    cell: int
    size: str
    color: str
    shape: str

    @property
    def place(self) -> str:
        """The cell in words."""
        return PLACES[self.cell]

    def __str__(self) -> str:
        return f"{self.size} {self.color} {self.shape}"


def _draw_thing(
    draw: ImageDraw.ImageDraw, shape: str, x: int, y: int, radius: int, fill: tuple[int, int, int]
) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        draw.ellipse(box, fill=fill)
    elif shape == "ring":
        draw.ellipse(box, outline=fill, width=max(2, radius // 3))
    elif shape == "square":
        draw.rectangle(box, fill=fill)
    elif shape == "triangle":
        draw.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=fill)
    else:  # cross
        arm = radius // 3
        draw.rectangle((x - radius, y - arm, x + radius, y + arm), fill=fill)
        draw.rectangle((x - arm, y - radius, x + arm, y + radius), fill=fill)


def _only(scene: Scene, rng: random.Random, attribute: str) -> Thing | None:
    """A thing whose value of the attribute no other thing in the scene shares."""
    values = [getattr(thing, attribute) for thing in scene]
    alone = [thing for thing in scene if values.count(getattr(thing, attribute)) == 1]
    return rng.choice(alone) if alone else None


def _ask_attribute(
    answer: str, options: Iterable[str], unique: str, texts: tuple[str, ...], scene: Scene, rng: random.Random
) -> Question | None:
    """Ask for an attribute of the thing that another attribute names."""
    thing = _only(scene, rng, unique)
    if thing is None:
        return None
    text = rng.choice(texts) if len(texts) > 1 else texts[0]
    right = getattr(thing, answer)
    return Question.among(text.format(getattr(thing, unique)), right, options)


def _ask_object(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene)
    options = [f"a {color} {thing.shape}" for color in COLORS]
    return Question.among(f"what is at the {thing.place}?", f"a {thing.color} {thing.shape}", options)


def _ask_count(scene: Scene, rng: random.Random) -> Question | None:
    attribute = rng.choice(("", "color", "shape"))
    value = getattr(rng.choice(scene), attribute) if attribute else ""
    what = {"": "things", "color": f"{value} things", "shape": value + ("es" if value == "cross" else "s")}[
        attribute
    ]
    count = len(scene) if not attribute else sum(getattr(thing, attribute) == value for thing in scene)
    return Question.among(f"how many {what} are there?", NUMBERS[count - 1], NUMBERS)


def _ask_yes_no(scene: Scene, rng: random.Random) -> Question | None:
    color, shape = rng.choice([(thing.color, thing.shape) for thing in scene])
    if rng.random() < 0.5:  # half of the time another color, often with a shape in the scene: a near miss
        color, shape = rng.choice(list(COLORS)), rng.choice([shape, rng.choice(SHAPES)])
    answer = "yes" if any((thing.color, thing.shape) == (color, shape) for thing in scene) else "no"
    return Question.among(f"is there a {color} {shape}?", answer, ("yes", "no"))


def _ask_relation(scene: Scene, rng: random.Random) -> Question | None:
    shapes = [thing.shape for thing in scene]
    alone = [thing for thing in scene if shapes.count(thing.shape) == 1]
    if len(alone) < 2:
        return None
    one, other = rng.sample(alone, 2)
    if rng.random() < 0.5:
        text, here, there, words = "left or right of", one.cell % 3, other.cell % 3, ("left", "right")
    else:
        text, here, there, words = "above or below", one.cell // 3, other.cell // 3, ("above", "below")
    if here == there:
        return None
    answer = words[here > there]
    return Question.among(f"is the {one.shape} {text} the {other.shape}?", answer, words)


_ASKERS: dict[str, Callable[[Scene, random.Random], Question | None]] = {
    "color": partial(
        _ask_attribute, "color", COLORS, "shape", ("what color is the {}?", "which color does the {} have?")
    ),
    "shape": partial(
        _ask_attribute, "shape", SHAPES, "color", ("what shape is the {} thing?", "which shape is {}?")
    ),
    "size": partial(_ask_attribute, "size", SIZES, "shape", ("is the {} small or large?",)),
    "position": partial(
        _ask_attribute, "place", PLACES, "shape", ("where is the {}?", "in which place is the {}?")
    ),
    "object": _ask_object,
    "count": _ask_count,
    "yes_no": _ask_yes_no,
    "relation": _ask_relation,
}


@dataclass(frozen=True)
class Shapes(World):
    """The world of shapes.

    Attributes:
        held_out: whether to draw the scenes of held-out rows, or those of pools and captions.
    """

    held_out: bool = False
    kinds = tuple(_ASKERS)

    def draw_scene(self, rng: random.Random) -> Scene:
        """A random scene; a thing often has the shape or the color of the one before."""
        while True:
            things: list[Thing] = []
            for cell in rng.sample(range(len(PLACES)), rng.choices((1, 2, 3), (35, 45, 20))[0]):
                color, shape = rng.choice(list(COLORS)), rng.choice(SHAPES)
                if things and rng.random() < 0.35:
                    shape = things[-1].shape
                if things and rng.random() < 0.25:
                    color = things[-1].color
                things.append(Thing(cell, rng.choice(list(SIZES)), color, shape))
            scene = tuple(sorted(things, key=lambda thing: thing.cell))
            if (zlib.crc32(self.describe(scene).encode()) % 1000 < 1000 * HELD_OUT_SHARE) == self.held_out:
                return scene

    def draw_image(self, scene: Scene, rng: random.Random) -> bytes:
        """The scene as PNG bytes; places move by a pixel, colors and the background by a few levels."""
        light = rng.randint(235, 255)
        image = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), (light, light, light))
        draw = ImageDraw.Draw(image)
        cell_size = IMAGE_SIZE // 3
        for thing in scene:
            x = thing.cell % 3 * cell_size + cell_size // 2 + rng.randint(-1, 1)
            y = thing.cell // 3 * cell_size + cell_size // 2 + rng.randint(-1, 1)
            shade = rng.randint(-10, 10)
            r, g, b = (min(255, max(0, level + shade)) for level in COLORS[thing.color])
            _draw_thing(draw, thing.shape, x, y, SIZES[thing.size], (r, g, b))
        file = BytesIO()
        image.save(file, "PNG", compress_level=1)
        return file.getvalue()

    def describe(self, scene: Scene) -> str:
        """The scene in reading order, such as "top left: small red circle, right: large blue ring"."""
        return ", ".join(f"{thing.place}: {thing}" for thing in scene)

    def ask(self, kind: str, scene: Scene, rng: random.Random) -> Question | None:
        """A question of this kind, or None if the scene does not allow one."""
        return _ASKERS[kind](scene, rng)

    def ask_fact(self, rng: random.Random) -> Question:
        """A question about words alone, which no image helps to answer."""
        color, shape, number = rng.choice(list(COLORS)), rng.choice(SHAPES), rng.choice(NUMBERS)
        return ask_for_word({"a color": color, "a shape": shape, "a number": number}, rng)
