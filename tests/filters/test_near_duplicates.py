"""NearDuplicates: what counts as the same row, which one stays, and large groups."""

import numpy as np
import pytest
from large_groups import divide_above
from PIL import Image
from pools import assistant, encode, pool, stripes, user

from hf_vitselect.filters import NearDuplicates, Rows, near_duplicates
from hf_vitselect.filters.image_hash import ImageHashes, image_hash


def make_rows(talks, scores=None, features=None, **others):
    """Rows of a question, an answer and images each."""
    dataset = pool(
        [([user(question, len(images)), assistant(answer)], images) for question, answer, images in talks]
    )
    return Rows.of(
        np.arange(len(talks), dtype=np.float64) if scores is None else np.array(scores, dtype=np.float64),
        pool=dataset,
        image_features=None if features is None else np.array(features, dtype=np.float32),
        **others,
    )


def repeats(rows, **arguments):
    """The row that each dropped row repeats."""
    drops = NearDuplicates(**arguments).find(rows)
    return dict(zip(drops.rows.tolist(), drops.repeats.tolist(), strict=True))


def at_angles(*degrees):
    return [[np.cos(np.radians(angle)), np.sin(np.radians(angle))] for angle in degrees]


def about(images, question="what is it?", answer="a dog"):
    return [(question, answer, [image]) for image in images]


SOME = [b"x"] * 5  # images that need not decode, since there are features


def test_near_images_of_one_text_repeat():
    rows = make_rows(about(SOME), features=at_angles(0, 10, 17, 30, 90))
    drops = NearDuplicates(cosine=0.95).find(rows)  # 18.2 degrees
    assert dict(zip(drops.rows.tolist(), drops.repeats.tolist(), strict=True)) == {1: 0, 2: 0}
    assert drops.reasons == ["the same text, images of cosine 0.985", "the same text, images of cosine 0.956"]


def test_unknown_features_are_ignored():
    image = encode(stripes())
    rows = make_rows(about([image] * 2), unknown_features="embedding")
    with pytest.warns(UserWarning, match="the column 'embedding' is ignored: no record says") as warned:
        drops = NearDuplicates().find(rows)
    assert len(warned) == 1
    assert drops.reasons == ["the same text, images whose hashes differ in 0 of 384 bits"]
    assert NearDuplicates().describe(drops.thresholds) == (
        "images are compared by a hash: no record says that ClipEmbedding made 'embedding'"
    )
    without_image = make_rows([("why", "so", [])] * 2, unknown_features="embedding")
    assert NearDuplicates().find(without_image).thresholds == {}


def test_row_of_lowest_score_stays():
    rows = make_rows(about(SOME[:3]), scores=[2, 1, 3], features=at_angles(0, 1, 2))
    assert repeats(rows) == {0: 1, 2: 1}


def test_picked_row_stays():
    rows = make_rows(about(SOME[:3]), features=at_angles(0, 1, 2), picked=np.array([2]))
    assert repeats(rows) == {0: 2, 1: 2}
    both = make_rows(about(SOME[:3]), features=at_angles(0, 1, 2), picked=np.array([2, 1]))
    assert repeats(both) == {0: 1}


def test_copies_are_near_kept_rows():
    rows = make_rows(about(SOME), features=at_angles(0, 15, 30, 45, 60))
    assert repeats(rows) == {1: 0, 3: 2}


def test_most_similar_row_is_repeated():
    rows = make_rows(about(SOME[:3]), features=at_angles(0, 20, 12))
    assert repeats(rows) == {2: 1}


def test_rows_dropped_earlier_repeat_nothing():
    left = np.array([False, True, True])
    rows = make_rows(about(SOME[:3]), features=at_angles(0, 1, 2), left=left)
    assert repeats(rows) == {2: 1}


def test_case_and_spaces_are_ignored():
    talks = [*about(SOME[:1]), ("What  is it?", "A DOG", SOME[:1]), ("what is it", "a dog", SOME[:1])]
    assert repeats(make_rows(talks, features=at_angles(0, 0, 0))) == {1: 0}


