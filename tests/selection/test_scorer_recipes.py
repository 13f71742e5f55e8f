"""What the recipe says about the scorers."""

import pytest
from datasets import Features, Value, load_from_disk
from pools import mixed_pool

from hf_vitselect import NecessityScorer, Selection, TextEmbedding, score, select_diverse
from hf_vitselect.errors import SelectionError
from hf_vitselect.report.dataset_card import dataset_card
from hf_vitselect.rules import NeighborPenalty, Random, TopScore
from hf_vitselect.selection.scorer_recipes import ScorerRecipe


def test_scorer_object_enters_recipe(tiny):
    need, more = (
        NecessityScorer(tiny("llava").folder),
        NecessityScorer(tiny("idefics3").folder, column="more"),
    )
    dataset = mixed_pool(8).map(need, batched=True).map(more, batched=True)
    selection = select_diverse(dataset, 3, by=more, rule=TopScore())
    assert selection.recipe.by == "more"
    assert more.recipe() in [scorer.to_json() for scorer in selection.recipe.scorers]
    by_name = select_diverse(dataset, 3, by="more", rule=TopScore())
    assert by_name.indices.tolist() == selection.indices.tolist()


def test_recorded_scorers_enter_recipe(tiny, tmp_path):
    scorer = NecessityScorer(tiny("llava").folder)
    score(mixed_pool(8), scorer).save_to_disk(tmp_path / "scored")
    selection = select_diverse(load_from_disk(tmp_path / "scored"), 3, rule=TopScore())
    assert [recipe.to_json() for recipe in selection.recipe.scorers] == [scorer.recipe()]
    assert selection.recipe.scorers[0].identity.digest


def test_processor_object_enters_recipe(tiny, tmp_path):
    model = tiny("qwen2_5_vl")
    scorer = NecessityScorer(model.folder, processor=model.processor)
    selection = select_diverse(score(mixed_pool(8), scorer), 3, rule=TopScore())
    selection.save_to_disk(tmp_path)
    (recipe,) = Selection.load_from_disk(tmp_path).recipe.scorers
    processor = scorer.recipe()["processor"]
    assert recipe.settings["processor"] == processor
    assert f"processor `Qwen2VLImagesOnly`, digest `{processor['digest']}`" in str(dataset_card(selection))
    with pytest.raises(SelectionError, match=r"processor\.digest"):
        ScorerRecipe.from_json({"column": "necessity", "processor": {"class": "Any"}}, "scorer")


def test_scorer_of_removed_column_is_omitted(tiny):
    scored = score(mixed_pool(8), NecessityScorer(tiny("llava").folder))
    bare = scored.remove_columns(["necessity", "response_tokens", "necessity_status"])
    assert select_diverse(bare, 3, rule=Random()).recipe.scorers == ()


def test_scorer_objects_name_mapped_columns(tiny, tmp_path_factory):
    from tiny_embedders import save_sentence_transformer

    need = NecessityScorer(tiny("llava").folder)
    meaning = TextEmbedding(save_sentence_transformer(tmp_path_factory.mktemp("text")), column="meaning")
    dataset = mixed_pool(8).map(need, batched=True).map(meaning, batched=True)
    selection = select_diverse(dataset, 4, by=need, over=meaning, rule=NeighborPenalty())
    assert [recipe.scorer for recipe in selection.recipe.scorers] == [
        "NecessityScorer",
        "TextEmbedding",
    ]
    assert "meaning" not in selection.scores.column_names
    assert selection.scores.features["necessity"] == Value("float32")
    assert selection.dataset.features == Features(dataset.features)
