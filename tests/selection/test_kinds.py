"""Kinds of rows by what is asked: templates, central questions, the pooled rest; the same from JSON."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hf_vitselect.call_text import read_call, write_call
from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.rows import read_rows, read_texts
from hf_vitselect.demo.pool import render_pool
from hf_vitselect.errors import RowError, SelectionError
from hf_vitselect.selection.kinds import Kinds
from hf_vitselect.selection.question_kinds import QuestionKinds

COLORS = ("red", "green", "blue", "black", "white")
THINGS = ("circle", "square", "triangle", "ring", "cross")


def row(*texts, images=1, system=None):
    """Questions and answers in turn."""
    roles = ("user", "assistant") * len(texts)
    turns = [Turn(role, (text,)) for role, text in zip(roles, texts, strict=False)]
    before = [Turn("system", (system,))] if system else []
    return Conversation((*before, *turns), (RowImage(),) * images)


def closed(copies=10):
    """Questions with answers of one word: two templates, the second with and without image."""
    rows = []
    for color, thing in zip(COLORS * copies, THINGS * copies, strict=True):
        rows.append(row(f"What color is the {thing}?", color))
        rows.append(row(f"What shape is {color}?", thing))
        rows.append(row(f"What shape is {color}?", thing, images=0))
    return rows


def opened(rows=600, seed=0):
    """Questions with answers of whole sentences that hold their words."""
    rng = random.Random(seed)
    asks = [
        ("What color is the {0} near the {1}?", "The color of the {0} is near to what I know of {1}."),
        ("How many {0} do you see with the {1}?", "You do see so many {0} with the {1}, but how?"),
        (
            "Describe the image with {0} and {1} in detail.",
            "In detail, to describe: an image of {0} and {1}.",
        ),
        ("Why would {0} be dangerous to {1}?", "Why, {0} would not be dangerous to {1}."),
    ]
    names = [
        f"{first}{last}" for first in ("ka", "lo", "mi", "ru", "te") for last in ("ba", "dor", "fin", "gu")
    ]
    made = []
    for _ in range(rows):
        question, answer = rng.choice(asks)
        words = rng.sample(names, 2)
        made.append(row(question.format(*words), answer.format(*words)))
    return made


POOLS = {"closed": closed(), "opened": opened(), "both": closed(2) + opened(300)}


def sizes(rows, **options):
    labels, kinds = QuestionKinds(**options).find(rows)
    assert np.bincount(labels[labels >= 0], minlength=len(kinds.names)).tolist() == [
        k.rows for k in kinds.kinds
    ]
    return dict(zip(kinds.names, (kind.rows for kind in kinds.kinds), strict=True))


def test_words_of_answers_are_left_out():
    assert sizes(closed()) == {
        "what color is the": 50,
        "what shape is": 50,
        "what shape is + no image": 50,
        "(others)": 0,
    }


def test_rows_of_several_turns_merge():
    more = [row(f"What color is the {thing}?", "red", "And its size?", "small") for thing in THINGS * 4]
    assert sizes(closed() + more)["(several turns)"] == 20
    assert sizes(closed() + [row("a", "b", "c", "d", images=0)] * 21)["(several turns) + no image"] == 21


def test_most_rows_have_several_turns():
    """One kind of most rows would say nothing."""
    more = [row(f"What color is the {thing}?", "red", "And its size?", "small") for thing in THINGS * 40]
    assert sizes(closed() + more) == {
        "what color is the + several turns": 200,
        "what color is the": 50,
        "what shape is": 50,
        "what shape is + no image": 50,
        "(others)": 0,
    }


@pytest.mark.parametrize(("smallest", "pooled"), [(20, 0), (21, 20)])
def test_small_kinds_are_pooled(smallest, pooled):
    assert sizes(closed() + [row("Which size?", "big")] * 20, smallest=smallest)["(others)"] == pooled


def test_large_pools_have_large_kinds():
    """No kind has less than a thousandth of the rows, so that a recipe stays small."""
    rows = [row("Which size?", "big")] * 22_000 + [row("How old?", "new")] * 21 + [row("Why so?", "no")] * 22
    assert sizes(rows) == {"which size": 22_000, "why so": 22, "(others)": 21}


def test_rare_words_split_no_kind():
    """A word outside all answers, in a few questions only, does not take them out of their kind."""
    rare = [row(f"What color is the {name}?", "red") for name in ("zebra", "quay", "yurt")]
    assert sizes(closed() + rare)["what color is the"] == 53


def test_rarest_words_are_dropped_first():
    """Kinds that are too small give up the words that set them apart, one by one."""
    rows = [
        row(f"How many {name}s do you see {word}?", "red") for name in "abcdefgh" for word in ("up", "down")
    ]
    assert sizes(closed() + rows + rows[:4], smallest=10) == {
        "what color is the": 50,
        "what shape is": 50,
        "what shape is + no image": 50,
        "how many do you see down": 10,
        "how many do you see up": 10,
        "(others)": 0,
    }
    assert sizes(closed() + rows + rows[:4])["how many do you see"] == 20


def test_numbers_count_as_one_word():
    rows = [row(f"What is {i} plus {i + 1}.5?", "red") for i in range(30)]
    assert sizes(closed() + rows)["what is 0 plus 0"] == 30


def test_rows_without_question_are_kinds():
    rows = [row("", "a caption of its own"), row("?!", "another caption")] * 10
    assert sizes(closed() + rows)["(no question)"] == 20


def test_system_turns_ask_nothing():
    rows = [row("What color is the ring?", "red", system=f"You are assistant {i}.") for i in range(30)]
    assert sizes(closed() + rows)["what color is the"] == 80


def test_parts_are_separate_words():
    rows = [Conversation((Turn("user", ("Compare", None, "with", None)), Turn("assistant", ("red",))))] * 20
    assert sizes(closed() + rows)["compare with + no image"] == 20


def test_unreadable_rows_have_no_kind():
    rows = [RowError("bad_row", "no turns")] * 500 + closed()
    labels, kinds = QuestionKinds().find(rows)
    assert (labels[:500] == -1).all()
    assert (labels[500:] >= 0).all()
    assert sum(kind.rows for kind in kinds.kinds) == 150
    assert (kinds.assign(rows) == labels).all()


def test_open_answers_cluster_questions():
    rows = opened()
    labels, kinds = QuestionKinds(clusters=8).find(rows)
    assert kinds.form == "nearest"
    starts = [row.turns[0].text.split()[0] for row in rows]
    for label, kind in enumerate(kinds.kinds):
        of_kind = Counter(start for start, own in zip(starts, labels, strict=True) if own == label)
        assert len(of_kind) <= 1, kind.name
        assert all(example.split()[0] in of_kind for example in kind.examples)


def test_shared_suffix_hides_no_openness():
    """Words that only an instruction at the end keeps in the question are no reason for a template."""
    rows = [
        row(f"{question.text} Answer using a phrase.", answer.text)
        for question, answer in (each.turns for each in opened())
    ]
    _, kinds = QuestionKinds(clusters=8).find(rows)
    assert kinds.form == "nearest"
    assert len(kinds.names) > 4


def test_scripts_without_spaces_have_kinds():
    things = ("汽车", "猫", "狗", "树", "房子")
    rows = [row(f"图中的{thing}是什么颜色?", color) for thing in things for color in ("红色", "蓝色")] * 3
    rows += [row(f"图中有几{other}?", thing) for thing in things for other in things] * 2
    assert sizes(rows) == {"图 中 有 几": 50, "图 中 的 是 什 么 颜": 30, "(others)": 0}


def test_long_questions_keep_both_ends():
    """The context between is not looked at."""
    rng = random.Random(0)
    rows = []
    for _ in range(40):
        context = " ".join(f"w{rng.random()}"[:6] for _ in range(200))
        rows.append(row(f"Read {'this ' * 31}{context}{' and' * 31} answer.", "red"))
    assert [kind.rows for kind in QuestionKinds().find(rows)[1].kinds] == [40, 0]


def test_half_of_questions_decides_form():
    """Where exactly half would be pooled the templates stay."""
    kept, lost = [row("Which size?", "big")] * 30, [row("Is it?", "It is.")] * 31
    assert QuestionKinds().find(kept + lost[:30])[1].form == "template"
    assert QuestionKinds().find(kept + lost)[1].form == "nearest"


def test_others_share_no_word():
    """A new question without any word of the examples is nobody's neighbor."""
    _, kinds = QuestionKinds().find(opened())
    labels = kinds.assign([row("Zzz?", "red"), row("What color is the zzz near the kaba?", "red")])
    assert kinds.names[labels[0]] == "(others)"
    assert kinds.names[labels[1]].startswith("what color is the")


