"""The card of a published selection: its text and its metadata."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from hf_vitselect.data.image_files import names_urls
from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.report.composition import composition_table, recorded_shares
from hf_vitselect.report.example_rows import Example
from hf_vitselect.report.license import hub_license, license_names, license_warnings
from hf_vitselect.report.markdown import Markdown, code, escaped_table, md, render
from hf_vitselect.report.method_docs import citations
from hf_vitselect.report.method_tables import answer_table, filter_notes, filter_table, kind_table, quota_note
from hf_vitselect.report.recipe_facts import Publish, facts, published_recipe
from hf_vitselect.report.recreate_script import script
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.report.statistics import duplicates, statistics
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.selection import Selection

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
_PLOTS = {
    "scores": "Scores of pool and subset",
    "composition": "Composition of pool and subset",
    "lengths": "Lengths of the answers in pool and subset",
}
_NOT_METADATA = (
    *("budget", "dropped_reasons", "scorers", "diversity", "composition", "versions"),
    *("filters", "kinds", "shares", "need_skipped", "skill", "rule_notes", "texts_removed"),
)


def dataset_card(
    selection: Selection,
    *,
    repo_id: str | None = None,
    plots: Sequence[str] = (),
    examples: Sequence[Example] = (),
    run: RunRecord | None = None,
    publish: Publish = "rows",
) -> str:
    """The body of the dataset's card, in Markdown.

    Args:
        selection: any selection.
        repo_id: where it will be published.
        plots: paths of images, relative to the card.
        examples: rows to show.
        run: the record of the run that made the selection.
        publish: `"indices"` if the rows themselves are not published.

    Examples:
        >>> body = dataset_card(selection, repo_id="me/llava-instruct-15pct")  # doctest: +SKIP
    """
    known, run = facts(selection, publish), run or RunRecord()
    recipe: Recipe = known["recipe"]
    names = [known["method"]["name"], known["rule"]["name"], *(scorer["name"] for scorer in known["scorers"])]
    shares = recorded_shares(selection)
    return render(
        "dataset_card.md.jinja",
        **known,
        title=(repo_id or "A selection").rpartition("/")[2],
        repo_id=repo_id,
        publish=publish,
        names_urls=names_urls(selection.dataset),
        filters=filter_table(recipe),
        filter_notes=filter_notes(recipe),
        kinds=kind_table(recipe),
        quota_note=quota_note(recipe),
        answers=answer_table(recipe),
        warnings=license_warnings([*known["licenses"], *shares.get("license", {})]),
        plots=[{"path": Markdown(quote(path)), "text": _plot_text(path)} for path in plots],
        statistics=escaped_table({**row, "score": code(row["score"])} for row in statistics(selection)),
        compositions=[composition_table(name, of_column) for name, of_column in shares.items()],
        diversity=_diversity(recipe.diversity),
        duplicates=duplicates(selection),
        examples=escaped_table(map(_example, examples)),
        comparison=escaped_table(run.comparison),
        cost=escaped_table({**stage, "stage": code(stage["stage"])} for stage in run.cost),
        config=run.config is not None,
        script=script(recipe),
        citations=citations(names),
    )


def card_data(selection: Selection, publish: Publish = "rows") -> dict[str, Any]:
    """The metadata of the dataset's card; with `"indices"` without texts of rows.

    Returns:
        Plain YAML values: the source's license, language and name if known, sizes, tags, and under
        `vitselect` what a program needs to know which rows of which pool these are.
    """
    recipe = published_recipe(selection, publish)
    source, written = recipe.source, recipe.to_json()
    data: dict[str, Any] = {}
    if license := hub_license(license_names(source.license)):
        data["license"] = license
    if source.language:
        data["language"] = copy.copy(source.language)  # or YAML would write the second one as an alias
    if source.repo_id:
        data["source_datasets"] = [source.repo_id]
    data["size_categories"] = [next((name for top, name in _SIZES if len(selection) < top), "n>1M")]
    data["task_categories"] = ["image-text-to-text"]
    data["tags"] = ["vitselect", "data-selection"]
    for name in ("included", "excluded"):
        if written.get(name):
            written[name].pop("recipe", None)
    data["vitselect"] = {
        "complete": True,
        "subset_fingerprint": subset_fingerprint(selection),
        **{name: value for name, value in written.items() if name not in _NOT_METADATA},
        "source": {name: value for name, value in written["source"].items() if value is not None},
        "scorers": [
            {"column": scorer.column, "scorer": scorer.scorer, **scorer.identity.to_json()}
            for scorer in recipe.scorers
        ],
    }
    return data


def unfinished_card(selection: Selection, repo_id: str) -> str:
    """The body of the card while a push is in progress."""
    title = repo_id.rpartition("/")[2]
    return render("unfinished_card.md.jinja", title=title, selected=len(selection))


def subset_fingerprint(selection: Selection) -> str:
    """sha256 of the row ids of the subset, in pick order."""
    ids = selection.scores["row_id"][:]
    return pool_digest([ids[index] for index in selection.indices])


def _plot_text(path: str) -> str:
    return _PLOTS.get(PurePath(path).stem, PurePath(path).stem)


def _diversity(figures: Mapping[str, Any]) -> Markdown:
    """The figures of the subset and of a random subset, as distances."""
    lines = []
    for name, words, cosine in (
        ("mean_nearest_cosine", "mean distance from a row of the subset to the nearest other one", True),
        ("coverage_radius", "largest distance from a row of the pool to the nearest in the subset", False),
    ):
        subset, random = figures.get(name), figures.get(f"{name}_random")
        if isinstance(subset, float) and isinstance(random, float):
            pair = (1 - subset, 1 - random) if cosine else (subset, random)
            lines.append({"figure": Markdown(words), "subset": pair[0], "random": pair[1]})
    return escaped_table(lines)


def _example(example: Example) -> dict[str, Any]:
    image = f"![{example.rank}]({example.path})" if example.thumbnail else "no image"
    more = f" (and {example.turns - 2} more turns)" if example.turns > 2 else ""
    return {
        "row": Markdown(example.rank),
        "image": Markdown(image),
        "score": example.score,
        "question": example.question,
        "answer": Markdown(f"{md(example.answer)}{more}"),
    }
