"""What would end a training at its step is found before the first one."""

import numpy as np
import pytest
from datasets import Value
from pools import assistant, mixed_pool, one_picture_pool, png, pool, user
from trainings import config
from transformers import AutoProcessor

from hf_vitselect import select_diverse
from hf_vitselect.cli.main import main
from hf_vitselect.errors import AllRefusedError, BudgetError, RowError
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.rules import Random
from hf_vitselect.training import ScoreNetTrainer, SelectionSFTTrainer, train_seed_model
from hf_vitselect.training.checks import check_rows, checked_args
from hf_vitselect.training.collator import ResponseCollator, undecoded_rows

GOOD = ([user("what?", 1), assistant("red")], [png(1)])
UNUSABLE = {
    "empty answer": (([user("what?", 1), assistant("")], [png(2)]), "no_response"),
    "blank answer": (([user("what?", 1), assistant(" \n ")], [png(2)]), "no_response"),
    "no answer": (([user("what?", 1)], [png(2)]), "no_response"),
    "spelled special token": (([user("what?", 1), assistant("red <image>")], [png(2)]), "control_tokens"),
    "broken image": (([user("what?", 1), assistant("red")], [b"x"]), "image_error"),
    "empty image": (([user("what?", 1), assistant("red")], [b""]), "image_error"),
    "no such file": (([user("what?", 1), assistant("red")], ["nowhere.png"]), "image_missing"),
    "a null for an image": (([user("what?", 1), assistant("red")], [None]), "image_missing"),
    "more placeholders": (([user("what?", 2), assistant("red")], [png(2)]), "placeholder_mismatch"),
    "more images": (([user("what?", 1), assistant("red")], [png(2), png(3)]), "placeholder_mismatch"),
    "unknown role": (([{**user("what?", 1), "role": "moderator"}, assistant("red")], [png(2)]), "bad_row"),
}
MEMBERS = pytest.mark.parametrize(("row", "status"), UNUSABLE.values(), ids=UNUSABLE)


def with_one(row, rows=4, place=2):
    return pool([row if i == place else GOOD for i in range(rows)])


def short(folder, **changes):
    return config(
        folder,
        **{
            "max_steps": -1,
            "num_train_epochs": 1,
            "per_device_train_batch_size": 1,
            "save_strategy": "no",
            **changes,
        },
    )


def said(recwarn):
    return "\n".join(str(warning.message) for warning in recwarn)


def trainer_of(model, rows, args, **options):
    selection = select_diverse(rows, len(rows), rule=Random())
    return selection, SelectionSFTTrainer(model.folder, selection=selection, args=args, **options)


@MEMBERS
def test_unusable_picked_rows_are_named(row, status, tiny, tmp_path, recwarn):
    selection, trainer = trainer_of(tiny("llava"), with_one(row), short(tmp_path))
    place = selection.indices.tolist().index(2)
    assert trainer.dropped == {status: 1}
    assert list(trainer.unusable) == [place]
    assert (
        f"1 of 4 rows are left out: {{'{status}': 1}}, row {place} ({selection.row_ids[place]}): {status}: "
        in said(recwarn)
    )
    trainer.train()
    assert trainer.state.global_step == 3


@MEMBERS
@pytest.mark.parametrize("several", [False, True], ids=["one", "by-name"])
def test_unusable_eval_rows_are_named(several, row, status, tiny, tmp_path, recwarn):
    held_out = {"held_out": with_one(row)} if several else with_one(row)
    _, trainer = trainer_of(tiny("llava"), mixed_pool(4), short(tmp_path), eval_dataset=held_out)
    assert (trainer.dropped, f"'{status}': 1" in said(recwarn)) == ({}, True)
    assert trainer.evaluate()["eval_held_out_loss" if several else "eval_loss"] > 0


