import hashlib
from collections import Counter, defaultdict
from typing import Any

import pytest
from datasets import Dataset

from hf_vitselect.demo.pool import (
    SEEN,
    Composition,
    render_captions,
    render_held_out,
    render_pool,
    sample_texts,
)
from hf_vitselect.demo.shapes import IMAGE_SIZE, SHAPES

ROWS = 1000
COMPOSITION = Composition()


@pytest.fixture(scope="module")
def pool() -> Dataset:
    return render_pool(ROWS, seed=3)


def test_composition_matches_its_shares(pool: Dataset) -> None:
    flaws = Counter(pool["flaw"])
    assert flaws["duplicate"] == ROWS * COMPOSITION.duplicates
    assert flaws["wrong"] == ROWS * COMPOSITION.wrong
    assert flaws["blind"] == ROWS * COMPOSITION.blind
    assert Counter(pool["kind"])["text_only"] == ROWS * COMPOSITION.text_only
    assert flaws.total() == len(pool) == ROWS


def test_every_kind_of_question_is_asked(pool: Dataset) -> None:
    kinds = Counter(pool["kind"])
    assert set(kinds) == {*SEEN.kinds, "fact", "text_only", "multi_turn"}
    about_pictures = ROWS - kinds["fact"] - kinds["text_only"]
    assert kinds["multi_turn"] / about_pictures == pytest.approx(COMPOSITION.multi_turn, abs=0.04)


def test_rows_have_at_most_one_image(pool: Dataset) -> None:
    for row, images in zip(pool.remove_columns("images"), encoded_images(pool), strict=True):
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert (len(roles) > 2) == (row["kind"] == "multi_turn")
        assert len(images) == (row["kind"] != "text_only") == bool(row["scene"])
        assert all(image["bytes"].startswith(b"\x89PNG") for image in images)
    assert pool[0]["images"] == [] or pool[0]["images"][0].size == (IMAGE_SIZE, IMAGE_SIZE)


def test_near_duplicates_differ_only_in_image(pool: Dataset) -> None:
    rows = list(zip(pool.remove_columns("images"), encoded_images(pool), strict=True))
    groups = defaultdict(list)
    for row, images in rows:
        groups[row["group"]].append((row, images))
    clusters = [members for members in groups.values() if len(members) > 1]
    for members in clusters:
        flaws = Counter(row["flaw"] for row, _ in members)
        assert flaws == {"none": 1, "duplicate": COMPOSITION.copies}
        assert all(row["messages"] == members[0][0]["messages"] for row, _ in members)
        assert all(row["scene"] == members[0][0]["scene"] for row, _ in members)
    pictures = {images[0]["bytes"] for members in clusters for _, images in members}
    assert len(pictures) == sum(map(len, clusters))


def test_wrong_rows_alone_have_wrong_answers(pool: Dataset) -> None:
    assert set(answers_hold(pool, "color", {"none", "duplicate"})) == {True}
    assert set(answers_hold(pool, "color", {"wrong"})) == {False}


def test_other_seeds_give_other_rows() -> None:
    assert render_pool(50, seed=1)["scene"] != render_pool(50, seed=2)["scene"]


def test_held_out_scenes_are_unseen(pool: Dataset) -> None:
    held_out = render_held_out(300, seed=5)
    assert set(held_out["flaw"]) == {"none"}
    assert len(set(held_out["group"])) == 300
    asked = {(row["scene"], row["messages"][0]["content"]) for row in held_out.remove_columns("images")}
    assert len(asked) == 300
    shown = {*pool["scene"], *render_captions(300, seed=5)["scene"]}
    assert {*held_out["scene"]} & shown == {""}  # text-only rows have no scene


def test_captions_describe_their_scene() -> None:
    captions = render_captions(20)
    assert [turns[1]["content"] for turns in captions["messages"]] == captions["scene"]
    assert set(captions["kind"]) == {"caption"}


# The demo's rows and pixels: what was measured on its pools stays comparable only while these hold.
DIGESTS = {
    (0, "pool"): "d12d0b6211283ef4",
    (0, "held out"): "445f162a86ea545f",
    (0, "captions"): "bec419f40b70becd",
    (0, "texts"): "e4a1fe3716b663df",
    (3, "pool"): "12bf851c00c542d5",
    (3, "held out"): "fc459c33e508ec2a",
    (3, "captions"): "19362c4708922982",
    (3, "texts"): "5b6a5c3cc117494f",
}
RENDERED = {
    "pool": lambda seed: plain(render_pool(700, seed)),
    "held out": lambda seed: plain(render_held_out(300, seed)),
    "captions": lambda seed: plain(render_captions(200, seed)),
    "texts": lambda seed: sample_texts(300, seed),
}


@pytest.mark.parametrize(("seed", "name"), DIGESTS)
def test_default_rows_never_change(seed: int, name: str) -> None:
    digest = hashlib.sha256(repr(RENDERED[name](seed)).encode()).hexdigest()
    assert digest[:16] == DIGESTS[seed, name]


def test_each_share_is_an_argument() -> None:
    composition = Composition(duplicates=0, wrong=0.2, blind=0, text_only=0, multi_turn=0)
    pool = render_pool(400, seed=1, composition=composition)
    assert Counter(pool["flaw"]) == {"none": 320, "wrong": 80}
    assert set(pool["kind"]) == set(SEEN.kinds)
    assert len(set(pool["group"])) == 400


def test_rare_kinds_are_rarely_asked() -> None:
    rare = SEEN.kinds[:3]
    composition = Composition(duplicates=0, blind=0, text_only=0, multi_turn=0, rare=rare, rarity=0.1)
    kinds = Counter(render_pool(2000, seed=1, composition=composition)["kind"])
    often = [kinds[kind] for kind in SEEN.kinds if kind not in rare]
    assert 0.05 < sum(kinds[kind] for kind in rare) / 3 / (sum(often) / len(often)) < 0.2


def plain(rows: Dataset) -> list[Any]:
    """The rows with their pixels."""
    pixels = [[image.tobytes() for image in images] for images in rows["images"]]
    return [*rows.remove_columns("images"), *pixels]


def encoded_images(rows: Dataset) -> list[list[dict[str, bytes]]]:
    """The pictures undecoded."""
    images: list[list[dict[str, bytes]]] = rows.data["images"].to_pylist()
    return images


def answers_hold(rows: Dataset, kind: str, flaws: set[str]) -> list[bool]:
    """For each row of the kind and the flaws: whether its scene has the answer beside the asked shape."""
    return [
        any(f"{answer} {shape}" in row["scene"] for shape in SHAPES if shape in question)
        for row in rows.remove_columns("images")
        if row["kind"] == kind and row["flaw"] in flaws
        for question, answer in [[message["content"] for message in row["messages"]]]
    ]
