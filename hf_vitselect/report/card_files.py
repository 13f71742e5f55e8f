"""The files of a report, which a push puts next to the rows: card, recipe, picks, plots, examples, run."""

import json
from collections.abc import Mapping

from hf_vitselect.report.dataset_card import card_data, dataset_card
from hf_vitselect.report.example_rows import examples
from hf_vitselect.report.merge_readme import merge_card
from hf_vitselect.report.plots import plots as draw_plots
from hf_vitselect.report.recipe_facts import Publish, published_recipe
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.selection.selection import Selection


def card_files(
    selection: Selection,
    plots: Mapping[str, bytes] | None = None,
    *,
    existing: str = "",
    repo_id: str | None = None,
    run: RunRecord | None = None,
    publish: Publish = "rows",
) -> dict[str, bytes]:
    """The card and everything that it shows, by path.

    Args:
        selection: any selection.
        plots: PNG files by name; drawn by `hf_vitselect.report.plots.plots` if None.
        existing: the README to merge with.
        repo_id: where it will be published.
        run: the record of the run that made the selection.
        publish: `"indices"` shows no row: neither texts of any kind nor thumbnails.
    """
    plots = draw_plots(selection) if plots is None else plots
    shown = examples(selection) if publish == "rows" else []
    files = {f"plots/{name}": content for name, content in plots.items()}
    body = dataset_card(
        selection, repo_id=repo_id, plots=list(files), examples=shown, run=run, publish=publish
    )
    files |= {example.path: example.thumbnail for example in shown if example.thumbnail}
    if run and run.config:
        files["run.yaml"] = run.config.encode()
    ids = selection.scores["row_id"][:]
    picks = {"row_id": [ids[i] for i in selection.indices], "gain": selection.gains.tolist()}
    return files | {
        "recipe.json": json.dumps(published_recipe(selection, publish).to_json(), indent=2).encode(),
        "picks.json": json.dumps(picks).encode(),
        "README.md": merge_card(existing, body, card_data(selection, publish)).encode(),
    }
