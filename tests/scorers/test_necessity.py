"""NecessityScorer: the numbers of the model's own logits, and every status it gives."""

import pickle

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, List, Value
from datasets.fingerprint import Hasher
from pools import assistant, mixed_pool, png, pool, user
from slow_losses import slow_means
from tiny import ARCHITECTURES

from hf_vitselect import NecessityScorer
from hf_vitselect.data.rows import read_table, undecoded
from hf_vitselect.errors import ModelError
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.vlm import VLM

POOL = mixed_pool(12)
ONE_PICTURE = POOL.select([i for i in range(12) if i % 4 != 2])  # BLIP-2 takes no second one


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_necessity_equals_a_slow_loop(tiny, architecture):
    model = tiny(architecture)
    dataset = ONE_PICTURE if architecture == "blip2" else POOL
    scored = dataset.map(NecessityScorer(model.folder, processor=model.processor), batched=True)
    scores, tokens = zip(*slow_means(model, dataset), strict=True)
    np.testing.assert_allclose(scored["necessity"][:], scores, atol=1e-5, rtol=0)
    assert scored["response_tokens"][:] == list(tokens)
    assert min(scores) > 0
    assert set(scored["necessity_status"]) == {"ok"}


def test_columns_have_exact_types(tiny):
    scorer = NecessityScorer(tiny("llava").folder)
    assert list(scorer.features.items()) == [
        ("necessity", Value("float32")),
        ("response_tokens", Value("int32")),
        ("necessity_status", Value("string")),
        ("necessity_reason", Value("string")),
    ]
    assert list(NecessityScorer("x", column="later").features) == [
        "later",
        "later_response_tokens",
        "later_status",
        "later_reason",
    ]


def layouts():
    cell, part = {"bytes": png(), "path": None}, {"type": "text", "text": "what colour?"}
    string = {"role": "user", "content": "<image>\nwhat colour?"}
    answer = {"role": "assistant", "content": "red"}
    parts = {"role": "user", "content": [{"type": "image", "text": None}, part]}
    return {
        "messages of strings": {"messages": [string, answer], "images": [cell]},
        "messages of parts": {"messages": [parts, assistant("red")], "images": [cell]},
        "one image": {"messages": [string, answer], "image": cell},
        "plain prompt": {"prompt": "what colour?", "completion": "red", "images": [cell]},
        "conversational prompt": {"prompt": [string], "completion": [answer], "image": cell},
        "llava": {
            "conversations": [
                {"from": "human", "value": "<image>\nwhat colour?"},
                {"from": "gpt", "value": "red"},
            ],
            "image": cell,
        },
        "cauldron": {"texts": [{"user": "what colour?", "assistant": "red"}], "images": [cell]},
    }


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("row", layouts().values(), ids=layouts())
def test_every_layout_scores_alike(tiny, row, batched):
    dataset = Dataset.from_list([row, row])
    name = "images" if "images" in row else "image"
    dataset = dataset.cast_column(name, List(Image()) if name == "images" else Image())
    reference = pool([([user("what colour?", 1), assistant("red")], [png()])])
    right = reference.map(NecessityScorer(tiny("llava").folder))["necessity"][0]
    scored = dataset.map(NecessityScorer(tiny("llava").folder), batched=batched)
    assert scored["necessity"][:] == pytest.approx([right] * 2, abs=1e-5)


def test_wrong_answers_are_more_needed(tiny):
    vlm = VLM.load(tiny("llava").folder, device="cpu")
    question = pool([([user("what colour is it?", 1), assistant("x")], [png()])])
    (row,) = read_table(next(undecoded(question)))
    encoded = vlm.encoder.encode(row)
    start = int(encoded.response[0].nonzero()[0])
    prompt = {key: value for key, value in encoded.inputs.items() if key == "pixel_values"}
    prompt |= {key: encoded.inputs[key][:, :start] for key in ("input_ids", "attention_mask")}
    own = vlm.model.generate(**prompt, max_new_tokens=4, do_sample=False)[0, start:]
    text = vlm.encoder.tokenizer.decode(own, skip_special_tokens=True)
    rows = [([user("what colour is it?", 1), assistant(answer)], [png()]) for answer in (text, "user system")]
    easy, hard = pool(rows).map(NecessityScorer(tiny("llava").folder), batched=True)["necessity"]
    assert easy < hard


STATUSES = {
    "no assistant turn": ([user("a")], [], "no_response"),
    "empty answer": ([user("a", 1), assistant("")], [png()], "no_response"),
    "blank answer": ([user("a"), assistant(" \n ")], [], "no_response"),
    "special token in the answer": ([user("a"), assistant("it says </s>")], [], "control_tokens"),
    "image placeholder in the answer": ([user("a", 1), assistant("<image>")], [png()], "control_tokens"),
    "special token in the question": ([user("a <pad>"), assistant("b")], [], "control_tokens"),
    "too many words": ([user("what? " * 300), assistant("b")], [], "too_long"),
    "no turns": ([], [], "no_response"),
    "text only": ([user("a"), assistant("b")], [], "ok"),
    "empty answer among others": ([user("a"), assistant(""), user("b"), assistant("c")], [], "ok"),
}