def test_other_answers_are_no_copies():
    talks = [*about(SOME[:1]), *about(SOME[:1], answer="a cat"), ("what is it?", "a dog", [])]
    assert repeats(make_rows(talks, features=[[1, 0], [1, 0], [0, 0]])) == {}


def test_numbers_of_images_must_be_equal():
    talks = [("what is it?", "a dog", SOME[:1]), ("what is it?", "a dog", SOME[:2])]
    assert repeats(make_rows(talks, features=at_angles(0, 0))) == {}


def test_rows_without_image_go_by_text():
    talks = [("two and two?", "four", []), ("Two and two?", "four", []), ("two and one?", "three", [])]
    rows = make_rows(talks, features=[[0, 0]] * 3)
    assert repeats(rows) == {1: 0}
    assert NearDuplicates().find(rows).reasons == ["the same text"]


def big(seed):
    return stripes(64, 64, seed).rotate(30 * seed)


def jpeg(image, **options):
    return encode(image, "JPEG", **options)


def test_copies_are_found_without_features():
    first, other = big(1), big(2)
    small = first.resize((40, 40), Image.Resampling.LANCZOS)
    images = [encode(first), jpeg(first, quality=70), encode(small), encode(other), b"broken", b"broken"]
    rows = make_rows(about(images))
    assert repeats(rows) == {1: 0, 2: 0}
    reason = NearDuplicates().find(rows).reasons[0]
    assert reason.startswith("the same text, images whose hashes differ in ")
    assert repeats(rows, bits=0) == {}


def spots(*places):
    """A gray image with a few bright squares, whose hash has few bits set."""
    image = Image.new("L", (96, 96), 120)
    for x, y in places:
        image.paste(220, (x, y, x + 12, y + 12))
    return image


def test_gray_images_repeat_if_most_agrees():
    first = spots((12, 12), (60, 24))
    images = [first, spots((12, 12), (60, 60)), spots((60, 60))]
    differing = [np.count_nonzero(image_hash(first) != image_hash(other)) for other in images[1:]]
    assert max(differing) <= NearDuplicates().bits  # few in number, but many of those that are set
    rows = make_rows(about([*map(encode, images), jpeg(first.resize((80, 80)), quality=80)]))
    assert repeats(rows) == {3: 0}


def test_blank_images_repeat_nothing():
    blank = [encode(Image.new("RGB", (32, 32), color)) for color in ("red", "blue", "red")]
    assert repeats(make_rows(about(blank))) == {}


def test_all_images_must_repeat_in_order():
    one, two = encode(big(1)), encode(big(2))
    talks = [("same?", "no", images) for images in ([one, two], [one, two], [two, one], [one, one])]
    assert repeats(make_rows(talks)) == {1: 0}


WORDS = [f"word{i}" for i in range(400)]


def changed(words, *places):
    return " ".join("other" if i in places else word for i, word in enumerate(words))


def test_long_turns_may_differ_a_little():
    talks = [(changed(WORDS, *places), "a dog", []) for places in ((), (200,), range(0, 400, 40))]
    drops = NearDuplicates().find(make_rows(talks))  # of 396 shingles 5 differ, and 48
    assert (drops.rows.tolist(), drops.repeats.tolist()) == ([1], [0])
    assert drops.reasons[0].startswith("a text of similarity 0.9")
    assert repeats(make_rows(talks), jaccard=0.6) == {1: 0, 2: 0}


def test_short_answers_must_agree():
    talks = [(changed(WORDS), "yes", []), (changed(WORDS), "no", []), (changed(WORDS), "Yes", [])]
    assert repeats(make_rows(talks)) == {2: 0}


def test_short_turns_must_be_the_same():
    talks = [(changed(WORDS[:49]), "yes", []), (changed(WORDS[:49], 20), "yes", [])]
    assert repeats(make_rows(talks)) == {}
    assert repeats(make_rows(talks), long=40, jaccard=0.7) == {1: 0}


