"""Checks before the first fine-tune of a comparison."""

import html

import pytest
from datasets import List, Value
from peft import LoraConfig
from pools import assistant, mixed_pool, png, pool, user
from trainings import LANGUAGE_MODEL, config, models, training

from hf_vitselect import select_diverse
from hf_vitselect.cli.main import main
from hf_vitselect.errors import BudgetError, ColumnError, RowError, StaleRunError
from hf_vitselect.evaluation import (
    ExactMatch,
    Generated,
    LogLikelihood,
    MultipleChoice,
    compare,
    trials,
)
from hf_vitselect.report.dataset_card import dataset_card
from hf_vitselect.report.html_page import write_report
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.rules import KCenter, Random, TopScore
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training import train_seed_model

pytestmark = pytest.mark.filterwarnings("ignore:1 of . (picked )?rows are left out")


@pytest.fixture
def untrained(monkeypatch):
    """Fails where a fine-tune would begin."""

    def train(*_, **__):
        pytest.fail("a fine-tune has begun")

    monkeypatch.setattr(trials, "SelectionSFTTrainer", train)


def half(model):
    return 0.5


def compared(rows, folder, model, **changes):
    given = {"selections": {"top": TopScore()}, "evaluations": {"half": half}, "budgets": [4], "seeds": 1}
    return compare(rows, model=model, output_dir=folder, **{**given, "args": training(folder), **changes})


def held_out(turns, images, options=None):
    rows = pool([([user("which?", 1), assistant("red")], [png(1)]), (turns, images)])
    return rows if options is None else rows.add_column("options", [["red", "blue"], options])


ASKED = [user("which?", 1), assistant("red")]
BAD_ROWS = {
    "broken image": (ASKED, [b"x"], "image_error"),
    "no such file": (ASKED, ["nowhere.png"], "image_missing"),
    "empty answer": ([user("which?", 1), assistant("")], [png(2)], "no_response"),
    "special token": ([user("which?", 1), assistant("re<image>d")], [png(2)], "control_tokens"),
    "two placeholders": ([user("which?", 2), assistant("red")], [png(2)], "placeholder_mismatch"),
    "too long": ([user("which? " * 900, 1), assistant("red")], [png(2)], "too_long"),
    "unknown role": ([{**user("which?", 1), "role": "moderator"}, assistant("red")], [png(2)], "bad_row"),
}
EVALUATIONS = [ExactMatch, LogLikelihood, Generated]


