"""ScoreNetTrainer trains net and model by the paper's loss, alone and in company, and keeps both apart."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import List, Value
from peft import LoraConfig
from pools import mixed_pool, one_picture_pool
from safetensors.torch import load_file
from tiny import ARCHITECTURES
from trainings import LANGUAGE_MODEL, config, make, sgd
from transformers import AutoModelForImageTextToText

from hf_vitselect.errors import BudgetError, ColumnError
from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.training import ScoreNetTrainer
from hf_vitselect.training.score_net import weight_report, weighted_loss


def with_embedding(pool, width=4, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(len(pool), width)).tolist()
    return pool.add_column("embedding", vectors, feature=List(Value("float32"), length=width))


def test_weighted_loss_equals_hand_computation():
    nll = torch.tensor([1.0, 3.0, 0.5, 2.0, 4.0, 6.0], requires_grad=True)
    rows = torch.tensor([0, 0, 1, 2, 2, 2])
    scores = torch.tensor([0.3, -0.2, 1.1], requires_grad=True)
    loss = weighted_loss(nll, rows, scores)
    loss.backward()

    raised = [math.exp(score) for score in (0.3, -0.2, 1.1)]
    weights = [one / sum(raised) for one in raised]
    sums = [1.0 + 3.0, 0.5, 2.0 + 4.0 + 6.0]
    by_hand = 3 * sum(w * s for w, s in zip(weights, sums, strict=True)) / 6
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)
    of_scores = [w * (3 * s / 6 - by_hand) for w, s in zip(weights, sums, strict=True)]
    assert scores.grad.tolist() == pytest.approx(of_scores, rel=1e-5)
    assert nll.grad.tolist() == pytest.approx([3 * weights[row] / 6 for row in rows.tolist()], rel=1e-6)


def test_equal_weights_give_the_usual_loss():
    nll = torch.rand(9)
    loss = weighted_loss(nll, torch.arange(9) % 3, torch.zeros(3))
    torch.testing.assert_close(loss, nll.mean())


def batch_loss(trainer, rows):
    """The paper's formula, token by token, from the full logits of one row at a time."""
    tokens, sums = 0, []
    for row in rows:
        inputs = trainer.data_collator([row])
        labels = inputs.pop("labels")[0]
        del inputs["score_inputs"]
        probabilities = trainer.model(**inputs).logits[0].log_softmax(-1)
        nll = [-probabilities[t - 1, labels[t]] for t in range(1, len(labels)) if labels[t] != -100]
        tokens += len(nll)
        sums.append(sum(nll))
    net = trainer.score_net
    weights = net(torch.tensor(np.stack([net.row_inputs(row) for row in rows]))).softmax(0)
    return len(rows) * sum(w * s for w, s in zip(weights, sums, strict=True)) / tokens


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_trainer_loss_equals_the_formula(name, tiny, tmp_path):
    trainer = make(tiny(name), with_embedding(one_picture_pool(3)), config(tmp_path))
    rows = list(trainer.train_dataset)
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
    loss.backward()
    got = {key: weights.grad for key, weights in trainer.model.named_parameters() if weights.grad is not None}
    trainer.model.zero_grad()
    expected = batch_loss(trainer, rows)
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    assert got["score_net.layers.weight"].abs().max() > 0
    for key, weights in trainer.model.named_parameters():
        if weights.grad is not None:
            torch.testing.assert_close(got[key], weights.grad, atol=1e-5, rtol=1e-3)


def by_hand(trainer, groups, rate):
    """Gradient steps over groups of batches, whose losses are averaged: processes and accumulation."""
    rows = list(trainer.train_dataset)
    for group in groups:
        loss = sum(batch_loss(trainer, [rows[i] for i in batch]) for batch in group) / len(group)
        trainer.model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for weights in trainer.model.parameters():
                if weights.grad is not None:
                    weights -= rate * weights.grad
    return {key: weights.detach() for key, weights in trainer.model.named_parameters()}


