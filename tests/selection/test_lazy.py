"""Only the rows that a selection may need are scored, and it picks from them as from a whole pool."""

import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from datasets import Features, Value, concatenate_datasets
from large_groups import divide_above
from PIL import Image
from pools import assistant, encode, pool, user

from hf_vitselect import score, score_candidates, select_diverse
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import (
    AllRefusedError,
    BudgetError,
    ColumnError,
    RowError,
    RowSetError,
    StaleRunError,
    UsageError,
)
from hf_vitselect.filters import (
    LossTail,
    NearDuplicates,
    UnusedImage,
)
from hf_vitselect.rules import MMSSR, Random, TopScore
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection import CleanBalanced, Method, filter_pool

ROWS = 600
KINDS = ["a", "a", "b", "c", "c", "c"] * (ROWS // 6)
SEEN: list[str] = []  # what was scored
LOSSES = Method(filters=(LossTail(),), kinds="kind", need=0.5)


class Loss(Scorer):
    """A number that only the row's text decides; losses for kind c's gains, no score for texts of `bad`."""

    def __init__(self, bad=()):
        super().__init__(column="necessity")
        self.bad = bad

    @property
    def values(self):
        return Features({self.column: Value("float32"), "image_gain": Value("float32")})

    def score_rows(self, rows):
        return [self.score_row(row.turns[0].text) for row in rows]

    def score_row(self, text):
        SEEN.append(text)
        if text in self.bad:
            return RowError("bad_row", "bad")
        loss = 0.5 + zlib.crc32(text.encode()) / 2**32
        return loss, -0.001 * loss if text.startswith("c") else loss


@pytest.fixture(scope="module")
def rows():
    texts = [f"{kind} {i}" for i, kind in enumerate(KINDS)]
    made = pool([([user(text), assistant("yes")], []) for text in texts])
    return made.add_column("kind", KINDS)


def statuses(scored):
    return np.array(scored["necessity_status"])


def test_random_picks_equal_full_scoring(rows, tmp_path):
    method = Method(kinds="kind")
    part = score_candidates(rows, [Loss()], 60, tmp_path, method=method)
    picks = select_diverse(part, 60, method=method)
    assert picks.row_ids == select_diverse(score(rows, Loss()), 60, method=method).row_ids
    assert np.count_nonzero(statuses(part) == "ok") < 90


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_filtered_picks_nearly_equal_full_scoring(rows, tmp_path, seed):
    part = score_candidates(rows, [Loss()], 0.15, tmp_path, method=LOSSES, seed=seed)
    ours, whole = (
        select_diverse(some, 0.15, method=LOSSES, seed=seed) for some in (part, score(rows, Loss()))
    )
    assert np.count_nonzero(statuses(part) == "ok") < 0.3 * ROWS
    assert len({*ours.row_ids} & {*whole.row_ids}) > 0.8 * len(whole)
    for mine, full in zip(ours.recipe.shares, whole.recipe.shares, strict=True):
        assert mine.rows == full.rows
        assert abs(mine.picked - full.picked) <= 3
        assert abs(mine.left - full.left) < 0.1 * full.left


def test_random_rows_need_no_scores(rows, tmp_path):
    bad = [f"{kind} {i}" for i, kind in enumerate(KINDS)][:50]
    scored = score_candidates(rows, [Loss(bad)], 60, tmp_path, method=LOSSES)
    by_chance, failed = select_diverse(scored, 400, rule=Random(), seed=7), statuses(scored) == "bad_row"
    assert failed.any()
    assert not failed[by_chance.indices].any()
    assert (statuses(scored)[by_chance.indices] == "not_scored").any()
    whole = select_diverse(rows, len(rows), rule=Random(), seed=7).row_ids
    refused = {scored_id for scored_id, no in zip(by_chance.scores["row_id"], failed, strict=True) if no}
    assert by_chance.row_ids == [row_id for row_id in whole if row_id not in refused][:400]
    for rule in (TopScore(), MMSSR(capabilities=("necessity",), style="kind")):
        with pytest.raises(UsageError, match=f"expected scores of all rows for {type(rule).__name__}"):
            select_diverse(scored, 60, rule=rule)
    with pytest.raises(BudgetError, match="513 not scored"):
        select_diverse(scored, 500, method=LOSSES)


def test_unscored_rows_say_so(rows, tmp_path):
    part = score_candidates(rows, [Loss()], 60, tmp_path, method=LOSSES)
    unscored = part.filter(lambda status: status == "not_scored", input_columns="necessity_status")
    assert len(unscored) > 0.7 * ROWS
    assert {*unscored["necessity"]} == {*unscored["image_gain"]} == {*unscored["necessity_reason"]} == {None}
    recipe = select_diverse(part, 60, method=LOSSES).recipe
    assert recipe.dropped == {"not_scored": len(unscored)}
    assert recipe.dropped_reasons == {"not_scored": "a subset of this size does not need their scores"}
    assert (
        part.remove_columns([name for name in part.column_names if name not in rows.column_names])[:]
        == rows[:]
    )


def test_same_call_scores_nothing_again(rows, tmp_path):
    SEEN.clear()
    one = score_candidates(rows, [Loss()], 60, tmp_path, method=LOSSES)
    assert len(SEEN) == len({*SEEN}) == np.count_nonzero(statuses(one) == "ok")
    SEEN.clear()
    assert score_candidates(rows, [Loss()], 60, tmp_path, method=LOSSES)[:] == one[:]
    assert SEEN == []


@pytest.mark.parametrize(
    "options",
    [{"budget": 120}, {"budget": 30}, {"seed": 1}, {"method": Method(kinds="kind", need=1.0)}],
    ids=str,
)
def test_other_calls_score_only_new_rows(rows, tmp_path, options):
    options = {"budget": 60, "method": LOSSES, **options}
    SEEN.clear()
    score_candidates(rows, [Loss()], 60, tmp_path / "both", method=LOSSES)
    both = score_candidates(rows, [Loss()], output_dir=tmp_path / "both", **options)
    assert len(SEEN) == len({*SEEN})
    alone = score_candidates(rows, [Loss()], output_dir=tmp_path / "alone", **options)
    assert both[:] == alone[:]
    assert select_diverse(both, **options).recipe == select_diverse(alone, **options).recipe


def test_interrupted_calls_do_not_bind(rows, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Loss, "score_row", interrupted)
        with pytest.raises(KeyboardInterrupt):
            score_candidates(rows, [Loss()], 500, tmp_path, method=LOSSES)
    SEEN.clear()
    score_candidates(rows.select(range(500)), [Loss()], 60, tmp_path, method=LOSSES)
    assert len(SEEN) < 120


def test_refused_calls_do_not_bind(rows, tmp_path):
    every = [f"{kind} {i}" for i, kind in enumerate(KINDS)]
    with pytest.raises(AllRefusedError, match="all 600 rows have no necessity"):
        score_candidates(rows, [Loss(every)], 60, tmp_path, method=LOSSES)
    SEEN.clear()
    score_candidates(rows, [Loss()], 60, tmp_path, method=LOSSES)
    assert len(SEEN) < 120


def test_calls_at_once_share_a_folder(rows, tmp_path):
    with ThreadPoolExecutor(2) as both:
        budgets = [60, 90]
        made = [
            both.submit(score_candidates, rows, [Loss()], budget, tmp_path, method=LOSSES)
            for budget in budgets
        ]
        at_once = [call.result() for call in made]
    for budget, scored in zip(budgets, at_once, strict=True):
        SEEN.clear()
        assert score_candidates(rows, [Loss()], budget, tmp_path, method=LOSSES)[:] == scored[:]
        assert SEEN == []


def test_other_pools_and_scorers_are_refused(rows, tmp_path):
    score_candidates(rows, [Loss()], 60, tmp_path, method=LOSSES)
    with pytest.raises(StaleRunError, match="rows that are not in it"):
        score_candidates(rows.select(range(500)), [Loss()], 60, tmp_path, method=LOSSES)
    with pytest.raises(StaleRunError, match="bad"):
        score_candidates(rows, [Loss(["a 0"])], 60, tmp_path, method=LOSSES)
    mixed = rows.select(np.random.default_rng(0).permutation(ROWS))
    SEEN.clear()
    score_candidates(mixed, [Loss()], 60, tmp_path, method=LOSSES)
    assert SEEN == []


def test_refused_rows_are_replaced(rows, tmp_path):
    bad = [f"{kind} {i}" for i, kind in enumerate(KINDS) if i % 5 == 0]
    part = score_candidates(rows, [Loss(bad)], 90, tmp_path, method=LOSSES)
    selection = select_diverse(part, 90, method=LOSSES)
    assert len(selection) == 90
    assert selection.recipe.dropped["bad_row"] > 20
    assert not {turns[0]["content"][0]["text"] for turns in selection.dataset["messages"]} & {*bad}


def test_unused_kinds_stay_unscored(rows, tmp_path):
    method = Method(filters=(UnusedImage(rows=False, most=0.6),), kinds="kind")
    part = score_candidates(rows, [Loss()], 150, tmp_path, method=method)
    scored = np.array(part["kind"])[statuses(part) == "ok"]
    assert np.count_nonzero(scored == "c") == 75  # the first draw, of a kind with half of the rows
    assert {*select_diverse(part, 150, method=method).dataset["kind"]} == {"a", "b"}


def test_all_rows_scored_if_needed(rows, tmp_path):
    part = score_candidates(rows, [Loss()], 600, tmp_path, method=LOSSES)
    whole = select_diverse(score(rows, Loss()), 600, method=LOSSES)
    assert (statuses(part) == "ok").all()
    assert select_diverse(part, 600, method=LOSSES).row_ids == whole.row_ids


def test_exact_copies_are_never_drawn(rows, tmp_path):
    twice = rows.select([*range(60), *range(60)])
    SEEN.clear()
    score_candidates(twice, [Loss()], 30, tmp_path / "clean", method=CleanBalanced(kinds="kind"))
    assert len(SEEN) == len({*SEEN})
    SEEN.clear()
    score_candidates(twice, [Loss()], 110, tmp_path / "all", method=Method(kinds="kind"))
    assert len(SEEN) > len({*SEEN})


def test_near_copies_are_drawn_last(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 200, (8, 8, 3), np.uint8)) for _ in range(30)]
    copies = [pictures[0].point(lambda level, more=more: level + more) for more in range(1, 31)]
    image_rows = pool(
        [([user("what?", 1), assistant("yes")], [encode(picture)]) for picture in pictures + copies]
    )
    method = Method(filters=(NearDuplicates(),), by="necessity")

    def scored(budget):
        SEEN.clear()
        return score_candidates(image_rows, [Loss()], budget, tmp_path / str(budget), method=method)

    part = scored(20)
    assert len(SEEN) == 20
    assert np.count_nonzero(statuses(part) == "repeats") == 30
    picks = select_diverse(part, 20, method=method)
    assert np.count_nonzero((picks.indices == 0) | (picks.indices >= 30)) <= 1
    assert picks.recipe.dropped_reasons["repeats"].startswith("nearly the same text")
    assert len(select_diverse(scored(40), 40, method=method)) == 40  # copies where other rows do not suffice


