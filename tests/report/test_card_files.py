"""Whole cards, compared with those in tests/golden; GOLDEN=write writes them anew, to be reviewed."""

import os
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from pools import assistant, png, pool, user

from hf_vitselect.report.card_files import card_files
from hf_vitselect.report.card_html import card_html
from hf_vitselect.report.dataset_card import dataset_card, unfinished_card
from hf_vitselect.report.model_card import model_section
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.selection import Selection

GOLDEN = Path(__file__).parent / "golden"
METHOD = (
    "CleanBalanced(filters=(NearDuplicates(), UnusedImage(), UnusedImage(most=0.5), LossTail()), "
    "kinds=QuestionKinds(), rule=NeighborPenalty(gamma=0.5))"
)
UNUSED = {
    "kinds": {"what is it": -0.0123},
    "too_large": {},
    "gains": [["what color is it", "red *", -0.5]],
    "answers": {"what color is it": {"moved": 0.125, "shares": {"red *": [0.5, 0.375], "<b>": [0.5, 0.625]}}},
}
TAIL = {"cut": 0.9, "cells": [["what color is it", "red *", 2.5], ["what is it", None, None]]}
KINDS = {
    "form": "template",
    "kinds": [
        {"question": "what color is it", "rows": 5, "examples": ["what colour | is it? 1", "never shown"]},
        {"question": "what is it", "rows": 2, "examples": [f"What is {'very ' * 20}long?"]},
        {"question": "(others)"},
    ],
}


@pytest.fixture(scope="module")
def selection() -> Selection:
    """Six rows of eight, with everything that a card can speak of; nothing of it depends on this machine."""
    rows = pool(
        [([user(f"what colour is it? {i}", 1), assistant("red " * i + "*")], [png(i)]) for i in range(8)]
    )
    indices = np.array([7, 2, 6, 5, 3, 4])
    necessity = [0.5, None, 2.5, 1.5, 0.25, 3.0, 4.0, 8.0]
    rank = [None if i not in indices else indices.tolist().index(i) for i in range(8)]
    scores = Dataset.from_dict(
        {
            "row_id": [f"{min(i, 6):064x}-{i // 7}" for i in range(8)],
            "necessity": necessity,
            "necessity_status": ["ok" if value else "image_error" for value in necessity],
            "response_tokens": [2, None, 4, 8, 8, 16, 40, 40],
            "selected": [place is not None for place in rank],
            "rank": rank,
        }
    )
    seed = {"model": "seed", "digest": "d" * 64}
    clip = {"model": "openai/clip-vit-large-patch14", "commit": "c" * 40}
    recipe = {
        "format": 2,
        "source": {
            "repo_id": "lab/pool",
            "commit": "a" * 40,
            "name": "pool",
            "config": "default",
            "split": "train",
            "license": "cc-by-nc-4.0",
            "language": ["en", "de"],
        },
        "fingerprint": "f" * 64,
        "rows": 8,
        "selected": 6,
        "by": "necessity",
        "over": "embedding",
        "scorers": [
            {
                "scorer": "NecessityScorer",
                "column": "necessity",
                "model": "seed",
                "identity": seed,
                "version": 1,
            },
            {"scorer": "ClipEmbedding", "column": "embedding", "model": clip["model"], "identity": clip},
        ],
        "diversity": {
            "mean_nearest_cosine": 0.5,
            "mean_nearest_cosine_random": 0.75,
            "coverage_radius": 0.375,
            "coverage_radius_random": 0.25,
        },
        "composition": {
            "kind": [{"value": "caption", "pool": 5, "subset": 4}, {"value": None, "pool": 3, "subset": 2}],
            "a|b": [{"value": f"<b>{i}", "pool": 1, "subset": int(i < 6)} for i in range(14)],
        },
        "budget": 0.75,
        "dropped": {"image_error": 1},
        "dropped_reasons": {"image_error": "12 bytes that do not decode: <b>no</b> *PNG*"},
        "method": METHOD,
        "filters": [
            {"filter": "NearDuplicates()", "dropped": 1},
            {"filter": "UnusedImage()", "skipped": "the pool has no column 'image_gain'"},
            {"filter": "UnusedImage(most=0.5)", "dropped": 1, "thresholds": UNUSED},
            {"filter": "LossTail(cut=0.85)", "dropped": 1, "restored": 2, "thresholds": TAIL},
        ],
        "kinds": KINDS,
        "shares": [
            {"name": "what is it", "rows": 2, "left": 0, "picked": 0, "score": None, "weight": 0.0},
            {"name": "what color is it", "rows": 5, "left": 4, "picked": 4, "score": 2.5, "weight": 6.3},
            {"name": "(others)", "rows": 0, "left": 0, "picked": 0, "score": None, "weight": 0.0},
        ],
        "included": {"rows": 2, "digest": "b" * 64},
        "excluded": {"rows": 1, "digest": "0" * 64},
        "a key of later": [{"x": 1}],
        "seed": 0,
        "versions": {"hf_vitselect": "0.1.0", "datasets": "5.2.0"},
        "published": {"repo_id": "me/subset", "commit": "e" * 40},
    }
    earlier = recipe | {"method": "Method(rule=Random())", "included": None}
    recipe["included"]["recipe"] = earlier
    subset = rows.add_column("necessity", necessity).select(indices)
    return Selection(subset, indices, np.arange(6, 0, -1) / 4, scores, Recipe.from_json(recipe))


RUN = RunRecord(
    config="select:\n  budget: 0.75\n",
    cost=[
        {"stage": "score", "seconds": 12.5, "tokens": 12345, "device": "cpu"},
        {"stage": "select_0", "seconds": 0.1},
    ],
    comparison=[
        {"method": "subset", "rows": 6, "mean": 0.5, "less random": "-0.125 (-0.250 to +0.000)"},
        {"method": "random", "rows": 6, "mean": 0.625},
    ],
)


def cards(selection: Selection) -> dict[str, str]:
    plots = {"scores.png": b"", "composition.png": b"", "lengths.png": b""}
    rows = card_files(selection, plots, repo_id="me/subset", run=RUN)
    indices = card_files(selection, plots, repo_id="me/subset", publish="indices")
    metrics = {"train_loss": 1.25, "eval_loss": 1.5}
    return {
        "rows.md": rows["README.md"].decode(),
        "indices.md": indices["README.md"].decode(),
        "local.md": dataset_card(selection),
        "unfinished.md": unfinished_card(selection, "me/subset"),
        "model.md": model_section(selection, base_model="llava-hf/llava-1.5-7b-hf", metrics=metrics),
        "rows.html": card_html(rows["README.md"].decode(), {}),
    }


@pytest.mark.parametrize(
    "name", ["rows.md", "indices.md", "local.md", "unfinished.md", "model.md", "rows.html"]
)
def test_card_is_the_golden_one(name: str, selection: Selection) -> None:
    card = cards(selection)[name]
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / name).write_text(card, "utf-8")
    assert card == (GOLDEN / name).read_text("utf-8")


def test_files_of_a_card(selection: Selection) -> None:
    whole = card_files(selection, {"scores.png": b"png"}, run=RUN)
    assert set(whole) == {
        *("README.md", "recipe.json", "picks.json", "run.yaml", "plots/scores.png"),
        *("examples/top.jpg", "examples/median.jpg", "examples/lowest.jpg"),
    }
    assert all(
        whole[f"examples/{place}.jpg"].startswith(b"\xff\xd8") for place in ("top", "median", "lowest")
    )
