"""UnusedImage: whole kinds, single rows, and the shares of answers."""

import numpy as np
import pytest

from hf_vitselect.filters import NothingToGoByError, Rows, UnusedImage


def make_rows(cells, losses=1.0, **others):
    """Rows of cells, each a kind, an answer and its gains; all losses with image are equal."""
    names = sorted({kind for kind, _, _ in cells})
    gains = np.array([gain for _, _, gains in cells for gain in gains], dtype=np.float64)
    return Rows.of(
        np.zeros(len(gains)),
        columns={"image_gain": gains, "necessity": np.full(len(gains), losses)},
        kinds=np.array([names.index(kind) for kind, _, gains in cells for _ in gains]),
        kind_names=names,
        answers=np.array([answer for _, answer, gains in cells for _ in gains], dtype=object),
        **others,
    )


SEEN = ("seen", "a", [1.0] * 100)
FACTS = ("facts", "a", [0.05] * 5 + [0.0] * 20 + [np.nan] * 5)  # images save .01 of 1.01


def test_kinds_that_save_little_go():
    drops = UnusedImage().find(make_rows([SEEN, FACTS]))
    assert sorted(drops.rows.tolist()) == [*range(100, 125)]  # rows without image stay
    assert set(drops.reasons) == {"the images of kind 'facts' save 1.0% of the loss"}
    assert drops.thresholds["kinds"] == {"facts": 0.0099}
    assert UnusedImage().describe(drops.thresholds) == (
        "whole kinds, by the share of the loss that their images save: 'facts' (1.0%)"
    )


@pytest.mark.parametrize(("loss", "dropped"), [(0.02, 0), (0.08, 0), (0.1, 25)])
def test_share_counts_loss_without_image(loss, dropped):
    # Images save .01 of .03, .09 and .11: a third, a ninth, and less than a tenth.
    rows = make_rows([SEEN, FACTS], losses=loss)
    assert len(UnusedImage(rows=False).find(rows).rows) == dropped


@pytest.mark.parametrize(("helped", "dropped"), [(0.0, 0), (0.19, 0), (0.2, 25), (1.0, 25)])
def test_kinds_helped_nearly_everywhere_stay(helped, dropped):
    # The images of five rows in twenty-five lower the loss.
    rows = make_rows([SEEN, FACTS])
    assert len(UnusedImage(helped=helped, rows=False).find(rows).rows) == dropped


def test_unlearned_kinds_stay():
    unlearned = ("unlearned", "a", [0.02] * 20 + [-0.01] * 5)
    drops = UnusedImage(rows=False).find(make_rows([SEEN, FACTS, unlearned]))
    assert list(drops.thresholds["kinds"]) == ["facts"]


def test_unscored_copies_count_for_kinds():
    # The four rows that the image helps have six copies each, which have no score.
    cells = ("some", "a", [1.0] * 4 + [-0.01] * 26)
    copies = np.array([0.0] * 100 + [6.0] * 4 + [0.0] * 26)
    some = [make_rows([SEEN, cells], losses=2.0, copies=each) for each in (copies, np.zeros(130))]
    assert [list(UnusedImage(rows=False).find(rows).thresholds["kinds"]) for rows in some] == [[], ["some"]]
    whole = make_rows([SEEN, ("some", "a", [1.0] * 28 + [-0.01] * 26)], losses=2.0)
    shares = [UnusedImage(gain_share=0.25, most=1.0, rows=False).find(rows) for rows in (some[0], whole)]
    assert shares[0].thresholds == shares[1].thresholds


def test_kinds_near_a_bound_are_unsure():
    near_gain_share = ("near gain_share", "a", [1.5] * 2 + [0.0] * 28)
    near_helped = ("near helped", "a", [0.01] * 18 + [-0.01] * 12)
    rows = make_rows([SEEN, ("blind", "a", [0.01] * 2 + [-0.01] * 28), near_gain_share, near_helped])
    unsure = UnusedImage().unsure_kinds(rows)
    assert [rows.kind_names[kind] for kind in unsure] == ["near gain_share", "near helped"]
    often = make_rows([SEEN, ("near helped", "a", [0.01] * 180 + [-0.01] * 120)])
    assert not len(UnusedImage().unsure_kinds(often))


