import html
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import Dataset
from huggingface_hub import DatasetCard, ModelCard
from markdown_it import MarkdownIt
from pools import assistant, png, pool, user
from recipes import with_recipe

from hf_vitselect import Blend
from hf_vitselect.call_text import Call, write_call
from hf_vitselect.report.dataset_card import card_data, dataset_card
from hf_vitselect.report.example_rows import examples
from hf_vitselect.report.markdown import BEGIN, END, code, md
from hf_vitselect.report.merge_readme import merge_card, merge_section
from hf_vitselect.report.model_card import model_section
from hf_vitselect.report.recipe_facts import published_recipe
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.rules import NeighborPenalty, Random, TopScore
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection

SEED = {
    "scorer": "NecessityScorer",
    "column": "necessity",
    "model": "/home/me/secret project/seed",
    "revision": "main",
    "dtype": "auto",
    "batch_size": 4,
    "max_length": None,
    "processor": None,
    "trust_remote_code": False,
    "identity": {"model": "/home/me/secret project/seed", "digest": "d" * 64},
    "version": 1,
}
CLIP = {
    "scorer": "ClipEmbedding",
    "column": "embedding",
    "model": "openai/clip-vit-large-patch14",
    "revision": None,
    "batch_size": 64,
    "identity": {"model": "openai/clip-vit-large-patch14", "commit": "c" * 40},
    "version": 1,
}
OTHERS = {"question": "(others)"}
SOURCE = {
    "repo_id": "lab/pool",
    "commit": "a" * 40,
    "name": "pool",
    "config": "default",
    "split": "train",
    "license": "CC-BY-4.0",
}


@pytest.fixture(scope="module")
def plain(scored_pool: Dataset) -> Selection:
    """A selection of a pool that nothing is known about."""
    return select_diverse(scored_pool, 0.25, rule=NeighborPenalty(gamma=0.5), seed=3)


@pytest.fixture(scope="module")
def selection(plain: Selection) -> Selection:
    """A selection of a pool from the Hub, with recorded scorers."""
    return with_recipe(plain, source=SOURCE, scorers=[SEED, CLIP])


def rendered(markdown: str) -> tuple[str, set[str]]:
    """The visible text, and which kinds of markup it has."""
    parser = MarkdownIt("commonmark").enable("table")
    tokens = [token for block in parser.parse(markdown) for token in (block, *(block.children or []))]
    kinds = {token.type for token in tokens}
    kinds |= {token.content.strip() for token in tokens if token.type in ("html_block", "html_inline")}
    shown = html.unescape(re.sub(r"<!--.*?-->|</?code>|</?\w+( [^<>]*)?>", "", parser.render(markdown)))
    return " ".join(shown.split()), kinds


def test_card_says_what_was_done(selection: Selection) -> None:
    body = dataset_card(selection, repo_id="me/subset", plots=["plots/scores.png"])
    text, _ = rendered(body)
    assert body.startswith("# subset\n")
    for fact in (
        "10 of 40 rows of lab/pool, picked by NeighborPenalty on the score necessity",
        "commit aaaaaaaa",
        "License of the pool: CC-BY-4.0",
        selection.recipe.fingerprint,
        "could not be picked: 2 image_error",
        "NecessityScorer with seed, sha256 of the files dddd",
        "ClipEmbedding with openai/clip-vit-large-patch14, commit cccc",
        "Mean negative log-likelihood of the response under a seed model",
        "Rule: NeighborPenalty(gamma=0.5), seed 3",
        "largest distance from a row of the pool to the nearest in the subset",
        "0 in the pool, 0 in the subset",
        "repeat: i = argmax s; pick i",
        "Unknown: no model was trained",
        "MLLM-Selector",
        f"numpy {np.__version__}",
    ):
        assert fact in text
    for snippet in (
        "load_dataset('me/subset', split=\"train\")",
        "![Scores of pool and subset](plots/scores.png)",
        "| `necessity` | pool   |    38 |",
        "https://arxiv.org/abs/2402.12501",
        "](https://huggingface.co/datasets/lab/pool)",
    ):
        assert snippet in body


def test_script_pins_the_scorers(selection: Selection) -> None:
    body = dataset_card(selection)
    assert f"load_dataset('lab/pool', 'default', split='train', revision='{'a' * 40}')" in body
    assert "    NecessityScorer('seed', batch_size=4),\n" in body
    assert f"    ClipEmbedding('openai/clip-vit-large-patch14', revision='{'c' * 40}'),\n" in body


def test_fitted_scorer_becomes_a_column(plain: Selection, scored_pool: Dataset) -> None:
    blend = Blend.fit(scored_pool, {"necessity": 1.0}).recipe()
    body = dataset_card(with_recipe(plain, scorers=[blend]))
    script = re.findall(r"```python\n(.*?)```", body, re.DOTALL)[-1]
    assert "# the pool must have the column 'blend'" in script
    compile(script, "script", "exec")


