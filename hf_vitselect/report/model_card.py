"""The sections of a model card: the selection that it was trained on, and a quick start."""

from collections.abc import Mapping

from hf_vitselect.report.markdown import code, escaped_table, render
from hf_vitselect.report.recipe_facts import facts
from hf_vitselect.selection.selection import Selection


def model_section(
    selection: Selection,
    *,
    base_model: str | None = None,
    adapter: str | None = None,
    rows_before: str | None = None,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """The section about a selection, between the marks.

    Args:
        selection: that the model was trained on.
        base_model: its name.
        adapter: the adapter of the base model that was trained further, if one was.
        rows_before: what a seed model was trained on before.
        metrics: of the training.
    """
    measured = [{"metric": code(name), "value": value} for name, value in (metrics or {}).items()]
    return render(
        "model_section.md.jinja",
        **facts(selection),
        base_model=base_model,
        adapter=adapter,
        rows_before=rows_before,
        metrics=escaped_table(measured),
    )


def model_quick_start(model: str) -> str:
    """The section that shows how to ask the model about an image."""
    return render("model_quick_start.md.jinja", model=model)
