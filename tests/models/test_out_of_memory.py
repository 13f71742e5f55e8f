"""What happens when memory runs out, and when a model refuses a row."""

import itertools
import math

import pytest
import torch
from pools import encode, stripes
from tiny_vlm import load

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import RowError


def raised_by(call, *arguments):
    try:
        call(*arguments)
    except RuntimeError as error:
        return error


ABOUT = [
    Conversation(
        (Turn("user", (None, f"what colour is it? {'and? ' * i}")), Turn("assistant", ("red",))),
        (RowImage(encode(stripes(20, 24, seed=i // 3))),),
    )
    for i in range(12)
]
ERRORS = {
    "GPU": lambda: torch.OutOfMemoryError("CUDA out of memory."),
    "cuBLAS": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    "CPU": lambda: raised_by(torch.empty, 1 << 55),
}


@pytest.fixture
def small_memory(tiny, monkeypatch):
    """A model whose forward runs out of memory above so many tokens, and the sizes that went through."""

    def make(most, error):
        vlm, sizes = load(tiny("llava")), []
        forward = type(vlm.model).forward

        def limited(self, input_ids, **inputs):
            if input_ids.numel() > most:
                raise error()
            sizes.append(input_ids.numel())
            return forward(self, input_ids=input_ids, **inputs)

        monkeypatch.setattr(type(vlm.model), "forward", limited)
        return vlm, sizes

    return make


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("limit", [{"batch_size": 12}, {"batch_size": None, "batch_tokens": 10_000}], ids=str)
def test_out_of_memory_halves_the_forwards(tiny, small_memory, error, limit, caplog):
    right = load(tiny("llava")).score(ABOUT, batch_size=1)
    vlm, sizes = small_memory(150, error)
    for _ in range(2):
        for result, alone in zip(vlm.score(ABOUT, **limit), right, strict=True):
            torch.testing.assert_close(result.nll, alone.nll, atol=1e-5, rtol=0)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert 1 <= len(warnings) <= 4  # the second call knows the limit
    assert len(sizes) < 2 * len(ABOUT)


def test_forwards_stay_small_on_a_cpu(small_memory, monkeypatch):
    monkeypatch.setattr("hf_vitselect.models.vlm._CPU_TOKENS", 100)
    vlm, sizes = small_memory(math.inf, None)
    vlm.score(ABOUT, batch_size=None, batch_tokens=10_000)
    longest = max(vlm.encoder.encode(row).length for row in ABOUT)
    assert max(sizes) <= max(100, longest)
    assert len(sizes) < len(ABOUT)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_rows_beyond_memory_are_too_long(small_memory, error):
    vlm, _ = small_memory(40, error)
    lengths = [vlm.encoder.encode(row).length for row in ABOUT]
    results = vlm.score(ABOUT, batch_size=None, batch_tokens=500)
    assert [isinstance(result, RowError) for result in results] == [length > 40 for length in lengths]
    assert {result.status for result in results if isinstance(result, RowError)} == {"too_long"}


@pytest.mark.parametrize("limit", [*itertools.product([1, 5, None], [None, 1, 70, 10_000])], ids=str)
def test_limits_and_order_change_nothing(tiny, limit):
    vlm = load(tiny("llava"))
    alone = [vlm.score([row])[0] for row in ABOUT]
    order = [7, 0, 3, 11, 4, 8, 1, 10, 2, 6, 9, 5]
    for i, result in zip(order, vlm.score([ABOUT[i] for i in order], *limit), strict=True):
        torch.testing.assert_close(result.nll, alone[i].nll, atol=1e-5, rtol=0)