def test_script_picks_the_same_rows(plain: Selection, scored_pool: Dataset) -> None:
    script = re.findall(r"```python\n(.*?)```", dataset_card(plain), re.DOTALL)[-1]
    names: dict[str, Any] = {"pool": scored_pool}
    exec(re.sub("(?m)^pool = .*$", "", script), names)
    assert names["selection"].indices.tolist() == plain.indices.tolist()


def test_a_random_subset_has_a_card(scored_pool: Dataset) -> None:
    selection = select_diverse(scored_pool, 3, rule=Random())
    text, _ = rendered(dataset_card(selection))
    assert "picked by Random with" in text
    assert "None" not in text
    assert "3 of 40 rows" in model_section(selection)


def test_metadata_of_the_card(selection: Selection) -> None:
    data = card_data(selection)
    assert yaml.safe_load(yaml.safe_dump(data)) == data
    assert data["license"] == "cc-by-4.0"
    assert data["source_datasets"] == ["lab/pool"]
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["image-text-to-text"]
    assert data["tags"] == ["vitselect", "data-selection"]
    assert data["vitselect"]["fingerprint"] == selection.recipe.fingerprint
    assert data["vitselect"]["method"] == selection.recipe.method
    assert data["vitselect"]["scorers"][1] == {
        "column": "embedding",
        "scorer": "ClipEmbedding",
        "model": "openai/clip-vit-large-patch14",
        "commit": "c" * 40,
    }


def test_metadata_guesses_nothing(plain: Selection) -> None:
    assert not {"license", "source_datasets"} & set(card_data(plain))


def test_wordy_license_is_other(selection: Selection) -> None:
    source = {**SOURCE, "license": "Free for research, ask us first"}
    worded = with_recipe(selection, source=source)
    assert card_data(worded)["license"] == "other"
    assert "Free for research, ask us first" in dataset_card(worded)


def test_folders_stay_private(selection: Selection) -> None:
    published = [str(published_recipe(selection)), dataset_card(selection), str(card_data(selection))]
    assert not [text for text in published if "secret" in text]
    assert selection.recipe.scorers[0].settings == SEED
    assert "secret" in SEED["model"]


def test_model_section_names_the_subset(selection: Selection) -> None:
    before = model_section(selection)
    published = {"repo_id": "me/subset", "commit": "e" * 40}
    after = model_section(with_recipe(selection, published=published))
    assert "not published when" in before
    assert f"[me/subset](https://huggingface.co/datasets/me/subset), commit `{'e' * 40}`" in after
    assert after.startswith(BEGIN)
    assert after.strip().endswith(END)


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</code></li><h1>",
    "<!-- comment",
    END,
    BEGIN,
    "{{ 7 * 7 }}",
    "{% raw %}{{ self }}",
    "{# gone #}",
    "{{ ''.__class__.__mro__ }}",
    "# Heading",
    "- item",
    "1. item",
    "> quote",
    "a\n\n# Heading\n\nb",
    "a\r\n---\r\nb",
    "---\nlicense: mit\n---",
    "license: mit",
    "*bold* _it_ **b** __b__",
    "~~gone~~",
    "`code` ``code`` ```",
    "\n```\n\n# Out of the block\n",
    "~~~",
    "a | b | c",
    "[text](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "[x]: http://evil.example",
    "https://evil.example/?a=b&c=d",
    "www.evil.example",
    "mail@evil.example @someone #1",
    "&lt;b&gt; &amp; &#60;",
    "\\`back\\slash\\",
    "$x^2$ $$y$$ $`z`$",
    ":smile:",
    "'quote' \"quote\" '''",
    "'); import os; ('",
    "tab\tbell\x07null\x00",
    "\u202egnp.exe \u200b",
    "  ",
    "",
    "!!python/object/apply:os.system ['x']",
    "&anchor *alias",
    "null",
    "x" * 5000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name)[:25] for name in HOSTILE])
