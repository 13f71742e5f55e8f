"""No folder of this machine and no private text reaches the Hub: every uploaded byte is looked at."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hub_server import HubServer, run_client
from pools import assistant, png, pool, user
from tiny import ARCHITECTURES, save
from tiny_embedders import save_clip

from hf_vitselect.data.provenance import without_folders
from hf_vitselect.report.recipe_facts import without_paths
from hf_vitselect.report.run_record import published_config


def push_everything() -> dict[str, Any]:
    import os
    from pathlib import Path

    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from trl import SFTConfig

    from hf_vitselect import ClipEmbedding, NecessityScorer, load_pool, push_to_hub, score, select_diverse
    from hf_vitselect.report.html_page import write_report
    from hf_vitselect.rules import NeighborPenalty
    from hf_vitselect.training import SelectionSFTTrainer, train_seed_model

    torch.set_num_threads(1)
    home = Path(os.environ["HF_HOME"])
    pool = load_pool(home / "pool" / "pool.json")
    scorers = [NecessityScorer(str(home / "seed")), ClipEmbedding(str(home / "clip"))]
    scored = score(pool, scorers, home / "run" / "score")
    selection = select_diverse(scored.remove_columns("folder"), 3, rule=NeighborPenalty())
    push_to_hub(selection, "tester/rows", run=home / "run")
    write_report(selection, home / "report", run=home / "run")
    picked = select_diverse(scored, 2, rule=NeighborPenalty(), include=selection.row_ids[:1])
    push_to_hub(picked, "tester/indices", publish="indices", run=home / "run")
    options = {"max_steps": 1, "use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    for name, peft in (("full", None), ("lora", LoraConfig(target_modules=["q_proj"]))):
        args = SFTConfig(
            str(home / name), hub_model_id=f"tester/{name}", report_to="none", max_length=None, **options
        )
        trainer = SelectionSFTTrainer(str(home / "seed"), selection=selection, args=args, peft_config=peft)
        trainer.train()
        trainer.push_to_hub()
        (home / name / "card.md").write_text((home / name / "README.md").read_text())
    left = {name: sorted(path.name for path in (home / name).iterdir()) for name in ("full", "lora")}
    adapter = json.loads((home / "lora" / "adapter_config.json").read_text())
    args = SFTConfig(str(home / "s"), hub_model_id="tester/s", push_to_hub=True, report_to="none", **options)
    args.max_length = None
    train_seed_model(pool, str(home / "seed"), 2, args)
    again = load_dataset("tester/rows", split="train")
    return {
        "left": left,
        "base": adapter["base_model_name_or_path"],
        "size": again[0]["images"][0].size,
        "report": (home / "report" / "index.html").read_text(),
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's HF_HOME: a pool whose images are files, models, and the record of a run."""
    folder = tmp_path_factory.mktemp("home_of_jane")
    save(ARCHITECTURES["llava"], folder / "seed")
    save_clip(folder / "clip")
    (folder / "pool").mkdir()
    rows = []
    for i in range(6):
        (folder / "pool" / f"{i}.png").write_bytes(png(i))
        image, kind = str(folder / "pool" / f"{i}.png"), str(folder / "pool" / "ab"[i % 2] / "all")
        rows.append({"prompt": f"what? {i}", "completion": "red " * (i + 1), "image": image, "folder": kind})
    rows[5]["image"] = str(folder / "pool" / "gone.png")
    (folder / "pool" / "pool.json").write_text(json.dumps(rows))
    (folder / "run").mkdir()
    listed = f"{folder}/a.json,{folder}/b.json"
    run = f"score:\n  dataset_name: {folder}/pool/pool.json\n  judge: '{listed}'\n  cache: ~/jane/cache\n"
    (folder / "run" / "run.yaml").write_text(run)
    return folder


@pytest.fixture(scope="module")
def saw(hub: HubServer, home: Path) -> dict[str, Any]:
    return run_client(push_everything, hub.url, home)


def parts(content: bytes) -> Iterator[bytes]:
    """A file, the files in its archive, and the cells of its tables."""
    yield content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    if content.startswith(b"PAR1"):
        table = pq.read_table(io.BytesIO(content))
        yield repr((table.schema, table.schema.metadata, table.to_pylist())).encode()


