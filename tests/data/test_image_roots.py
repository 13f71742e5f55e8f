"""The image access of a pool reaches every reader of its rows, and nobody forges it."""

import json
import os

import pytest
from datasets import Dataset, Image, IterableDataset, concatenate_datasets, load_dataset, load_from_disk
from pools import png
from tiny_embedders import save_clip

from hf_vitselect import ClipEmbedding, load_pool, score, select_diverse, with_image_root
from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.data.image_roots import image_access, recorded_access
from hf_vitselect.data.pools import load_stream
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import AllRefusedError, LayoutError, PoolError
from hf_vitselect.rules import Random

NAMES = ["a.png", "deep/b.png", "gone.png", "../secret.png", None]
STATUSES = ["ok", "ok", "image_missing", "image_missing", "ok"]


def talk(image):
    return {"prompt": "what?", "completion": "red", "image": image}


@pytest.fixture
def folder(tmp_path):
    """A pool with images below it, and an image beside it."""
    (tmp_path / "pool" / "deep").mkdir(parents=True)
    for number, file in enumerate(("pool/a.png", "pool/deep/b.png", "secret.png")):
        (tmp_path / file).write_bytes(png(number))
    (tmp_path / "pool" / "rows.jsonl").write_text("\n".join(json.dumps(talk(name)) for name in NAMES))
    return tmp_path / "pool"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    place = tmp_path_factory.mktemp("clip")
    save_clip(place)
    return ClipEmbedding(str(place))


def mapped(rows, clip, **options):
    return rows.map(clip, **options)["embedding_status"][:]


def streamed(rows, clip):
    return [row["embedding_status"] for row in rows.map(clip)]