@pytest.mark.parametrize("rows", POOLS.values(), ids=POOLS)
def test_order_of_rows_is_ignored(rows):
    labels, kinds = QuestionKinds().find(rows)
    order = np.random.default_rng(1).permutation(len(rows))
    other_labels, other = QuestionKinds().find([rows[i] for i in order])
    assert other == kinds
    assert (other_labels == labels[order]).all()


@pytest.mark.parametrize("rows", POOLS.values(), ids=POOLS)
def test_kinds_from_json_assign_alike(rows):
    labels, kinds = QuestionKinds().find(rows)
    again = Kinds.from_json(json.loads(json.dumps(kinds.to_json())), "kinds")
    assert again == kinds
    assert (again.assign(rows) == labels).all()
    assert again.assign([rows[-1]]).tolist() == [labels[-1]]  # whatever stands next to it


def test_one_odd_word_is_forgiven():
    """A question that has one word too many, known from another kind, still has its template."""
    _, kinds = QuestionKinds().find([*closed(), *([row("How large?", "red")] * 20)])
    new = [row("What large shape is red?", "ring"), row("How what large shape is red?", "ring")]
    assert [kinds.names[label] for label in kinds.assign(new)] == ["what shape is", "(others)"]


def test_new_templates_are_others():
    _, kinds = QuestionKinds().find(closed())
    new = [row("What color is the zebra?", "red"), row("Why?", "red"), row("What?", "red", "Why?", "red")]
    assert [kinds.names[label] for label in kinds.assign(new)] == [
        "what color is the",
        "(others)",
        "(others)",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "cloud"}, "kinds.form: expected 'template' or 'nearest', got 'cloud'"),
        ({"kinds": []}, r"kinds.kinds: expected a list whose last kind is '\(others\)'"),
        ({"kinds": [{"question": 3}]}, "question: expected a text"),
        ({"kinds": [{"question": "(others)"}] * 2}, "expected distinct kinds"),
        ({"form": "nearest", "kinds": [{"question": "why"}, {"question": "(others)"}]}, "expected examples"),
    ],
    ids=["form", "no kinds", "question", "twice", "no examples"],
)
def test_damaged_kinds_are_refused(change, message):
    written = QuestionKinds().find(closed())[1].to_json()
    with pytest.raises(SelectionError, match=message):
        Kinds.from_json({**written, **change}, "kinds")


