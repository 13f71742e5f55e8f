"""What the card of a model says about the selection that it was trained on."""

from collections.abc import Mapping

from hf_vitselect.report.markdown import code, render, table
from hf_vitselect.report.recipe_facts import facts
from hf_vitselect.selection.selection import Selection


def model_section(
    selection: Selection, *, base_model: str | None = None, metrics: Mapping[str, float] | None = None
) -> str:
    """The section about a selection, between the marks.

    Args:
        base_model: what was fine-tuned, a Hub id or a folder.
        metrics: the training's last ones by name, such as its loss.
    """
    measured = [{"metric": code(name), "value": value} for name, value in (metrics or {}).items()]
    return render(
        "model_section.md.jinja", **facts(selection), base_model=base_model, metrics=table(measured)
    )


def model_quick_start(model: str) -> str:
    """The section of a model card that says how to ask the model about a picture."""
    return render("model_quick_start.md.jinja", model=model)
