"""Names that are ours: a pool's own columns are neither replaced nor taken for ours, however they come."""

from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset, List, Value
from pools import assistant, pool, user
from trl import SFTConfig

from hf_vitselect import (
    ClipEmbedding,
    NecessityScorer,
    TextEmbedding,
    apply_selection,
    compare,
    score,
    select_diverse,
)
from hf_vitselect.cli.main import main
from hf_vitselect.data.columns import LENGTHS, RESERVED
from hf_vitselect.errors import ColumnError
from hf_vitselect.hub import push_to_hub
from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.report.html_page import write_report
from hf_vitselect.report.plots import plots
from hf_vitselect.report.statistics import statistics
from hf_vitselect.rules import NeighborPenalty, Random, TopScore
from hf_vitselect.scorers import Blend, JudgeScore
from hf_vitselect.selection.random_baselines import random_baselines
from hf_vitselect.training import ScoreNetTrainer, load_seed_rows, train_seed_model

ROWS = 6
OURS = [*RESERVED, LENGTHS]


def scored(**columns):
    rows = pool([([user(f"what? {i}"), assistant("red")], []) for i in range(ROWS)])
    rows = rows.add_column("necessity", np.arange(float(ROWS)).tolist(), feature=Value("float32"))
    for name, values in columns.items():
        rows = rows.add_column(name, values)
    return rows


def published(rows):
    """A selection whose rows have the columns all the same, as one of an older version."""
    return replace(select_diverse(scored(), 2, rule=TopScore()), dataset=rows)


