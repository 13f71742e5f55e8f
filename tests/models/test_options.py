"""Options of a model: their types, their ranges, and what they accept in other forms."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_vitselect.models.options import ModelOptions


@pytest.mark.parametrize("name", [item.name for item in fields(ModelOptions)])
def test_wrong_types_name_the_option(name):
    with pytest.raises(ValueError, match=rf"^{name}: expected .*, got <object object"):
        ModelOptions(**{name: object()})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processor": 3}, "^processor: expected a processor, or its Hub id or folder, got 3$"),
        ({"batch_size": "8"}, "^batch_size: expected a whole number, got '8'$"),
        ({"batch_size": None}, "^batch_size: expected a whole number, got None$"),
        ({"batch_size": 1.5}, "^batch_size: expected a whole number, got 1.5$"),
        ({"batch_size": True}, "^batch_size: expected a whole number, got True$"),
        ({"batch_size": 0}, "^batch_size: expected 1 or more, got 0$"),
        ({"batch_tokens": -1}, "^batch_tokens: expected 1 or more, got -1$"),
        ({"max_length": np.nan}, "^max_length: expected a whole number or None, got nan$"),
        ({"dtype": None}, "^dtype: expected a text, got None$"),
        ({"end_of_turn": "never"}, "^end_of_turn: expected one of .*, got 'never'$"),
        ({"torch_compile": 1}, "^torch_compile: expected True or False, got 1$"),
    ],
    ids=str,
)
def test_wrong_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ModelOptions(**options)


def test_paths_and_dtypes_become_text():
    options = ModelOptions(dtype=torch.bfloat16, processor=Path("a/folder"))
    assert (options.dtype, options.processor) == ("bfloat16", "a/folder")
