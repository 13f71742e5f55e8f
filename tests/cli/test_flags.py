"""What shared flags mean."""

import pytest

from hf_vitselect.cli.flags import PoolFlags, given_flags, parse_budget, read_object
from hf_vitselect.cli.parse import parse_section
from hf_vitselect.errors import BudgetError, UsageError
from hf_vitselect.models.options import ModelOptions
from hf_vitselect.rules import RULES, NeighborPenalty


@pytest.mark.parametrize(
    ("text", "budget"), [("12", 12), ("0.15", 0.15), ("1.0", 1.0), (3, 3), (0.5, 0.5), ("15%", 0.15)]
)
def test_budgets_are_rows_or_shares(text, budget):
    parsed = parse_budget(text)
    assert (parsed, type(parsed)) == (budget, type(budget))


@pytest.mark.parametrize("text", ["-1", "0", "1.5", "150%"])
def test_impossible_budgets_are_refused(text):
    with pytest.raises(BudgetError):
        parse_budget(text)


def test_model_flags_become_options():
    flags = {"model_revision": "v1", "processor_name_or_path": "p", "dtype": "float16"}
    command = parse_section("score", {"dataset_name": "x", **flags})
    options = ModelOptions(**command.model_options)
    assert (options.revision, options.processor, options.dtype) == ("v1", "p", "float16")
    assert given_flags(command.model_flags) == flags


def test_only_given_flags_are_repeated():
    assert given_flags(PoolFlags(dataset_name="x", dataset_train_split="train")) == {"dataset_name": "x"}


def test_flags_name_their_objects():
    assert read_object("rule", "NeighborPenalty(gamma=2)", RULES) == NeighborPenalty(gamma=2)
    with pytest.raises(UsageError, match=r"^rule: expected one of .*did you mean 'NeighborPenalty'"):
        read_object("rule", "NeighbourPenalty", RULES)
