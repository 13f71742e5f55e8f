"""Pushes to the Hub of these tests, by a client in a process of its own."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import List, Value
from hub_server import HubServer, run_client
from huggingface_hub import DatasetCard
from pools import assistant, encode, png, pool, stripes, user

from hf_vitselect.report.markdown import BEGIN, END
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's HF_HOME, with a pool, two selections and an image of the pool that is in a file."""
    folder = tmp_path_factory.mktemp("home")
    rotated = stripes().getexif()
    rotated[0x0112] = 6
    images_of_rows: list[Any] = [[png(i)] for i in range(20)]
    images_of_rows[2] = [encode(stripes(seed=2), "JPEG", quality=30, exif=rotated), png(99)]
    images_of_rows[4] = []
    images_of_rows[6] = [str(folder / "six.jpg")]
    (folder / "six.jpg").write_bytes(encode(stripes(seed=6), "JPEG"))
    rows = pool(
        [([user(f"{i}?", len(images)), assistant("red")], images) for i, images in enumerate(images_of_rows)]
    )
    scored = rows.add_column("necessity", [float(i % 7) for i in range(20)], feature=Value("float32"))
    vectors = [[float(i), 1.0, 0.0, 0.0] for i in range(20)]
    scored = scored.add_column("embedding", vectors, feature=List(Value("float32"), length=4))
    scored.save_to_disk(str(folder / "pool"))
    select_diverse(scored, 12, rule=TopScore()).save_to_disk(folder / "selection")
    other = scored.remove_columns("embedding").add_column("kind", ["a"] * 20)
    select_diverse(other, 5, rule=TopScore(lowest=True)).save_to_disk(folder / "other")
    return folder


@pytest.fixture(scope="module")
def selection(home: Path) -> Selection:
    return Selection.load_from_disk(home / "selection")


def files(hub: HubServer, repo_id: str) -> dict[str, bytes]:
    """The content of every file on main."""
    return {path: hub.read(file) for path, file in hub.commit("datasets", repo_id)["files"].items()}


def push_and_load() -> dict[str, Any]:
    import hashlib
    import os
    import re
    from pathlib import Path

    from datasets import Dataset, load_dataset
    from huggingface_hub import DatasetCard

    from hf_vitselect import Selection, push_to_hub
    from hf_vitselect.hub import apply_selection

    home = Path(os.environ["HF_HOME"])

    def cells(dataset: Dataset) -> list[Any]:
        rows = dataset.with_format("arrow")[:].to_pylist()
        for row in rows:
            row["images"] = [hashlib.sha256(image["bytes"]).hexdigest() for image in row["images"]]
        return rows

    selection = Selection.load_from_disk(home / "selection")
    seen: dict[str, Any] = {"url": push_to_hub(selection, "tester/subset", private=True)}
    seen["published"] = selection.recipe.published.to_json()

    pool = Dataset.load_from_disk(home / "pool").select_columns(["messages", "images"]).shuffle(seed=1)
    loading = DatasetCard.load("tester/subset").text.split("\n## ")[1]
    names: dict[str, Any] = {"pool": pool}
    for snippet in re.findall(r"```python\n(.*?)```", loading, re.DOTALL):
        exec(snippet, names)
    seen["features"] = names["subset"].features == selection.dataset.features
    seen["rows"] = cells(names["subset"])
    seen["decoded"] = names["subset"][0]["images"][0].size
    seen["scores"] = names["scores"].to_list()
    seen["streamed"] = len(list(load_dataset("tester/subset", split="train", streaming=True)))

    rebuilt = names["selection"]
    seen["baseline"] = names["random"]["row_id"][:]
    seen["rebuilt"] = [row["messages"] for row in rebuilt.dataset]
    seen["rebuilt_indices"] = pool.select(rebuilt.indices)["messages"] == rebuilt.dataset["messages"]
    seen["rebuilt_gains"] = rebuilt.gains.tolist()
    seen["rebuilt_recipe"] = rebuilt.recipe == selection.recipe
    seen["rebuilt_ranks"] = [rebuilt.scores["rank"][index] for index in rebuilt.indices]
    for name, wrong in (("short", pool.select(range(15))), ("twice", pool.select([*range(20), 0]))):
        try:
            apply_selection(wrong, "tester/subset")
        except ValueError as error:
            seen[name] = f"{type(error).__name__}: {error}"
    return seen


@pytest.fixture(scope="module")
def saw(hub: HubServer, home: Path) -> dict[str, Any]:
    return run_client(push_and_load, hub.url, home)


def test_address_and_commit(saw: dict[str, Any], hub: HubServer) -> None:
    assert saw["url"] == f"{hub.url}/datasets/tester/subset"
    assert saw["published"] == {
        "repo_id": "tester/subset",
        "commit": hub.commit("datasets", "tester/subset")["sha"],
    }
    assert hub.repo("datasets", "tester/subset")["private"]


