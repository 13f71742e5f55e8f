"""Scorers in two steps: a model's forward over views of a row, then columns from its results.

Scorers whose forward is the same form a group, which runs it once for each view of a row.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar

from datasets import Features

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scorers.base.views import View, whole, without_images


@dataclass(kw_only=True, eq=False)
class SharedForwardScorer(Scorer):
    """A scorer that runs a model on views of its rows and makes its columns from the results.

    A subclass names its `views`, runs the model in `forward`, and turns its results into cells in
    `row_values`.
    """

    model: str = field(kw_only=False)

    not_in_forward: ClassVar[tuple[str, ...]] = ("column", "version")
    """The part of the configuration that `forward` does not read."""

    @property
    def views(self) -> tuple[View, ...]:
        """The views that the model is shown. A row that lacks one of them is shown in none."""
        return (whole,)

    @abstractmethod
    def forward(self, rows: Sequence[Conversation | RowError]) -> list[Any]:
        """Run the model on one view of the rows; for each give its result or the error that explains it.

        Must not read the configuration named in `not_in_forward`: scorers that are otherwise equal share
        the results.
        """

    @abstractmethod
    def row_values(self, results: Mapping[View, Any]) -> tuple[Any, ...]:
        """A row's values in the order of `values`, from its results. Raises RowError if it has none."""

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> list[tuple[Any, ...] | RowError]:
        """Run the model for this scorer alone."""
        return _forward_once([self], rows)[0]

    def shares_with(self, other: Scorer) -> bool:
        """Whether one forward serves both: same code, weights and configuration."""
        return (
            isinstance(other, SharedForwardScorer)
            and type(self).forward is type(other).forward
            and type(self).load is type(other).load
            and self._forward_state() == other._forward_state()
        )

    def _forward_state(self) -> dict[str, Any]:
        state = self.__getstate__()
        return {name: value for name, value in state.items() if name not in self.not_in_forward}


class ScorerGroup(Scorer):
    """Several scorers that share the first one's forward: the same columns for fewer forwards."""

    def __init__(self, scorers: Sequence[SharedForwardScorer]) -> None:
        super().__init__(column=scorers[0].column)
        self.scorers = tuple(scorers)

    @property
    def values(self) -> Features:
        """The values of all scorers."""
        return Features({name: kind for scorer in self.scorers for name, kind in scorer.values.items()})

    @property
    def features(self) -> Features:
        """The columns of all scorers."""
        return Features({name: kind for scorer in self.scorers for name, kind in scorer.features.items()})

    def score_rows(self, rows: Any) -> list[tuple[Any, ...] | RowError]:
        """Not used: each scorer has a status of its own for a row."""
        raise NotImplementedError

    def columns(self, rows: Sequence[Conversation | RowError]) -> dict[str, list[Any]]:
        """Run the model once for all scorers."""
        self.scorers[0]._rank = self._rank
        scored = _forward_once(self.scorers, rows)
        return {
            name: cells
            for scorer, cells_or_errors in zip(self.scorers, scored, strict=True)
            for name, cells in scorer.fill(cells_or_errors).items()
        }


def group_by_forward(scorers: Sequence[Scorer]) -> list[Scorer]:
    """The scorers, with those that share a forward grouped at the place of their first."""
    groups: list[list[Any]] = []
    for scorer in scorers:
        for group in groups:
            if isinstance(group[0], SharedForwardScorer) and group[0].shares_with(scorer):
                group.append(scorer)
                break
        else:
            groups.append([scorer])
    return [group[0] if len(group) == 1 else ScorerGroup(group) for group in groups]


def _forward_once(
    scorers: Sequence[SharedForwardScorer], rows: Sequence[Conversation | RowError]
) -> list[list[tuple[Any, ...] | RowError]]:
    """Each scorer's values, from one forward of each view that any of them needs of a row."""
    views_of = [[_views_or_error(scorer, row) for row in rows] for scorer in scorers]
    shown: dict[View, list[Conversation | RowError]] = {}
    for view in dict.fromkeys(view for scorer in scorers for view in scorer.views):
        users = [views for views, scorer in zip(views_of, scorers, strict=True) if view in scorer.views]
        shown[view] = [_first(row, view) for row in zip(*users, strict=True)]
    # All views but `without_images` go to the model together, which then reads a row's images once.
    with_images = [view for view in shown if view is not without_images]
    results: dict[View, list[Any]] = {}
    for views in filter(None, (with_images, shown.keys() - with_images)):
        forwarded = scorers[0].forward(list(chain(*zip(*(shown[view] for view in views), strict=True))))
        results |= {view: forwarded[i :: len(views)] for i, view in enumerate(views)}
    return [
        [
            row
            if isinstance(row, RowError)
            else _values_or_error(scorer, {view: results[view][i] for view in row})
            for i, row in enumerate(views)
        ]
        for scorer, views in zip(scorers, views_of, strict=True)
    ]


def _views_or_error(
    scorer: SharedForwardScorer, row: Conversation | RowError
) -> dict[View, Conversation] | RowError:
    if isinstance(row, RowError):
        return row
    try:
        return {view: view(row) for view in scorer.views}
    except RowError as error:
        return error


def _first(row: Sequence[dict[View, Conversation] | RowError], view: View) -> Conversation | RowError:
    """The view of a row if one of the scorers can use it, else the first scorer's error."""
    shown = [views if isinstance(views, RowError) else views[view] for views in row]
    return next((one for one in shown if not isinstance(one, RowError)), shown[0])


def _values_or_error(scorer: SharedForwardScorer, results: Mapping[View, Any]) -> tuple[Any, ...] | RowError:
    failed = next((result for result in results.values() if isinstance(result, RowError)), None)
    try:
        return failed or scorer.row_values(results)
    except RowError as error:
        return error
