import os
import subprocess
import sys
from collections import Counter, defaultdict

import pytest
from datasets import Dataset

from hf_vitselect.demo import pool as world
from hf_vitselect.demo.pool import render_captions, render_held_out, render_pool

ROWS = 1000


@pytest.fixture(scope="module")
def pool() -> Dataset:
    return render_pool(ROWS, seed=3)


def test_composition_matches_the_constants(pool: Dataset) -> None:
    flaws = Counter(pool["flaw"])
    assert flaws["duplicate"] == ROWS * world.DUPLICATE_SHARE
    assert flaws["wrong"] == ROWS * world.WRONG_SHARE
    assert flaws["blind"] == ROWS * world.BLIND_SHARE
    assert Counter(pool["kind"])["text_only"] == ROWS * world.TEXT_ONLY_SHARE
    assert flaws.total() == len(pool) == ROWS


def test_every_kind_of_question_is_asked(pool: Dataset) -> None:
    kinds = Counter(pool["kind"])
    assert set(kinds) == {*world.QUESTION_KINDS, "fact", "text_only", "multi_turn"}
    about_pictures = ROWS - kinds["fact"] - kinds["text_only"]
    assert kinds["multi_turn"] / about_pictures == pytest.approx(world.MULTI_TURN_SHARE, abs=0.04)


def test_rows_have_at_most_one_image(pool: Dataset) -> None:
    for row, images in zip(pool.remove_columns("images"), world_images(pool), strict=True):
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert (len(roles) > 2) == (row["kind"] == "multi_turn")
        assert len(images) == (row["kind"] != "text_only") == bool(row["scene"])
        assert all(image["bytes"].startswith(b"\x89PNG") for image in images)
    assert pool[0]["images"] == [] or pool[0]["images"][0].size == (world.IMAGE_SIZE, world.IMAGE_SIZE)


def test_near_duplicates_differ_only_in_image(pool: Dataset) -> None:
    rows = list(zip(pool.remove_columns("images"), world_images(pool), strict=True))
    groups = defaultdict(list)
    for row, images in rows:
        groups[row["group"]].append((row, images))
    clusters = [members for members in groups.values() if len(members) > 1]
    for members in clusters:
        flaws = Counter(row["flaw"] for row, _ in members)
        assert flaws == {"none": 1, "duplicate": world.DUPLICATES_PER_ROW}
        assert all(row["messages"] == members[0][0]["messages"] for row, _ in members)
        assert all(row["scene"] == members[0][0]["scene"] for row, _ in members)
    pictures = {images[0]["bytes"] for members in clusters for _, images in members}
    assert len(pictures) == sum(map(len, clusters))


def test_wrong_rows_alone_have_wrong_answers(pool: Dataset) -> None:
    assert set(answers_hold(pool, "color", {"none", "duplicate"})) == {True}
    assert set(answers_hold(pool, "color", {"wrong"})) == {False}


def test_same_bytes_in_another_process() -> None:
    script = (
        "from hf_vitselect.demo.pool import *; import hashlib;"
        "print('digest', hashlib.sha256(repr([d.with_format('arrow')[:].to_pylist() for d in"
        " (render_pool(60, 1), render_held_out(40, 2), render_captions(20, 3))]).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        for salt in ("1", "2")
    }
    assert len(found) == 1
    assert found.pop().startswith("digest")


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


def world_images(rows: Dataset) -> list[list[dict[str, bytes]]]:
    """The pictures undecoded."""
    images: list[list[dict[str, bytes]]] = rows.data["images"].to_pylist()
    return images


def answers_hold(rows: Dataset, kind: str, flaws: set[str]) -> list[bool]:
    """For each row of the kind and the flaws: whether its scene has the answer beside the asked shape."""
    return [
        any(f"{answer} {shape}" in row["scene"] for shape in world.SHAPES if shape in question)
        for row in rows.remove_columns("images")
        if row["kind"] == kind and row["flaw"] in flaws
        for question, answer in [[message["content"] for message in row["messages"]]]
    ]
