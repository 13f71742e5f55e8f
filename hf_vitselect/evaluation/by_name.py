"""Evaluations by their names on the command line."""

from collections.abc import Callable
from importlib import import_module

from datasets import Dataset

from hf_vitselect.errors import nearest
from hf_vitselect.evaluation.generate import Generated
from hf_vitselect.evaluation.held_out import Evaluation, ExactMatch, LogLikelihood, MultipleChoice
from hf_vitselect.models.options import EndOfTurn


def find_evaluation(
    name: str, rows: Dataset, batch_size: int = 8, end_of_turn: EndOfTurn = "auto"
) -> Evaluation:
    """Find an evaluation by its name on the command line; raise ValueError for an unknown one.

    Args:
        name: `exact_match`, `log_likelihood`, `multiple_choice`, `token_f1`, or your own
            `package.module:function`.
        rows: the held-out rows; your own function does not get them.
        batch_size: rows per forward.
        end_of_turn: as in `HeldOut`.
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
        evaluation: Evaluation = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"expected an evaluation among {list(known)}, or package.module:function, got {name!r}: {error}"
            f"{nearest(name, known)}"
        ) from error
    return evaluation
