"""The command `filter`."""

import pytest
from datasets import Value, load_from_disk
from pools import assistant, png, pool, user

from hf_vitselect.cli.main import main


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Six rows, the last two of which repeat the first."""
    talks = [([user(f"what is it? {i}", 1), assistant("a dog")], [png(i)]) for i in range(4)]
    rows = pool([*talks, talks[0], talks[0]])
    rows = rows.add_column("necessity", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], feature=Value("float32"))
    folder = tmp_path_factory.mktemp("filter") / "pool"
    rows.save_to_disk(folder)
    return str(folder)


def test_filters_drop_and_explain(saved, tmp_path, capsys):
    out = str(tmp_path / "kept")
    flags = ["--dataset_name", saved, "--output_dir", out]
    with pytest.warns(UserWarning, match="UnusedImage is skipped"):
        assert main(["filter", *flags, "--filters", "NearDuplicates(bits=0)", "UnusedImage()"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "NearDuplicates: 2 rows"
    assert lines[1].startswith("  the same text, images whose hashes differ in 0 of 384 bits, repeats ")
    assert lines[3] == "UnusedImage: skipped, the pool has no column 'image_gain'"
    facts = dict(line.split("  ", 1) for line in lines[5:])
    assert {name: fact.strip() for name, fact in facts.items() if name in ("rows", "stay", "dropped")} == {
        "rows": "6",
        "stay": "4",
        "dropped": "2",
    }
    assert f"select --dataset_name {out}" in facts["next"]
    assert load_from_disk(f"{out}/dataset")["necessity"][:] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert (
        main(["select", "--dataset_name", out, "--rule", "Random()", "--output_dir", str(tmp_path / "s")])
        == 0
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--filters", "NearDuplicate()"], "got 'NearDuplicate'; did you mean 'NearDuplicates'?"),
        (["--filters", "LossTail(cut=2.0)"], "cut: expected above 0, at most 1, got 2.0"),
        (["--kinds", "QuestionKinds(x=1)"], "QuestionKinds: expected"),
        (["--kinds", "source"], "expected the column 'source'"),
        (["--by", "loss"], "expected the column 'loss'"),
    ],
)
def test_wrong_flags_are_explained(saved, tmp_path, capsys, flags, message):
    assert main(["filter", "--dataset_name", saved, "--output_dir", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err


def test_pool_is_not_replaced(saved, capsys):
    assert main(["filter", "--dataset_name", saved, "--output_dir", saved]) == 2
    assert not capsys.readouterr().out
    assert len(load_from_disk(saved)) == 6
