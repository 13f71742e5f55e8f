"""Methods read from the text of a flag."""

import pytest

from hf_vitselect import select_diverse
from hf_vitselect.evaluation.methods import parse_method
from hf_vitselect.rules import NeighborPenalty, Random, TopScore
from hf_vitselect.selection import Method


@pytest.mark.parametrize(
    ("text", "name", "method"),
    [
        ("TopScore", "TopScore", Method(rule=TopScore(), by="x")),
        ("easy=TopScore(lowest=True)", "easy", Method(rule=TopScore(lowest=True), by="x")),
        (" easy = TopScore(lowest=True) ", "easy", Method(rule=TopScore(lowest=True), by="x")),
        (
            "NeighborPenalty(gamma=0.5)",
            "NeighborPenalty(gamma=0.5)",
            Method(rule=NeighborPenalty(gamma=0.5), by="x"),
        ),
        (
            "net=NeighborPenalty(by='net', over='clip')",
            "net",
            Method(rule=NeighborPenalty(), by="net", over="clip"),
        ),
    ],
    ids=["bare", "named", "spaces", "arguments", "columns"],
)
def test_methods_are_read_from_text(text, name, method):
    assert parse_method(text, "x") == (name, method)


@pytest.mark.parametrize(
    "text",
    ["Best", "TopScore(high=1)", "TopScore(", "no/folder", "Rule", "TopScore(lowest=x)", "Random(by=x)"],
)
def test_invalid_method_text_is_refused(text):
    with pytest.raises(ValueError, match="expected a method such as"):
        parse_method(text, "x")


def test_folder_of_selection_is_a_method(scored_pool, tmp_path):
    select_diverse(scored_pool, 3, rule=Random()).save_to_disk(tmp_path / "mine")
    name, selection = parse_method(str(tmp_path / "mine"), "x")
    assert (name, len(selection)) == ("mine", 3)
