"""A processor is the model's own, its base model's or one that is named, and fits, or that is one error."""

import json
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from pools import assistant, mixed_pool, pool, user
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig

from hf_vitselect import NecessityScorer, score, select_diverse
from hf_vitselect.cli.main import main
from hf_vitselect.errors import ModelError
from hf_vitselect.models.processors import SavedProcessor
from hf_vitselect.rules import Random
from hf_vitselect.scorers import GraNdScorer
from hf_vitselect.training import SelectionSFTTrainer, train_seed_model

POOL = mixed_pool(4)
ARGUMENTS = {"max_length": None, "use_cpu": True, "bf16": False, "report_to": "none", "max_steps": 1}


@pytest.fixture
def processor(tiny, tmp_path):
    """The processor alone, in a folder of its own."""
    AutoProcessor.from_pretrained(tiny("llava").folder).save_pretrained(tmp_path / "processor")
    return str(tmp_path / "processor")


def change(folder, **values):
    path = Path(folder, "processor_config.json")
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name not in values}
    path.write_text(json.dumps(kept | {name: value for name, value in values.items() if value is not None}))


def strip(folder):
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (Path(folder) / name).unlink()


LOADS = {
    "scorer": lambda folder: score(POOL, NecessityScorer(folder)),
    "gradients": lambda folder: score(POOL, GraNdScorer(folder)),
    "trainer": lambda folder: SelectionSFTTrainer(
        folder,
        selection=select_diverse(POOL, 2, rule=Random()),
        args=SFTConfig(f"{folder}/out", **ARGUMENTS),
    ),
    "seed": lambda folder: train_seed_model(POOL, folder, 2, SFTConfig(f"{folder}/out", **ARGUMENTS)),
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_a_missing_patch_size_is_explained(load, llava):
    change(llava, patch_size=None)
    with pytest.raises(ModelError, match=r"without patch_size.*set processor\.patch_size = ") as caught:
        load(str(llava))
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    "values",
    [{"vision_feature_select_strategy": None}, {"num_additional_image_tokens": 0}, {"patch_size": 4}],
    ids=str,
)
def test_other_image_token_counts_are_refused(values, llava):
    change(llava, **values)
    with pytest.raises(ModelError, match="expected a processor that"):
        score(POOL, NecessityScorer(str(llava)))


def test_a_tokenizer_alone_serves_text(tiny):
    # Without torchvision that is all that the folder of a Qwen2-VL gives.
    rows = pool([([user("what?"), assistant("red")], []), *[(POOL[0]["messages"], [b""])]])
    statuses = rows.map(NecessityScorer(tiny("qwen2_vl").folder), batched=True)["necessity_status"][:]
    assert statuses == ["ok", "media_unsupported"]


def test_a_processor_is_named(llava, processor, tiny):
    want = score(POOL, NecessityScorer(tiny("llava").folder))["necessity"][:]
    strip(llava)
    with pytest.raises(ModelError, match="expected a model with its processor"):
        score(POOL, NecessityScorer(str(llava)))
    for given in (processor, Path(processor)):
        assert score(POOL, NecessityScorer(str(llava), processor=given))["necessity"][:] == want


def test_loaded_processors_have_one_digest(processor):
    loaded = [AutoProcessor.from_pretrained(processor, local_files_only=only) for only in (True, False)]
    assert len({SavedProcessor.of(one).recipe()["digest"] for one in loaded}) == 1


def test_its_files_belong_to_the_recipe(llava, processor):
    scorer = NecessityScorer(str(llava), processor=processor)
    one = scorer.recipe()["identity"]["processor"]["digest"]
    change(processor, patch_size=4)
    assert scorer.recipe()["identity"]["processor"]["digest"] != one
    assert score(POOL, NecessityScorer(str(llava))).info.description.count('"processor": null') == 1


def test_remote_code_is_in_the_recipe(llava, monkeypatch):
    path = llava / "config.json"
    classes = {"AutoModel": "lab/code--modeling.Model", "AutoConfig": "own.Config"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": classes}))
    monkeypatch.setattr("hf_vitselect.models.revisions._commit", lambda name, revision: f"commit of {name}")
    recipe = NecessityScorer(str(llava), trust_remote_code=True).recipe()
    assert recipe["identity"]["code"] == [{"model": "lab/code", "commit": "commit of lab/code"}]
    assert "code" not in NecessityScorer(str(llava)).recipe()["identity"]


def test_adapters_take_their_base_processor(llava, tmp_path):
    model = AutoModelForImageTextToText.from_pretrained(llava)
    get_peft_model(model, LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "lora")
    want = score(POOL, NecessityScorer(str(llava)))["necessity"][:]
    assert score(POOL, NecessityScorer(str(tmp_path / "lora")))["necessity"][:] == pytest.approx(want)


def test_the_flag_reaches_scores_and_training(llava, processor, tmp_path, monkeypatch):
    strip(llava)
    POOL.save_to_disk(tmp_path / "pool")
    common = ["--model_name_or_path", str(llava), "--processor_name_or_path", processor]
    common += ["--end_of_turn", "template", "--dataset_name", str(tmp_path / "pool")]
    quiet = ["--use_cpu", "true", "--bf16", "false", "--report_to", "none", "--max_steps", "1"]
    seed, scored = tmp_path / "seed", tmp_path / "scored"
    assert main(["seed", *common, *quiet, "--budget", "2", "--output_dir", str(seed)]) == 0
    assert (seed / "processor_config.json").exists()
    assert json.loads((seed / "seed_rows.json").read_text())["recipe"]["end_of_turn"] == "template"
    assert main(["score", *common, "--output_dir", str(scored)]) == 0
    info = json.loads((scored / "scored" / "dataset_info.json").read_text())["description"]
    assert '"end_of_turn": "template"' in info
    assert processor in info