def test_hostile_text_stays_text(selection: Selection, name: str) -> None:
    answers = {name: {"moved": 0.5, "shares": {name: [0.5, 1.0], "b": [name]}}}
    recipe = {
        "source": dict.fromkeys([*SOURCE, "language"], name),
        "composition": {
            name: [{"value": name, "pool": 30, "subset": 10}, {"value": "a", "pool": 10, "subset": 0}]
        },
        "rounds": [{name: name}],
        "fingerprint": name,
        "by": name,
        "over": name,
        "dropped": {name: 2},
        "dropped_reasons": {name: name},
        "method": write_call(Call("Odd", (name,), {"kinds": name, "rule": Call("Odd", (), {"x": name})})),
        "filters": [
            {"filter": name, "skipped": name, name: name},
            {"filter": name, "thresholds": {"cut": 0.5, "kinds": {name: 0.5}, "answers": answers, name: 1}},
            {"filter": name, "thresholds": {"cut": name, "kinds": name, "answers": {name: {"moved": name}}}},
        ],
        "kinds": {"form": "template", "kinds": [{"question": name, "examples": [name]}, OTHERS]},
        "shares": [
            {"name": name, "rows": 40, "left": 30, "picked": 10, "score": 0.5, "weight": 15.0},
            {"name": "b", "rows": 1, "left": 0, "picked": 0, "score": None, "weight": 0.0},
        ],
        "scorers": [{"scorer": name, "column": name, "identity": {"model": name, "commit": name}}],
        "versions": {name: name},
        "diversity": {name: 0.5},
        "published": {"repo_id": name, "commit": name},
    }
    scores = selection.scores.rename_column("necessity", name) if name else selection.scores
    rows = pool([([user(name, 1), assistant(name)], [png(i)]) for i in range(10)])
    hostile = replace(with_recipe(selection, **recipe), scores=scores, dataset=rows)
    usual = {"published": {"repo_id": "a/b", "commit": "c"}, "filters": [{"filter": "F()", "dropped": 1}]}
    usual["filters"][0]["thresholds"] = {"cut": 0.5}
    friendly = with_recipe(selection, **usual)

    run = RunRecord(cost=[{"stage": name, name: name}], comparison=[{"model": name, name: 1.0}])
    shown = examples(hostile)
    assert shown[0].question == shown[0].answer == name
    body = dataset_card(hostile, repo_id=name, plots=["plots/scores.png"], examples=shown, run=run)
    for text, usual in (
        (body, dataset_card(friendly, plots=["x.png"], run=RunRecord(comparison=[{"a": 1}]))),
        (model_section(hostile), ""),
    ):
        shown, kinds = rendered(text)
        assert kinds <= rendered(usual or body)[1] | {"html_inline", "<code>", "</code>"}
        assert text.count(BEGIN) == text.count(END) == 1
        visible = " ".join("".join(c if c.isprintable() else " " for c in name).split())
        assert visible[:200] in shown

    whole = merge_card("", body, card_data(hostile))
    card = DatasetCard(whole)
    assert card.data.to_dict() == card_data(hostile)
    assert card.text.strip() == body.strip()


@pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name)[:25] for name in HOSTILE])
def test_hostile_text_is_a_literal(selection: Selection, name: str) -> None:
    method = write_call(Method(rule=NeighborPenalty(), by=name, kinds=name), whole=True)
    changed = with_recipe(selection, by=name, method=method, scorers=[{**CLIP, "model": name}])
    script = re.findall(r"(?m)^```python\n(.*?)^```$", dataset_card(changed), re.DOTALL)
    calls: dict[str, Any] = {}
    stubs = {
        "load_dataset": lambda *args, **kwargs: "pool",
        "score": lambda *args, **kwargs: "scored",
        "select_diverse": lambda *args, **kwargs: calls.update(kwargs),
        "ClipEmbedding": lambda model, **kwargs: calls.update(model=model),
        "NeighborPenalty": lambda: None,
        "Method": lambda **kwargs: calls.update(kwargs),
    }
    exec(re.sub("(?m)^from .*$", "", script[-1]), stubs)
    assert calls["model"] == calls["by"] == calls["kinds"] == name


def test_code_and_text() -> None:
    assert code("necessity_status") == "`necessity_status`"
    assert code("a|b") == "<code>a&#124;b</code>"
    assert md("*a*\nb") == "&#42;a&#42; b"


def test_a_new_card_is_whole(selection: Selection) -> None:
    body = dataset_card(selection, repo_id="me/subset")
    card = DatasetCard(merge_card("", body, card_data(selection)))
    assert card.text == f"\n{body.strip()}\n"
    assert card.data.to_dict() == card_data(selection)


def test_the_users_card_survives(selection: Selection) -> None:
    existing = (
        "---\nlicense: mit\ntags: mine\nmy_key: [1, 2]\nsize_categories: n>1T\nconfigs: []\n---\n"
        "# My title\n\nMy text \\1 \\g<0>.\n"
    )
    once = merge_card(existing, dataset_card(selection, repo_id="me/first"), card_data(selection))
    user_wrote_below = once + "\n## My afterword\n"
    twice = merge_card(user_wrote_below, dataset_card(selection, repo_id="me/second"), card_data(selection))

    card = DatasetCard(twice)
    assert card.text.startswith("# My title\n\nMy text \\1 \\g<0>.\n\n" + BEGIN)
    assert card.text.endswith(END + "\n\n## My afterword\n")
    assert card.text.count(BEGIN) == card.text.count(END) == 1
    assert "me/first" not in card.text
    assert "me/second" in card.text
    assert card.data.license == "mit"
    assert card.data.tags == ["mine", "vitselect", "data-selection"]
    assert card.data.my_key == [1, 2]
    assert card.data.size_categories == ["n<1K"]
    assert card.data.configs == []


