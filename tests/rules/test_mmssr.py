"""mmSSR: equal shares for capabilities and styles, by hand."""

import numpy as np
import pytest

from hf_vitselect.errors import ColumnError
from hf_vitselect.rules import MMSSR


def pick(budget, capabilities, style, **options):
    columns = {name: np.array(values, dtype=float) for name, values in capabilities.items()}
    columns["style"] = np.array(style)
    rule = MMSSR(capabilities=tuple(capabilities), style="style", **options)
    return rule(None, None, budget, np.random.default_rng(0), columns)


def test_capabilities_share_the_budget_equally():
    rows, gains = pick(4, {"ocr": [5, 4, 3, 0, 0, 1], "scene": [0, 0, 5, 4, 3, 0]}, ["x"] * 6)
    assert rows.tolist() == [0, 1, 2, 3]
    assert gains.tolist() == [5, 4, 5, 4]


def test_small_styles_leave_rows_to_others():
    style = ["word", "word", "word", "word", "yes/no"]
    rows, _ = pick(4, {"ocr": [5, 4, 3, 2, 1]}, style)
    assert sorted(rows.tolist()) == [0, 1, 2, 4]


def test_random_rows_fill_the_rest():
    rows, gains = pick(5, {"ocr": [5, np.nan, 0, 0, 0], "scene": [0, 0, 0, 0, 0]}, ["x"] * 5)
    assert rows[0] == 0
    assert sorted(rows.tolist()) == [0, 1, 2, 3, 4]
    assert gains.tolist() == [5, 0, 0, 0, 0]


def test_scores_must_exceed_the_threshold():
    rows, _ = pick(2, {"ocr": [2, 3, 5, 4]}, ["x"] * 4, threshold=3)
    assert rows.tolist() == [2, 3]


def test_texts_are_no_scores():
    columns = {"ocr": np.array(["5", None], dtype=object), "style": np.array(["x", "x"])}
    with pytest.raises(ColumnError, match="expected numbers in 'ocr', got str '5'; give another column"):
        MMSSR(capabilities=("ocr",), style="style")(None, None, 1, np.random.default_rng(0), columns)


def test_no_capability_raises_an_error():
    with pytest.raises(ValueError, match="capabilities"):
        MMSSR(capabilities=())