def test_small_kinds_are_not_judged():
    assert not len(UnusedImage(smallest=26, rows=False).find(make_rows([SEEN, FACTS])).rows)


def test_kinds_stay_within_the_pool_share():
    more = ("other facts", "a", [0.1] * 4 + [0.0] * 16)
    drops = UnusedImage(most=0.16).find(make_rows([SEEN, FACTS, more]))
    assert {drops.reasons[0]} == set(drops.reasons)
    assert (drops.thresholds["kinds"], drops.thresholds["too_large"]) == (
        {"other facts": 0.0196},
        {"facts": 0.0099},
    )


def test_blind_model_decides_nothing():
    with pytest.raises(NothingToGoByError, match="hardly uses images"):
        UnusedImage().find(make_rows([FACTS, ("seen", "a", [0.0, 0.05] * 50)]))


def test_single_rows_without_gain_go():
    gains = [1.0] * 50 + [0.0, -0.5, 1e-6, -0.1, np.nan]
    drops = UnusedImage().find(make_rows([("seen", "a", gains)]))
    assert drops.rows.tolist() == [51, 53, 50]
    assert drops.reasons[0] == "its image saves -0.500 of the loss"
    assert not len(UnusedImage(rows=False).find(make_rows([("seen", "a", gains)])).rows)


def test_single_rows_stay_within_share():
    gains = [2.0] * 10 + [-0.1, -0.2, -0.2, -0.3]
    drops = UnusedImage(most=0.15).find(make_rows([("seen", "a", gains)]))  # two of fourteen
    assert drops.rows.tolist() == [13]  # of two equal gains both stay


def test_picked_rows_count_as_answers():
    rows = make_rows([("seen", "a", [1.0] * 50 + [-0.5, -0.1])], picked=np.array([50]))
    assert UnusedImage().find(rows).rows.tolist() == [51]


YES_NO = [("sure", "yes", [1.0] * 40), ("sure", "no", [1.0] * 10 + [-i / 100 for i in range(30)])]


def test_answers_keep_their_shares():
    drops = UnusedImage(skew=0.1).find(make_rows(YES_NO))
    # After 13 drops 40 of 67 rows say yes, after 14 it would be 40 of 66.
    assert sorted(drops.rows.tolist()) == [*range(67, 80)]
    moved = drops.thresholds["answers"]["sure"]
    assert moved["moved"] == pytest.approx(40 / 67 - 0.5, abs=1e-3)
    assert moved["shares"] == {"yes": [0.5, 0.597], "no": [0.5, 0.403]}
    assert UnusedImage().describe(drops.thresholds) == (
        "single rows moved the answers of kind 'sure' most, by 9.7%: "
        "'no' 50.0% to 40.3%, 'yes' 50.0% to 59.7%"
    )


@pytest.mark.parametrize(("skew", "dropped"), [(0.0, 0), (0.3, 30), (1.0, 30)])
def test_skew_limits_the_drops(skew, dropped):
    assert len(UnusedImage(skew=skew, most=1.0).find(make_rows(YES_NO)).rows) == dropped


def test_thresholds_decide_new_rows():
    each = UnusedImage()
    thresholds = each.find(make_rows([SEEN, FACTS, *YES_NO])).thresholds
    new = make_rows(
        [
            ("a new kind", "a", [-0.2, 0.2]),
            ("facts", "b", [2.0, np.nan]),
            ("sure", "no", [-0.01, -0.25]),
            ("sure", "yes", [-0.01, 0.01]),
        ]
    )
    assert sorted(each.find_more(new, thresholds).rows.tolist()) == [0, 2, 5, 6]


@pytest.mark.parametrize(
    "arguments",
    [{"gain_share": 2.0}, {"helped": -0.1}, {"most": -0.1}, {"smallest": 0}, {"skew": 1.1}],
    ids=str,
)
def test_invalid_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}: expected"):
        UnusedImage(**arguments)