def test_card_without_metadata_keeps_text(selection: Selection) -> None:
    card = DatasetCard(merge_card("# Mine\r\n\r\nText\r\n", dataset_card(selection), card_data(selection)))
    assert card.text.startswith("# Mine\r\n\r\nText")
    assert card.data.tags == ["vitselect", "data-selection"]


def test_merging_again_changes_nothing(selection: Selection) -> None:
    body, data = dataset_card(selection), card_data(selection)
    once = merge_card("# Mine\n", body, data)
    assert merge_card(once, body, data) == once


def test_lone_mark_is_users_text() -> None:
    section = f"{BEGIN}\nnew\n{END}"
    assert merge_section(f"a {BEGIN} b", section) == f"a {BEGIN} b\n\n{section}\n"
    assert merge_section(f"a {BEGIN} b {BEGIN} old {END} c", section) == f"a {BEGIN} b {section} c"


def test_model_card_takes_the_section(selection: Selection) -> None:
    card = ModelCard("---\nbase_model: a/b\n---\n# Model\n")
    for _ in range(2):
        card.text = merge_section(card.text, model_section(selection))
    assert card.text.startswith("# Model\n\n" + BEGIN)
    assert card.text.count(BEGIN) == 1


def test_unreadable_metadata_is_refused(selection: Selection) -> None:
    with pytest.raises(ValueError, match="should be a dict"):
        merge_card("---\n- a\n---\n", dataset_card(selection), {})
    with pytest.raises(yaml.YAMLError):
        merge_card("---\na: [\n---\n", dataset_card(selection), {})


def test_templates_are_in_the_wheel(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "hub_cards", "hf_vitselect"):
        item = root / name
        if item.is_dir():
            shutil.copytree(item, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(item, source / name)
    (source / "README.md").touch()
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True)
    wheel = next(tmp_path.glob("*.whl"))
    installed = tmp_path / "installed"
    shutil.unpack_archive(wheel, installed, "zip")
    files = [path.relative_to(source) for path in source.glob("hf_vitselect/**/*") if path.is_file()]
    assert [path for path in files if not (installed / path).exists()] == []
    assert (installed / "hf_vitselect" / "hub_cards" / "report_page.css").exists()
    # From a folder elsewhere, with the wheel first on the path, nothing of this checkout is found.
    program = (
        "import hf_vitselect.report.markdown as card, hf_vitselect.hub_cards as templates;"
        "print(card.__file__, templates.__file__, sep='\\n');"
        "[card._template(name) for name in ('dataset_card.md.jinja', 'model_section.md.jinja')]"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": ""},
        check=True,
        capture_output=True,
        text=True,
    )
    assert all(line.startswith(str(installed)) for line in done.stdout.splitlines())


def test_row_sets_without_their_folders(selection: Selection, scored_pool: Dataset) -> None:
    seed = select_diverse(scored_pool, 4, rule=Random(), seed=9)
    seed = with_recipe(seed, scorers=[SEED], row_ids="seed_rows.json")
    rest = select_diverse(scored_pool, 6, rule=NeighborPenalty(), exclude=seed, balance="kind")
    more = select_diverse(scored_pool, 12, rule=TopScore(), include=rest, exclude=seed)
    body = dataset_card(more)
    assert "12 of 40 rows of a pool without a Hub address" in body
    assert "6 of them included beforehand" in body
    assert "Included from the start: 6 rows, an earlier selection by NeighborPenalty" in body
    assert "Excluded: 4 rows, those of the seed model" in body
    assert "    include=included,\n    exclude=excluded,\n" in body
    assert '    method=Method(kinds="kind", rule=NeighborPenalty()),\n' in dataset_card(rest)
    published = [str(published_recipe(more)), yaml.safe_dump(card_data(more)), body]
    assert not any("/home/me" in text for text in published)
    assert "recipe" not in card_data(more)["vitselect"]["excluded"]


def test_urls_are_not_for_trl() -> None:
    def card(image: str | bytes) -> str:
        scored = pool([([user("what?", 1), assistant("red")], [image])] * 2).add_column(
            "necessity", [1.0, 2.0]
        )
        return dataset_card(select_diverse(scored, 1, rule=TopScore()), repo_id="me/subset")

    assert "## Training" in card(png())
    assert "## Training" not in card("https://images.example/a.png")
