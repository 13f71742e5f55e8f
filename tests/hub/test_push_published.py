"""What is published and where: indices only, branches, pull requests, baselines, licenses."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Value, concatenate_datasets
from hub_server import HubServer, run_client
from huggingface_hub import DatasetCard
from pools import mixed_pool, raw_images

from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.report.dataset_card import subset_fingerprint
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection

TOKEN = "hf_" + "x7Qz" * 8


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's HF_HOME, with a pool, a selection and the folder of its run."""
    folder = tmp_path_factory.mktemp("home")
    pool = mixed_pool(12).add_column("necessity", [float(i % 5) for i in range(12)], feature=Value("float32"))
    pool.save_to_disk(str(folder / "pool"))
    select_diverse(pool, 6, rule=TopScore()).save_to_disk(folder / "selection")
    (folder / "run").mkdir()
    (folder / "run" / "run.yaml").write_text(
        f"seed:\n  dataset_name: {folder}/pool\n  hub_token: {TOKEN}\nselect:\n  budget: 0.5\n"
    )
    state = {"settings": {}, "seconds": 12.5, "device": "cpu"}
    (folder / "run" / "score.json").write_text(json.dumps(state))
    row = {"evaluation": "exact_match", "method": "subset", "rows": 6, "mean": 0.5, "sd": 0.3536, "seeds": 2}
    row["less random"] = "+0.125 (+0.000 to +0.250)"
    (folder / "run" / "compare").mkdir()
    (folder / "run" / "compare" / "comparison.json").write_text(json.dumps({"card": [row]}))
    return folder