def test_card_snippet_loads_identical_rows(saw: dict[str, Any], selection: Selection) -> None:
    expected = selection.dataset.with_format("arrow")[:].to_pylist()
    for row in expected:
        contents = [image["bytes"] or Path(image["path"]).read_bytes() for image in row["images"]]
        row["images"] = [hashlib.sha256(content).hexdigest() for content in contents]
    assert any(row["messages"][0]["content"][-1]["text"] == "6?" for row in expected)
    assert any(row["messages"][0]["content"][-1]["text"] == "2?" for row in expected)
    assert saw["rows"] == expected
    assert saw["features"]
    assert saw["decoded"] == [16, 16]
    assert saw["streamed"] == 12


def test_scores_cover_the_whole_pool(saw: dict[str, Any], selection: Selection) -> None:
    assert saw["scores"] == selection.scores.to_list()
    assert len(saw["scores"]) == 20


def test_baseline_has_subset_size(saw: dict[str, Any], selection: Selection) -> None:
    assert len(set(saw["baseline"])) == len(selection)
    assert set(saw["baseline"]) <= set(selection.scores["row_id"])


def test_everything_is_there(saw: dict[str, Any], hub: HubServer, selection: Selection) -> None:
    pushed = files(hub, "tester/subset")
    assert set(pushed) >= {"README.md", "recipe.json", "picks.json", "plots/scores.png", "examples/top.jpg"}
    assert json.loads(pushed["recipe.json"]) == selection.recipe.to_json()
    assert pushed["plots/scores.png"].startswith(b"\x89PNG")
    assert b"](plots/scores.png)" in pushed["README.md"]


def test_card_comes_last(saw: dict[str, Any], hub: HubServer) -> None:
    commits = hub.repo("datasets", "tester/subset")["commits"]
    readmes = [hub.read(c["files"]["README.md"]) for c in commits if "README.md" in c["files"]]
    cards = [DatasetCard(readme.decode()) for readme in readmes]
    complete = [card.data.vitselect["complete"] for card in cards]
    assert complete == [False] * (len(complete) - 1) + [True]
    assert all("**This repository is incomplete.**" in card.text for card in cards[:-1])
    assert "incomplete" not in cards[-1].text


def test_rebuilt_from_ids(saw: dict[str, Any], selection: Selection) -> None:
    assert saw["rebuilt"] == [row["messages"] for row in selection.dataset]
    assert saw["rebuilt_indices"]
    assert saw["rebuilt_recipe"]
    assert saw["rebuilt_gains"] == selection.gains.tolist()
    assert saw["rebuilt_ranks"] == list(range(12))


def test_another_pool_is_refused(saw: dict[str, Any]) -> None:
    assert saw["short"].startswith("HubError: expected the pool of tester/subset with 20 rows, got 15 rows")
    assert "5 of those are missing" in saw["short"]
    assert "got 21 rows" in saw["twice"]


def push_over_a_card() -> dict[str, Any]:
    import os
    from pathlib import Path

    from datasets import load_dataset
    from huggingface_hub import DatasetCard, HfApi

    from hf_vitselect import Selection, push_to_hub

    home = Path(os.environ["HF_HOME"])
    HfApi().create_repo("tester/mine", repo_type="dataset")
    DatasetCard("---\nlicense: mit\nmy_key: 1\n---\n# My title\n\nMy text.\n").push_to_hub("tester/mine")
    push_to_hub(Selection.load_from_disk(home / "selection"), "tester/mine")
    first = DatasetCard.load("tester/mine").content
    other = Selection.load_from_disk(home / "other")
    push_to_hub(other, "tester/mine", commit_message="Another rule", plots={})
    subset = load_dataset("tester/mine", split="train")
    scores = load_dataset("tester/mine", "scores", split="train")
    return {
        "first": first,
        "second": DatasetCard.load("tester/mine").content,
        "columns": subset.column_names == other.dataset.column_names,
        "messages": subset["messages"][:] == other.dataset["messages"][:],
        "scores": scores.to_list() == other.scores.to_list(),
    }


def test_existing_card_survives_two_pushes(hub: HubServer, home: Path) -> None:
    saw = run_client(push_over_a_card, hub.url, home)
    for content, sentence in ((saw["first"], "12 of 20 rows"), (saw["second"], "5 of 20 rows")):
        card = DatasetCard(content)
        assert card.text.strip().startswith(f"# My title\n\nMy text.\n\n{BEGIN}\n\n{sentence}")
        assert card.text.count(BEGIN) == card.text.count(END) == 1
        assert card.data.license == "mit"
        assert card.data.my_key == 1
        configs = {config["config_name"] for config in card.data.configs}
        assert configs == {"default", "scores", "random_baseline"}
    assert saw["columns"]
    assert saw["messages"]
    assert saw["scores"]
    assert hub.commit("datasets", "tester/mine")["message"] == "Another rule"


