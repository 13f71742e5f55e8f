"""The script on a card is run as it is printed, but for the line that names the pool."""

import re
from typing import Any

import pytest
from datasets import Dataset
from pools import assistant, png, pool, user
from recipes import with_recipe

from hf_vitselect.filters import LossTail, UnusedImage
from hf_vitselect.report.recreate_script import script
from hf_vitselect.rules import LengthMatchedRandom, NeighborPenalty, TopScore
from hf_vitselect.selection import CleanBalanced, Method, MLLMSelector, QuestionKinds, SelfFilter
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection


@pytest.fixture(scope="module")
def scored() -> Dataset:
    """120 rows of two kinds with copies, and a column for everything that a method uses."""
    asked = [("what color is the square", "red"), ("how many squares", "two")]
    rows = [
        ([user(asked[i % 2][0], 1), assistant(asked[i % 2][1] if i % 7 else "no")], [png(i // 4)])
        for i in range(120)
    ]
    scored = pool(rows)
    columns = {
        "necessity": [0.1 + (i * 37 % 120) / 40 for i in range(120)],
        "score_net": [(i * 41 % 120) / 60 - 1 for i in range(120)],
        "image_gain": [(i * 53 % 120) / 80 - 0.5 for i in range(120)],
        "embedding": [[float(i % 5), float(i % 3), 1.0, 0.0] for i in range(120)],
        "source": [f'"{i % 3}" \\ <b>' for i in range(120)],
    }
    for name, values in columns.items():
        scored = scored.add_column(name, values)
    return scored


def run(text: str, scored: Dataset) -> Selection:
    names: dict[str, Any] = {"pool": scored}
    exec(re.sub(r"(?m)^pool = \.\.\. .*$", "", text), names)
    selection: Selection = names["selection"]
    return selection


CHOICES: dict[str, dict[str, Any]] = {
    "default": {},
    "default with arguments": {
        "method": CleanBalanced(
            filters=(LossTail(cut=0.5), UnusedImage()),
            kinds=QuestionKinds(smallest=5),
            need=1.0,
            rule=NeighborPenalty(rescale="minmax"),
        )
    },
    "rule alone": {"rule": TopScore(lowest=True)},
    "rule on other columns": {"rule": NeighborPenalty(gamma=0.5), "by": "score_net", "over": "embedding"},
    "SelfFilter": {"method": SelfFilter()},
    "MLLMSelector": {"method": MLLMSelector()},
    "column of kinds": {"method": Method(kinds="source", quota="uniform")},
    "balanced rule": {"rule": NeighborPenalty(), "balance": "source"},
}


@pytest.mark.filterwarnings("ignore:the column 'embedding' is ignored")
@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_script_makes_the_same_picks(choice: dict[str, Any], scored: Dataset) -> None:
    selection = select_diverse(scored, 0.25, seed=5, **choice)
    again = run(script(selection.recipe), scored)
    assert again.indices.tolist() == selection.indices.tolist()
    assert again.recipe.method == selection.recipe.method


def test_script_imports_what_it_names(scored: Dataset) -> None:
    text = script(select_diverse(scored, 6, rule=TopScore()).recipe)
    assert "from hf_vitselect.rules import TopScore\nfrom hf_vitselect.selection import Method\n" in text
    method = Method(rule=LengthMatchedRandom(lengths="Random()"))
    recipe = with_recipe(select_diverse(scored, 6, rule=TopScore()), method=repr(method)).recipe
    assert "import LengthMatchedRandom\n" in script(recipe)


def test_columns_of_unknown_origin_are_named(scored: Dataset) -> None:
    bare = scored.remove_columns("embedding").rename_column("source", "task")
    selection = select_diverse(bare, 30, method=CleanBalanced(kinds="task"))
    needed = re.findall("# the pool must have the column '(.*)'", script(selection.recipe))
    assert needed == ["necessity", "image_gain", "task"]


def test_lengths_come_from_necessity(scored: Dataset) -> None:
    tail = LossTail(min_skill=0.1)
    wider = scored.add_column("response_tokens", [2] * 120)
    selection = select_diverse(wider, 30, method=Method(filters=(tail,)))
    assert "must have the column 'response_tokens'" in script(selection.recipe)
    seed = {"scorer": "NecessityScorer", "column": "necessity", "model": "me/seed"}
    known = with_recipe(selection, scorers=[{**seed, "identity": {"model": "me/seed", "commit": "c"}}])
    assert "must have the column" not in script(known.recipe)
    assert "NecessityScorer('me/seed', revision='c')" in script(known.recipe)


def test_filters_of_others_are_left_open(scored: Dataset) -> None:
    mine = "CleanBalanced(filters=(MyFilter(),), rule=Random())"
    text = script(with_recipe(select_diverse(scored, 6, rule=TopScore()), method=mine).recipe)
    assert "    method=...,\n" in text
    compile(text, "script", "exec")