@MEMBERS
def test_seed_model_skips_unusable_rows(row, status, tiny, tmp_path):
    drawn = train_seed_model(with_one(row), tiny("llava").folder, 3, short(tmp_path))
    assert sorted(drawn.indices) == [0, 1, 3]
    assert drawn.recipe.dropped in ({status: 1}, {})  # the draw may end before it
    with pytest.raises(
        BudgetError, match=rf"only 3 of 4 can be trained on.*'{status}': 1.*row 2: {status}: "
    ):
        train_seed_model(with_one(row), tiny("llava").folder, 4, short(tmp_path))


@MEMBERS
def test_score_net_skips_unusable_rows(row, status, tiny, tmp_path, recwarn):
    rows = with_one(row, rows=6).add_column("ease", [None, 1.0, 2.0, 3.0, 4.0, 5.0], feature=Value("float32"))
    trainer = ScoreNetTrainer(
        tiny("llava").folder,
        pool=rows,
        score_net=ScoreNet.fit(rows, "ease"),
        args=short(tmp_path, per_device_train_batch_size=2),
    )
    assert sum(trainer.dropped.values()) == 2
    assert {i: error.status for i, error in trainer.unusable.items()} == {0: "bad_row", 2: status}
    trainer.train()
    assert trainer.state.global_step == 2


def test_card_counts_unusable_rows(tiny, tmp_path):
    with pytest.warns(UserWarning, match="1 of 4 rows are left out"):
        _, trainer = trainer_of(tiny("llava"), with_one(UNUSABLE["broken image"][0]), short(tmp_path))
    trainer.create_model_card()
    assert (
        "1 of 4 rows could not be trained on and were left out (image_error: 1)."
        in (tmp_path / "README.md").read_text()
    )


def test_only_unusable_rows_are_refused(tiny, tmp_path):
    broken = pool([([user("what?", 1), assistant("red")], [b"x"])] * 5)
    with pytest.raises(AllRefusedError, match=r"got none among 5: {'image_error': 5}, row 0 .*; and 2 more"):
        trainer_of(tiny("llava"), broken, short(tmp_path))


def test_long_rows_are_refused_together(tiny, tmp_path):
    rows = pool([([user("long " * 60 * (i % 2)), assistant("red")], []) for i in range(6)])
    with pytest.raises(
        RowError, match=r"max_length is 40 and 3 rows are longer \(row \d \(.{64}-\d\): too_long"
    ):
        trainer_of(tiny("llava"), rows, short(tmp_path, max_length=40))
    with pytest.raises(RowError, match="3 rows are longer"):
        trainer_of(tiny("llava"), rows.select([0]), short(tmp_path, max_length=40), eval_dataset=rows)


def test_seed_model_explains_too_few_rows(tiny, tmp_path):
    with pytest.raises(AllRefusedError, match=r"only 0 of 6.*'too_long': 6.*the limit is 3"):
        train_seed_model(mixed_pool(6), tiny("llava").folder, 2, short(tmp_path, max_length=3))


@pytest.mark.parametrize("command", ["train", "seed", "score_net"])
def test_commands_skip_unusable_rows(command, tiny, tmp_path, recwarn):
    rows = with_one(UNUSABLE["broken image"][0], rows=5).add_column("ease", [1.0, 2.0, 3.0, 4.0, 5.0])
    rows.save_to_disk(tmp_path / "pool")
    select_diverse(rows, 5, rule=Random()).save_to_disk(tmp_path / "selection")
    inputs = {
        "train": ["--selection", str(tmp_path / "selection")],
        "seed": ["--dataset_name", str(tmp_path / "pool"), "--budget", "4"],
        "score_net": ["--dataset_name", str(tmp_path / "pool"), "--columns", "ease"],
    }
    flags = "--use_cpu true --bf16 false --gradient_checkpointing false --report_to none --max_steps 1"
    model = ["--model_name_or_path", tiny("llava").folder, "--output_dir", str(tmp_path / "out")]
    assert main([command, *inputs[command], *model, *flags.split()]) == 0
    assert "'image_error': 1" in said(recwarn) or command == "seed"
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_rows_are_checked_once(tiny, tmp_path, monkeypatch):
    seen = []
    encode = ResponseCollator.encode
    monkeypatch.setattr(ResponseCollator, "encode", lambda self, row: seen.append(row) or encode(self, row))
    train_seed_model(mixed_pool(4), tiny("llava").folder, 4, short(tmp_path, max_steps=1))
    assert len(seen) <= 4 + 2  # each once, and the loader is one row ahead of the only step