def push_wrongly() -> dict[str, Any]:
    import os
    from collections.abc import Callable
    from dataclasses import replace
    from pathlib import Path

    from datasets import Dataset
    from huggingface_hub import HfApi

    from hf_vitselect import Selection, push_to_hub
    from hf_vitselect.hub import apply_selection

    home = Path(os.environ["HF_HOME"])
    selection = Selection.load_from_disk(home / "selection")
    pool = Dataset.load_from_disk(home / "pool")

    def error_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
        try:
            call(*args, **kwargs)
        except ValueError as error:
            return str(error)
        return "no error"

    api = HfApi()
    api.create_repo("tester/broken", repo_type="dataset")
    api.upload_file(
        path_or_fileobj=b"---\na: [\n---\n",
        path_in_repo="README.md",
        repo_id="tester/broken",
        repo_type="dataset",
    )
    seen = {
        "id": error_of(push_to_hub, selection, "no such/name"),
        "login": error_of(push_to_hub, selection, "tester/other", token=False),
        "broken": error_of(push_to_hub, selection, "tester/broken"),
        "nothing": error_of(apply_selection, pool, "tester/nothing"),
        "no_selection": error_of(apply_selection, pool, "tester/broken"),
    }
    source = replace(selection.recipe.source, repo_id="tester/pool")
    from_hub = replace(selection, recipe=replace(selection.recipe, source=source))
    seen["source"] = error_of(push_to_hub, from_hub, "tester/pool")
    api.create_repo("tester/public", repo_type="dataset")
    seen["public"] = error_of(push_to_hub, selection, "tester/public", private=True)
    seen["both"] = error_of(push_to_hub, selection, "tester/public", revision="a", create_pr=True)
    seen["publish"] = error_of(push_to_hub, selection, "tester/public", publish="nothing")
    seen["plain"] = error_of(apply_selection, pool, "tester/public")
    selection.amend_recipe(more={"note": f"token={os.environ['HF_TOKEN']}"})
    seen["leak"] = error_of(push_to_hub, selection, "tester/public")

    return seen


@pytest.fixture(scope="module")
def errors(hub: HubServer, home: Path) -> dict[str, Any]:
    return run_client(push_wrongly, hub.url, home)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("id", "expected a repository id such as 'me/subset', got 'no such/name'"),
        ("login", "got 401"),
        ("login", "log in with `hf auth login`"),
        ("broken", "repair or delete it"),
        ("nothing", "got 404"),
        ("no_selection", "repair or delete it"),
        ("source", "'tester/pool', its pool; give another id"),
        ("plain", "got a card without one"),
        ("public", "which exists and is public"),
        ("both", "expected revision= or create_pr=True"),
        ("publish", "expected 'rows' or 'indices'"),
        ("leak", "got yours in ['recipe.json'"),
    ],
)
def test_errors_say_what_to_do(errors: dict[str, Any], case: str, words: str) -> None:
    assert words in errors[case]
    assert "hf_test" not in errors[case]


def test_broken_card_stops_the_push(errors: dict[str, Any], hub: HubServer) -> None:
    assert set(files(hub, "tester/broken")) == {".gitattributes", "README.md"}


def test_the_token_is_written_nowhere(saw: dict[str, Any], errors: dict[str, Any], hub: HubServer) -> None:
    stored = [file for file in hub.root.rglob("*") if file.is_file()]
    assert len(stored) > 20
    assert not [file for file in stored if b"hf_test" in file.read_bytes()]
    assert "hf_test" not in json.dumps([saw, errors])


def select_from_a_pool_on_the_hub() -> dict[str, Any]:
    import os
    from pathlib import Path

    from datasets import Dataset, Features, Value, load_dataset
    from huggingface_hub import HfApi

    from hf_vitselect import Scorer, push_to_hub, score, select_diverse
    from hf_vitselect.errors import HubError
    from hf_vitselect.rules import TopScore

    class Length(Scorer):
        @property
        def values(self) -> Features:
            return Features({self.column: Value("int32")})

        def score_rows(self, rows: Any) -> list[tuple[int]]:
            return [(len(row.transcript),) for row in rows]

    home = Path(os.environ["HF_HOME"])
    Dataset.load_from_disk(home / "pool").select_columns(["messages", "images"]).push_to_hub("me/whole-pool")
    pool = load_dataset("me/whole-pool", split="train")
    score(pool, Length(column="length"), home / "lengths").save_to_disk(home / "scored")
    selection = select_diverse(Dataset.load_from_disk(home / "scored"), 2, by="length", rule=TopScore())
    try:
        push_to_hub(selection, "me/whole-pool")
        refused = ""
    except HubError as error:
        refused = str(error)
    return {
        "source": selection.recipe.source.to_json(),
        "sha": HfApi().dataset_info("me/whole-pool").sha,
        "refused": refused,
    }


def test_recipe_names_repository_and_commit(hub: HubServer, home: Path) -> None:
    saw = run_client(select_from_a_pool_on_the_hub, hub.url, home)
    assert saw["source"]["repo_id"] == "me/whole-pool"
    assert saw["source"]["commit"] == saw["sha"]
    assert "its pool; give another id" in saw["refused"]
