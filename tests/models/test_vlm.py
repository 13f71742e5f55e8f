"""The losses: for every architecture those of a slow loop over the model's full logits."""

import math
import shutil

import pytest
import torch
from pools import encode, mixed_pool, png, stripes
from tiny import ARCHITECTURES
from tiny_vlm import load, response_stats

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.rows import read_table, undecoded
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.options import ModelOptions
from hf_vitselect.models.response_forward import ResponseForward
from hf_vitselect.models.vlm import VLM

TALKS = [
    (1, ["what colour is it?", "red"]),
    (0, ["what colour is it?", "It is green or blue, I think."]),
    (1, ["and?", "blue 🎈", "sure?", "no", "so?", ""]),
    (2, ["which one is it?", "the second"]),
    (0, ["a", "b"]),
    (1, ["what colour is the circle? " * 3, "red, green or blue."]),
]


def conversations(architecture):
    rows = []
    for number, (slots, texts) in enumerate(TALKS):
        slots = min(slots, 1) if architecture == "blip2" else slots
        talk = [Turn(("user", "assistant")[i % 2], (text,)) for i, text in enumerate(texts)]
        talk[0] = Turn("user", (None,) * slots + talk[0].parts)
        pictures = (encode(stripes(16 + 8 * number, 20 - 4 * i, seed=number + 10 * i)) for i in range(slots))
        rows.append(Conversation(tuple(talk), tuple(map(RowImage, pictures))))
    return rows


def load_vlm(model, **options):
    options = ModelOptions(processor=model.processor, dtype="float32", **options)
    return VLM.load(model.folder, options, device="cpu")


@pytest.fixture(scope="module")
def vlm_of(tiny):
    made = {}

    def load(name):
        if name not in made:
            made[name] = load_vlm(tiny(name))
        return made[name]

    return load


@torch.inference_mode()
def slow_losses(vlm, row):
    """One row, the plain processor, all logits, token by token."""
    processor = vlm.encoder.processor
    text, _ = vlm.encoder.template.render(row.turns)
    images = [picture.decode() for picture in row.images]
    inputs = processor(text=[text], images=[images] if images else None, return_tensors="pt")
    if "pixel_values" not in inputs and type(vlm.model).__name__.startswith("Blip2"):
        inputs["pixel_values"] = torch.rand(1, 3, 16, 16)
    encoded = vlm.encoder.encode(row)
    assert torch.equal(inputs["input_ids"], encoded.inputs["input_ids"])
    chances = vlm.model(**inputs).logits[0].float().softmax(-1)
    response = encoded.response[0].nonzero().flatten().tolist()
    return [-chances[k - 1, inputs["input_ids"][0, k]].log().item() for k in response if k > 0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_losses_equal_the_full_logits(vlm_of, architecture):
    vlm = vlm_of(architecture)
    rows = conversations(architecture)
    for row, result in zip(rows, vlm.score(rows, batch_size=4), strict=True):
        slow = torch.tensor(slow_losses(vlm, row))
        assert len(slow) >= 2
        torch.testing.assert_close(result.nll, slow, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batch_size_and_order_change_nothing(vlm_of, architecture):
    vlm = vlm_of(architecture)
    rows = conversations(architecture)
    alone = vlm.score(rows, batch_size=1)
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 4, 2, 0]):
        for result, i in zip(
            response_stats(vlm, [vlm.encoder.encode(rows[i]) for i in order]), order, strict=True
        ):
            torch.testing.assert_close(result.nll, alone[i].nll, atol=1e-5, rtol=0)
            assert torch.equal(result.hit, alone[i].hit)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_losses_depend_on_the_image(vlm_of, architecture):
    vlm = vlm_of(architecture)
    row = conversations(architecture)[0]
    other = Conversation(row.turns, (RowImage(data=png(99)),))
    one, two = vlm.score([row, other], batch_size=2)
    assert (one.nll - two.nll).abs().max() > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_texts_score_alike_among_images(vlm_of, architecture):
    vlm = vlm_of(architecture)
    rows = conversations(architecture)
    mixed = response_stats(vlm, [vlm.encoder.encode(row) for row in rows])
    for result, i in zip(vlm.score([rows[1], rows[4]], batch_size=2), (1, 4), strict=True):
        torch.testing.assert_close(result.nll, mixed[i].nll, atol=1e-5, rtol=0)


