"""The paper's claim, planted: rows with a higher loss get a lower weight (Self-Filter, arXiv 2402.12501)."""

import numpy as np
import pytest
import torch
from datasets import List, Value
from pools import assistant, png, pool, user
from scipy.stats import spearmanr
from trainings import config

from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.scorers import NecessityScorer
from hf_vitselect.training import ScoreNetTrainer

pytestmark = pytest.mark.slow

ROWS, WRONG = 64, 24
WORDS = ["red", "green", "blue", "one", "two", "three", "left", "right", "above", "below", "cat", "dog"]


def planted_pool(seed):
    """Easy rows, whose answer follows from the question, and rows whose answer is anything.

    The net sees two scores: one that tells wrong rows from right ones with noise, as a CLIP score would,
    and one that tells nothing; or an embedding in which both are hidden.
    """
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(ROWS) < WRONG
    rows = []
    for i in range(ROWS):
        kind = int(rng.integers(3))
        answer = " ".join(rng.choice(WORDS, 3)) if wrong[i] else ("red", "green", "blue")[kind]
        rows.append(([user(("first", "second", "third")[kind], 1), assistant(answer)], [png(i)]))
    match = np.where(wrong, -0.5, 0.5) + rng.normal(scale=0.4, size=ROWS)
    idle = rng.normal(size=ROWS)
    hidden = np.stack([match, idle], axis=1) @ rng.normal(size=(2, 6))
    made = pool(rows).add_column("match", match).add_column("idle", idle)
    kind = List(Value("float32"), length=6)
    return made.add_column("embedding", hidden.tolist(), feature=kind)


@pytest.mark.parametrize("columns", [["match", "idle"], "embedding"], ids=["scores", "embedding"])
def test_higher_losses_get_lower_weights(columns, tiny, tmp_path, capsys):
    found = []
    for seed in range(3):
        rows = planted_pool(seed)
        net = ScoreNet.fit(rows, columns)
        torch.nn.init.zeros_(net.layers.weight)  # equal weights: what order there is in the end was learnt
        training = {"max_steps": 60, "lr_scheduler_type": "constant", "per_device_train_batch_size": 16}
        args = config(tmp_path / str(seed), save_strategy="no", seed=seed, **training)
        trainer = ScoreNetTrainer(tiny("llava").folder, pool=rows, score_net=net, args=args)
        trainer.train()
        trainer.save_model()
        loss = rows.map(NecessityScorer(str(tmp_path / str(seed))), batched=True)["necessity"][:]
        with torch.no_grad():
            weights = net(torch.from_numpy(net.read(rows)[0])).numpy()
        found.append(float(spearmanr(weights, loss).statistic))
    with capsys.disabled():
        print(f"\nrank correlation of weight and loss over {columns}: {np.round(found, 3).tolist()}")
    assert max(found) < -0.3