def test_recall_of_copies_is_recorded(tmp_path, monkeypatch):
    divide_above(monkeypatch, 100, 20)
    pictures = [Image.effect_noise((16, 16), 90) for _ in range(120)]
    image_rows = pool([([user("what?", 1), assistant("yes")], [encode(p)]) for p in pictures * 2])
    method = Method(filters=(NearDuplicates(),), by="necessity")
    part = score_candidates(image_rows, [Loss()], 20, tmp_path, method=method)
    found = {"copies": 240, "recall": 1.0}
    selection = select_diverse(part, 20, method=method)
    assert [record.thresholds for record in selection.recipe.filters] == [found]
    # Not what it says of other filters, other rows, or rows that all have a score.
    other = Method(filters=(NearDuplicates(bits=3),), by="necessity")
    scored = part.select(np.flatnonzero(statuses(part) == "ok"))
    for rows, method_ in ((part, other), (part.select(range(239)), method), (scored, method)):
        (record,) = select_diverse(rows, 10, method=method_).recipe.filters
        assert record.thresholds == {}
    assert filter_pool(part, method.filters, by="necessity").records[0].thresholds == {}


def test_copied_texts_are_not_preferred(tmp_path):
    texts = [f"single {i}" for i in range(200)] + [f"copied {i}" for i in range(50)]
    texts += [text.upper() for text in texts[200:]] + [f"{text} " for text in texts[200:]] * 3
    made = pool([([user(text), assistant("yes")], []) for text in texts])
    method = Method(filters=(NearDuplicates(),))
    copied = 0
    for seed in range(6):
        part = score_candidates(made, [Loss()], 20, tmp_path / str(seed), method=method, seed=seed)
        picks = select_diverse(part, 20, method=method, seed=seed).indices
        copied += np.count_nonzero(picks >= 200)
    assert 10 < copied < 40  # a fifth of the texts: 24 of 120 picks


