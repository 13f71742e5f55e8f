"""Evaluations by the names of the command line."""

from collections.abc import Callable
from importlib import import_module

from datasets import Dataset

from hf_vitselect.errors import nearest
from hf_vitselect.evaluation.held_out import Evaluation, ExactMatch, Generated, LogLikelihood, MultipleChoice
from hf_vitselect.models.options import EndOfTurn


def find_evaluation(
    name: str, rows: Dataset, batch_size: int = 8, end_of_turn: EndOfTurn = "auto"
) -> Evaluation:
    """An evaluation by its name on the command line.

    Args:
        name: one of this module's, in lower case, or `package.module:function`, your own.
        rows: what this module's are evaluated on.
        batch_size: rows in one forward.
        end_of_turn: as in `HeldOut`.

    Raises:
        ValueError: if it is neither.
    """
    known: dict[str, Callable[..., Evaluation]] = {
        "exact_match": ExactMatch,
        "log_likelihood": LogLikelihood,
        "multiple_choice": MultipleChoice,
        "token_f1": Generated,
    }
    if name in known:
        return known[name](rows, batch_size, end_of_turn=end_of_turn)
    module, _, function = name.partition(":")
    try:
        found: Evaluation = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"expected an evaluation among {list(known)}, or package.module:function, got {name!r}: {error}"
            f"{nearest(name, known)}"
        ) from error
    return found
