"""The world of a rendered pool: its scenes, their images and the questions about them."""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Scene = tuple[Any, ...]
"""The things in an image, hashable; empty for a row without image."""


@dataclass(frozen=True)
class Question:
    """A question with its answer, and wrong answers of the right kind."""

    text: str
    answer: str
    wrong: tuple[str, ...]

    @classmethod
    def among(cls, text: str, answer: str, options: Iterable[str]) -> "Question":
        """A question whose answer is one of some options; the others are wrong."""
        return cls(text, answer, tuple(option for option in options if option != answer))


class World(ABC):
    """A world whose scenes can be drawn and asked about; pool.py composes rows of any world.

    All randomness comes from the generator that a method is given. Worlds for a pool and for its held-out
    rows are two objects that draw disjoint scenes.

    Attributes:
        kinds: names of the kinds of question about an image.
    """

    kinds: tuple[str, ...]

    @abstractmethod
    def draw_scene(self, rng: random.Random) -> Scene:
        """A random scene."""

    @abstractmethod
    def draw_image(self, scene: Scene, rng: random.Random) -> bytes:
        """The scene as the bytes of a PNG; the same scene looks a little different each time."""

    @abstractmethod
    def describe(self, scene: Scene) -> str:
        """The whole scene in words, or "" without scene: an answer to `CAPTION_PROMPT`."""

    @abstractmethod
    def ask(self, kind: str, scene: Scene, rng: random.Random) -> Question | None:
        """A question of this kind, or None if the scene does not allow one."""

    @abstractmethod
    def ask_fact(self, rng: random.Random) -> Question:
        """A question about words alone, which no image helps to answer."""


def ask_for_word(words: Mapping[str, str], rng: random.Random) -> Question:
    """Ask for one of three words: by what it is, such as "a color", or as the first or the last."""
    order = list(words.values())
    rng.shuffle(order)
    asked, answer = rng.choice((*words.items(), ("first", order[0]), ("last", order[2])))
    return Question.among(f"which word is {asked}: {order[0]}, {order[1]} or {order[2]}?", answer, order)