def test_kinds_count_copies(rows, tmp_path):
    twice = concatenate_datasets([rows, rows.select(range(0, ROWS, 4))])
    method = CleanBalanced(filters=(NearDuplicates(),), kinds="kind")
    whole = select_diverse(score(twice, Loss()), 60, method=method)
    for budget in (60, ROWS):  # with rows that no draw needs, and with copies alone
        part = score_candidates(twice, [Loss()], budget, tmp_path / str(budget), method=method)
        shares = select_diverse(part, budget, method=method).recipe.shares
        assert [share.rows for share in shares] == [share.rows for share in whole.recipe.shares]
        assert [share.left for share in shares] == [share.left for share in whole.recipe.shares]


def test_selections_are_extended(rows, tmp_path):
    part = score_candidates(rows.select(range(400)), [Loss()], 40, tmp_path, method=LOSSES)
    first = select_diverse(part, 40, method=LOSSES)
    more = score(rows.select(range(400, ROWS)), Loss())
    whole = first.extend(more, 20)
    assert len(whole) == 60
    assert whole.row_ids[:40] == first.row_ids
    (cut,) = whole.recipe.filters
    assert cut.thresholds["cells"] == first.recipe.filters[0].thresholds["cells"]


def test_loss_tail_counts_copies(tmp_path):
    """A fifth of all rows is cut, as if their copies had scores: more than the wrong answers among them."""
    texts = [f"a {i}" for i in range(200)]
    talks = [([user(text), assistant("yes")], []) for text in [*texts, *map(str.upper, texts[:100])]]

    class Wrong(Loss):
        def score_row(self, text):
            loss, gain = super().score_row(text.lower())
            return loss + 9 * (int(text.split()[1]) >= 150), gain  # wrong answers repeat nothing

    method = Method(filters=(NearDuplicates(), LossTail(cut=0.8)))
    part = score_candidates(pool(talks), [Wrong()], 100, tmp_path, method=method)
    assert np.count_nonzero(statuses(part) == "repeats") == 100
    for scored in (part, score(pool(talks), Wrong())):
        assert not {*range(150, 200)} & {*select_diverse(scored, 100, method=method).indices}
    alone = score(pool(talks[:200]), Wrong())
    assert {*range(150, 200)} & {*select_diverse(alone, 100, method=method).indices}


