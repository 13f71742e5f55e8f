"""ScoreNet reads named columns in order, scales them over the pool and is saved with all of that."""

from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, List, Value
from hub_server import HubServer, run_client
from safetensors.torch import load_file

from hf_vitselect.errors import ColumnError
from hf_vitselect.models.score_net import ScoreNet


@pytest.fixture
def pool():
    rows = {
        "clip_score": [0.1, 0.2, 0.4, None, 0.3],
        "clip_score_status": ["ok", "ok", "ok", "image_missing", "image_error"],
        "judge": [0, 5, 10, 7, 1],
        "constant": [2.0] * 5,
    }
    embedding = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], None, [0.5, 0.5]]
    return Dataset.from_dict(rows).add_column(
        "embedding", embedding, feature=List(Value("float32"), length=2)
    )


def test_columns_are_scaled_over_the_pool(pool):
    inputs, statuses = ScoreNet.fit(pool, ["judge", "clip_score"]).read(pool)
    assert statuses.tolist() == ["ok", "ok", "ok", "ok", "image_error"]
    mean = (0.1 + 0.2 + 0.4) / 3
    scaled = [[-1, -1], [0, -1 / 3], [1, 1], [0.4, 2 * (mean - 0.1) / 0.3 - 1]]
    np.testing.assert_allclose(inputs[:4], scaled, atol=1e-6)
    assert inputs.dtype == np.float32


def test_unscored_rows_keep_their_status(pool):
    _, statuses = ScoreNet.fit(pool, "clip_score").read(pool)
    assert statuses.tolist() == ["ok", "ok", "ok", "image_missing", "image_error"]


def test_a_constant_column_is_zero(pool):
    inputs, _ = ScoreNet.fit(pool, ["constant"]).read(pool)
    assert inputs.tolist() == [[0.0]] * 5


def test_embeddings_are_read_unscaled(pool):
    inputs, statuses = ScoreNet.fit(pool, "embedding").read(pool)
    assert statuses.tolist() == ["ok", "ok", "ok", "bad_row", "ok"]
    np.testing.assert_array_equal(inputs[[0, 1, 2, 4]], [[1, 0], [0, 1], [1, 1], [0.5, 0.5]])


@pytest.mark.parametrize("columns", [["judge", "clip_score"], "embedding"], ids=["scores", "embedding"])
def test_one_row_reads_as_many_do(pool, columns):
    net = ScoreNet.fit(pool, columns)
    inputs, statuses = net.read(pool)
    for i in np.flatnonzero(statuses == "ok"):
        np.testing.assert_array_equal(net.row_inputs(pool[int(i)]), inputs[i])


def test_the_default_is_linear_without_bias(pool):
    net = ScoreNet.fit(pool, "embedding")
    (weight,) = net.parameters()
    assert weight.shape == (1, 2)
    inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    torch.testing.assert_close(net(inputs), inputs @ weight[0])
    assert net(torch.zeros(1, 2)).item() == 0


@pytest.mark.parametrize("hidden", [None, 3], ids=["linear", "mlp"])
@pytest.mark.parametrize("columns", [["judge", "clip_score"], "embedding"], ids=["scores", "embedding"])
def test_saved_and_loaded_whole(pool, columns, hidden, tmp_path):
    net = ScoreNet.fit(pool, columns, hidden=hidden, seed=3)
    net.save_pretrained(tmp_path)
    again = ScoreNet.from_pretrained(tmp_path)
    assert again.columns == net.columns
    inputs, statuses = net.read(pool)
    ok = statuses == "ok"
    np.testing.assert_array_equal(inputs[ok], again.read(pool)[0][ok])
    assert torch.equal(net(torch.from_numpy(inputs[ok])), again(torch.from_numpy(inputs[ok])))
    assert set(load_file(tmp_path / "model.safetensors")) == set(net.state_dict())
    assert "`" + net.columns[0] + "`" in (tmp_path / "README.md").read_text()


def test_the_seed_fixes_the_net_alone(pool):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two, other = (ScoreNet.fit(pool, "embedding", seed=seed).layers.weight for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_wrong_columns_are_refused(pool):
    with pytest.raises(ColumnError, match="nothing_like_it"):
        ScoreNet.fit(pool, ["judge", "nothing_like_it"])
    with pytest.raises(ColumnError, match="expected numbers"):
        ScoreNet.fit(pool, ["judge", "embedding"])
    with pytest.raises(ColumnError, match="fixed length"):
        ScoreNet.fit(Dataset.from_dict({"text": ["a"]}).add_column("v", [[1.0]]), "v")
    other, net = Dataset.from_dict({"embedding": [[1.0, 2.0, 3.0]]}), ScoreNet.fit(pool, "embedding")
    with pytest.raises(ColumnError, match="made for 2 dimensions in 'embedding', got 3"):
        net.read(other)
    with pytest.raises(ValueError, match=r"ScoreNet\.fit"):
        ScoreNet(["a", "b"], width=4)


def push_and_load() -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from huggingface_hub import HfApi

    from hf_vitselect import ScoreNetScorer
    from hf_vitselect.models.score_net import ScoreNet

    messages = [[{"role": "assistant", "content": "a"}]] * 2
    pool = Dataset.from_dict({"b": [1.0, 3.0], "a": [0.0, 5.0], "messages": messages})
    net = ScoreNet.fit(pool, ["b", "a"])
    net.push_to_hub("tester/net")
    again = ScoreNet.from_pretrained("tester/net")
    scored = pool.map(ScoreNetScorer("tester/net"), batched=True)
    return {
        "files": HfApi().list_repo_files("tester/net"),
        "columns": again.columns,
        "same": torch.equal(net.layers.weight, again.layers.weight),
        "scores": scored["score_net"][:],
        "expected": (-net(torch.from_numpy(net.read(pool)[0]))).tolist(),
        "identity": ScoreNetScorer("tester/net").recipe()["identity"],
    }


def test_a_pushed_net_scores_alike(tmp_path):
    with HubServer(tmp_path / "hub") as hub:
        saw = run_client(push_and_load, hub.url, tmp_path)
    assert set(saw["files"]) >= {"README.md", "config.json", "model.safetensors"}
    assert saw["columns"] == ["b", "a"]
    assert saw["same"]
    assert saw["scores"] == pytest.approx(saw["expected"])
    assert len(saw["identity"]["commit"]) == 40
