"""The errors of this package.

VitSelectError
├── LayoutError     a data set whose columns are no conversation layout we know   (also a ValueError)
├── ColumnError     a column that is missing, or that would be overwritten        (also a ValueError)
├── BudgetError     a budget that cannot be met                                   (also a ValueError)
├── RowSetError     rows, named by their ids, that do not fit the pool            (also a ValueError)
├── ModelError      a model or processor that cannot be used for the job          (also a ValueError)
├── StaleRunError   a run's folder that was made with other settings              (also a ValueError)
├── WorkerError     workers that die whatever they are given                      (also a RuntimeError)
├── SelectionError  a selection whose parts do not fit together                   (also a ValueError)
├── HubError        a repository that is not what was expected                    (also a ValueError)
└── RowError        one row that cannot be used; carries a status, never ends a scoring run
"""

from typing import Literal

RowStatus = Literal[
    "ok",
    "no_response",
    "image_missing",
    "image_remote",
    "image_error",
    "media_unsupported",
    "placeholder_mismatch",
    "control_tokens",
    "too_long",
    "bad_row",
    "non_finite",
    "worker_died",
]


class VitSelectError(Exception):
    """Base of every error that this package raises on purpose."""


class LayoutError(VitSelectError, ValueError):
    """The columns are none of the known conversation layouts."""


class ColumnError(VitSelectError, ValueError):
    """A column is missing, has the wrong type, is another scorer's, or would be overwritten."""


class BudgetError(VitSelectError, ValueError):
    """The budget is not a number of rows, or a share, that the pool can give."""


class RowSetError(VitSelectError, ValueError):
    """Rows that are named by their ids are not in the pool, or are named for two ends."""


class ModelError(VitSelectError, ValueError):
    """The model or its processor lacks something that the job needs."""


class StaleRunError(VitSelectError, ValueError):
    """A run's folder holds results that were made with other settings."""


class WorkerError(VitSelectError, RuntimeError):
    """Workers die before they have scored anything."""


class SelectionError(VitSelectError, ValueError):
    """A selection that was read from somewhere is damaged or none."""


class HubError(VitSelectError, ValueError):
    """A repository on the Hub is not what was expected."""


class RowError(VitSelectError):
    """A row that cannot be scored or trained on.

    Attributes:
        status: the row's status; never ``ok``.
    """

    def __init__(self, status: RowStatus, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status: RowStatus = status