def test_every_row_has_its_status(tiny):
    dataset = pool([(turns, pictures) for turns, pictures, _ in STATUSES.values()])
    scored = dataset.map(NecessityScorer(tiny("llava").folder), batched=True)
    assert dict(zip(STATUSES, scored["necessity_status"], strict=True)) == {
        name: status for name, (_, _, status) in STATUSES.items()
    }
    good = [status == "ok" for status in scored["necessity_status"]]
    assert [score is not None for score in scored["necessity"]] == good
    assert [tokens is not None for tokens in scored["response_tokens"]] == good


def test_placeholders_in_answers_are_refused(tiny):
    row = {"prompt": "<image>\nwhat?", "completion": "an <image>", "image": {"bytes": png(), "path": None}}
    dataset = Dataset.from_list([row]).cast_column("image", Image())
    assert dataset.map(NecessityScorer(tiny("llava").folder))["necessity_status"][:] == ["control_tokens"]


@pytest.mark.parametrize("how", [{"batched": True}, {"batched": True, "num_proc": 2}], ids=str)
def test_processor_objects_pickle_and_hash_alike(tiny, how):
    model = tiny("qwen2_5_vl")
    one = NecessityScorer(model.folder, processor=model.processor)
    two = NecessityScorer(model.folder, processor=model.processor)
    before = Hasher.hash(one)
    scored = POOL.map(one, **how)
    assert Hasher.hash(one) == before == Hasher.hash(two) == Hasher.hash(pickle.loads(pickle.dumps(one)))
    assert set(scored["necessity_status"]) == {"ok"}
    assert one.recipe()["processor"]["class"] == "Qwen2VLImagesOnly"
    model.processor.chat_template = model.processor.chat_template + " "
    assert Hasher.hash(NecessityScorer(model.folder, processor=model.processor)) != before
    model.processor.chat_template = model.processor.chat_template[:-1]


def test_missing_chat_templates_are_errors(tiny, tmp_path):
    model, processor = ARCHITECTURES["llava"]()
    processor.chat_template = None
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"chat template.*processor\.chat_template"):
        POOL.map(NecessityScorer(tmp_path), batched=True)


def test_rows_beyond_max_length_are_refused(tiny):
    scorer = NecessityScorer(tiny("llava").folder, max_length=35)
    encoder = Encoder(ARCHITECTURES["llava"]()[1])
    lengths = [encoder.encode(row).length for row in read_table(next(undecoded(POOL)))]
    statuses = POOL.map(scorer, batched=True)["necessity_status"]
    assert list(statuses) == ["too_long" if length > 35 else "ok" for length in lengths]
    assert len(set(statuses)) == 2


def test_half_precision_is_close(tiny):
    full = POOL.map(NecessityScorer(tiny("llava").folder), batched=True)
    half = POOL.map(NecessityScorer(tiny("llava").folder, dtype=torch.bfloat16), batched=True)
    assert half.features == full.features
    np.testing.assert_allclose(half["necessity"][:], full["necessity"][:], rtol=0.05)
    assert Hasher.hash(NecessityScorer(tiny("llava").folder, dtype="bfloat16")) == Hasher.hash(
        NecessityScorer(tiny("llava").folder, dtype=torch.bfloat16)
    )


@pytest.mark.parametrize(
    "options", [{"batch_tokens": 60}, {"batch_size": 1}, {"attn_implementation": "eager"}], ids=str
)
def test_batches_and_attention_change_nothing(tiny, options):
    usual = POOL.map(NecessityScorer(tiny("llava").folder), batched=True)["necessity"]
    other = POOL.map(NecessityScorer(tiny("llava").folder, **options), batched=True)["necessity"]
    np.testing.assert_allclose(other[:], usual[:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("sizes", [{"batch_size": 0}, {"batch_tokens": -5}], ids=str)
def test_a_forward_must_hold_something(sizes):
    with pytest.raises(ValueError, match=f"{next(iter(sizes))}: expected 1 or more, got"):
        NecessityScorer("no/such-model", **sizes)


def test_batch_tokens_replace_batch_size(tiny):
    scorer = NecessityScorer(tiny("llava").folder, batch_size=1, batch_tokens=10_000)
    forwards = []
    scorer.loaded.model.register_forward_pre_hook(lambda *_: forwards.append(1))
    POOL.map(scorer, batched=True, new_fingerprint="fresh")
    assert len(forwards) <= 4


def test_recipes_name_attention_not_batches(tiny):
    recipe = NecessityScorer(tiny("llava").folder, batch_tokens=9, attn_implementation="eager").recipe()
    assert recipe["attn_implementation"] == "eager"
    assert not {"batch_size", "batch_tokens"} & recipe.keys()


def test_features_need_no_model():
    assert NecessityScorer("no/such-model").features == Features(
        {
            "necessity": Value("float32"),
            "response_tokens": Value("int32"),
            "necessity_status": Value("string"),
            "necessity_reason": Value("string"),
        }
    )