def test_texts_change_no_image_row(vlm_of):
    vlm = vlm_of("llava")
    rows = conversations("llava")
    skipped = [row if row.images else RowError("image_missing", "skipped") for row in rows]
    for one, two in zip(vlm.score(rows, batch_size=3), vlm.score(skipped, batch_size=3), strict=True):
        assert isinstance(two, RowError) or torch.equal(one.nll, two.nll)


@torch.inference_mode()
def test_all_hits_mean_greedy_decoding(vlm_of):
    vlm = vlm_of("llava")
    (row, *_) = conversations("llava")
    encoded = vlm.encoder.encode(row)
    start = int(encoded.response[0].nonzero()[0])
    prompt = {
        key: value[:, :start] if key in ("input_ids", "attention_mask") else value
        for key, value in encoded.inputs.items()
    }
    written = vlm.model.generate(
        **prompt, max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0
    )[0, start:]
    for wrong in (None, 0, 4):
        ids = written.clone()
        if wrong is not None:
            ids[wrong] = (ids[wrong] + 7) % 100 + 60
        inputs = {**encoded.inputs, "input_ids": torch.cat([prompt["input_ids"], ids[None]], 1)}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        response = torch.arange(inputs["input_ids"].shape[1])[None] >= start
        (result,) = response_stats(vlm, [type(encoded)(inputs, response)])
        assert bool(result.hit.all()) == (wrong is None)
        assert wrong is None or not result.hit[wrong]


def test_the_first_token_is_not_predicted(vlm_of):
    vlm = vlm_of("llava")
    encoded = vlm.encoder.encode(conversations("llava")[4])
    everything = torch.ones_like(encoded.response)
    (result,) = response_stats(vlm, [type(encoded)(encoded.inputs, everything)])
    assert len(result.nll) == encoded.length - 1
    assert everything.all()


def test_bad_rows_keep_their_place(vlm_of):
    vlm = vlm_of("llava")
    rows = conversations("llava")
    bad = RowError("bad_row", "unread")
    broken = Conversation(rows[0].turns, (RowImage(data=b"no picture"),))
    results = vlm.score([rows[0], bad, rows[1], broken, rows[2]], batch_size=3)
    assert results[1] is bad
    assert isinstance(results[3], RowError)
    assert results[3].status == "image_error"
    for found, right in zip(
        [results[0], results[2], results[4]], vlm.score(rows[:3], batch_size=1), strict=True
    ):
        torch.testing.assert_close(found.nll, right.nll, atol=1e-5, rtol=0)


def test_a_refused_row_fails_alone(vlm_of, monkeypatch):
    vlm = vlm_of("llava")
    rows = conversations("llava")
    right = vlm.score(rows, batch_size=1)
    forward = type(vlm.model).forward
    poison = vlm.encoder.encode(rows[3]).inputs["input_ids"][0, :12]

    def refuse(self, input_ids, **inputs):
        if input_ids.shape[1] >= 12 and (input_ids[:, :12] == poison).all(1).any():
            raise ValueError("the model does not like it")
        return forward(self, input_ids=input_ids, **inputs)

    monkeypatch.setattr(type(vlm.model), "forward", refuse)
    results = vlm.score(rows, batch_size=6)
    assert [i for i, result in enumerate(results) if isinstance(result, RowError)] == [3]
    assert results[3].status == "bad_row"
    torch.testing.assert_close(results[5].nll, right[5].nll, atol=1e-5, rtol=0)


