"""The evidence: pools of garments, trials that resume, the plan that grows, and the page."""

import argparse
import gzip
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hf_vitselect.demo import Composition, render_captions, render_held_out, render_pool
from hf_vitselect.errors import UsageError
from hf_vitselect.filters import LossTail, NearDuplicates
from hf_vitselect.selection import CleanBalanced

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "evidence.py"
SMALL = {"train": 60_000, "t10k": 10_000}


@pytest.fixture(scope="module", autouse=True)
def scripts():
    sys.path.append(str(BENCHMARKS))  # last: this folder has a select.py
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def fashion(tmp_path_factory):
    """A stand-in for Fashion-MNIST: as many photographs, 2 x 2 pixels, whose first pixel is the class."""
    folder = tmp_path_factory.mktemp("fashion")
    for name, count in SMALL.items():
        labels = np.arange(count, dtype=np.uint8) % 10
        photographs = np.full((count, 2, 2), 200, dtype=np.uint8)
        photographs[:, 0, 0] = labels
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", photographs)
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", labels)
    return folder


def write_idx(path, values):
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">i4").tobytes()
    path.write_bytes(gzip.compress(head + values.tobytes(), compresslevel=1))


@pytest.fixture(scope="module")
def world(fashion):
    return module("trials.garments").Garments(fashion, "validation")


def module(name):
    return importlib.import_module(name)


def test_parts_share_no_photograph(fashion):
    parts = module("trials.garments").PARTS
    taken = {name: (file, range(SMALL[file])[rows]) for name, (file, rows) in parts.items()}
    assert {name: len(rows) for name, (_, rows) in taken.items()} == {
        "pool": 50_000,
        "captions": 10_000,
        "validation": 5_000,
        "test": 5_000,
    }
    for file, count in SMALL.items():
        rows = [row for _, (of, found) in taken.items() if of == file for row in found]
        assert sorted(rows) == list(range(count))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"expected .*t10k-images-idx3-ubyte.gz; see the docstring of"
    ):
        module("trials.garments").Garments(tmp_path, "test")


def test_photographs_have_the_asked_class(world):
    scene = world.draw_scene(random.Random(1))
    names = module("trials.garments").NAMES
    assert all(world.photographs[each.photograph][0, 0] == names.index(each.name) for each in scene)


def test_two_answers_are_equally_frequent(world):
    rng, given = random.Random(1), defaultdict(Counter)
    for _ in range(6000):
        scene = world.draw_scene(rng)
        for kind in world.kinds:
            if question := world.ask(kind, scene, rng):
                given[kind][question.answer] += 1
    for kind in ("yes_no", "same"):
        yes, no = given[kind]["yes"], given[kind]["no"]
        assert yes / (yes + no) == pytest.approx(0.5, abs=0.04)
    assert set(given) == set(world.kinds)


def test_wrong_answers_are_never_right(world):
    rng = random.Random(2)
    asked = [world.ask(kind, world.draw_scene(rng), rng) for _ in range(200) for kind in world.kinds]
    asked += [world.ask_fact(rng) for _ in range(50)]
    for question in filter(None, asked):
        assert question.wrong
        assert question.answer not in question.wrong


def test_garments_make_a_pool(world):
    pool = render_pool(100, seed=1, world=world, composition=Composition())
    assert Counter(pool["flaw"]) == {"duplicate": 40, "none": 42, "blind": 10, "wrong": 8}
    assert pool[0]["images"] == [] or pool[0]["images"][0].size == (48, 48)
    assert render_captions(5, world=world)["scene"] == [
        turns[-1]["content"] for turns in render_captions(5, world=world)["messages"]
    ]


def test_floor_is_the_majority_answer(world):
    rows = render_held_out(200, seed=1, world=world)
    trial = module("trials.trial")
    assert 0.1 < trial.floor(rows) < 0.6
    assert trial.floor(rows.select([0])) == 1.0


def test_each_part_of_a_method_goes():
    method = CleanBalanced(filters=(NearDuplicates(), LossTail()), need=0.5)
    removed = module("evidence").parts_removed(method)
    assert removed["without NearDuplicates"] == replace(method, filters=(LossTail(),))
    assert removed["without quotas by need"] == replace(method, need=0.0)
    assert removed["without kinds"] == replace(method, kinds=None, need=0.0)