class EasyCopies(Loss):
    """Losses of rows up to 50, and of their copies, that are lower than all others."""

    def score_row(self, text):
        loss, gain = super().score_row(text.lower())
        return loss + (int(text.split()[1]) >= 50), gain


def cut(dataset, method, **options):
    """The number of rows that LossTail drops."""
    return select_diverse(dataset, 40, method=method, **options).recipe.filters[-1].dropped


def score_easy_copies(folder):
    """A partly scored pool of 100 rows of one kind, and copies of the first 50; and its method."""
    texts = [f"a {i}" for i in range(100)]
    talks = [([user(text), assistant("yes")], []) for text in [*texts, *map(str.upper, texts[:50])]]
    method = Method(filters=(NearDuplicates(), LossTail(cut=0.8)), kinds="kind")
    made = pool(talks).add_column("kind", ["x"] * 150)
    return score_candidates(made, [EasyCopies()], 80, folder, method=method), method


def test_copies_count_where_they_are(tmp_path):
    """A row counts with its copies that are in the pool and not excluded."""
    part, method = score_easy_copies(tmp_path)
    ids, copies = row_ids(part), np.flatnonzero(statuses(part) == "repeats")
    repeated = [ids.index(name) for name in part.select(copies)["necessity_repeats"]]
    assert "repeats" not in statuses(part)[repeated]
    assert part["necessity_repeats"][:].count(None) == 150 - len(copies) == 100
    fifth = pytest.approx(np.count_nonzero(statuses(part) == "ok") / 5, abs=1)
    assert cut(part, method) > 1.25 * fifth.expected
    assert cut(part, method, exclude=[ids[row] for row in copies]) == fifth
    assert cut(part.select(np.setdiff1d(np.arange(150), copies)), method) == fifth
    assert cut(part.remove_columns("necessity_repeats"), method) == fifth
    filtered = filter_pool(part, method.filters, kinds="kind")
    assert filtered.records[-1].dropped == cut(part, method)


def test_joined_pools_keep_their_copies(tmp_path):
    part, method = score_easy_copies(tmp_path)
    more = pool([([user(f"b {i}"), assistant("yes")], []) for i in range(100)])
    whole = score(more.add_column("kind", ["y"] * 100), EasyCopies())
    assert cut(concatenate_datasets([part, whole]), method) == cut(part, method) + 20