@pytest.mark.parametrize(
    "repository", ["datasets/rows", "datasets/indices", "models/full", "models/lora", "models/s"]
)
def test_no_folder_reaches_the_hub(saw: dict[str, Any], hub: HubServer, home: Path, repository: str) -> None:
    kind, _, name = repository.partition("/")
    stored = hub.repo(kind, f"tester/{name}")
    assert "jane" not in json.dumps(stored)
    paths = {path: file for commit in stored["commits"] for path, file in commit["files"].items()}
    assert len(paths) > 4
    assert not {"training_args.bin", "runs"} & {path.partition("/")[0] for path in paths}
    for path, file in paths.items():
        for part in parts(hub.read(file)):
            assert b"home_of_jane" not in part, path
            assert b"jane" not in part, path


def test_the_images_came_along(saw: dict[str, Any], hub: HubServer) -> None:
    assert saw["size"] == [16, 16]
    rows = hub.commit("datasets", "tester/rows")["files"]
    (table,) = (pq.read_table(io.BytesIO(hub.read(rows[path]))) for path in rows if path.startswith("data/"))
    assert {cell["path"][1:] for cells in table["images"].to_pylist() for cell in cells} == {".png"}


def test_what_stays_is_as_it_was(saw: dict[str, Any], home: Path) -> None:
    assert saw["base"] == str(home / "seed")
    assert all("training_args.bin" in names for names in saw["left"].values())
    assert "jane" not in saw["report"]


def push_private_texts() -> dict[str, Any]:
    import os
    from pathlib import Path

    from datasets import load_from_disk

    from hf_vitselect import Selection, apply_selection, push_to_hub, select_diverse
    from hf_vitselect.errors import UsageError
    from hf_vitselect.filters import LossTail, PrefersOtherAnswer
    from hf_vitselect.selection import Method, QuestionKinds

    pool = load_from_disk(str(Path(os.environ["HF_HOME"]) / "texts"))
    first = select_diverse(pool, 20)
    cleaned = Method(filters=(PrefersOtherAnswer(log_odds=6.0), LossTail()), kinds=QuestionKinds(smallest=5))
    second = select_diverse(pool, 60, method=cleaned, include=first)
    by_column = select_diverse(pool, 60, method=Method(kinds="note"), exclude=second)
    seen: dict[str, Any] = {"recipe": first.recipe.to_json(), "scores": first.scores.column_names}
    for name, selection in (("first", first), ("second", second), ("by_column", by_column)):
        push_to_hub(selection, f"tester/{name}", publish="indices")
    push_to_hub(first, "tester/with_rows")
    applied: Selection = apply_selection(pool, "tester/first")
    seen["indices"] = applied.indices.tolist() == first.indices.tolist()
    seen["shares"] = [share.to_json() for share in applied.recipe.shares]
    try:
        applied.extend(pool.select(range(5)), 2)
    except UsageError as error:
        seen["extended"] = str(error)
    return seen