def test_rows_beyond_context_are_too_long(tiny):
    vlm = VLM.load(tiny("llava").folder, ModelOptions(max_length=30), device="cpu")
    whole = VLM.load(tiny("llava").folder, ModelOptions(max_length=10**6), device="cpu")
    assert whole.encoder.context == 256  # the model's own
    lengths = [whole.encoder.encode(row).length for row in conversations("llava")]
    results = vlm.score(conversations("llava"), batch_size=4)
    assert [isinstance(result, RowError) for result in results] == [length > 30 for length in lengths]
    assert 0 < sum(length > 30 for length in lengths) < len(lengths)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_exist_for_responses_only(vlm_of, architecture, monkeypatch):
    vlm = vlm_of(architecture)
    rows = [vlm.encoder.encode(row) for row in conversations(architecture)]
    monkeypatch.setattr("hf_vitselect.models.response_forward.CHUNK", 7)
    seen = []
    handle = vlm.model.get_output_embeddings().register_forward_hook(lambda *call: seen.append(call[2].shape))
    results = response_stats(vlm, rows)
    handle.remove()
    positions = [math.prod(shape[:-1]) for shape in seen]
    assert sum(positions) == sum(len(result.nll) for result in results)
    # Gemma caps its logits after the output layer, which so sees all positions at once.
    assert max(positions) <= 7 or architecture == "gemma3"


def test_a_failing_probe_stops_loading(tiny, monkeypatch):
    processor = ARCHITECTURES["llava"]()[1]
    monkeypatch.setattr(type(processor), "__call__", lambda *_, **__: {}["no such input"])
    with pytest.raises(ModelError, match="expected a processor that fits the model"):
        VLM.load(tiny("llava").folder, ModelOptions(processor=processor), device="cpu")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_compiled_layers_score_the_same(vlm_of, tiny, architecture, monkeypatch):
    monkeypatch.setattr(
        "hf_vitselect.models.prefix_sharing._OWN_PER_SHARED", 100
    )  # tiny pictures have few tokens
    plain, model = vlm_of(architecture), tiny(architecture)
    vlm = load_vlm(model, torch_compile=True)
    assert all(layer._compiled_call_impl for layer in language_layers(vlm.model))
    rows = conversations(architecture)
    rows += rows[:2]  # two rows of one picture
    for size in (1, 3, 8):
        for one, other in zip(vlm.score(rows, size), plain.score(rows, size), strict=True):
            for name, values in vars(other).items():
                if name != "tokenizer":
                    torch.testing.assert_close(getattr(one, name), values, atol=1e-5, rtol=1e-5)


def language_layers(model):
    decoder = model.get_decoder()
    return getattr(decoder, "model", decoder).layers


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (torch._dynamo.exc.InternalTorchDynamoError("no compiler"), ModelError, "torch_compile off: no"),
        (torch.AcceleratorError("illegal memory access"), torch.AcceleratorError, "illegal memory access"),
    ],
    ids=["compiler", "device"],
)
def test_broken_models_stop_the_run(vlm_of, monkeypatch, error, raised, message):
    vlm = vlm_of("llava")

    def fail(*_):
        raise error

    monkeypatch.setattr(ResponseForward, "__call__", fail)
    with pytest.raises(raised, match=message):
        vlm.score(conversations("llava"))


def test_longrope_rows_score_alone(tiny):
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 4.0}
    factors = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8, "original_max_position_embeddings": 40}
    vlm = load(tiny("llava"), rope_parameters=rope | factors)
    rows = conversations("llava")
    assert {vlm.encoder.encode(row).length > 40 for row in rows} == {True, False}
    alone = [vlm.score([row])[0] for row in rows]
    for result, right in zip(vlm.score(rows, 8), alone, strict=True):
        torch.testing.assert_close(result.nll, right.nll, atol=1e-5, rtol=0)


def test_dataset_rows_score_like_conversations(vlm_of):
    (table,) = undecoded(mixed_pool(6))
    results = vlm_of("qwen2_vl").score(read_table(table), batch_size=2)
    assert all(torch.isfinite(result.nll).all() for result in results)