def test_copies_of_other_kinds_are_ignored(tmp_path):
    texts = [f"a {i}" for i in range(100)]
    talks = [([user(text), assistant("yes")], []) for text in [*texts, *map(str.upper, texts)]]
    made = pool(talks).add_column("kind", ["x"] * 100 + ["y"] * 100)
    method = Method(filters=(NearDuplicates(), LossTail(cut=0.8)), kinds="kind")
    part = score_candidates(made, [EasyCopies()], 70, tmp_path, method=method)
    scored = np.count_nonzero(statuses(part) == "ok")
    assert cut(part, method) == pytest.approx(scored / 5, abs=2)


def test_scored_pools_are_refused(rows, tmp_path):
    part = score_candidates(rows, [Loss()], 60, tmp_path / "one", method=LOSSES)
    with pytest.raises(ColumnError, match="overwrite"):
        score_candidates(part, [Loss()], 60, tmp_path / "again", method=LOSSES)


def test_only_selections_warn(rows, tmp_path, recwarn):
    odd = rows.add_column("quality", [0.5, 0.7] * (ROWS // 2)).add_column("quality_status", ["fine"] * ROWS)
    method = Method(filters=(UnusedImage(column="quality"),), kinds="kind")
    part = score_candidates(odd, [Loss()], 60, tmp_path, method=method)
    assert not [warning for warning in recwarn if "ignored" in str(warning.message)]
    with pytest.warns(UserWarning, match="'quality_status' .* is ignored"):
        select_diverse(part, 60, method=method)


def test_copies_without_scores_are_refused(tmp_path):
    made = pool([([user(text), assistant("yes")], []) for text in ["a", "b", "c", "A", "B"]])
    part = score_candidates(made, [Loss()], 3, tmp_path, method=Method(filters=(NearDuplicates(),)))
    for method in (Method(rule=TopScore()), Method(filters=(LossTail(),))):
        with pytest.raises(UsageError, match="whose copies have no scores"):
            select_diverse(part, 3, method=method)


@pytest.mark.parametrize("named", [lambda earlier: earlier, lambda earlier: earlier.row_ids])
def test_excluded_rows_are_never_drawn(named, rows, tmp_path):
    earlier = select_diverse(score(rows, Loss()), 60, method=Method(kinds="kind"))
    exclude = named(earlier)
    part = score_candidates(rows, [Loss()], 60, tmp_path, method=LOSSES, exclude=exclude)
    selection = select_diverse(part, 60, method=LOSSES, exclude=exclude)
    assert len(selection) == 60
    assert not {*selection.row_ids} & {*earlier.row_ids}
    assert selection.recipe.dropped == {"not_scored": np.count_nonzero(statuses(part) == "not_scored")}


def test_unknown_rows_are_not_excluded(rows, tmp_path):
    with pytest.raises(RowSetError, match="in exclude, got 1 of 1 row ids that are not in it"):
        score_candidates(rows, [Loss()], 60, tmp_path, method=LOSSES, exclude=["abc-0"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "scored for another method or seed"),
        ({"method": Method(filters=(LossTail(),))}, "scored for another method or seed"),
        ({"method": TopScore()}, "scores of all rows for TopScore"),
        ({"budget": 70}, "scores of enough rows for a budget of 70"),
        ({"include": 3}, "scores of all rows where rows are included"),
    ],
)
def test_other_selections_are_refused(rows, tmp_path, options, message):
    part = score_candidates(rows, [Loss()], 60, tmp_path, method=LOSSES)
    select_diverse(part, 40, method=LOSSES)  # a smaller budget is met
    if "include" in options:
        options = {"include": select_diverse(part, options["include"], method=LOSSES)}
    if isinstance(options.get("method"), TopScore):
        options = {"method": Method(rule=TopScore())}
    with pytest.raises(UsageError, match=message):
        select_diverse(part, **{"budget": 60, "method": LOSSES, **options})


def test_wrong_calls_are_refused(rows, tmp_path):
    with pytest.raises(UsageError, match="whose rule is Random, got TopScore"):
        score_candidates(rows, [Loss()], 60, tmp_path, method=Method(rule=TopScore()))
    part = score_candidates(rows, [Loss()], 60, tmp_path, method=LOSSES)
    with pytest.raises(BudgetError, match="not scored: score_candidates"):
        select_diverse(part, 300, method=LOSSES)
    with pytest.raises(BudgetError, match="at least 1 row"):
        score_candidates(rows, [Loss()], 0, tmp_path)
