"""Every scorer of the package by its text, and what `score` refuses."""

import json
import shlex

import pytest
from datasets import load_from_disk
from judge_server import JudgeServer, Reply
from pools import one_picture_pool
from tiny_embedders import save_clip, save_sentence_transformer

from hf_vitselect.call_text import read_call, write_call
from hf_vitselect.cli.main import main
from hf_vitselect.cli.parse import parse_section
from hf_vitselect.cli.score import Score, main_column
from hf_vitselect.errors import UsageError
from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.rules.mmssr import CAPABILITIES
from hf_vitselect.scorers import SCORERS, SIGNALS, ClipEmbedding

TEXTS = {
    "Blend": 'Blend(weights={"necessity": 1.0, "el2n": -0.5}, normalize="z")',
    "CapabilityScorer": 'CapabilityScorer(model="any", base_url="{url}")',
    "ClipEmbedding": 'ClipEmbedding(model="{clip}", batch_size=2)',
    "ClipScore": 'ClipScore(model="{clip}")',
    "EL2NScorer": 'EL2NScorer(model="{vlm}", dtype="float32")',
    "GraNdScorer": 'GraNdScorer(model="{vlm}", parameters="all")',
    "ImageGain": 'ImageGain(model="{vlm}")',
    "JudgeScore": 'JudgeScore(model="any", column="taste", base_url="{url}")',
    "MIWVScorer": 'MIWVScorer(model="{vlm}", over="embedding")',
    "NecessityScorer": 'NecessityScorer(model="{vlm}", batch_size=2)',
    "OtherAnswer": 'OtherAnswer(model="{vlm}")',
    "PerplexityScorer": 'PerplexityScorer(model="{vlm}", end_of_turn="template")',
    "QuestionGain": 'QuestionGain(model="{vlm}")',
    "ScoreNetScorer": 'ScoreNetScorer(model="{net}")',
    "TextEmbedding": 'TextEmbedding(model="{text}", column="words")',
    "UPDScorer": 'UPDScorer(model="{vlm}", max_length=4000)',
}


@pytest.fixture(scope="module")
def models(tiny, scored_pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    ScoreNet.fit(scored_pool, ["necessity"]).save_pretrained(folder / "net")
    return {
        "vlm": tiny("llava").folder,
        "clip": save_clip(folder / "clip"),
        "text": save_sentence_transformer(folder / "text"),
        "net": str(folder / "net"),
    }


def filled(text, places):
    for name, place in places.items():
        text = text.replace(f"{{{name}}}", place)
    return text


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_are_read_and_written(name, models):
    text = filled(TEXTS[name], models | {"url": "http://localhost:1/v1"})
    scorer = read_call(text, SCORERS)
    assert write_call(scorer) == text
    again = read_call(write_call(scorer), SCORERS)
    state = {key: value for key, value in vars(scorer).items() if not key.startswith("_")}
    assert {key: getattr(again, key) for key in state} == state


def test_every_scorer_runs_by_its_text(models, tmp_path, capsys):
    one_picture_pool(4).select([0, 2]).save_to_disk(tmp_path / "pool")
    capabilities = json.dumps(dict.fromkeys(CAPABILITIES, 3) | {"style": "yes/no"})
    with JudgeServer() as server:
        server.reply = lambda content: Reply("7" if isinstance(content, str) else capabilities)
        texts = [filled(text, models | {"url": server.url}) for text in TEXTS.values()]
        flags = ["--dataset_name", str(tmp_path / "pool"), "--output_dir", str(tmp_path / "out")]
        assert main(["score", *flags, "--scorers", *texts]) == 0, capsys.readouterr().err
        assert main(["score", *flags, "--scorers", *texts]) == 0, capsys.readouterr().err
    scored = load_from_disk(tmp_path / "out" / "scored")
    columns = [main_column(read_call(text, SCORERS)) for text in texts]
    statuses = {column: scored[f"{column}_status"][:] for column in columns}
    assert statuses == {column: ["ok", "ok"] for column in columns}


def test_columns_are_known_before_scoring(models):
    texts = [filled(text, models | {"url": "http://localhost:1/v1"}) for text in TEXTS.values()]
    command = parse_section("score", {"dataset_name": "x", "scorers": texts})
    added = command.added_columns()
    assert {"blend", "capability_style", "embedding_status", "response_tokens", "miwv_reason"} <= {*added}
    assert len(added) == len(set(added))


def test_signals_are_losses_of_one_model():
    assert set(SIGNALS) == {
        "necessity",
        "perplexity",
        "image_gain",
        "question_gain",
        "el2n",
        "upd",
        "other_answer_odds",
    }


def test_short_flags_are_the_same_scorers():
    flags = {"dataset_name": "x", "model_name_or_path": "m", "signals": ["upd"], "suffix": "_2"}
    short = parse_section("score", {**flags, "clip_name_or_path": "c", "model_revision": "v1"})
    upd, clip = short.all_scorers
    assert write_call(upd) == 'UPDScorer(model="m", column="upd_2", revision="v1")'
    assert isinstance(short, Score)
    assert isinstance(clip, ClipEmbedding)


def test_budget_scores_fewer_rows(tiny, tmp_path, capsys):
    pool = one_picture_pool(rows=80).add_column("source", ["a", "b"] * 40)
    pool.save_to_disk(str(tmp_path / "pool"))
    how = ["--seed", "3", "--method", "Method(filters=(LossTail(),), kinds='source')"]
    flags = ["--dataset_name", str(tmp_path / "pool"), "--output_dir", str(tmp_path / "out"), *how]
    main(["score", *flags, "--model_name_or_path", tiny("llava").folder, "--budget", "10%"])
    scored = load_from_disk(str(tmp_path / "out" / "scored"))
    unscored = scored["necessity_status"][:].count("not_scored")
    assert 40 <= unscored < 80
    told = capsys.readouterr().out
    assert f"{unscored} rows, which the selection does not need" in told
    _, *command = shlex.split(told.splitlines()[-1].removeprefix("next"))
    main([*command[:-1], str(tmp_path / "subset")])  # the last word is the output folder
    assert "8 (budget 0.1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"method": "CleanBalanced()"}, "method: expected budget with it"),
        ({"seed": 2}, "seed: expected budget with it"),
        ({"exclude": "seed"}, "exclude: expected budget with it"),
        ({"budget": "0.1", "method": "SelfFilter()"}, "budget: expected a method that draws rows at random"),
        ({"budget": "0.1", "dataset_streaming": True}, "budget: expected a pool that is not streamed"),
        ({"budget": "a"}, "budget: expected rows"),
    ],
)
def test_meaningless_budgets_are_refused(flags, message):
    given = {"dataset_name": "pool", "model_name_or_path": "any", **flags}
    with pytest.raises(UsageError, match=message):
        parse_section("score", given).check()