def test_errors_come_in_given_order(tiny):
    model = tiny("llava")
    collator = ResponseCollator(Encoder(model.processor or AutoProcessor.from_pretrained(model.folder)))
    rows = undecoded_rows(pool([UNUSABLE["broken image"][0] if i % 3 else GOOD for i in range(150)]))
    order = np.random.default_rng(0).permutation(150)
    found = list(check_rows(rows, order, collator))
    assert [i for i, _ in found] == order.tolist()
    assert all((error is None) == (i % 3 == 0) for i, error in found)


OPTIONS = {
    "packing": ({"packing": True}, "packing: expected it to be left out"),
    "padding-free": ({"padding_free": True}, "padding_free: expected it to be left out"),
    "another template": ({"chat_template_path": "t.jinja"}, "chat_template_path: .*the same template"),
    "loss on the prompt": ({"completion_only_loss": False}, "only the response tokens"),
    "nothing to evaluate": ({"eval_strategy": "epoch"}, "'no' without eval_dataset"),
    "no rows at once": ({"per_device_train_batch_size": 0}, "train_batch_size: expected more than 0, got 0"),
    "no accumulation": (
        {"gradient_accumulation_steps": 0},
        "accumulation_steps: expected more than 0, got 0",
    ),
    "no epoch": ({"num_train_epochs": 0, "max_steps": -1}, "num_train_epochs: expected more than 0, got 0"),
    "no step": ({"max_steps": 0}, "max_steps: expected 1 or more, got 0"),
    "no token": ({"max_length": 0}, "max_length: expected more than 0, got 0"),
    "a seed below zero": ({"seed": -1}, "seed: expected 0 or more, got -1"),
    "no checkpoint": ({"resume_from_checkpoint": "nowhere"}, "expected a checkpoint's folder, got 'nowhere'"),
}


@pytest.mark.parametrize(("changes", "message"), OPTIONS.values(), ids=OPTIONS)
def test_unsupported_options_are_refused_early(changes, message, tmp_path):
    selection = select_diverse(mixed_pool(2), 2, rule=Random())
    with pytest.raises(ValueError, match=message):
        SelectionSFTTrainer("nowhere/model", selection=selection, args=config(tmp_path, **changes))


@pytest.mark.parametrize("changes", [{"assistant_only_loss": True}, {"completion_only_loss": True}], ids=str)
def test_redundant_loss_options_are_allowed(changes, tiny, tmp_path):
    args = short(tmp_path, max_steps=1, **changes)
    _, trainer = trainer_of(tiny("llava"), one_picture_pool(3), args)
    trainer.train()
    assert args.assistant_only_loss == changes.get("assistant_only_loss", False)


@pytest.mark.parametrize("word", ["true", True], ids=repr)
def test_true_resumes_from_newest_checkpoint(word, tmp_path):
    args = config(tmp_path, resume_from_checkpoint=word)
    with pytest.warns(UserWarning, match="no checkpoint; training starts from the beginning"):
        assert checked_args(args, evaluates=False).resume_from_checkpoint is None
    for step in (2, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text("{}")
    assert checked_args(args, evaluates=False).resume_from_checkpoint == str(tmp_path / "checkpoint-2")
    assert args.resume_from_checkpoint == word


def test_invalid_budgets_are_refused_early(tmp_path):
    for budget in (0, 1.5, "15%"):
        with pytest.raises(BudgetError, match="an int from 1, or a share"):
            train_seed_model(mixed_pool(2), "nowhere/model", budget, config(tmp_path))
