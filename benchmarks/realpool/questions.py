"""Templates that turn a picture's human-written metadata into conversations.

| kind | asks | answered by |
|---|---|---|
| name | what is shown | the name |
| choice | which of four names | its letter; the others come from other subgroups and share no word with it |
| category | which of four categories | the category |
| yesno | does it belong to a category | yes, or no for one that neither it nor a copy of it is filed under |
| keywords | up to six keywords | the first six keywords |
| colour | which colour completes the name | the one color word in the name |
| multi | two or three of the above, in one conversation | the same |

Nothing is answered that the metadata does not say.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from realpool.pictures import Picture

MOST_KEYWORDS = 6
WEIGHTS = {"name": 4, "choice": 5, "category": 4, "yesno": 4, "keywords": 2, "multi": 3}
COLORS = "red orange yellow green blue purple brown black white pink grey gray golden violet beige"

_NAME = (
    "What is shown in this picture?",
    "What is this?",
    "Name what you see.",
    "What does the picture show?",
)
_CHOICE = (
    "Which of these is it? {options}. Answer with the letter.",
    "What does the picture show? {options}. Answer with the letter.",
    "Choose the letter of the right name: {options}.",
)
_LETTERS = "ABCD"
_CATEGORY = (
    "Which category does it belong to: {options}?",
    "Pick the category of this picture: {options}.",
    "Under which heading is it filed: {options}?",
)
_YESNO = (
    'Does this picture belong to the category "{category}"?',
    'Is this filed under "{category}"?',
    'Is the category of this picture "{category}"?',
)
_KEYWORDS = (
    "List up to six keywords for this picture.",
    "Which keywords describe it? At most six.",
    "Give up to six keywords.",
)
_COLOR = ('Which colour completes the name "{gap}"?', 'The name is "{gap}". Which colour is missing?')


@dataclass(frozen=True)
class Turn:
    """One question, its answer and, where the question names them, the answers to choose from."""

    question: str
    answer: str
    options: tuple[str, ...] = ()


class Questions:
    """Writes the conversations about pictures of one side of the split.

    Args:
        pictures: All pictures of that side: wrong options come from them alone.
        groups: The number of each picture's group of near-duplicates.
    """

    def __init__(self, pictures: list[Picture], groups: list[int]) -> None:
        self._by_source = {
            source: [picture for picture in pictures if picture.source == source]
            for source in sorted({picture.source for picture in pictures})
        }
        self._group = {picture.id: group for picture, group in zip(pictures, groups, strict=True)}
        self._filed: dict[int, set[str]] = {}
        for picture in pictures:
            self._filed.setdefault(self._group[picture.id], set()).add(picture.category)

    def about(self, picture: Picture, count: int, rng: random.Random) -> Iterator[tuple[str, list[Turn]]]:
        """Yield (kind, turns): `count` kinds without repetition, and a color question if the name has one."""
        asked = {kind: self._turn(kind, picture, rng) for kind in WEIGHTS if kind != "multi"}
        turns = {kind: turn for kind, turn in asked.items() if turn}
        kinds = [*turns, "multi"]
        for _ in range(count):
            kind = rng.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
            kinds.remove(kind)
            if kind == "multi":
                several = rng.sample(sorted(turns), min(len(turns), rng.choice((2, 3))))
                yield kind, [turns[each] for each in several]
            else:
                yield kind, [turns[kind]]
        if turn := _color(picture, rng):
            yield "colour", [turn]

    def _turn(self, kind: str, picture: Picture, rng: random.Random) -> Turn | None:
        """A question of that kind, or None where the metadata has no answer."""
        if kind == "name":
            return Turn(rng.choice(_NAME), picture.name)
        if kind == "keywords":
            words = picture.keywords[:MOST_KEYWORDS]
            return Turn(rng.choice(_KEYWORDS), ", ".join(words)) if len(words) >= 2 else None
        if kind == "choice":
            names = [picture.name, *self._other_names(picture, rng)]
            rng.shuffle(names)
            listed = "; ".join(f"{letter}: {name}" for letter, name in zip(_LETTERS, names, strict=True))
            answer = _LETTERS[names.index(picture.name)]
            return Turn(rng.choice(_CHOICE).format(options=listed), answer, tuple(_LETTERS))
        if not picture.category:
            return None
        others = self._other_categories(picture)
        if kind == "category":
            options = [picture.category, *rng.sample(others, 3)]
            rng.shuffle(options)
            listed = "; ".join(options[:-1]) + "; or " + options[-1]
            question = rng.choice(_CATEGORY).format(options=listed)
            return Turn(question, picture.category, tuple(options))
        right = rng.random() < 0.5
        question = rng.choice(_YESNO).format(category=picture.category if right else rng.choice(others))
        return Turn(question, "yes" if right else "no", ("yes", "no"))

    def _other_names(self, picture: Picture, rng: random.Random) -> list[str]:
        names: list[str] = []
        while len(names) < 3:
            other = rng.choice(self._by_source[picture.source])
            apart = not _same_branch(picture.subgroup, other.subgroup)
            apart = apart and self._group[picture.id] != self._group[other.id]
            if apart and not any(_words(other.name) & _words(name) for name in (picture.name, *names)):
                names.append(other.name)
        return names

    def _other_categories(self, picture: Picture) -> list[str]:
        """Categories of that source under which no near-duplicate is filed and that no keyword names."""
        mine = self._filed[self._group[picture.id]]
        every = {other.category for other in self._by_source[picture.source]} - mine - {""}
        stems = {word[:4] for keyword in picture.keywords for word in keyword.split()}
        free = sorted(name for name in every if not any(word[:4] in stems for word in name.split()))
        return free if len(free) >= 3 else sorted(every)


def _color(picture: Picture, rng: random.Random) -> Turn | None:
    """Ask for the color in names such as "red apple" or "led circle (purple)".

    Orange the fruit and a green to stand on are not colors of the thing: "orange" counts only before a
    shape-like word or in brackets, and a name that ends in "leafy green" or "on green" is left out.
    """
    pattern = rf"(?<![\w-])(?:{COLORS.replace(' ', '|')})(?![\w-])"
    colors = re.findall(pattern, picture.name)
    if len(colors) != 1 or colors[0] == picture.name or re.search(r"(?:leafy|on) green$", picture.name):
        return None
    fruit = colors[0] == "orange" and not re.search(
        r"orange (?:heart|book|circle|square|diamond)|\(orange\)", picture.name
    )
    gap = re.sub(pattern, "___", picture.name)
    return None if fruit else Turn(rng.choice(_COLOR).format(gap=gap), colors[0])


def _same_branch(one: str, other: str) -> bool:
    """Whether two subgroups are the same or one folder holds the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _words(name: str) -> set[str]:
    return {word[:5] for word in re.findall(r"\w{3,}", name)} or {name}