@pytest.mark.parametrize("largest", [10, 10_000])
def test_large_groups_are_divided(monkeypatch, largest):
    rng = np.random.default_rng(0)
    divide_above(monkeypatch, largest, 60)
    monkeypatch.setattr(near_duplicates, "_BLOCK", 64)
    centers = rng.standard_normal((50, 16))
    features = np.repeat(centers, 12, axis=0) + 0.02 * rng.standard_normal((600, 16))
    rows = make_rows(about([b"x"] * 600), scores=rng.random(600), features=features)
    found = repeats(rows)
    lowest = {center: min(range(12 * center, 12 * center + 12), key=rows.scores.item) for center in range(50)}
    assert found == {row: lowest[row // 12] for row in range(600) if row != lowest[row // 12]}


def far_pairs(monkeypatch, **arguments):
    """Pairs of rows that are not very similar, in a group that is divided."""
    divide_above(monkeypatch, 100, 20)
    rng = np.random.default_rng(0)
    centers, noise = rng.standard_normal((120, 64)), rng.standard_normal((240, 64))
    rows = make_rows(about([b"x"] * 240), features=np.repeat(centers, 2, axis=0) + 0.5 * noise)
    return NearDuplicates(cosine=0.6, **arguments).find(rows)


def test_divided_groups_state_their_recall(monkeypatch):
    drops = far_pairs(monkeypatch)
    whole = far_pairs(monkeypatch, approximate=False)
    assert whole.thresholds == {}
    assert sorted(whole.rows.tolist()) == [*range(1, 240, 2)]
    # All rows are in the sample, and each is a copy of one other.
    assert drops.thresholds == {"copies": 240, "recall": round(len(drops.rows) / 120, 4)}
    assert 0.3 < drops.thresholds["recall"] < 0.9
    assert NearDuplicates().describe(drops.thresholds) == (
        f"of copies in groups of more than 100 rows {len(drops.rows) / 120:.1%} are found, "
        "estimated from 240 copies"
    )


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_large_groups_of_few_images(monkeypatch, distinct):
    divide_above(monkeypatch, 100, 20)
    rows = make_rows(about([b"x"] * 200), features=np.eye(distinct)[np.arange(200) % distinct])
    assert len(repeats(rows)) == 200 - distinct


@pytest.mark.parametrize("others", [0, 1000])
def test_two_fifths_are_exact(monkeypatch, others):
    # Hashes of five bits of which two, three or none differ, whatever the number of other rows.
    hashes = np.zeros((3 + others, 1, 384), dtype=np.bool_)
    hashes[:3, 0, :5] = [[1, 1, 1, 1, 0], [1, 1, 1, 0, 1], [1, 0, 0, 1, 1]]
    hashes[3:, 0, 5:] = np.random.default_rng(0).random((others, 379)) < 0.5
    kept = ImageHashes(np.arange(len(hashes)), np.packbits(hashes[:, 0], axis=1))
    monkeypatch.setattr(near_duplicates, "_hash_images", lambda rows, texts: kept)
    assert repeats(make_rows(about([b"x"] * len(hashes)))) == {1: 0}


def test_recall_needs_copies(monkeypatch):
    divide_above(monkeypatch, 10, 5)
    rows = make_rows(about([b"x"] * 20), features=np.eye(20))
    thresholds = NearDuplicates().find(rows).thresholds
    assert thresholds == {"copies": 0, "recall": None}
    assert NearDuplicates().describe(thresholds) == ""


@pytest.mark.parametrize("block", [7, 512])
def test_blocks_keep_the_same_rows(monkeypatch, block):
    rng = np.random.default_rng(1)
    monkeypatch.setattr(near_duplicates, "_BLOCK", block)
    features = rng.standard_normal((200, 3)).astype(np.float32)
    rows = make_rows(about([b"x"] * 200), features=features, picked=np.array([150, 151]))
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    stay = [150, 151]
    for row in [row for row in range(200) if row not in stay]:
        if (units[stay] @ units[row]).max() < 0.95:
            stay.append(row)
    assert sorted(repeats(rows)) == sorted({*range(200)} - {*stay})


@pytest.mark.parametrize(
    "arguments", [{"cosine": 0.0}, {"jaccard": 1.2}, {"bits": 384}, {"long": 4}], ids=str
)
def test_invalid_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}: expected"):
        NearDuplicates(**arguments)