def test_default_and_its_text_are_one():
    trial = module("trials.trial")
    whole = trial.canonical("CleanBalanced(need=0.25)")
    assert trial.canonical(whole) == whole
    assert trial.canonical("Random()") == trial.canonical("Method(rule=Random())")
    assert trial.canonical("CleanBalanced(need=0.25)") != trial.canonical("CleanBalanced(need=0.5)")
    assert trial.canonical(trial.ORACLE) == trial.ORACLE


def test_methods_never_see_the_truth(monkeypatch, world):
    trial, seen = module("trials.trial"), []
    scored = render_pool(60, seed=1, world=world)

    def select(pool, *arguments, **options):
        seen.append(set(pool.column_names))
        raise StopIteration

    monkeypatch.setattr(trial, "select_diverse", select)
    with pytest.raises(StopIteration):
        trial.choose(scored, "Random()", 0.1, 0)
    assert seen == [{"messages", "images"}]


def test_oracle_draws_sound_and_distinct_rows(world):
    trial = module("trials.trial")
    scored = render_pool(60, seed=1, world=world)
    selection, picked = trial.choose(scored, trial.ORACLE, 0.2, 3)
    found = trial.composition(scored.add_column("necessity", [1.0] * 60), picked)
    assert len(selection) == found["rows"] == found["distinct"] == 12
    assert found["flaws"] == {"none": 1.0}
    assert sorted(picked) != sorted(trial.choose(scored, trial.ORACLE, 0.2, 4)[1])
    with pytest.raises(ValueError, match="expected 60 sound and distinct rows, got"):
        trial.choose(scored, trial.ORACLE, 1.0, 3)


def test_more_turns_at_equal_rows(world):
    trial = module("trials.trial")
    scored = render_pool(300, seed=1, world=world)
    losses = np.random.default_rng(0).random(300)
    scored = scored.add_column("necessity", losses).add_column("image_gain", losses)
    several = np.array([len(turns) > 2 for turns in scored["messages"]])
    usual, more = (
        trial.choose(scored, method, 0.3, 0)[1] for method in ("CleanBalanced()", trial.MORE_TURNS)
    )
    assert len(more) == len({*more}) == len(usual) == 90
    assert several[usual].sum() < several[more].sum() <= 2 * several[usual].sum()
    assert {*more} & {*usual} >= {*np.array(usual)[several[usual]].tolist()}


def test_seeds_are_added_until_narrow(monkeypatch):
    beds = module("trials.beds").known_beds(tiny=True)
    plan_module = module("trials.plan")
    plan = plan_module.Plan.of(beds, "TopScore()", {})
    assert {versus.title for versus in plan.versus if versus.primary} == {
        f"{bed}, {budget}" for bed in ("demo", "garments") for budget in ("15%", "30%")
    }
    lines = made_lines(plan.trials({}), lambda trial: trial.seed % 2)
    first = {trial.key for trial in plan.trials({})}
    more = [trial for trial in plan.trials(lines) if trial.key not in first]
    assert {(trial.method, trial.seed) for trial in more} == {("TopScore()", 3), ("Random()", 3)}
    narrow = made_lines(plan.trials({}), lambda trial: 0)
    assert {trial.key for trial in plan.trials(narrow)} == first


def made_lines(trials, right_of):
    """Lines of trials whose models answer 1 + `right_of(trial)` quarters of the rows right."""
    base64, trial_module = module("base64"), module("trials.trial")
    lines = {}
    for trial in trials:
        rows = trial.identity["held_out"]["rows"]
        right = np.arange(rows) < rows * (1 + right_of(trial)) / 4
        lines[trial.key] = {
            "key": trial.key,
            **trial.identity,
            "name": trial.name or trial.method,
            **dict.fromkeys(("accuracy", "accuracy_image", "nll", "floor"), float(right.mean())),
            "by_kind": {"count": 0.5},
            "flaws": {"wrong": 0.1},
            "rows": 10,
            "distinct": 9,
            "seconds": {"select": 1.0, "train": 10.0, "evaluate": 4.0},
            "date": "2026-01-01",
            "commit": "0000000",
            "versions": {"torch": "2"},
            "right": base64.b64encode(np.packbits(right).tobytes()).decode(),
        }
        assert trial_module.right_rows(lines[trial.key]).tolist() == right.tolist()
    return lines


