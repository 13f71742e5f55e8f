"""The parts of a card: licenses, examples, a run's record."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from pools import assistant, encode, pool, stripes, user
from recipes import with_recipe

from hf_vitselect.errors import UsageError
from hf_vitselect.report.example_rows import examples
from hf_vitselect.report.license import hub_license, license_names, license_warnings
from hf_vitselect.report.run_record import RunRecord, published_config
from hf_vitselect.rules import Random, TopScore
from hf_vitselect.selection.select_diverse import select_diverse


@pytest.mark.parametrize(
    ("name", "forbidden"),
    [
        ("cc-by-nc-4.0", ["commercial"]),
        ("CC BY-NC-ND 4.0", ["commercial", "derivatives"]),
        ("cc-by-nd-4.0", ["derivatives"]),
        ("For non-commercial research", ["commercial"]),
        ("No Derivatives", ["derivatives"]),
        ("cc-by-sa-4.0", []),
        ("apache-2.0", []),
        ("openrail and friends", []),
    ],
)
def test_what_a_license_forbids(name: str, forbidden: list[str]) -> None:
    warnings = license_warnings([name])
    assert len(warnings) == len(forbidden)
    assert all(word in warning for word, warning in zip(forbidden, warnings, strict=True))


def test_license_names_for_the_hub() -> None:
    assert license_names(["MIT", "cc-by-4.0"]) == ["MIT", "cc-by-4.0"]
    assert hub_license(["MIT"]) == "mit"
    assert hub_license(["MIT", "Ask us first"]) == ["mit", "other"]
    assert hub_license(license_names(None)) is None


def test_examples_are_best_median_worst() -> None:
    rotated = stripes(400, 200).getexif()
    rotated[0x0112] = 6
    rotated[0x010E] = "a secret note"
    pictures = [encode(stripes(400, 200, seed=i), "JPEG", exif=rotated) for i in range(5)]
    pictures[1] = b"no picture"
    rows = pool([([user(f"q{i}", 1), assistant(f"a{i}")], [picture]) for i, picture in enumerate(pictures)])
    rows = rows.add_column("necessity", [3.0, 1.0, 5.0, 2.0, 4.0])
    shown = examples(select_diverse(rows, 5, rule=TopScore()))
    assert [(each.rank, each.score, each.question) for each in shown] == [
        ("top", 5.0, "q2"),
        ("median", 3.0, "q0"),
        ("lowest", 1.0, "q1"),
    ]
    assert shown[2].thumbnail is None
    assert shown[0].thumbnail is not None
    assert b"secret" not in shown[0].thumbnail
    with Image.open(io.BytesIO(shown[0].thumbnail)) as thumbnail:
        assert thumbnail.size == (96, 192)
        assert not thumbnail.getexif()


def test_one_row_is_one_example() -> None:
    rows = pool([([user("q"), assistant("a")], [])])
    selection = select_diverse(rows, 1, rule=Random())
    (only,) = examples(selection)
    assert (only.rank, only.score, only.thumbnail) == ("top", None, None)
    assert examples(with_recipe(selection, by="gone")) == [only]


def test_published_run_hides_secrets_and_folders() -> None:
    config = {
        "seed": {
            "hub_token": "hf_x",
            "eos_token": "</s>",
            "dataset_name": "/home/me/pool",
            "model_name_or_path": "a/b",
        },
        "score": {"judge_api_key_env": "KEY", "api_key": "sk", "rows": 3},
        "select": {"given": ["C:\\Users\\me\\x", "~/y"]},
    }
    assert yaml.safe_load(published_config(yaml.safe_dump(config))) == {
        "seed": {"eos_token": "</s>", "dataset_name": "pool", "model_name_or_path": "a/b"},
        "score": {"judge_api_key_env": "KEY", "rows": 3},
        "select": {"given": ["x", "y"]},
    }


def test_comparison_shows_as_saved(tmp_path: Path) -> None:
    rows = [{"evaluation": "exact match", "method": "mine", "less random": "+0.250 (no interval)"}]
    (tmp_path / "compare").mkdir()
    (tmp_path / "compare" / "comparison.json").write_text(json.dumps({"card": rows}))
    assert RunRecord.read(tmp_path).comparison == rows


@pytest.mark.parametrize(
    "content",
    [
        '{"lines": []}',
        '{"card": null}',
        '{"card": 3}',
        '{"card": {"a": 1}}',
        '{"card": [1]}',
        '{"card": [{"a": [1]}]}',
        "[]",
        "null",
        "{",
        "",
        "\xff",
        "[" * 10**5,
    ],
    ids=lambda content: content[:12],
)
def test_damaged_comparison_names_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "compare").mkdir()
    (tmp_path / "compare" / "comparison.json").write_text(content, "latin-1")
    with pytest.raises(UsageError, match=r"expected .* in .*comparison\.json, got .*; run compare again"):
        RunRecord.read(tmp_path)


@pytest.mark.parametrize("content", ["a: [", "a: \xff", "[" * 10**4], ids=["open", "latin", "deep"])
def test_damaged_config_names_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.yaml").write_text(content, "latin-1")
    with pytest.raises(UsageError, match=r"expected the YAML of a run in .*run\.yaml, got .*; restore it"):
        RunRecord.read(tmp_path)


@pytest.mark.parametrize("seconds", [None, "3", [], {}])
def test_record_without_seconds_costs_nothing(tmp_path: Path, seconds: Any) -> None:
    (tmp_path / "score.json").write_text(json.dumps({"settings": {}, "seconds": seconds}))
    (tmp_path / "select.json").write_text(json.dumps({"settings": {}, "seconds": 1.5}))
    assert RunRecord.read(tmp_path).cost == [{"stage": "select", "seconds": 1.5}]


def test_folder_without_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(FileNotFoundError, match="holds no record of one"):
        RunRecord.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="the folder of a run"):
        RunRecord.read(tmp_path / "nowhere")