@pytest.mark.parametrize(
    ("accumulation", "groups"),
    [(1, [[[0, 1]], [[2, 3]]]), (2, [[[0, 1], [2, 3]], [[4, 5], [6, 7]]])],
    ids=["plain", "accumulated"],
)
def test_steps_are_those_by_hand(accumulation, groups, tiny, tmp_path):
    pool = with_embedding(one_picture_pool(8))
    args = sgd(tmp_path, max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=accumulation)
    trainer = make(tiny("llava"), pool, args)
    trainer.train()
    expected = by_hand(make(tiny("llava"), pool, args), groups, 0.5)
    for key, weights in trainer.model.named_parameters():
        torch.testing.assert_close(weights, expected[key], atol=1e-5, rtol=0)


TWO = """
import sys
import torch
from datasets import load_from_disk
from trainings import make, sgd
from tiny import Tiny
torch.set_num_threads(1)
args = sgd(sys.argv[3], max_steps=2, per_device_train_batch_size=2, learning_rate=0.1)
peft_config = None
if sys.argv[4] == "lora":
    from peft import LoraConfig
    from trainings import LANGUAGE_MODEL
    peft_config = LoraConfig(r=2, target_modules=LANGUAGE_MODEL, init_lora_weights=False)
trainer = make(Tiny(sys.argv[1], None), load_from_disk(sys.argv[2]), args, peft_config=peft_config)
rank = trainer.accelerator.process_index
torch.save(trainer.model.state_dict(), f"{sys.argv[3]}/start{rank}.pt")
trainer.train()
torch.save(trainer.model.state_dict(), f"{sys.argv[3]}/{rank}.pt")
if rank == 0:
    logged = [entry for entry in trainer.state.log_history if "score_net/weight_std" in entry]
    assert len(logged) == 2, trainer.state.log_history
    trainer.save_model()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["full", "lora"])
def test_processes_average_their_own_softmaxes(how, tiny, tmp_path):
    pool = with_embedding(one_picture_pool(8))
    pool.save_to_disk(tmp_path / "pool")
    (tmp_path / "two.py").write_text(TWO)
    run = "torch.distributed.run --nproc-per-node=2 --rdzv-backend=c10d --rdzv-endpoint=localhost:0"
    launch = [sys.executable, "-m", *run.split()]
    model = tiny("llava")
    here = Path(__file__).parents[1]
    done = subprocess.run(
        [*launch, tmp_path / "two.py", model.folder, tmp_path / "pool", tmp_path, how],
        env={**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(weights, two[key]) for key, weights in one.items())
    options = {}
    if how == "lora":
        options["peft_config"] = LoraConfig(r=2, target_modules=LANGUAGE_MODEL, init_lora_weights=False)
    alone = make(model, pool, sgd(tmp_path), **options)
    alone.model.load_state_dict(torch.load(tmp_path / "start0.pt"))
    # One process after the other takes a batch: rows 0, 1 and 2, 3 are the first step.
    expected = by_hand(alone, [[[0, 1], [2, 3]], [[4, 5], [6, 7]]], 0.1)
    for key, weights in expected.items():
        torch.testing.assert_close(
            one[key], weights, atol=1e-5, rtol=0, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert (tmp_path / "score_net" / "model.safetensors").exists()


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_resumes_exactly_with_separate_net(lora, tiny, tmp_path):
    def trained(resume=None):
        options = {"peft_config": LoraConfig(r=4, target_modules=LANGUAGE_MODEL)} if lora else {}
        trainer = make(tiny("llava"), pool, config(tmp_path, per_device_train_batch_size=4), **options)
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    pool = with_embedding(mixed_pool(12))  # text-only rows among them
    whole = trained()
    start = ScoreNet.fit(pool, "embedding").layers.weight
    assert not torch.equal(whole.score_net.layers.weight, start)
    resumed = trained(tmp_path / "checkpoint-3").model.state_dict()
    assert all(torch.equal(weights, resumed[key]) for key, weights in whole.model.state_dict().items())

    whole.save_model()
    saved = load_file(tmp_path / ("adapter_model.safetensors" if lora else "model.safetensors"))
    assert not [key for key in saved if "score_net" in key]
    net = ScoreNet.from_pretrained(tmp_path / "score_net")
    assert torch.equal(net.layers.weight, whole.score_net.layers.weight)
    if lora:
        trainable = {key for key, weights in whole.model.named_parameters() if weights.requires_grad}
        assert all("lora" in key or "score_net" in key for key in trainable)
    else:
        again = AutoModelForImageTextToText.from_pretrained(tmp_path).state_dict()
        assert all(torch.equal(weights, whole.model.state_dict()[key]) for key, weights in again.items())


def test_best_net_is_loaded_last(tiny, tmp_path):
    evaluation = {"eval_strategy": "steps", "eval_steps": 3, "greater_is_better": True}
    pool = with_embedding(one_picture_pool(8))
    args = config(tmp_path, load_best_model_at_end=True, per_device_train_batch_size=4, **evaluation)
    trainer = make(tiny("llava"), pool, args, eval_dataset=pool.select(range(4)))
    trainer.train()
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-3")
    best = ScoreNet.from_pretrained(tmp_path / "checkpoint-3" / "score_net")
    assert torch.equal(best.layers.weight, trainer.score_net.layers.weight)
    assert "score_net" in (tmp_path / "README.md").read_text()


def test_weights_and_losses_are_logged(tiny, tmp_path):
    trainer = make(tiny("llava"), with_embedding(one_picture_pool(12)), config(tmp_path))
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == 6
    assert all(entry["score_net/weight_min"] < 1 < entry["score_net/weight_max"] for entry in logged)
    assert all(f"score_net/nll_q{number}" in entry for entry in logged for number in (1, 2, 3, 4))


def test_report_by_quarter_of_weight():
    report = weight_report(np.array([2.0, 0.5, 1.0, 0.5]), np.array([1.0, 4.0, 2.0, 6.0]))
    quarters = [report[f"score_net/nll_q{number}"] for number in (1, 2, 3, 4)]
    assert quarters == [4.0, 6.0, 2.0, 1.0]
    assert report["score_net/weight_max"] == 2.0


def test_model_generates_without_score_inputs(tiny, tmp_path):
    trainer = make(tiny("llava"), with_embedding(one_picture_pool(4)), config(tmp_path, max_steps=1))
    trainer.train()
    inputs = trainer.data_collator([trainer.train_dataset[0]])
    asked = {key: value for key, value in inputs.items() if key not in ("labels", "score_inputs")}
    asked["max_new_tokens"] = 2
    assert trainer.model.generate(**asked).shape[1] > inputs["input_ids"].shape[1]


@pytest.mark.filterwarnings("ignore:3 of 6 rows are left out")
def test_unusable_rows_are_counted(tiny, tmp_path):
    rows = mixed_pool(6).with_format("arrow")[:].to_pylist()
    rows[0]["images"] = [{"bytes": b"", "path": None}]
    pool = mixed_pool(6)
    pool = type(pool).from_list(rows, features=pool.features)
    pool = pool.add_column("clip_score", [0.1, None, 0.3, 0.4, None, 0.6], feature=Value("float32"))
    pool = pool.add_column("clip_score_status", ["ok", "image_missing", "ok", "ok", "image_error", "ok"])
    trainer = make(tiny("llava"), pool, config(tmp_path), columns=["clip_score"])
    assert trainer.dropped == {"image_error": 2, "image_missing": 1}
    assert len(trainer.train_dataset) == 3


def test_what_cannot_be_trained_is_refused(tiny, tmp_path):
    pool = with_embedding(one_picture_pool(4))
    with pytest.raises(BudgetError, match=r"two rows in a batch.*per_device_train_batch_size=1"):
        make(tiny("llava"), pool, config(tmp_path, per_device_train_batch_size=1))
    with pytest.raises(BudgetError, match="at least two rows to train on, got 1"):
        make(tiny("llava"), pool.select([0]), config(tmp_path))
    with pytest.raises(ColumnError, match="embedding"):
        ScoreNetTrainer(
            tiny("llava").folder,
            pool=pool.remove_columns("embedding"),
            score_net=ScoreNet.fit(pool, "embedding"),
            args=config(tmp_path),
        )
