"""ImageGain: the losses of a slow loop with and without the pictures, and the rows that have no gain."""

import numpy as np
import pytest
from datasets import Value
from pools import assistant, png, pool, user
from slow_losses import slow_means, talks
from tiny import ARCHITECTURES

from hf_vitselect import ImageGain


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gains_equal_a_slow_loop(tiny, architecture):
    model, most = tiny(architecture), 1 if architecture == "blip2" else 2
    dataset = talks(most=most)
    scored = dataset.map(ImageGain(model.folder, processor=model.processor), batched=True)
    shown, blind = slow_means(model, dataset), slow_means(model, talks(pictures=False, most=most))
    assert [tokens for _, tokens in shown] == [tokens for _, tokens in blind]
    right = [
        without - with_them if pictures else np.nan
        for (with_them, _), (without, _), pictures in zip(shown, blind, dataset["images"], strict=True)
    ]
    found = np.array(scored["image_gain"][:], dtype=float)
    np.testing.assert_allclose(found, right, atol=2e-5, rtol=0)
    assert np.nanmax(np.abs(found)) > 1e-2


def test_texts_cost_no_forward(tiny, monkeypatch):
    scorer = ImageGain(tiny("llava").folder)
    before = scorer.loaded.stats.rows
    scored = talks().map(scorer, batched=True)
    assert scored["image_gain_status"][:] == ["ok", "image_missing", "ok", "ok", "ok"]
    assert scored["image_gain"][1] is None
    assert scorer.loaded.stats.rows - before == 2 * 4


STATUSES = {
    "no answer": ([user("a", 1)], [png()], "no_response"),
    "blank answer": ([user("a", 1), assistant(" ")], [png()], "no_response"),
    "broken picture": ([user("a", 1), assistant("b")], [b"broken"], "image_error"),
    "special token": ([user("a <pad>", 1), assistant("b")], [png()], "control_tokens"),
    "too many words": ([user("what? " * 300, 1), assistant("b")], [png()], "too_long"),
    "too long with its picture only": ([user("what? " * 19, 1), assistant("b")], [png()], "too_long"),
    "no text beside the picture": ([user("", 1), assistant("b")], [png()], "ok"),
}


def test_every_row_has_its_status(tiny):
    dataset = pool([(turns, pictures) for turns, pictures, _ in STATUSES.values()])
    scored = dataset.map(ImageGain(tiny("llava").folder, max_length=50), batched=True)
    assert dict(zip(STATUSES, scored["image_gain_status"], strict=True)) == {
        name: status for name, (_, _, status) in STATUSES.items()
    }


def test_columns_have_exact_types():
    assert list(ImageGain("no/such-model", column="x").features.items()) == [
        ("x", Value("float32")),
        ("x_status", Value("string")),
        ("x_reason", Value("string")),
    ]