def test_page_shows_every_trial(tmp_path):
    beds = module("trials.beds").known_beds(tiny=True)
    plan_module, page_module = module("trials.plan"), module("trials.page")
    plan = plan_module.Plan.of(beds, "TopScore()", {"easy": "TopScore(lowest=True)"})
    trials = plan.trials({}) + plan_module.validation_trials(beds, {"mine": "TopScore()"}, [0.15], 2)
    lines = made_lines(
        trials, lambda trial: 2 if "TopScore" in trial.method else 3 if "sound" in trial.method else 1
    )
    text = page_module.page(lines, plan)
    assert "| demo, 15%     | 0.500  | 0.750   | 1.000  | +0.250 " in text
    assert "| demo, 15%     | 50%                      | > 6.7 x      |     4 |             3 |" in text
    assert "+0.250" in text
    assert "better" in text
    assert "over both testbeds: 50%" in text
    assert f"{len(plan.trials({}))} test trials and 4 validation trials" in text
    assert "| demo, flawed, 15%     | mine" in text
    assert module("trials.plot").plot(lines, plan).startswith(b"\x89PNG")
    assert "## Earlier plans" not in text
    later = plan_module.Plan.of(beds, "TopScore(lowest=True)", {})
    assert "## Earlier plans" in page_module.page(lines, later)


def test_page_of_no_trials(tmp_path):
    beds = module("trials.beds").known_beds(tiny=True)
    plan = module("trials.plan").Plan.of(beds, "TopScore()", {})
    assert "No trials yet." in module("trials.page").page({}, plan)


def test_rows_needed_follow_the_curve():
    page_module, plan_module = module("trials.page"), module("trials.plan")
    beds = module("trials.beds").known_beds(tiny=True)
    plan = plan_module.Plan.of(beds, "TopScore()", {})
    curve = plan.curve["demo"]
    rising = made_lines(
        [trial for arm in curve.values() for trial in arm.trials(1)],
        lambda trial: 1 if trial.budget > 0.4 else 0,
    )
    arm = next(versus.default for versus in plan.versus if versus.primary)
    expected = {0: "0.7 x", 1: "3.0 x", 2: "> 6.7 x"}  # at .25 the least rows are as good; at .5 it takes 45%
    for more, text in expected.items():
        lines = rising | made_lines(arm.trials(1), lambda trial, more=more: more)
        assert page_module._rows_needed(arm, curve, lines) == text


def test_interrupted_runs_resume(tmp_path, fashion, monkeypatch, capsys):
    evidence, trial_module = module("evidence"), module("trials.trial")
    results = tmp_path / "results.jsonl"
    options = ["--tiny", "--fashion", str(fashion), "--testbeds", "garments", "--results", str(results)]
    options += ["--folder", str(tmp_path / "run"), "--budgets", "0.2", "--seeds", "1"]
    run, ran = trial_module.Trial.run, []

    def interrupted(self, *arguments):
        if ran:
            raise KeyboardInterrupt
        ran.append(self.key)
        return run(self, *arguments)

    monkeypatch.setattr(trial_module.Trial, "run", interrupted)
    monkeypatch.setattr(sys, "argv", ["evidence.py", "validate", *options])
    with pytest.raises(KeyboardInterrupt):
        evidence.main()
    (first,) = results.read_text().splitlines()
    monkeypatch.setattr(trial_module.Trial, "run", run)
    evidence.main()
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert json.dumps(lines[0]) == first
    assert [line["name"] for line in lines] == ["random", "oracle"]
    assert lines[1]["flaws"] == {"none": 1.0}
    assert "| garments, flawed, 20% | oracle" in capsys.readouterr().out
    for line in lines:
        assert trial_module.right_rows(line).mean() == pytest.approx(line["accuracy"], abs=1e-5)
        assert np.load(tmp_path / "run" / "answers" / f"{line['key']}.npz")["nll"].shape == (30,)


def test_same_rows_train_once(tmp_path, monkeypatch):
    evidence, trial_module = module("evidence"), module("trials.trial")
    results, trained = tmp_path / "results.jsonl", []
    options = ["--tiny", "--testbeds", "demo", "--results", str(results), "--folder", str(tmp_path / "run")]
    options += ["--budgets", "0.2", "--seeds", "1", "--methods", "random=Random()", "hard=TopScore()"]
    options += ['same=CleanBalanced(filters=(), kinds=None, need=0.0, over="other")']
    train = trial_module.Trial._train
    monkeypatch.setattr(
        trial_module.Trial, "_train", lambda self, *rest: trained.append(self.name) or train(self, *rest)
    )
    monkeypatch.setattr(sys, "argv", ["evidence.py", "validate", *options])
    evidence.main()
    assert trained == ["random", "hard"]
    lines = {line["name"]: line for line in map(json.loads, results.read_text().splitlines())}
    assert lines["same"]["same_rows_as"] == lines["random"]["key"] != lines["same"]["key"]
    assert lines["same"]["right"] == lines["random"]["right"]
    assert 'over="other"' in lines["same"]["method"]


