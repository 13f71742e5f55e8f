"""Every rule of the package by its text."""

import pytest
from datasets import Value

from hf_vitselect.call_text import read_call, write_call
from hf_vitselect.cli.main import main
from hf_vitselect.rules import RULES
from hf_vitselect.rules.mmssr import CAPABILITIES
from hf_vitselect.selection.method import read_method
from hf_vitselect.selection.selection import Selection

TEXTS = {
    "Coincide": "Coincide(rows_per_cluster=4)",
    "FacilityLocation": "FacilityLocation(neighbors=4)",
    "GroupedSampling": 'GroupedSampling(groups="kind", quota="uniform", within="necessity")',
    "KCenter": "KCenter(weighted=True)",
    "LengthMatchedRandom": 'LengthMatchedRandom(like="marked")',
    "Leverage": "Leverage(energy=0.5)",
    "MMSSR": 'MMSSR(capabilities=("capability_ocr", "capability_scene"), threshold=1.5)',
    "NeighborPenalty": 'NeighborPenalty(gamma=0.5, rescale="minmax")',
    "PreSel": 'PreSel(task="kind", rows_per_cluster=4)',
    "Prototypicality": "Prototypicality(clusters=3, nearest=True)",
    "Random": "Random()",
    "ScoreThreshold": "ScoreThreshold(minimum=-0.5)",
    "SemDeDup": 'SemDeDup(rows_per_cluster=10, keep="near")',
    "TopScore": "TopScore(lowest=True)",
}


@pytest.fixture(scope="module")
def saved(scored_pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    rows = range(len(scored_pool))
    pool = scored_pool.add_column("marked", [i < 5 for i in rows], feature=Value("bool"))
    pool = pool.add_column("response_tokens", [i % 7 for i in rows], feature=Value("int32"))
    for name in CAPABILITIES:
        pool = pool.add_column(f"capability_{name}", [float(i % 6) for i in rows], feature=Value("float32"))
    pool = pool.add_column("capability_style", ["yes/no"] * len(pool), feature=Value("string"))
    pool.save_to_disk(folder)
    return str(folder)


@pytest.mark.parametrize("name", RULES)
def test_rules_are_read_and_written(name):
    rule = read_call(TEXTS[name], RULES)
    assert write_call(rule) == TEXTS[name]
    assert type(rule) is RULES[name]
    assert read_call(name, RULES) == RULES[name]() == read_call(write_call(RULES[name]()), RULES)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_runs_by_its_text(name, saved, tmp_path, capsys):
    flags = ["--dataset_name", saved, "--budget", "5", "--output_dir", str(tmp_path / "out")]
    assert main(["select", *flags, "--rule", TEXTS[name]]) == 0, capsys.readouterr().err
    recorded = Selection.load_from_disk(tmp_path / "out").recipe.method
    assert read_method(recorded).rule == read_call(TEXTS[name], RULES)
    assert len(Selection.load_from_disk(tmp_path / "out")) == 5


@pytest.mark.filterwarnings("ignore:the column 'embedding' is ignored")
def test_skipped_filters_are_named_once(saved, tmp_path, capsys):
    flags = ["--dataset_name", saved, "--budget", "5", "--output_dir", str(tmp_path / "out")]
    with pytest.warns(UserWarning, match="is skipped") as warned:
        assert main(["select", *flags]) == 0
    [message] = [str(one.message) for one in warned if "UnusedImage" in str(one.message)]
    assert message == "UnusedImage is skipped: the pool has no column 'image_gain'"
    said = capsys.readouterr().out
    [dropped] = [line for line in said.splitlines() if line.startswith("dropped")]
    assert "UnusedImage skipped (the pool has no column 'image_gain'); NearDuplicates " in dropped
    assert "method    CleanBalanced()\n" in said


def test_methods_are_read_from_flags(saved, tmp_path, capsys):
    text = 'CleanBalanced(filters=(), kinds="kind", need=1.0)'
    flags = ["--dataset_name", saved, "--budget", "5", "--output_dir", str(tmp_path / "out")]
    assert main(["select", *flags, "--method", text]) == 0
    assert f"method    {text}\n" in capsys.readouterr().out
    recipe = Selection.load_from_disk(tmp_path / "out").recipe
    assert read_method(recipe.method) == read_method(text)
    assert main(["select", *flags, "--method", "CleanBalanced(neeed=1)"]) == 2
    assert "did you mean 'need'" in capsys.readouterr().err
