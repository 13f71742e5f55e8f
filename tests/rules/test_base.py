"""What holds for every rule."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, fields

import numpy as np
import pytest

import hf_vitselect.rules
from hf_vitselect.rules import (
    MMSSR,
    Coincide,
    FacilityLocation,
    GroupedSampling,
    KCenter,
    LengthMatchedRandom,
    Leverage,
    NeighborPenalty,
    PreSel,
    Prototypicality,
    Random,
    Rule,
    ScoreThreshold,
    SemDeDup,
    TopScore,
)

RULES = [
    Random(),
    LengthMatchedRandom(),
    TopScore(),
    TopScore(lowest=True),
    NeighborPenalty(),
    NeighborPenalty(gamma=0.5, neighbors=3, rescale="minmax"),
    NeighborPenalty(approximate=True),
    GroupedSampling(),
    GroupedSampling(groups="row", quota="proportional"),
    GroupedSampling(groups=5, cluster=True, quota="uniform", within="necessity"),
    ScoreThreshold(minimum=-100.0),
    Prototypicality(clusters=7),
    Prototypicality(clusters=7, nearest=True),
    KCenter(),
    KCenter(weighted=True),
    SemDeDup(rows_per_cluster=40),
    SemDeDup(rows_per_cluster=40, keep="near"),
    FacilityLocation(neighbors=8),
    Leverage(energy=0.5),
    PreSel(task="row", rows_per_cluster=30),
    Coincide(rows_per_cluster=40),
    MMSSR(capabilities=("row", "reading"), style="row"),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=repr)

ROWS = 300
rng = np.random.default_rng(0)
SCORES = np.round(np.abs(rng.standard_normal(ROWS)), 1) + 0.1
FEATURES = rng.standard_normal((ROWS, 16)).astype(np.float32)


def picks_of(rule, budget, seed=0, **options):
    columns = {"row": np.arange(ROWS)} | {name: np.arange(ROWS) for name in rule.uses_columns}
    return rule(
        SCORES if rule.uses_scores else None,
        FEATURES if rule.uses_features else None,
        budget,
        np.random.default_rng(seed),
        columns,
        **options,
    )


def test_every_exported_rule_is_under_contract():
    exported = {getattr(hf_vitselect.rules, name) for name in hf_vitselect.rules.__all__} - {Rule}
    assert {type(rule) for rule in RULES} == exported


@every_rule
@pytest.mark.parametrize("budget", [1, 45, ROWS])
def test_picks_exactly_the_budget_once_each_and_in_range(rule, budget):
    rows, gains = picks_of(rule, budget)
    assert (rows.shape, rows.dtype, gains.shape, gains.dtype) == ((budget,), np.int64, (budget,), np.float64)
    assert len(np.unique(rows)) == budget
    assert rows.min() >= 0
    assert rows.max() < ROWS
    assert np.isfinite(gains).all()


@every_rule
def test_the_same_seed_gives_the_same_picks(rule):
    for first, second in zip(picks_of(rule, 60, seed=3), picks_of(rule, 60, seed=3), strict=True):
        np.testing.assert_array_equal(first, second)


# Groups take turns by their shares of the budget, and lengths are quantiles of as many.
BY_QUOTA = (GroupedSampling, LengthMatchedRandom, PreSel, Coincide, MMSSR)
greedy = [rule for rule in RULES if not isinstance(rule, BY_QUOTA)]


@pytest.mark.parametrize("rule", greedy, ids=repr)
def test_a_smaller_budget_starts_a_larger_one(rule):
    np.testing.assert_array_equal(picks_of(rule, 20)[0], picks_of(rule, 90)[0][:20])


@every_rule
def test_rows_that_are_picked_already_are_not_picked_again(rule):
    picked = np.array([7, 250, 3, 120])
    rows, gains = picks_of(rule, ROWS - 10, picked=picked)
    assert len(rows) == len(gains) == ROWS - 10
    assert len({*rows.tolist(), *picked.tolist()}) == ROWS - 6


@pytest.mark.parametrize("rule", greedy, ids=repr)
def test_picking_goes_on_where_it_stopped(rule):
    rows, gains = picks_of(rule, 90)
    more, their_gains = picks_of(rule, 70, picked=rows[:20])
    np.testing.assert_array_equal(more, rows[20:])
    np.testing.assert_array_equal(their_gains, gains[20:])


@every_rule
def test_a_rule_is_frozen_and_its_parameters_are_json(rule):
    assert type(rule)(**json.loads(json.dumps(asdict(rule)))) == rule
    name = fields(rule)[0].name if fields(rule) else "anything"
    with pytest.raises(FrozenInstanceError):
        setattr(rule, name, 1)


@every_rule
def test_a_missing_array_is_an_error(rule):
    with pytest.raises(ValueError, match="expected"):
        rule(None, None, 1, np.random.default_rng(0), {})


def test_another_seed_gives_other_random_picks():
    assert picks_of(Random(), 60, seed=0)[0].tolist() != picks_of(Random(), 60, seed=1)[0].tolist()


def test_random_reaches_every_row_about_equally_often():
    counts = np.bincount(
        np.concatenate([picks_of(Random(), 30, seed)[0] for seed in range(500)]), minlength=ROWS
    )
    assert counts.min() > 20
    assert counts.max() < 90


def test_top_score_breaks_ties_by_row():
    order = [row for _, row in sorted((-score, row) for row, score in enumerate(SCORES.tolist()))]
    rows, gains = picks_of(TopScore(), 80)
    assert rows.tolist() == order[:80]
    np.testing.assert_array_equal(gains, SCORES[rows])


def test_lowest_score_breaks_ties_by_row_too():
    order = [row for _, row in sorted((score, row) for row, score in enumerate(SCORES.tolist()))]
    assert picks_of(TopScore(lowest=True), 80)[0].tolist() == order[:80]


def test_importing_the_rules_stays_light():
    code = "import sys, hf_vitselect.rules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
