"""Scorers in two steps: a measurement that costs a model's forward, and columns that cost nothing.

Scorers whose measurement is the same can be joined, and each view of a row is then measured once for all
of them.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from datasets import Features

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scorers.base.views import View, whole


class MeasuringScorer(Scorer):
    """A scorer that measures views of its rows and makes its columns from what was measured.

    A subclass says what is measured in `views`, how in `measure`, and what that means in `row_values`.

    Args:
        model: what measures, a Hub id or a folder.
        column: name of the main column; the signal's own if None.
        revision: a commit, branch or tag on the Hub.
    """

    signal: ClassVar[str]
    """The main column's name, if no other is given."""

    beside_the_measurement: ClassVar[tuple[str, ...]] = ("column", "version")
    """What of the configuration `measure` does not look at."""

    @property
    def views(self) -> tuple[View, ...]:
        """What is measured of every row. A row of which one view cannot be made is not measured at all."""
        return (whole,)

    def __init__(self, model: str, *, column: str | None = None, revision: str | None = None) -> None:
        column = self.signal if column is None else column
        super().__init__(column=column, model=str(model), revision=revision)

    @abstractmethod
    def measure(self, rows: Sequence[Conversation | RowError]) -> list[Any]:
        """What the model finds in one view of the rows: for each a result, or the error that it has none.

        May look at all of the configuration but `beside_the_measurement`, and at nothing else: scorers of
        equal configuration share it.

        Args:
            rows: a view of every row, or the error of one that is not to be measured.
        """

    @abstractmethod
    def row_values(self, results: Mapping[View, Any]) -> tuple[Any, ...]:
        """A row's values, in the order of `values`.

        Args:
            results: of each of `views`.

        Raises:
            RowError: if the row has none.
        """

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> list[tuple[Any, ...] | RowError]:
        """Measures the rows for this scorer alone."""
        return _measure_once([self], rows)[0]

    def values_or_error(self, results: Mapping[View, Any] | RowError) -> tuple[Any, ...] | RowError:
        """A row's values, or why it has none: an error of its own, of a view's result, or of `row_values`."""
        if isinstance(results, RowError):
            return results
        try:
            return self.row_values({view: _raised(result) for view, result in results.items()})
        except RowError as error:
            return error

    def shares_with(self, other: Scorer) -> bool:
        """Whether one measurement serves both: the same code, weights and configuration."""
        return (
            isinstance(other, MeasuringScorer)
            and type(self).measure is type(other).measure
            and type(self).load is type(other).load
            and self._setup() == other._setup()
        )

    def _setup(self) -> dict[str, Any]:
        state = self.__getstate__()
        return {name: value for name, value in state.items() if name not in self.beside_the_measurement}


class Joined(Scorer):
    """Several scorers that share their measurement, as one: the same columns for fewer forwards.

    Args:
        scorers: two or more; the first one's model is the one that runs.
    """

    def __init__(self, scorers: Sequence[MeasuringScorer]) -> None:
        super().__init__(column=scorers[0].column)
        self.scorers = tuple(scorers)

    @property
    def values(self) -> Features:
        """The values of all of them."""
        return Features({name: kind for scorer in self.scorers for name, kind in scorer.values.items()})

    @property
    def features(self) -> Features:
        """The columns of all of them."""
        return Features({name: kind for scorer in self.scorers for name, kind in scorer.features.items()})

    def score_rows(self, rows: Any) -> list[tuple[Any, ...] | RowError]:
        """Not used: a row may have another status for each of the scorers."""
        raise NotImplementedError

    def columns(self, rows: Sequence[Conversation | RowError]) -> dict[str, list[Any]]:
        """Measures the rows once for all of them."""
        self.scorers[0]._rank = self._rank
        found = _measure_once(self.scorers, rows)
        return {
            name: cells
            for scorer, rows_found in zip(self.scorers, found, strict=True)
            for name, cells in scorer.fill(rows_found).items()
        }


def join(scorers: Sequence[Scorer]) -> list[Scorer]:
    """The same scorers, with those that share a measurement joined where the first of them stands."""
    groups: list[list[Any]] = []
    for scorer in scorers:
        for group in groups:
            if isinstance(group[0], MeasuringScorer) and group[0].shares_with(scorer):
                group.append(scorer)
                break
        else:
            groups.append([scorer])
    return [group[0] if len(group) == 1 else Joined(group) for group in groups]


def _measure_once(
    scorers: Sequence[MeasuringScorer], rows: Sequence[Conversation | RowError]
) -> list[list[tuple[Any, ...] | RowError]]:
    """What each scorer finds, from one measurement of each view that any of them wants of a row."""
    plans = [[_views_or_error(scorer, row) for row in rows] for scorer in scorers]
    found = {}
    for view in dict.fromkeys(view for scorer in scorers for view in scorer.views):
        wanting = [plan for plan, scorer in zip(plans, scorers, strict=True) if view in scorer.views]
        found[view] = scorers[0].measure([_first(shown, view) for shown in zip(*wanting, strict=True)])
    return [
        [
            scorer.values_or_error(shown if isinstance(shown, RowError) else {v: found[v][i] for v in shown})
            for i, shown in enumerate(plan)
        ]
        for scorer, plan in zip(scorers, plans, strict=True)
    ]


def _views_or_error(
    scorer: MeasuringScorer, row: Conversation | RowError
) -> dict[View, Conversation] | RowError:
    if isinstance(row, RowError):
        return row
    try:
        return {view: view(row) for view in scorer.views}
    except RowError as error:
        return error


def _first(plans: Sequence[dict[View, Conversation] | RowError], view: View) -> Conversation | RowError:
    """The view, if one of the scorers measures the row; else why none does."""
    for plan in plans:
        if not isinstance(plan, RowError):
            return plan[view]
    return next(plan for plan in plans if isinstance(plan, RowError))


def _raised(result: Any) -> Any:
    if isinstance(result, RowError):
        raise result
    return result
