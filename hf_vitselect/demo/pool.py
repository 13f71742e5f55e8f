"""The demo's data, rendered: a pool of known composition, held-out rows, and captions.

A scene is one to three things on a 3 x 3 grid, each with a color, a shape and a size; an image is a scene
drawn at 48 x 48 pixels with a little jitter. A checksum of a scene's description says whether it is held out,
so held-out scenes never appear in the pool or the captions, whatever the seeds.

Every row has the columns
    messages  list of {role, content: str}
    images    list of PNG images; empty for text-only rows
    kind      what is asked: one of QUESTION_KINDS, "caption", "fact", "text_only" or "multi_turn"
    flaw      what is wrong with the row: "none", "duplicate", "wrong" or "blind"
    scene     the scene in words; empty for text-only rows
    group     int32, shared by near-duplicates
"""

import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image, ImageDraw
from tqdm.auto import tqdm

IMAGE_SIZE = 48  # pixels, both sides

# The composition of the pool, as shares of its rows. All rows without one of the flaws are sound and unique.
DUPLICATE_SHARE = 0.40  # another row's scene, redrawn with other jitter, and the same conversation
WRONG_SHARE = 0.08  # one answer is wrong
BLIND_SHARE = 0.10  # the question needs no image
TEXT_ONLY_SHARE = 0.05  # no image; all of these are sound
MULTI_TURN_SHARE = 0.10  # of the rows with a question about the image: two or three turns
DUPLICATES_PER_ROW = 8  # near-duplicates come in clusters, as in crawled and templated pools
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
CAPTION_PROMPT = "describe the picture."

FEATURES = Features(
    {
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "images": List(ImageFeature()),
        "kind": Value("string"),
        "flaw": Value("string"),
        "scene": Value("string"),
        "group": Value("int32"),
    }
)


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


Scene = tuple[Thing, ...]


@dataclass(frozen=True)
class Question:
    """A question with its answer, and wrong answers of the right kind."""

    text: str
    answer: str
    wrong: tuple[str, ...]