NET = ScoreNet(["necessity"], scaling=[(0.0, 5.0, 2.5)])
HERE = "nowhere/model"  # whoever looks for it has begun to work
WAYS = {
    "score": lambda rows, at: score(rows, ClipEmbedding(HERE)),
    "score a stream": lambda rows, at: score(rows.to_iterable_dataset(), ClipEmbedding(HERE), at),
    "map": lambda rows, at: rows.map(NecessityScorer(HERE), batched=True),
    "map row by row": lambda rows, at: rows.map(NecessityScorer(HERE)),
    "select": lambda rows, at: select_diverse(rows, 2, rule=TopScore()),
    "select at random": lambda rows, at: select_diverse(rows, 2, rule=Random()),
    "extend": lambda rows, at: published(scored()).extend(rows, 1),
    "seed": lambda rows, at: train_seed_model(rows, HERE, 2, SFTConfig(str(at), use_cpu=True)),
    "seed rows": lambda rows, at: load_seed_rows(rows, at),
    "score net": lambda rows, at: ScoreNetTrainer(HERE, pool=rows, score_net=NET),
    "compare": lambda rows, at: compare(rows, {"top": TopScore()}, HERE, {"half": lambda model: 0.5}, at),
    "apply": lambda rows, at: apply_selection(rows, HERE),
    "push": lambda rows, at: push_to_hub(published(rows), HERE),
    "report": lambda rows, at: write_report(published(rows), at),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", RESERVED)
def test_reserved_column_is_refused_before_work(name, way, tmp_path):
    with pytest.raises(ColumnError, match=name):
        way(scored(**{name: ["mine"] * ROWS}), tmp_path / "out")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", OURS)
def test_suggested_rename_works(name, tmp_path):
    rows = scored(**{name: ["mine"] * ROWS, f"my_{name}": [1] * ROWS})
    with pytest.raises(ColumnError) as caught:
        select_diverse(rows, 2, rule=TopScore())
    renamed = eval(str(caught.value).partition("rename yours with ")[2], {"dataset": rows})
    selection = select_diverse(renamed, 2, rule=TopScore())
    assert selection.dataset[f"my_my_{name}"][:] == ["mine"] * 2
    assert selection.scores[f"my_{name}"][:] == [1] * ROWS


COMMANDS = {
    "score": ["--model_name_or_path", HERE],
    "select": ["--rule", "TopScore", "--budget", "2"],
    "seed": ["--model_name_or_path", HERE, "--budget", "2", "--use_cpu", "true", "--max_length", "9"],
    "score_net": ["--model_name_or_path", HERE, "--columns", "necessity", "--use_cpu", "true"],
    "compare": ["--model_name_or_path", HERE, "--selections", "TopScore", "--use_cpu", "true"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_reserved_columns(command, tmp_path, capsys):
    scored(rank=[9] * ROWS).save_to_disk(tmp_path / "pool")
    flags = [
        *COMMANDS[command],
        "--dataset_name",
        str(tmp_path / "pool"),
        "--output_dir",
        str(tmp_path / "out"),
    ]
    if command == "compare":
        flags += ["--eval_dataset_name", str(tmp_path / "pool"), "--eval_split", "train"]
    assert main([command, *flags]) == 2
    assert "dataset.rename_columns({'rank': 'my_rank'})" in capsys.readouterr().err


@pytest.mark.parametrize(
    "values", [["mine"] * ROWS, [[1, 2]] * ROWS, [0.5] * ROWS], ids=["text", "ids", "share"]
)
def test_lengths_must_be_integers(values):
    with pytest.raises(ColumnError, match=r"'response_tokens': 'my_response_tokens'"):
        select_diverse(scored(response_tokens=values), 2, rule=TopScore())


def test_integers_of_that_name_are_lengths():
    assert (
        "answer_characters"
        not in select_diverse(scored(response_tokens=[5] * ROWS), 2, rule=TopScore()).scores
    )


STATUSES = {
    "text": ["reviewed"] * ROWS,
    "several texts": ["reviewed", "todo"] * 3,
    "integers": [0] * ROWS,
    "truth values": [True] * ROWS,
    "numbers": [0.5] * ROWS,
    "lists": [["ok"]] * ROWS,
    "records": [{"ok": 1}] * ROWS,
    "bytes": [b"ok"] * ROWS,
    "nulls": [None] * ROWS,
}


@pytest.mark.filterwarnings("ignore:'necessity_status' holds no status")
@pytest.mark.parametrize("values", STATUSES.values(), ids=STATUSES)
def test_users_status_column_is_ignored(values):
    with pytest.warns(UserWarning, match=r"'necessity_status' holds no status.*'necessity'"):
        selection = select_diverse(scored(necessity_status=values), 2, rule=TopScore())
    assert selection.indices.tolist() == [5, 4]
    assert selection.recipe.dropped == {}
    assert selection.dataset["necessity_status"][:] == [values[5], values[4]]
    assert {len(rows) for rows in random_baselines(selection).values()} == {2}
    assert statistics(selection)
    assert plots(selection)


@pytest.mark.parametrize("values", [["ok", "reviewed"] * 3, ["bad_row", ""] * 3], ids=["ok", "empty"])
def test_statuses_beside_other_texts_are_refused(values):
    with pytest.raises(ColumnError, match=r"rename_column\('necessity_status', 'my_necessity_status'\)"):
        select_diverse(scored(necessity_status=values), 2, rule=TopScore())


def test_column_scorer_ignores_users_status():
    rows = scored(necessity_status=["reviewed"] * ROWS)
    with pytest.warns(UserWarning, match="holds no status"):
        blended = rows.map(Blend.fit(rows, {"necessity": 1.0}), batched=True)
    assert blended["blend_status"][:] == ["ok"] * ROWS


@pytest.mark.parametrize("status", [0, "reviewed", None, ["ok"], {"ok": 1}], ids=repr)
@pytest.mark.parametrize("batched", [True, False], ids=["batch", "row"])
@pytest.mark.filterwarnings("ignore:'necessity_status' holds no status")
def test_mapping_with_users_status_is_scored(batched, status):
    blend = Blend.fit(scored(), {"necessity": 1.0})
    row = {"necessity": 2.0, "necessity_status": status}
    found = blend({name: [value] * 2 for name, value in row.items()} if batched else row)
    assert found["blend_status"] == (["ok"] * 2 if batched else "ok")


def test_users_texts_are_not_published():
    scores = select_diverse(scored(review_status=["a secret"] * ROWS), 2, rule=TopScore()).scores
    assert "review_status" not in scores.column_names


TAKEN = [*OURS, "images", "image", "messages", "prompt", "completion", "conversations", "texts"]
TAKEN += ["image_2", "photo", "video", "audio_path", "system", "tools", "history"]
MAKERS = {
    "necessity": lambda name: NecessityScorer(HERE, column=name),
    "clip": lambda name: ClipEmbedding(HERE, column=name),
    "text": lambda name: TextEmbedding(HERE, column=name),
    "judge": lambda name: JudgeScore("judge", base_url="http://127.0.0.1:1", column=name),
    "blend": lambda name: Blend.fit(scored(), {"necessity": 1.0}, column=name),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("name", [*TAKEN, "x_status", "x_reason", "", 3])
def test_scorer_column_cannot_be_reserved(make, name):
    with pytest.raises(ColumnError, match=r"column: expected a (new )?name"):
        make(name)


@pytest.mark.parametrize("name", RESERVED)
def test_own_scorer_column_cannot_be_reserved(name):
    scorer = NecessityScorer(HERE)
    scorer.column = name
    with pytest.raises(ColumnError, match=f"would add \\['{name}'\\]"):
        scored().remove_columns("necessity").map(scorer, batched=True)


def test_numeric_contents_are_not_published():
    rows = Dataset.from_dict({"prompt": ["how many?"] * 4, "completion": [3, 4, 5, 6]})
    assert "completion" not in select_diverse(rows, 2, rule=Random()).scores.column_names


def test_score_column_cannot_be_reserved(tmp_path):
    for name in ("pool", "rows", "overlap", "random, lengths of top", "..", ""):
        selections = {"top": TopScore(), name: TopScore(lowest=True)}
        with pytest.raises(ValueError, match="expected other names"):
            compare(scored(), selections, HERE, {"half": lambda model: 0.5}, tmp_path)


def test_compare_refuses_its_own_columns(tmp_path):
    for name in ("response_characters", "resembled"):
        with pytest.raises(ColumnError, match=f"my_{name}"):
            compare(scored(**{name: [1] * ROWS}), {"top": TopScore()}, HERE, {"half": print}, tmp_path)


def test_vectors_ignore_users_status():
    rows = scored(embedding_status=[1] * ROWS)
    rows = rows.add_column(
        "embedding", [[float(i), 1.0] for i in range(ROWS)], feature=List(Value("float32"))
    )
    with pytest.warns(UserWarning, match="'embedding_status' holds no status"):
        assert len(select_diverse(rows, 3, rule=NeighborPenalty())) == 3
