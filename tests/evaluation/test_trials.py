"""Scores of a trial."""

import pytest

from hf_vitselect.evaluation.trials import finite


@pytest.mark.parametrize("scores", [float("nan"), [], [[1.0]]], ids=["nan", "none", "table"])
def test_scores_must_be_finite_numbers(scores):
    with pytest.raises(ValueError, match="expected a finite number per row from the evaluation 'odd'"):
        finite(scores, "odd")