def test_no_trial_starts_too_late(tmp_path, monkeypatch, capsys):
    results = tmp_path / "results.jsonl"
    options = ["--tiny", "--results", str(results), "--folder", str(tmp_path / "run"), "--minutes", "0"]
    monkeypatch.setattr(sys, "argv", ["evidence.py", "test", *options])
    module("evidence").main()
    assert not results.exists()
    assert "0 trials done" in capsys.readouterr().out


def test_tiny_results_stay_apart(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["evidence.py", "validate", "--tiny"])
    with pytest.raises(SystemExit):
        module("evidence").main()
    assert "--tiny: expected --results, too" in capsys.readouterr().err


def test_failed_trials_stop_no_others(tmp_path, monkeypatch, capsys):
    beds = module("trials.beds").known_beds(tiny=True)
    trials = module("trials.plan").validation_trials(beds, {"a": "Random()", "b": "TopScore()"}, [0.1], 2)
    trial_module, queue = module("trials.trial"), module("trials.queue")

    def run(self, folder, finished):
        if self.method == "Random()":
            raise ValueError("too few rows")
        return {"key": self.key, "accuracy": 0.5, "nll": 1.0, "seconds": {"train": 1.0}}

    monkeypatch.setattr(trial_module.Trial, "run", run)
    monkeypatch.setattr(trial_module.Trial, "prepare", lambda self, folder: None)
    monkeypatch.setattr(module("trials.beds").Bed, "models", lambda self, folder: None)
    results, costs = tmp_path / "results.jsonl", module("trials.costs").Costs()
    with pytest.raises(ValueError, match="too few rows"):
        queue.run_trials(trials, results, tmp_path, costs, time.monotonic() + 3600, 1)
    assert set(trial_module.read_lines(results)) == {each.key for each in trials if each.name == "b"}
    assert "Random(), seed 0: ValueError: too few rows" in capsys.readouterr().out


@pytest.mark.slow
def test_the_page_is_what_lines_say():
    evidence, page_module = module("evidence"), module("trials.page")
    args = argparse.Namespace(beds=module("trials.beds").known_beds())
    lines = module("trials.trial").read_lines(evidence.RESULTS)
    plan = evidence.make_plan(args)
    assert evidence.PAGE.read_text() == page_module.page(lines, plan)
    readme = evidence.README.read_text()
    assert readme == evidence.with_summary(readme, page_module.summary(lines, plan))
    assert readme.count(evidence.MARKS[0]) == 1


def test_garments_need_their_folder():
    garments = module("trials.beds").known_beds()["garments"]
    with pytest.raises(
        UsageError, match="expected the folder of Fashion-MNIST's files for the garments, got none"
    ):
        garments.worlds("pool")


@pytest.mark.slow
def test_methods_get_their_scores(tmp_path):
    results = tmp_path / "results.jsonl"
    command = [sys.executable, SCRIPT, "validate", "--tiny", "--results", results, "--seeds", "1"]
    command += ["--folder", tmp_path / "run", "--budgets", "0.2", "--testbeds", "demo", "--methods"]
    command += ["SelfFilter()", 'EL2N=TopScore(by="el2n")', "CleanBalanced()"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line["name"] for line in lines] == ["SelfFilter()", "EL2N", "CleanBalanced()"]
    assert [line["rows"] for line in lines] == [16, 16, 16]


@pytest.mark.slow
def test_killed_processes_leave_whole_lines(tmp_path):
    results = tmp_path / "results.jsonl"
    command = [sys.executable, SCRIPT, "validate", "--tiny", "--processes", "2", "--results", results]
    command += ["--folder", tmp_path / "run", "--budgets", "0.1", "0.2", "--seeds", "2", "--testbeds", "demo"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as running:
        deadline = time.monotonic() + 240
        while not results.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        os.killpg(running.pid, signal.SIGKILL)
    assert 1 <= len(results.read_text().splitlines()) < 8
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    keys = [json.loads(line)["key"] for line in results.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 8
