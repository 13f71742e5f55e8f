"""The contract of every rule, and the checks of Rule.__call__."""

import doctest
import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, dataclass, fields

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


def test_contract_covers_every_exported_rule():
    exported = [getattr(hf_vitselect.rules, name) for name in hf_vitselect.rules.__all__]
    rules = {each for each in exported if isinstance(each, type)} - {Rule}
    assert {type(rule) for rule in RULES} == rules == {*hf_vitselect.rules.RULES.values()}


@every_rule
@pytest.mark.parametrize("budget", [1, 45, ROWS])
def test_picks_the_budget_without_repeats(rule, budget):
    rows, gains = picks_of(rule, budget)
    assert (rows.shape, rows.dtype, gains.shape, gains.dtype) == ((budget,), np.int64, (budget,), np.float64)
    assert len(np.unique(rows)) == budget
    assert rows.min() >= 0
    assert rows.max() < ROWS
    assert np.isfinite(gains).all()


@every_rule
def test_same_seed_gives_same_picks(rule):
    for first, second in zip(picks_of(rule, 60, seed=3), picks_of(rule, 60, seed=3), strict=True):
        np.testing.assert_array_equal(first, second)


COUNTS = [
    (type(rule), item.name)
    for rule in {type(rule): rule for rule in RULES}.values()
    for item in fields(rule)
    if type(getattr(type(rule), item.name)) is int
]


@pytest.mark.parametrize(("kind", "name"), COUNTS)
def test_huge_count_is_every_row(kind, name):
    huge, every = (picks_of(kind(**{name: count}), 20) for count in (10**30, ROWS))
    np.testing.assert_array_equal(huge[0], every[0])


# Quotas, and the lengths to match, depend on the budget.
BY_QUOTA = (GroupedSampling, LengthMatchedRandom, PreSel, Coincide, MMSSR)
greedy = [rule for rule in RULES if not isinstance(rule, BY_QUOTA)]


@pytest.mark.parametrize("rule", greedy, ids=repr)
def test_smaller_budget_is_a_prefix(rule):
    np.testing.assert_array_equal(picks_of(rule, 20)[0], picks_of(rule, 90)[0][:20])


@every_rule
def test_earlier_picks_are_not_repeated(rule):
    picked = np.array([7, 250, 3, 120])
    rows, gains = picks_of(rule, ROWS - 10, picked=picked)
    assert len(rows) == len(gains) == ROWS - 10
    assert len({*rows.tolist(), *picked.tolist()}) == ROWS - 6


@pytest.mark.parametrize("rule", greedy, ids=repr)
def test_picking_resumes_after_earlier_picks(rule):
    rows, gains = picks_of(rule, 90)
    more, their_gains = picks_of(rule, 70, picked=rows[:20])
    np.testing.assert_array_equal(more, rows[20:])
    np.testing.assert_array_equal(their_gains, gains[20:])


@every_rule
def test_rules_are_frozen_and_json(rule):
    assert type(rule)(**json.loads(json.dumps(asdict(rule)))) == rule
    name = fields(rule)[0].name if fields(rule) else "anything"
    with pytest.raises(FrozenInstanceError):
        setattr(rule, name, 1)


@every_rule
def test_missing_arrays_raise_an_error(rule):
    with pytest.raises(ValueError, match=r"expected .*, got no(ne| arrays)"):
        rule(None, None, 1, np.random.default_rng(0), {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": SCORES.astype(np.float32)}, r"scores: expected 1-dimensional float64, got float32 of"),
        ({"scores": SCORES[:, None]}, r"scores: expected .* got float64 of shape \(300, 1\)"),
        (
            {"features": FEATURES.astype(np.float64)},
            "features: expected 2-dimensional float32, got float64",
        ),
        ({"features": FEATURES[:, 0]}, r"features: expected .* got float32 of shape \(300,\)"),
        ({"features": FEATURES[:9]}, "expected arrays of one length, got .*'features': 9"),
        ({"columns": {"row": np.arange(9)}}, "expected arrays of one length, got .*'row'.*: 9"),
        ({"scores": np.where(np.arange(ROWS) == 7, np.inf, SCORES)}, "expected finite scores, .* in row 7"),
        ({"features": np.where(FEATURES[7, 1] == FEATURES, np.nan, FEATURES)}, "finite features, .* row 7"),
        ({"budget": 0}, "expected a budget of 1 to 300 rows, got 0"),
        ({"budget": ROWS, "picked": np.array([3])}, "expected a budget of 1 to 299 rows, got 300"),
        ({"picked": np.array([3, 3])}, "picked: expected distinct rows from 0 to 299"),
        ({"picked": np.array([ROWS])}, "picked: expected distinct rows from 0 to 299"),
        ({"picked": np.array([-1])}, "picked: expected distinct rows from 0 to 299"),
        ({"picked": [1.5]}, r"picked: expected distinct rows from 0 to 299, got \[1\.5\]"),
        ({"picked": [True]}, "picked: expected distinct rows from 0 to 299"),
        ({"picked": 3}, "picked: expected distinct rows from 0 to 299, got 3"),
        ({"picked": None}, "picked: expected distinct rows from 0 to 299, got None"),
        ({"budget": 1.5}, "expected a budget of 1 to 300 rows, got 1.5"),
        ({"budget": "2"}, "expected a budget of 1 to 300 rows, got '2'"),
        ({"budget": True}, "expected a budget of 1 to 300 rows, got True"),
        ({"columns": None}, "columns: expected a dict of arrays by name, got None; pass {} for none"),
        ({"scores": 3.0}, "expected arrays of one length, got {'scores': 'no length'"),
        ({"rng": 0}, r"rng: expected a numpy Generator, got 0; use np\.random\.default_rng"),
    ],
)
def test_invalid_arguments_raise_an_error(change, message):
    arguments = {"scores": SCORES, "features": FEATURES, "budget": 5, "columns": {}}
    arguments["rng"] = np.random.default_rng(0)
    with pytest.raises(ValueError, match=message):
        NeighborPenalty()(**arguments | change)


def test_numpy_budget_and_lists_work():
    rows, _ = Columns()(None, None, np.int64(2), np.random.default_rng(0), {"row": [*range(ROWS)]}, [0, 2])
    assert rows.tolist() == [1, 3]
    assert Columns()(None, None, 1, np.random.default_rng(0), {"row": range(ROWS)}, [])[0].tolist() == [0]


@dataclass(frozen=True)
class Columns(Rule):
    """Uses one column, and no scores or features; picks by what the pool holds of them."""

    uses_columns = ("row",)

    def pick(self, pool, budget, rng):
        assert list(pool.columns) == ["row"]
        assert pool.features.shape == (ROWS, 0)
        assert np.isnan(pool.scores).all()
        return pool.unpicked(np.arange(len(pool)))[:budget], np.zeros(budget)


def test_pool_holds_only_declared_arrays():
    columns = {"row": np.arange(ROWS), "other": np.arange(ROWS)}
    rows, _ = Columns()(SCORES, FEATURES, 3, np.random.default_rng(0), columns, np.array([1, 0]))
    assert rows.tolist() == [2, 3, 4]


@pytest.mark.parametrize("name", sorted(hf_vitselect.rules.RULES))
def test_docstring_examples_hold(name):
    module = sys.modules[hf_vitselect.rules.RULES[name].__module__]
    result = doctest.testmod(module, extraglobs={"np": np})
    assert (result.failed, result.attempted > 0) == (0, True)


def test_importing_rules_loads_no_torch():
    code = "import sys, hf_vitselect.rules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