@pytest.mark.parametrize("kind", EVALUATIONS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("turns", "images", "status"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_held_out_row_is_refused(kind, turns, images, status, untrained, scored_pool, tiny, tmp_path):
    evaluations = {"half": half, "held out": kind(held_out(turns, images))}
    with pytest.raises(RowError, match=rf"1 of 2 held-out rows.*row 1 \([0-9a-f]{{64}}-0\): ({status})"):
        compared(scored_pool, tmp_path, tiny("llava").folder, evaluations=evaluations)


def test_generated_needs_a_last_answer(untrained, scored_pool, tiny, tmp_path):
    rows = held_out([*ASKED, user("and now?")], [png(2)])
    with pytest.raises(RowError, match=r"row 1 .*an answer as the last turn"):
        compared(scored_pool, tmp_path, tiny("llava").folder, evaluations={"f1": Generated(rows)})


OPTIONS = {
    "no column": (None, "expected a column 'options'"),
    "null": (None, "row 1: expected a list of texts"),
    "none": ([], "row 1: expected the answer 'red' among the options"),
    "another": (["blue", "green"], "row 1: expected the answer 'red' among the options"),
    "one": (["red"], "row 1: expected two options or more"),
    "twice": (["red", "red ", "blue"], "row 1: expected two options or more, all different"),
    "a null among them": (["red", None], "row 1: expected a list of texts"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_options_are_refused_first(name, untrained, scored_pool, tiny, tmp_path):
    options, message = OPTIONS[name]
    rows = held_out(ASKED, [png(2)])
    if name != "no column":
        rows = rows.add_column("options", [["red", "blue"], options], feature=List(Value("string")))
    with pytest.raises(ColumnError, match=message):
        compared(scored_pool, tmp_path, tiny("llava").folder, evaluations={"choice": MultipleChoice(rows)})


def test_unusable_option_is_refused(untrained, scored_pool, tiny, tmp_path):
    rows = held_out(ASKED, [png(2)], ["red", "<image>"])
    with pytest.raises(RowError, match=r"row 1 .*control_tokens"):
        compared(scored_pool, tmp_path, tiny("llava").folder, evaluations={"choice": MultipleChoice(rows)})


WRONG = {
    "unknown column": ({"columns": ["kine"]}, ColumnError, "did you mean 'kind'"),
    "column of lists": ({"columns": ["embedding"]}, ColumnError, "plain values in 'embedding'"),
    "column of images": ({"columns": ["images"]}, ColumnError, "plain values in 'images'"),
    "no seed": ({"seeds": 0}, ValueError, "at least one seed and one budget"),
    "no budget": ({"budgets": []}, ValueError, "at least one seed and one budget"),
    "a budget as text": ({"budgets": ["15%"]}, BudgetError, "such as 0.15"),
    "too large a budget": ({"budgets": [39]}, BudgetError, "only 38"),
    "no process": ({"processes": 0}, ValueError, "processes: expected 1 or more"),
    "no function": ({"evaluations": {"half": 0.5}}, ValueError, "as the evaluation 'half'"),
    "no rows": ({"evaluations": {"e": ExactMatch(mixed_pool(2).select([]))}}, ValueError, "got none"),
    "no such score": (
        {"selections": {"top": TopScore(), "net": Method(rule=TopScore(), by="necesity")}},
        ColumnError,
        "did you mean 'necessity'",
    ),
    "no such features": (
        {"selections": {"top": TopScore(), "far": Method(rule=KCenter(), over="clip")}},
        ColumnError,
        "'clip'",
    ),
    "no such model": ({"model": "nowhere/model"}, Exception, "nowhere"),
}


@pytest.mark.parametrize(("changes", "error", "message"), WRONG.values(), ids=WRONG)
def test_bad_values_are_refused_first(changes, error, message, untrained, scored_pool, tiny, tmp_path):
    given = {"model": tiny("llava").folder, **changes}
    with pytest.raises(error, match=message):
        compared(scored_pool, tmp_path, **given)
    assert "too large" in message or not list(tmp_path.rglob("top"))


def test_second_adapter_is_refused_first(untrained, scored_pool, tiny, tmp_path):
    lora = LoraConfig(target_modules=LANGUAGE_MODEL)
    train_seed_model(
        scored_pool, tiny("llava").folder, 4, config(tmp_path / "seed", max_steps=1), peft_config=lora
    )
    with pytest.raises(ValueError, match="seed, which is an adapter and is itself trained further"):
        compared(scored_pool, tmp_path / "out", str(tmp_path / "seed"), peft_config=lora)


TRAINING = {
    "evaluated meanwhile": ({"eval_strategy": "epoch"}, ValueError, "eval_strategy"),
    "packed": ({"packing": True}, ValueError, "packing"),
    "too short": ({"max_length": 20}, RowError, "max_length is 20 and .* rows are longer .row "),
}


@pytest.mark.parametrize(("changes", "error", "message"), TRAINING.values(), ids=TRAINING)
def test_bad_training_arguments_are_refused_first(
    changes, error, message, untrained, scored_pool, tiny, tmp_path
):
    args = training(tmp_path)
    for name, value in changes.items():
        setattr(args, name, value)
    with pytest.raises(error, match=message):
        compared(scored_pool, tmp_path, tiny("llava").folder, args=args)


def test_unpicklable_evaluation_is_refused(untrained, scored_pool, tiny, tmp_path):
    with pytest.raises(ValueError, match="sent to 2 processes"):
        compared(
            scored_pool, tmp_path, tiny("llava").folder, evaluations={"half": lambda _: 0.5}, processes=2
        )


@pytest.fixture(scope="module")
def one_seed(tiny, tmp_path_factory):
    """A comparison of one seed over a pool without scores, one row of which cannot be trained on."""
    rows = [(ASKED, [b"x" if i == 3 else png(i)]) for i in range(8)]
    everything = select_diverse(pool(rows), 8, rule=Random())
    folder = tmp_path_factory.mktemp("run") / "compare"
    evaluations = {"loss": LogLikelihood(mixed_pool(4, seed=900)), "half": half}
    return compared(
        pool(rows), folder, tiny("llava").folder, selections={"all": everything}, evaluations=evaluations
    ), folder


def test_untrainable_row_is_left_out(one_seed):
    _, folder = one_seed
    subset = Selection.load_from_disk(folder / "trials/random/8_rows/seed_0/subset")
    assert len(subset) == 8
    cards = [(path.parent / "README.md").read_text() for path in models(folder)]
    assert len(cards) == 3
    assert all(
        "1 of 8 rows could not be trained on and were left out (image_error: 1)" in card for card in cards
    )


def test_one_seed_has_no_intervals(one_seed):
    comparison, folder = one_seed
    assert "(one seed: no interval)" in (folder / "comparison.md").read_text()
    assert "not distinguishable from random with 1 seed" in str(comparison)
    assert "Infinity" not in (folder / "comparison.json").read_text()
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_one_seed_shows_on_a_card(one_seed):
    _, folder = one_seed
    rows = RunRecord.read(folder.parent).comparison
    assert [(row["evaluation"], row["method"]) for row in rows[:2]] == [("loss", "random"), ("loss", "all")]
    selection = select_diverse(mixed_pool(4), 2, rule=Random())
    card = dataset_card(selection, run=RunRecord.read(folder.parent))
    report = write_report(selection, folder.parent / "report", run=folder.parent).read_text()
    for text in (card, report):
        assert "one seed: no interval" in html.unescape(text)


def test_left_out_rows_are_warned_about(tiny, tmp_path):
    rows = pool([(ASKED, [b"x" if i == 3 else png(i)]) for i in range(6)])
    message = "1 of 6 picked rows are left out of the fine-tunes: {'image_error': 1}, row 3: image_error"
    with pytest.warns(UserWarning, match=message):
        compared(rows, tmp_path, tiny("llava").folder, selections={"any": Random()}, budgets=[6], matched=[])


def test_stale_trial_is_refused_first(untrained, one_seed, tiny):
    _, folder = one_seed
    args = training(folder, learning_rate=0.5)
    rows = pool([(ASKED, [b"x" if i == 3 else png(i)]) for i in range(8)])
    with pytest.raises(StaleRunError, match=r"learning_rate: 0.01 then, 0.5 now"):
        compared(rows, folder, tiny("llava").folder, selections={"any": Random()}, budgets=[5, 8], args=args)


def test_command_refuses_duplicate_selection_names(scored_pool, tiny, tmp_path, capsys):
    scored_pool.save_to_disk(tmp_path / "pool")
    flags = ["--dataset_name", str(tmp_path / "pool"), "--eval_dataset_name", str(tmp_path / "pool")]
    flags += ["--selections", "a=TopScore", "a=Random", "--model_name_or_path", "m", "--use_cpu", "true"]
    assert main(["compare", *flags, "--output_dir", str(tmp_path / "out")]) == 2
    assert "selections: expected different names, got ['a', 'a']" in capsys.readouterr().err