def render_pool(rows: int = 8000, seed: int = 0) -> Dataset:
    """Render the pool, with exactly the composition that this file's constants define, shuffled."""
    rng = random.Random(f"pool {seed}")
    n_duplicates = round(rows * DUPLICATE_SHARE)
    n_wrong, n_blind, n_text = (round(rows * share) for share in (WRONG_SHARE, BLIND_SHARE, TEXT_ONLY_SHARE))
    n_sound = rows - n_duplicates - n_wrong - n_blind - n_text

    asked: set[tuple[Scene, str]] = set()
    sound = [_draw_row(rng, asked, "none") for _ in range(n_sound)]
    drawn = sound + [_draw_row(rng, asked, "wrong") for _ in range(n_wrong)]
    drawn += [_draw_row(rng, asked, "blind") for _ in range(n_blind)]
    drawn += [_draw_row(rng, asked, "none", text_only=True) for _ in range(n_text)]
    for group, row in enumerate(drawn):
        row["group"] = group
    sources = rng.sample(sound, min(len(sound), -(-n_duplicates // DUPLICATES_PER_ROW)))
    drawn += [{**sources[i % len(sources)], "flaw": "duplicate"} for i in range(n_duplicates)]
    rng.shuffle(drawn)
    return _render(drawn, rng, "render the pool")


def render_held_out(rows: int, seed: int = 0) -> Dataset:
    """Render distinct sound rows about scenes that appear in no pool and no caption.

    The kinds of question have the same shares as among the pool's sound rows.
    """
    rng = random.Random(f"held out {seed}")
    n_text = round(rows * TEXT_ONLY_SHARE)
    asked: set[tuple[Scene, str]] = set()
    drawn = [_draw_row(rng, asked, "none", text_only=i < n_text, held_out=True) for i in range(rows)]
    rng.shuffle(drawn)
    for group, row in enumerate(drawn):
        row["group"] = group
    return _render(drawn, rng, "render held-out rows")


def render_captions(rows: int, seed: int = 0) -> Dataset:
    """Render images whose answer is a full description (`kind` is "caption")."""
    rng = random.Random(f"captions {seed}")
    drawn = []
    for group in range(rows):
        scene = _draw_scene(rng, held_out=False)
        row = _row(scene, [(CAPTION_PROMPT, describe(scene))], "caption", "none")
        drawn.append({**row, "group": group})
    return _render(drawn, rng, "render captions")


def describe(scene: Scene) -> str:
    """The whole scene in words, in reading order: "top left: small red circle, right: large blue ring"."""
    return ", ".join(f"{thing.place}: {thing}" for thing in scene)


def sample_texts(rows: int, seed: int = 0) -> list[str]:
    """Questions, answers and captions without images, to train a tokenizer on."""
    rng = random.Random(f"texts {seed}")
    texts = [CAPTION_PROMPT]
    for i in range(rows):
        scene = _draw_scene(rng, held_out=False)
        asked = _ask_fact(rng) if i % 10 == 0 else _ASKERS[rng.choice(QUESTION_KINDS)](scene, rng)
        texts.append(describe(scene))
        if asked is not None:
            texts.append(f"{asked.text} {asked.answer}")
    return texts


def _draw_scene(rng: random.Random, held_out: bool) -> Scene:
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
        if (zlib.crc32(describe(scene).encode()) % 1000 < 1000 * HELD_OUT_SHARE) == held_out:
            return scene


def _draw_image(scene: Scene, rng: random.Random) -> bytes:
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


def _others(options: Iterable[str], answer: str) -> tuple[str, ...]:
    return tuple(option for option in options if option != answer)


def _ask_attribute(
    answer: str, options: Iterable[str], unique: str, texts: tuple[str, ...], scene: Scene, rng: random.Random
) -> Question | None:
    """Ask for an attribute of the thing that another attribute names."""
    thing = _only(scene, rng, unique)
    if thing is None:
        return None
    text = rng.choice(texts) if len(texts) > 1 else texts[0]
    right = getattr(thing, answer)
    return Question(text.format(getattr(thing, unique)), right, _others(options, right))


def _ask_object(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene)
    wrong = tuple(f"a {color} {thing.shape}" for color in _others(COLORS, thing.color))
    return Question(f"what is at the {thing.place}?", f"a {thing.color} {thing.shape}", wrong)


def _ask_count(scene: Scene, rng: random.Random) -> Question | None:
    attribute = rng.choice(("", "color", "shape"))
    value = getattr(rng.choice(scene), attribute) if attribute else ""
    what = {"": "things", "color": f"{value} things", "shape": value + ("es" if value == "cross" else "s")}[
        attribute
    ]
    count = len(scene) if not attribute else sum(getattr(thing, attribute) == value for thing in scene)
    return Question(f"how many {what} are there?", NUMBERS[count - 1], _others(NUMBERS, NUMBERS[count - 1]))


def _ask_yes_no(scene: Scene, rng: random.Random) -> Question | None:
    color, shape = rng.choice([(thing.color, thing.shape) for thing in scene])
    if rng.random() < 0.5:  # half of the time another color, often with a shape in the scene: a near miss
        color, shape = rng.choice(list(COLORS)), rng.choice([shape, rng.choice(SHAPES)])
    answer = "yes" if any((thing.color, thing.shape) == (color, shape) for thing in scene) else "no"
    return Question(f"is there a {color} {shape}?", answer, _others(("yes", "no"), answer))


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
    return Question(f"is the {one.shape} {text} the {other.shape}?", answer, _others(words, answer))


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
QUESTION_KINDS = tuple(_ASKERS)


def _ask_fact(rng: random.Random) -> Question:
    """A question about words alone, which no image helps to answer."""
    color, shape, number = rng.choice(list(COLORS)), rng.choice(SHAPES), rng.choice(NUMBERS)
    words = [color, shape, number]
    rng.shuffle(words)
    asked, answer = rng.choice(
        (
            *(("a color", color), ("a shape", shape), ("a number", number)),
            *(("first", words[0]), ("last", words[2])),
        )
    )
    text = f"which word is {asked}: {words[0]}, {words[1]} or {words[2]}?"
    return Question(text, answer, _others(words, answer))


def _draw_row(
    rng: random.Random,
    asked: set[tuple[Scene, str]],
    flaw: str,
    text_only: bool = False,
    held_out: bool = False,
) -> dict[str, Any]:
    """A row whose scene and first question are new; adds them to `asked`."""
    kinds = rng.sample(QUESTION_KINDS, 1 if rng.random() >= MULTI_TURN_SHARE else rng.choice((2, 3)))
    kind = kinds[0] if len(kinds) == 1 else "multi_turn"
    if text_only or flaw == "blind":
        kind = "text_only" if text_only else "fact"
    while True:
        scene: Scene = () if text_only else _draw_scene(rng, held_out)
        attempts = (
            [_ask_fact(rng)] if kind in ("text_only", "fact") else [_ASKERS[k](scene, rng) for k in kinds]
        )
        questions = [question for question in attempts if question is not None]
        if len(questions) < len(attempts):  # this scene does not allow the question
            continue
        if (scene, questions[0].text) in asked:
            continue
        asked.add((scene, questions[0].text))
        turns = [(question.text, question.answer) for question in questions]
        if flaw == "wrong":
            at = rng.randrange(len(questions))
            turns[at] = (questions[at].text, rng.choice(questions[at].wrong))
        return _row(scene, turns, kind, flaw)


def _row(scene: Scene, turns: list[tuple[str, str]], kind: str, flaw: str) -> dict[str, Any]:
    messages = []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "things": scene, "kind": kind, "flaw": flaw}


def _render(drawn: list[dict[str, Any]], rng: random.Random, title: str) -> Dataset:
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in drawn] for name in FEATURES}
    scenes: list[Scene] = [row["things"] for row in drawn]
    columns["scene"] = [describe(scene) for scene in scenes]
    columns["images"] = [
        [{"bytes": _draw_image(scene, rng), "path": None}] if scene else []
        for scene in tqdm(scenes, desc=title, unit="row")
    ]
    return Dataset.from_dict(columns, features=FEATURES)