@pytest.fixture(scope="module")
def texts(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Pushes of a pool whose every text says that it is private."""
    folder = tmp_path_factory.mktemp("private")
    asked = [("privatecolor is the privatesquare", "privatered"), ("privatecount of", "privatetwo")]
    rows = []
    for i in range(160):
        question, answer = asked[i % 2]
        answer = answer if i % 6 else "privateother"
        rows.append(([user(question, 1), assistant(answer)], [png(i // 4)]))
    made = pool(rows)
    necessity = [None if i == 7 else 0.1 + (i * 37 % 160) / 40 for i in range(160)]
    made = made.add_column("necessity", necessity)
    made = made.add_column("necessity_status", ["bad_row" if i == 7 else "ok" for i in range(160)])
    made = made.add_column("necessity_reason", ["private words" if i == 7 else None for i in range(160)])
    made = made.add_column("image_gain", [(i * 53 % 160) / 80 - 0.5 for i in range(160)])
    made = made.add_column("other_answer_odds", [float(i % 9) for i in range(160)])
    made = made.add_column("other_answer_odds_status", ["ok"] * 160)
    made = made.add_column("other_answer", [f"private answer {i % 3}" for i in range(160)])
    made.add_column("note", [f"private note {i % 60}" for i in range(160)]).save_to_disk(folder / "texts")
    return run_client(push_private_texts, hub.url, folder)


@pytest.mark.parametrize("name", ["first", "second", "by_column"])
def test_indices_come_without_texts(texts: dict[str, Any], hub: HubServer, name: str) -> None:
    stored = hub.repo("datasets", f"tester/{name}")
    assert "private" not in json.dumps(stored["commits"])
    paths = {path: file for commit in stored["commits"] for path, file in commit["files"].items()}
    assert {"README.md", "recipe.json"} <= paths.keys()
    for path, file in paths.items():
        assert not any(b"private" in part.lower() for part in parts(hub.read(file))), path


def test_rows_come_with_questions_and_reasons(texts: dict[str, Any], hub: HubServer) -> None:
    recipe = json.dumps(texts["recipe"])
    assert {"kinds", "filters", "shares"} <= texts["recipe"].keys()
    assert "privatecolor" in recipe
    assert "privatered" in recipe
    files = hub.commit("datasets", "tester/with_rows")["files"]
    assert json.loads(hub.read(files["recipe.json"]))["kinds"] == texts["recipe"]["kinds"]
    assert b"privatecolor" in hub.read(files["README.md"])
    assert {"dropped_by", "dropped_reason", "necessity_reason"} <= set(texts["scores"])


def test_indices_keep_the_numbers(texts: dict[str, Any], hub: HubServer) -> None:
    assert texts["indices"]
    recorded = texts["recipe"]["shares"]
    assert [share["name"] for share in texts["shares"]] == [f"kind {i + 1}" for i in range(len(recorded))]
    assert [share | {"name": ""} for share in texts["shares"]] == [share | {"name": ""} for share in recorded]
    assert "pass method=" in texts["extended"]
    files = hub.commit("datasets", "tester/first")["files"]
    (scores,) = (hub.read(file) for path, file in files.items() if path.startswith("scores/"))
    table = pq.read_table(io.BytesIO(scores))
    assert {"UnusedImage", "NearDuplicates", "LossTail"} >= set(table["dropped_by"].to_pylist()) - {None}
    assert table["dropped_by"].null_count < 160
    assert not [name for name in table.column_names if name.endswith("_reason")]


PLACES = {
    "/home/me/seed": "seed",
    "C:\\Users\\me\\seed": "seed",
    "~/models/seed/": "seed",
    "\\\\server\\share\\seed": "seed",
    "no file at '/home/me/My Images/a.png'": "no file at 'a.png'",
    "/data/a.json,/data/b.json": "b.json",
    "see file:///home/me/a.png": "see a.png",
    "llava-hf/llava-1.5-7b-hf": "llava-hf/llava-1.5-7b-hf",
    "https://x.org/a/b": "https://x.org/a/b",
    "and/or, 1/2, </code></li>": "and/or, 1/2, </code></li>",
}


@pytest.mark.parametrize(("text", "expected"), PLACES.items(), ids=PLACES)
def test_paths_lose_their_folders(text: str, expected: str) -> None:
    assert without_paths({"a": [{"b": text}], "n": 1}) == {"a": [{"b": expected}], "n": 1}
    assert without_folders(f"- {expected}") == f"- {expected}"
    assert "/me" not in published_config(json.dumps({"a": text}))


def test_relative_folders_of_models_too() -> None:
    inner = {"model": "runs/x/seed", "digest": "0", "base": {"model": "../b/base", "digest": "1"}}
    outer = {"scorers": [{"of": {"model": "runs/x/seed", "processor": "p/q", "identity": inner}}]}
    scorer = without_paths(outer)["scorers"][0]["of"]
    assert (scorer["model"], scorer["processor"]) == ("seed", "q")
    assert (scorer["identity"]["model"], scorer["identity"]["base"]["model"]) == ("seed", "base")
    hub = {"model": "me/seed", "identity": {"model": "me/seed", "commit": "0"}}
    assert without_paths(hub) == hub
