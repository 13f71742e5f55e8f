"""Evaluations by the names of the command line."""

import pytest
from pools import mixed_pool

from hf_vitselect.evaluation import ExactMatch, token_f1
from hf_vitselect.evaluation.by_name import find_evaluation


def test_evaluations_are_found_by_name():
    rows = mixed_pool(3)
    assert find_evaluation("exact_match", rows, 4).identity() == ExactMatch(rows, 4).identity()
    assert find_evaluation("hf_vitselect.evaluation:token_f1", rows) is token_f1
    with pytest.raises(ValueError, match=r"expected an evaluation among .*token_f1.*got 'bleu'"):
        find_evaluation("bleu", rows)