def publish() -> dict[str, Any]:
    import io
    import json
    import logging
    import os
    import warnings
    from contextlib import redirect_stderr, redirect_stdout
    from dataclasses import replace
    from pathlib import Path

    from datasets import Dataset, load_dataset
    from huggingface_hub import DatasetCard, HfApi

    from hf_vitselect import Selection, apply_selection, push_to_hub
    from hf_vitselect.cli.main import main
    from hf_vitselect.errors import HubError

    home, api = Path(os.environ["HF_HOME"]), HfApi()
    pool = Dataset.load_from_disk(home / "pool")
    seen: dict[str, Any] = {}

    def selection(**changes: Any) -> Selection:
        loaded = Selection.load_from_disk(home / "selection")
        return replace(loaded, recipe=replace(loaded.recipe, **changes))

    def caught(*args: Any, **options: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            push_to_hub(*args, plots={}, **options)
        return [str(warning.message) for warning in warned if warning.category is UserWarning]

    log = io.StringIO()
    logging.basicConfig(stream=log, level=logging.DEBUG)
    with redirect_stdout(log), redirect_stderr(log):
        push_to_hub(selection(), "tester/both", run=home / "run")
        push_to_hub(selection(), "tester/both", publish="indices", plots={}, token=os.environ["HF_TOKEN"])
    seen["log"] = log.getvalue()
    seen["indices"] = apply_selection(pool, "tester/both").indices.tolist()
    seen["baseline"] = {
        split: load_dataset("tester/both", "random_baseline", split=split)["row_id"][:]
        for split in ("random", "length_matched")
    }
    streamed = load_dataset("tester/both", "scores", split="train", streaming=True)
    seen["streamed"] = [row["row_id"] for row in streamed]

    first = selection()
    push_to_hub(first, "tester/wider", plots={})
    difficulty = [float(i) for i in range(12)]
    wider = replace(selection(), scores=first.scores.add_column("difficulty", difficulty))
    push_to_hub(wider, "tester/wider", plots={})
    streamed = load_dataset("tester/wider", "scores", split="train", streaming=True)
    seen["wider"] = {
        "rows": load_dataset("tester/wider", split="train")["messages"] == first.dataset["messages"],
        "difficulty": load_dataset("tester/wider", "scores", split="train")["difficulty"][:] == difficulty,
        "streamed": [row["difficulty"] for row in streamed] == difficulty,
        "before": load_dataset(
            "tester/wider", "scores", split="train", revision=first.recipe.published.commit
        ).column_names,
    }

    push_to_hub(selection(), "tester/branch", revision="mine", plots={})
    seen["branch"] = apply_selection(pool, "tester/branch", "mine").indices.tolist()
    seen["request"] = push_to_hub(selection(), "tester/request", create_pr=True, plots={})
    seen["requested"] = apply_selection(pool, "tester/request", "refs/pr/1").indices.tolist()

    api.create_repo("tester/pool", repo_type="dataset")
    DatasetCard("---\nlicense: cc-by-nc-nd-4.0\nlanguage: [en]\n---\n# Pool").push_to_hub("tester/pool")
    commit = api.dataset_info("tester/pool").sha
    source = replace(selection().recipe.source, repo_id="tester/pool", commit=commit)
    seen["warned"] = caught(selection(source=source), "tester/inherits")
    seen["inherited"] = DatasetCard.load("tester/inherits").data.to_dict()
    api.create_repo("tester/upgraded", repo_type="dataset")
    DatasetCard("---\nlicense: mit\n---\n").push_to_hub("tester/upgraded")
    seen["upgraded"] = caught(selection(source=source), "tester/upgraded", publish="indices")

    flags = ["--selection", str(home / "selection"), "--repo_id", "tester/cli", "--publish", "indices"]
    seen["cli"] = main(["push", *flags, "--revision", "mine", "--run_dir", str(home / "run")])

    def refused(given: Dataset, name: str = "tester/branch", revision: str | None = "mine") -> str:
        try:
            apply_selection(given, name, revision)
        except HubError as error:
            return str(error)
        return ""

    rows = pool.to_list()
    rows[7]["messages"][1]["content"][0]["text"] += " (edited)"
    seen["changed"] = refused(Dataset.from_list(rows, features=pool.features))
    seen["added"] = refused(
        Dataset.from_list([*rows[:7], rows[7], *rows[8:], rows[7]], features=pool.features)
    )
    elsewhere = pool.with_format(None)
    record = {"source": source.to_json() | {"commit": "f" * 40}, "scorers": []}
    elsewhere.info.description = "hf_vitselect: " + json.dumps(record)
    seen["commit"] = refused(elsewhere.select(range(9)), "tester/inherits", None)

    whole = selection()
    push_to_hub(whole, "tester/tampered", plots={})
    recipe = whole.recipe.to_json()
    ids = whole.scores["row_id"][:]
    picks = {"row_id": [ids[i] for i in whole.indices], "gain": whole.gains.tolist()}

    def tampered(recipe: Any = recipe, picks: Any = picks) -> str:
        for path, value in (("recipe.json", recipe), ("picks.json", picks)):
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            api.upload_file(
                path_or_fileobj=content, path_in_repo=path, repo_id="tester/tampered", repo_type="dataset"
            )
        return refused(pool, "tester/tampered", None)

    seen["tampered"] = {
        "nothing": tampered(),
        "fingerprint": tampered(recipe={**recipe, "fingerprint": "0" * 64}),
        "picks": tampered(picks={**picks, "row_id": picks["row_id"][::-1]}),
        "types": tampered(recipe={**recipe, "scorers": "all"}),
        "pickle": tampered(recipe=b"\x80\x04."),
        "list": tampered(picks=[1]),
    }
    return seen


@pytest.fixture(scope="module")
def saw(hub: HubServer, home: Path) -> dict[str, Any]:
    return run_client(publish, hub.url, home, token=TOKEN)


@pytest.fixture(scope="module")
def selection(home: Path) -> Selection:
    return Selection.load_from_disk(home / "selection")


def files(hub: HubServer, name: str, branch: str = "main") -> dict[str, bytes]:
    return {path: hub.read(file) for path, file in hub.commit("datasets", name, branch)["files"].items()}


def test_indices_push_no_rows(saw: dict[str, Any], hub: HubServer, selection: Selection) -> None:
    pushed = files(hub, "tester/both")
    assert not [path for path in pushed if path.startswith(("data/", "examples/"))]
    encoded = [image["bytes"] for images in raw_images(selection.dataset) for image in images]
    question = selection.dataset[0]["messages"][0]["content"][-1]["text"].partition("?")[0].encode()
    assert len(question) > 10
    for content in pushed.values():
        assert question not in content
        assert not [image for image in encoded if image in content]
    card = DatasetCard(pushed["README.md"].decode())
    assert {config["config_name"] for config in card.data.configs} == {"scores", "random_baseline"}
    assert "holds only the ids and scores" in card.text
    assert "## Examples" not in card.text
    assert card.data.vitselect["subset_fingerprint"] == subset_fingerprint(selection)
    assert saw["indices"] == selection.indices.tolist()


def test_rows_come_with_the_run(saw: dict[str, Any], hub: HubServer) -> None:
    whole = hub.repo("datasets", "tester/both")["commits"]
    readmes = [hub.read(commit["files"]["README.md"]).decode() for commit in whole[1:]]
    card = next(readme for readme in readmes if "complete: true" in readme)
    at = next(commit for commit in whole[1:] if hub.read(commit["files"]["README.md"]).decode() == card)
    assert (
        hub.read(at["files"]["run.yaml"]).decode() == "seed:\n  dataset_name: pool\nselect:\n  budget: 0.5\n"
    )
    assert "| `score` |    12.5 | cpu    |" in card
    assert "| exact&#95;match | subset |    6 |  0.5 | 0.3536 |     2 | +0.125 (+0.000 to +0.250) |" in card
    assert {"examples/top.jpg", "plots/scores.png"} <= at["files"].keys()


def test_baselines_hold_pool_row_ids(saw: dict[str, Any], selection: Selection) -> None:
    ids = set(selection.scores["row_id"])
    for subset in saw["baseline"].values():
        assert len(set(subset)) == len(selection)
        assert set(subset) <= ids
    assert saw["streamed"] == selection.scores["row_id"][:]


def test_branches_leave_main_alone(saw: dict[str, Any], hub: HubServer, selection: Selection) -> None:
    assert saw["branch"] == saw["requested"] == selection.indices.tolist()
    assert saw["request"] == f"{hub.url}/datasets/tester/request/discussions/1"
    for name in ("tester/branch", "tester/request"):
        assert set(files(hub, name)) == {".gitattributes"}
    assert [d["status"] for d in hub.repo("datasets", "tester/request")["discussions"]] == ["open"]


def test_new_score_columns_break_no_config(saw: dict[str, Any], selection: Selection) -> None:
    assert saw["wider"] == {
        "rows": True,
        "difficulty": True,
        "streamed": True,
        "before": selection.scores.column_names,
    }


def test_push_by_flags(saw: dict[str, Any], hub: HubServer, home: Path) -> None:
    assert saw["cli"] == 0
    assert "run.yaml" in files(hub, "tester/cli", "mine")
    assert not [path for path in files(hub, "tester/cli", "mine") if path.startswith("data/")]
    assert Selection.load_from_disk(home / "selection").recipe.published.repo_id == "tester/cli"


def test_license_is_inherited_from_pool(saw: dict[str, Any]) -> None:
    assert saw["inherited"]["license"] == "cc-by-nc-nd-4.0"
    assert saw["inherited"]["language"] == ["en"]
    assert saw["inherited"]["source_datasets"] == ["tester/pool"]
    assert len(saw["warned"]) == 2
    assert "forbids sharing derivatives" in saw["warned"][1]
    assert saw["upgraded"] == ["the card on the Hub keeps its license 'mit'; the pool's is 'cc-by-nc-nd-4.0'"]


def test_other_pool_is_described(saw: dict[str, Any]) -> None:
    assert "1 of those are missing" in saw["changed"]
    assert "1 of yours are unknown (rows 7); all others are in their places" in saw["changed"]
    assert "got 13 rows" in saw["added"]
    assert "2 of yours are unknown (rows 7, 12)" in saw["added"]
    assert "was made from the commit" in saw["commit"]
    assert f"and yours is {'f' * 40}" in saw["commit"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("fingerprint", "expected row ids with the digest 000"),
        ("picks", "scores.rank: expected the picked rows in pick order"),
        ("types", "recipe.scorers: expected a list, got 'all'"),
        ("pickle", "recipe.json: expected JSON, got"),
        ("list", "expected row ids of its pool and gains in picks.json"),
    ],
)
def test_tampered_files_are_refused(saw: dict[str, Any], case: str, words: str) -> None:
    assert words in saw["tampered"][case]
    assert saw["tampered"]["nothing"] == ""


def test_the_token_is_nowhere(saw: dict[str, Any], hub: HubServer, home: Path) -> None:
    assert "tester/both" in saw["log"]  # of the debug log
    assert TOKEN not in json.dumps(saw)
    kept = [path for folder in (hub.root, home) for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in kept if TOKEN.encode() in path.read_bytes()] == ["run.yaml"]
    assert any(request.authorization == f"Bearer {TOKEN}" for request in hub.requests)


def test_row_ids_follow_content() -> None:
    pool = mixed_pool(8)
    ids = row_ids(pool)
    widened = pool.add_column("score", list(range(8))).add_column("note", ["x"] * 8)
    assert row_ids(widened) == ids
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    assert row_ids(pool.select(order)) == [ids[i] for i in order]
    twice = row_ids(concatenate_datasets([pool, pool]).select([*order, *(i + 8 for i in order)]))
    assert twice[:8] == [ids[i] for i in order]
    assert twice[8:] == [ids[i].replace("-0", "-1") for i in order]