@pytest.mark.parametrize("rows", [[], [RowError("bad_row", "no turns")], [row("What?", "red")]], ids=len)
def test_tiny_pools_have_others_only(rows):
    labels, kinds = QuestionKinds().find(rows)
    assert kinds.names == ("(others)",)
    assert labels.tolist() == [-1 if isinstance(each, RowError) else 0 for each in rows]


@pytest.mark.parametrize("name", ["smallest", "clusters"])
@pytest.mark.parametrize("value", [0, True, 2.0], ids=str)
def test_wrong_arguments_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected a number from 1, got {value}"):
        QuestionKinds(**{name: value})


def test_kinds_are_written_as_text():
    for kinds in (QuestionKinds(), QuestionKinds(smallest=5, clusters=9)):
        assert read_call(write_call(kinds), {"QuestionKinds": QuestionKinds}) == kinds


def test_images_are_not_needed():
    """The kinds of a pool are those of its texts, whatever its images are."""
    pool = render_pool(300, seed=1)
    broken = pool.map(lambda each: {"images": [{"bytes": b"", "path": None}] * len(each["images"])})
    labels, kinds = QuestionKinds().find(read_rows(pool))
    other_labels, other = QuestionKinds().find(read_texts(broken))
    assert (labels == other_labels).all()
    assert kinds == other


def test_demo_kinds_are_the_true_ones():
    pool = render_pool(2000, seed=5)
    labels, kinds = QuestionKinds().find(read_texts(pool))
    groups = [Counter(np.array(pool["kind"])[labels == label].tolist()) for label in range(len(kinds.names))]
    assert sum(max(group.values(), default=0) for group in groups) >= 0.95 * len(pool)


HASHED = """
import sys
sys.path[:0] = {path!r}
from test_kinds import POOLS, found
print(found())
"""


def found():
    return [(labels.tolist(), kinds.to_json()) for labels, kinds in map(QuestionKinds().find, POOLS.values())]


@pytest.mark.slow
def test_hash_seeds_change_nothing():
    script = HASHED.format(path=[str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == f"{found()}\n", done.stderr
