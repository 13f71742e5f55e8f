"""The demo's data, rendered: a pool of known composition, held-out rows, and captions.

Every row has the columns
    messages  list of {role, content: str}
    images    list of PNG images; empty for text-only rows
    kind      what is asked: one of the world's kinds, "caption", "fact", "text_only" or "multi_turn"
    flaw      what is wrong with the row: "none", "duplicate", "wrong" or "blind"
    scene     the scene in words; empty for text-only rows
    group     int32, shared by near-duplicates
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature

from hf_vitselect.demo.shapes import Shapes
from hf_vitselect.demo.world import Question, Scene, World
from hf_vitselect.progress import progress

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


@dataclass(frozen=True, kw_only=True)
class Composition:
    """The parts of a pool, as shares of its rows. All rows without a flaw are sound and unique.

    Attributes:
        duplicates: another row's scene, redrawn with other jitter, and the same conversation.
        copies: near-duplicates of one row: they come in clusters, as in crawled and templated pools.
        wrong: one answer is wrong.
        blind: the question needs no image.
        text_only: no image; all of these are sound.
        multi_turn: two or three turns, as a share of the rows with a question about the image.
        rare: kinds of question to ask `rarity` times as often as the others.
        rarity: at most 1, where all kinds are equally frequent.
    """

    duplicates: float = 0.40
    copies: int = 8
    wrong: float = 0.08
    blind: float = 0.10
    text_only: float = 0.05
    multi_turn: float = 0.10
    rare: tuple[str, ...] = ()
    rarity: float = 0.1

    def draw_kinds(self, kinds: Sequence[str], rng: random.Random) -> list[str]:
        """The kinds of a row's questions, all different: one per turn."""
        turns = 1 if rng.random() >= self.multi_turn else rng.choice((2, 3))
        if not self.rare:
            return rng.sample(kinds, turns)
        # The largest u ** (1 / weight) are a weighted sample without replacement.
        keys = {kind: rng.random() ** (1 / self.rarity if kind in self.rare else 1) for kind in kinds}
        return sorted(kinds, key=lambda kind: -keys[kind])[:turns]


COMPOSITION = Composition()
SEEN, UNSEEN = Shapes(), Shapes(held_out=True)


def render_pool(
    rows: int = 8000, seed: int = 0, *, world: World = SEEN, composition: Composition = COMPOSITION
) -> Dataset:
    """Render a pool with exactly this composition, shuffled."""
    rng = random.Random(f"pool {seed}")
    shares = (composition.duplicates, composition.wrong, composition.blind, composition.text_only)
    n_duplicates, n_wrong, n_blind, n_text = (round(rows * share) for share in shares)
    n_sound = rows - n_duplicates - n_wrong - n_blind - n_text

    draw = _RowSource(world, composition, rng)
    sound = [draw.row("none") for _ in range(n_sound)]
    drawn = sound + [draw.row("wrong") for _ in range(n_wrong)]
    drawn += [draw.row("blind") for _ in range(n_blind)]
    drawn += [draw.row("none", text_only=True) for _ in range(n_text)]
    for group, row in enumerate(drawn):
        row["group"] = group
    sources = rng.sample(sound, min(len(sound), -(-n_duplicates // composition.copies)))
    drawn += [{**sources[i % len(sources)], "flaw": "duplicate"} for i in range(n_duplicates)]
    rng.shuffle(drawn)
    return _render(world, drawn, rng, "render the pool")


def render_held_out(
    rows: int, seed: int = 0, *, world: World = UNSEEN, composition: Composition = COMPOSITION
) -> Dataset:
    """Render distinct sound rows, of a world whose scenes appear in no pool and no caption.

    The kinds of question have the same shares as among the sound rows of a pool with this composition.
    """
    rng = random.Random(f"held out {seed}")
    n_text = round(rows * composition.text_only)
    draw = _RowSource(world, composition, rng)
    drawn = [draw.row("none", text_only=i < n_text) for i in range(rows)]
    rng.shuffle(drawn)
    for group, row in enumerate(drawn):
        row["group"] = group
    return _render(world, drawn, rng, "render held-out rows")


def render_captions(rows: int, seed: int = 0, *, world: World = SEEN) -> Dataset:
    """Render images whose answer is a full description (`kind` is "caption")."""
    rng = random.Random(f"captions {seed}")
    drawn = []
    for group in range(rows):
        scene = world.draw_scene(rng)
        row = _row(scene, [(CAPTION_PROMPT, world.describe(scene))], "caption", "none")
        drawn.append({**row, "group": group})
    return _render(world, drawn, rng, "render captions")


def sample_texts(rows: int, seed: int = 0, *, world: World = SEEN) -> list[str]:
    """Questions, answers and captions without images, to train a tokenizer on."""
    rng = random.Random(f"texts {seed}")
    texts = [CAPTION_PROMPT]
    for i in range(rows):
        scene = world.draw_scene(rng)
        asked = world.ask_fact(rng) if i % 10 == 0 else world.ask(rng.choice(world.kinds), scene, rng)
        texts.append(world.describe(scene))
        if asked is not None:
            texts.append(f"{asked.text} {asked.answer}")
    return texts


class _RowSource:
    """A source of rows whose scene and first question are new."""

    def __init__(self, world: World, composition: Composition, rng: random.Random) -> None:
        self.world, self.composition, self.rng = world, composition, rng
        self.asked: set[tuple[Scene, str]] = set()

    def row(self, flaw: str, text_only: bool = False) -> dict[str, Any]:
        """A row with this flaw, not yet rendered."""
        rng = self.rng
        kinds = self.composition.draw_kinds(self.world.kinds, rng)
        kind = kinds[0] if len(kinds) == 1 else "multi_turn"
        if text_only or flaw == "blind":
            kind = "text_only" if text_only else "fact"
        while True:
            scene: Scene = () if text_only else self.world.draw_scene(rng)
            questions = self._ask(kind, kinds, scene)
            if questions is None or (scene, questions[0].text) in self.asked:
                continue
            self.asked.add((scene, questions[0].text))
            turns = [(question.text, question.answer) for question in questions]
            if flaw == "wrong":
                at = rng.randrange(len(questions))
                turns[at] = (questions[at].text, rng.choice(questions[at].wrong))
            return _row(scene, turns, kind, flaw)

    def _ask(self, kind: str, kinds: Sequence[str], scene: Scene) -> list[Question] | None:
        """The row's questions, or None if this scene does not allow one of them."""
        if kind in ("text_only", "fact"):
            return [self.world.ask_fact(self.rng)]
        attempts = [self.world.ask(name, scene, self.rng) for name in kinds]
        questions = [question for question in attempts if question is not None]
        return questions if len(questions) == len(attempts) else None


def _row(scene: Scene, turns: list[tuple[str, str]], kind: str, flaw: str) -> dict[str, Any]:
    messages = []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "things": scene, "kind": kind, "flaw": flaw}


def _render(world: World, drawn: list[dict[str, Any]], rng: random.Random, title: str) -> Dataset:
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in drawn] for name in FEATURES}
    scenes: list[Scene] = [row["things"] for row in drawn]
    columns["scene"] = [world.describe(scene) for scene in scenes]
    columns["images"] = [
        [{"bytes": world.draw_image(scene, rng), "path": None}] if scene else []
        for scene in progress(scenes, title=title, unit="row")
    ]
    return Dataset.from_dict(columns, features=FEATURES)