WAYS = {
    "map": lambda rows, clip, out: mapped(rows, clip),
    "map batched": lambda rows, clip, out: mapped(rows, clip, batched=True),
    "map in processes": lambda rows, clip, out: mapped(rows, clip, batched=True, num_proc=2),
    "score": lambda rows, clip, out: score(rows, clip)["embedding_status"][:],
    "shards": lambda rows, clip, out: score(rows, clip, out, shard_size=2)["embedding_status"][:],
    "a worker": lambda rows, clip, out: score(rows, clip, workers=1)["embedding_status"][:],
    "stream": lambda rows, clip, out: score(rows.to_iterable_dataset(), clip, out)["embedding_status"][:],
    "stream mapped": lambda rows, clip, out: streamed(rows.to_iterable_dataset(), clip),
    "filtered": lambda rows, clip, out: mapped(rows.filter(lambda row: True), clip),
    "shuffled back": lambda rows, clip, out: mapped(rows.select([4, 3, 2, 1, 0]), clip)[::-1],
    "saved": lambda rows, clip, out: rows.save_to_disk(out) or mapped(load_from_disk(out), clip),
    "selected": lambda rows, clip, out: [
        select_diverse(rows, 5, rule=Random()).dataset.map(clip)["embedding_status"][:].count("ok") == 3
        and status
        for status in STATUSES
    ],
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_root_reaches_every_reader(folder, clip, way, tmp_path):
    assert way(load_pool(folder / "rows.jsonl"), clip, str(tmp_path / "out")) == STATUSES


@pytest.mark.slow
def test_root_reaches_ray_actors(folder, clip):
    ray = pytest.importorskip("ray")
    try:
        scored = score(load_pool(folder / "rows.jsonl"), clip, engine="ray", workers=1)
        assert scored["embedding_status"][:] == STATUSES
    finally:
        ray.shutdown()


@pytest.mark.parametrize("name", ["rows.jsonl", "", "*.jsonl"])
def test_local_pool_starts_at_its_folder(folder, name):
    for load in (load_pool, load_stream):
        rows = load(os.path.join(folder, name))
        assert recorded_access(rows).roots == (str(folder),)
        assert next(iter(read_rows(rows))).images[0].encoded() == png(0)


def test_given_root_replaces_the_folder(folder):
    pool = load_pool(folder / "rows.jsonl", image_root=folder / "deep")
    assert [row.images and row.images[0].digest() for row in read_rows(pool)] == [None, None, None, None, ()]
    (folder / "deep" / "a.png").write_bytes(png(5))
    assert next(read_rows(pool)).images[0].encoded() == png(5)
    pool = load_pool(folder / "rows.jsonl", allow_paths=[folder.parent])
    assert list(read_rows(pool))[3].images[0].encoded() == png(2)


def test_scored_pool_keeps_its_root(folder, clip, tmp_path):
    scored = score(load_pool(folder / "rows.jsonl"), clip, tmp_path / "shards")
    scored.save_to_disk(str(tmp_path / "run" / "scored"))
    for again in (load_pool(tmp_path / "run"), load_stream(tmp_path / "run")):
        assert recorded_access(again).roots == (str(folder),)
    assert recorded_access(load_pool(tmp_path / "run", image_root=tmp_path)).roots == (str(tmp_path),)


def test_rows_of_unknown_origin_need_roots(folder, clip, monkeypatch):
    monkeypatch.chdir(folder)
    rows = load_dataset("json", data_files="rows.jsonl", split="train")
    with pytest.warns(UserWarning, match="with_image_root"):
        assert score(rows, clip)["embedding_status"][:] == ["image_missing"] * 4 + ["ok"]
    assert mapped(with_image_root(rows, "."), clip) == STATUSES
    stream = load_dataset("json", data_files="rows.jsonl", split="train", streaming=True)
    assert streamed(with_image_root(stream, folder), clip) == STATUSES


def test_generated_rows_need_roots(folder, clip, monkeypatch):
    monkeypatch.chdir(folder)
    stream = IterableDataset.from_generator(lambda: iter([talk("a.png")]))
    assert streamed(stream, clip) == ["image_missing"]
    assert clip(talk("a.png"))["embedding_status"] == "image_missing"
    assert clip(talk(png()))["embedding_status"] == "ok"


def test_image_features_open_their_files(folder):
    """As `datasets` itself does: such paths come from its own builders, or from casts of the user."""
    path = str(folder / "a.png")
    cast = Dataset.from_list([talk(path)]).cast_column("image", Image())
    assert next(read_rows(cast)).images[0].encoded() == png(0)
    turns = [
        {"role": "user", "content": [{"type": "image", "image": {"bytes": None, "path": path}}]},
        {"role": "assistant", "content": "red"},
    ]
    rows = [{"messages": json.dumps(turns), "image": None}, {"messages": json.dumps(turns), "image": None}]
    inline = Dataset.from_list(rows).cast_column("image", Image())
    assert next(read_rows(inline)).images[0].digest() is None


def test_ids_need_the_root(folder):
    pool = load_pool(folder / "rows.jsonl")
    moved = load_dataset("json", data_files=str(folder / "rows.jsonl"), split="train")
    assert row_ids(with_image_root(moved, folder)) == row_ids(pool)
    assert len({*row_ids(pool), *row_ids(moved)}) > len(pool)


def test_other_root_is_not_cached(folder, clip):
    first, other = (load_pool(folder / "rows.jsonl", image_root=at) for at in (folder, folder.parent))
    assert mapped(first, clip) == STATUSES
    assert mapped(other, clip) == ["image_missing"] * 4 + ["ok"]
    assert load_pool(folder / "rows.jsonl")._fingerprint == first._fingerprint


def test_pools_of_two_roots_are_refused(folder):
    pools = [load_pool(folder / "rows.jsonl", image_root=at) for at in (folder, folder.parent)]
    assert len(list(read_rows(concatenate_datasets([pools[0], pools[0]])))) == 2 * len(NAMES)
    with pytest.raises(LayoutError, match="expected one image root"):
        list(read_rows(concatenate_datasets(pools)))


def test_forged_record_is_ignored(folder):
    """A card on the Hub may hold any description, and `datasets` takes it over."""
    signed = load_pool(folder / "rows.jsonl").info.description
    for forged in (
        signed.replace(str(folder), "/"),
        signed.replace('"signature": "', '"signature": "0'),
        'hf_vitselect_images: {"access": {"roots": ["/"]}, "signature": null}',
        "hf_vitselect_images: [",
        'hf_vitselect_images: {"access": {"root": 1}}',
    ):
        repository = folder.parent / "repository"
        repository.mkdir(exist_ok=True)
        (repository / "rows.jsonl").write_text(json.dumps(talk(str(folder / "a.png"))))
        card = {"description": forged, "features": [{"name": n, "dtype": "string"} for n in talk("")]}
        (repository / "README.md").write_text(f"---\ndataset_info: {json.dumps(card)}\n---\n")
        rows = load_dataset(str(repository), split="train")
        assert rows.info.description == forged
        assert image_access(rows) == ImageAccess()
        assert next(read_rows(rows)).images[0].digest() is None


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"image_root": "nowhere"}, "image_root: expected a folder, got 'nowhere'"),
        ({"allow_paths": ["nowhere"]}, "allow_paths: expected a folder"),
        ({"allow_paths": "/"}, "expected lists"),
        ({"allow_addresses": ["localhost"]}, r"expected an address or a network .* got 'localhost'"),
    ],
    ids=str,
)
def test_wrong_roots_are_refused(folder, given, error):
    with pytest.raises(PoolError, match=error):
        load_pool(folder / "rows.jsonl", **given)


def test_all_missing_says_why(folder, clip):
    (folder / "none.jsonl").write_text(json.dumps(talk("gone.png")))
    with pytest.raises(AllRefusedError, match=r"no file at 'gone\.png'"):
        score(load_pool(folder / "none.jsonl"), clip)
