"""Models whose files do not hold every weight are refused by name and count, whoever loads them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from pools import mixed_pool
from safetensors.torch import load_file, save_file
from tiny_embedders import save_clip, save_sentence_transformer
from transformers import AutoModelForImageTextToText, AutoProcessor, CLIPVisionModel
from trl import SFTConfig

from hf_vitselect import ClipEmbedding, ClipScore, NecessityScorer, ScoreNet, TextEmbedding, select_diverse
from hf_vitselect.errors import ModelError
from hf_vitselect.evaluation import ExactMatch
from hf_vitselect.rules import Random
from hf_vitselect.scorers import GraNdScorer, ScoreNetScorer
from hf_vitselect.training import ScoreNetTrainer, SelectionSFTTrainer, train_seed_model


def without(*words):
    return lambda weights: {
        name: value for name, value in weights.items() if not any(word in name for word in words)
    }


def renamed(old, new):
    return lambda weights: {name.replace(old, new): value for name, value in weights.items()}


def cut(word):
    return lambda weights: {
        name: value[:1].clone() if word in name else value for name, value in weights.items()
    }


def broken(word):
    return lambda weights: {
        name: value * (float("nan") if word in name else 1) for name, value in weights.items()
    }


def edit(folder, change, file="model.safetensors"):
    path = Path(folder, file)
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def configure(folder, file="config.json", **changes):
    path = Path(folder, file)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(load):
    with pytest.raises(ModelError) as caught:
        load()
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


@pytest.fixture
def adapter(llava, tmp_path, request):
    model, options = AutoModelForImageTextToText.from_pretrained(llava), getattr(request, "param", {})
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, **options)
    get_peft_model(model, config).save_pretrained(tmp_path / "lora")
    return tmp_path / "lora"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("projector"), ["4 weights missing", "multi_modal_projector.linear_1.bias"]),
        (without("lm_head"), ["1 weights missing", "lm_head.weight"]),
        (without("layers.1.self_attn"), ["missing", "layers.1.self_attn"]),
        (without("patch_embedding"), ["1 weights missing", "patch_embedding"]),
        (renamed("down_proj", "dense"), ["missing", "does not have", "mlp.dense"]),
        (cut("linear_1.weight"), ["1 weights of another shape", "linear_1.weight (1, 32), not (32, 32)"]),
        (lambda _: {"other": torch.zeros(1)}, ["missing", "1 weights that the model does not have: other"]),
        (broken("model.layers.0.self_attn.q_proj"), ["NaN", " 1: ", "layers.0.self_attn.q_proj.weight"]),
    ],
)
def test_a_vlm_lacking_weights_is_refused(change, words, llava):
    edit(llava, change)
    message = refusal(lambda: NecessityScorer(str(llava)).loaded)
    assert all(word in message for word in words)


def test_surplus_layers_are_refused(llava):
    text = json.loads((llava / "config.json").read_text())["text_config"]
    configure(llava, text_config=text | {"num_hidden_layers": 1})
    assert "language_model.layers.1" in refusal(lambda: NecessityScorer(str(llava)).loaded)


def test_tied_output_layers_may_be_missing(llava):
    text = json.loads((llava / "config.json").read_text())["text_config"]
    configure(llava, text_config=text | {"tie_word_embeddings": True}, tie_word_embeddings=True)
    edit(llava, without("lm_head"))
    model = NecessityScorer(str(llava)).loaded.model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("unused", ["post_layernorm", "position_ids"])
def test_unused_weights_may_be_missing(unused, llava, tiny):
    edit(llava, without(unused))
    pool = mixed_pool(4)
    scored = [
        pool.map(NecessityScorer(str(it)), batched=True)["necessity"][:]
        for it in (llava, tiny("llava").folder)
    ]
    assert scored[0] == scored[1]


@pytest.mark.parametrize(
    "load",
    [
        lambda folder, _: GraNdScorer(folder).loaded,
        lambda folder, _: ExactMatch(mixed_pool(2))(folder),
        lambda folder, args: SelectionSFTTrainer(
            folder, selection=select_diverse(mixed_pool(4), 2, rule=Random()), args=args
        ),
        lambda folder, args: train_seed_model(mixed_pool(4), folder, 2, args),
        lambda folder, args: ScoreNetTrainer(
            folder, pool=mixed_pool(4).add_column("x", [0.0, 1, 2, 3]), score_net=NET, args=args
        ),
    ],
    ids=["gradients", "evaluation", "training", "seed", "score-net-training"],
)
def test_whoever_loads_it_refuses_it(load, llava, tmp_path):
    edit(llava, without("projector"))
    args = SFTConfig(
        str(tmp_path / "out"), max_length=None, use_cpu=True, bf16=False, report_to="none", max_steps=1
    )
    assert "4 weights missing" in refusal(lambda: load(str(llava), args))


NET = ScoreNet(["x"], scaling=[(0.0, 3.0, 1.5)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed("language_model", "text_model"), ["8 weights missing", "8 weights that the model"]),
        (without("language_model.layers.1"), ["4 weights missing", "layers.1.self_attn.q_proj.lora_A"]),
        (cut("lora_A"), ["8 weights of another shape"]),
        (lambda weights: weights | {"base_model.model.other.lora_A.weight": torch.zeros(1)}, ["other.lora"]),
    ],
)
def test_misfitting_adapters_are_refused(change, words, adapter):
    edit(adapter, change, "adapter_model.safetensors")
    message = refusal(lambda: NecessityScorer(str(adapter)).loaded)
    assert "adapter" in message
    assert all(word in message for word in words)


def test_adapters_on_incomplete_bases_are_refused(adapter, llava):
    edit(llava, without("projector"))
    assert "4 weights missing" in refusal(lambda: NecessityScorer(str(adapter)).loaded)


@pytest.mark.parametrize("base", [None, "", "no/such-model"])
def test_adapters_without_base_are_refused(base, adapter, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    configure(adapter, "adapter_config.json", base_model_name_or_path=base)
    assert str(adapter) in refusal(lambda: NecessityScorer(str(adapter)).recipe())


def test_adapters_next_to_models_are_refused(adapter, llava):
    shutil.copy(adapter / "adapter_config.json", llava)
    assert "got both" in refusal(lambda: NecessityScorer(str(llava)).loaded)


@pytest.mark.parametrize("adapter", [{}, {"use_dora": True}], ids=str, indirect=True)
def test_an_adapter_scores_as_peft_does(adapter, llava):
    from peft import PeftModel

    from hf_vitselect.models.vlm import VLM

    # Its magnitudes too are other than those that PEFT begins with.
    edit(adapter, lambda weights: {name: 2 * it for name, it in weights.items()}, "adapter_model.safetensors")
    base = AutoModelForImageTextToText.from_pretrained(llava)
    by_hand = VLM(PeftModel.from_pretrained(base, adapter), AutoProcessor.from_pretrained(llava))
    vlm = VLM.load(str(adapter), device="cpu")
    for one, other in zip(*(it.score(it.encoder.probes) for it in (vlm, by_hand)), strict=True):
        torch.testing.assert_close(one.nll, other.nll)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
@pytest.mark.parametrize("which", ["llava", "adapter"])
def test_a_torn_file_is_one_message(share, which, request):
    folder = request.getfixturevalue(which)
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "copy or download" in refusal(lambda: NecessityScorer(str(folder)).loaded)


@pytest.mark.parametrize("which", ["llava", "adapter"])
def test_a_pickled_checkpoint_is_one_message(which, request):
    folder = request.getfixturevalue(which)
    path = next(folder.glob("*.safetensors"))
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()
    assert "save it again" in refusal(lambda: NecessityScorer(str(folder)).loaded)


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq"])
def test_a_missing_package_is_one_message(method, llava):
    kind = {"load_in_4bit": True} if method == "bitsandbytes" else {"bits": 4}
    configure(llava, quantization_config={"quant_method": method, **kind})
    assert "install" in refusal(lambda: NecessityScorer(str(llava)).loaded)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dtype": "float17"}, "float17"),
        ({"dtype": "int8"}, "int8"),
        ({"dtype": "nn"}, "nn"),
        ({"attn_implementation": "flash_attention_2"}, "FlashAttention2"),
        ({"attn_implementation": "spda"}, "spda"),
    ],
)
def test_an_unusable_option_is_one_message(options, word, llava):
    assert word in refusal(lambda: NecessityScorer(str(llava), **options).loaded)


def test_other_model_kinds_are_one_message(llava, tmp_path):
    clip = save_clip(tmp_path / "clip")
    CLIPVisionModel.from_pretrained(clip).save_pretrained(tmp_path / "vision")
    assert "CLIPConfig" in refusal(lambda: NecessityScorer(clip).loaded)
    for scorer in (ClipEmbedding, ClipScore):
        assert "'llava'" in refusal(lambda kind=scorer: kind(str(llava)).loaded)
    assert "clip_vision_model" in refusal(lambda: ClipEmbedding(str(tmp_path / "vision")).features)


@pytest.mark.parametrize("word", ["visual_projection", "text_projection", "text_model.encoder.layers.0"])
def test_a_clip_lacking_weights_is_refused(word, tmp_path):
    folder = save_clip(tmp_path / "clip")
    edit(folder, without(word))
    assert word in refusal(lambda: ClipEmbedding(folder).loaded)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (without("layer.1.output"), "4 weights missing"),
        (renamed("embeddings.", "embedding."), "missing"),
        (cut("word_embeddings"), "another shape"),
        (broken("layer.0.attention.self.query.weight"), "NaN or infinity in 1"),
    ],
)
def test_text_encoders_lacking_weights_are_refused(change, word, tmp_path):
    folder = save_sentence_transformer(tmp_path)
    edit(folder, change)
    assert word in refusal(lambda: TextEmbedding(folder).loaded)


def test_a_text_encoder_needs_no_pooler(tmp_path):
    folder = save_sentence_transformer(tmp_path)
    edit(folder, without("pooler"))
    assert TextEmbedding(folder).loaded.get_embedding_dimension() == 24


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (without("layers.0.weight"), "layers.0.weight"),
        (renamed("layers.2", "layers.3"), "layers.3.weight"),
        (cut("layers.0.weight"), "another shape"),
    ],
)
def test_score_nets_lacking_weights_are_refused(change, word, tmp_path):
    ScoreNet(["embedding"], width=4, hidden=3).save_pretrained(tmp_path)
    edit(tmp_path, change)
    assert word in refusal(lambda: ScoreNetScorer(str(tmp_path)).loaded)


def test_folders_changing_while_loading_are_refused(llava, monkeypatch):
    load = NecessityScorer.load

    def slow(self, identity):
        loaded = load(self, identity)
        edit(llava, lambda weights: {name: value + 1 for name, value in weights.items()})
        return loaded

    monkeypatch.setattr(NecessityScorer, "load", slow)
    assert "not to change" in refusal(lambda: NecessityScorer(str(llava)).loaded)
