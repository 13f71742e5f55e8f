"""Methods read from the text of a flag."""

import pytest

from hf_vitselect import select_diverse
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.evaluation.methods import Chosen, parse_method
from hf_vitselect.filters import LossTail, NearDuplicates
from hf_vitselect.rules import NeighborPenalty, Random, TopScore
from hf_vitselect.selection import CleanBalanced, Method
from hf_vitselect.selection.judge_pool import judge_pool


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


def test_unnamed_methods_are_their_own_names():
    text = 'CleanBalanced(filters=(LossTail(),), kinds="task")'
    method = CleanBalanced(filters=(LossTail(),), kinds="task")
    assert parse_method(text) == (text, method)
    assert parse_method(f"mine={text}") == ("mine", method)
    assert parse_method("SelfFilter", "x")[1].by == "score_net"


def test_each_seed_draws_its_own_rows(scored_pool):
    chosen = Chosen(CleanBalanced(filters=(), kinds="kind", need=0.0), scored_pool, row_ids(scored_pool))
    first, same, other = (set(chosen.select(8, seed).row_ids) for seed in (0, 0, 1))
    assert first == same != other


@pytest.mark.filterwarnings("ignore:the column 'embedding' is ignored")
@pytest.mark.parametrize(
    "method",
    [CleanBalanced(filters=(NearDuplicates(), LossTail())), Method(rule=TopScore(), by="necessity")],
    ids=["kinds and filters", "rule"],
)
def test_pools_are_judged_once(scored_pool, monkeypatch, method):
    judged = []

    def judge(*args, **options):
        judged.append(args[2])
        return judge_pool(*args, **options)

    monkeypatch.setattr("hf_vitselect.evaluation.methods.judge_pool", judge)
    chosen = Chosen(method, scored_pool, row_ids(scored_pool))
    for rows, seed in [(8, 0), (8, 1), (8, 2), (5, 0), (5, 1)]:
        selection = chosen.select(rows, seed)
        alone = select_diverse(scored_pool, rows, method=method, seed=seed)
        assert selection.indices.tolist() == alone.indices.tolist()
        assert selection.recipe == alone.recipe
        assert selection.scores.to_dict() == alone.scores.to_dict()
    assert judged == [8, 5]


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
