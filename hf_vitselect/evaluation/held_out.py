"""Evaluations on held-out rows: from a model's folder to a score per row, higher is better.

An evaluation is any function of a model's folder that returns one number per row, or a single number:

    def pope(model: str) -> float:
        results = lm_eval.simple_evaluate("hf-multimodal", model_args=f"pretrained={model}", tasks=["pope"])
        return results["results"]["pope"]["acc,none"]

The classes here are such functions. They also have an `identity`, so that a resumed run notices other
held-out rows; a plain function is identified by its name. `check` is called with the model's encoder before
the first fine-tune, and raises if the rows cannot be evaluated.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from datasets import Dataset
from numpy.typing import ArrayLike

from hf_vitselect.data.columns import refuse_missing
from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.row_ids import pool_digest, row_contents, row_ids
from hf_vitselect.data.rows import read_rows, read_table, undecoded
from hf_vitselect.errors import ColumnError, RowError, counted, shown
from hf_vitselect.models.encoded import held_out_rows
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.options import EndOfTurn, ModelOptions
from hf_vitselect.models.revisions import identify
from hf_vitselect.models.token_stats import ResponseStats
from hf_vitselect.models.vlm import VLM

T = TypeVar("T")

Evaluation = Callable[[str], ArrayLike]
"""From a model's folder to float scores of shape (rows,), or a single number; higher is better."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Base of the evaluations on held-out rows; subclasses define `__call__`.

    Attributes:
        rows: any conversation layout; the last assistant turn is the right answer.
        batch_size: rows per forward.
        end_of_turn: as in `NecessityScorer`, and as in the training of the models to evaluate.
    """

    rows: Dataset
    batch_size: int = 8
    end_of_turn: EndOfTurn = field(default="auto", kw_only=True)

    def load(self, model: str) -> VLM:
        """Load the model to evaluate."""
        vlm = VLM.load(model, ModelOptions(end_of_turn=self.end_of_turn))
        # The models of a comparison answer the same rows.
        vlm.encoder.kept = held_out_rows(vlm.encoder.identity)
        return vlm

    def identity(self) -> dict[str, Any]:
        """Everything that the scores depend on besides the model, as plain JSON."""
        settings = {name: _name(value) for name, value in vars(self).items() if name != "rows"}
        return {"evaluation": type(self).__name__, "rows": pool_digest(row_ids(self.rows)), **settings}

    def prompts(self) -> Iterator[tuple[int, Conversation | RowError]]:
        """Inputs of a model, each with its row's index; an unreadable row is its error."""
        yield from enumerate(read_rows(self.rows))

    def check(self, encoder: Encoder) -> None:
        """Refuse rows that cannot be evaluated, given the encoder of the models, before any is trained."""
        if not len(self.rows):
            raise ValueError(f"expected held-out rows for {type(self).__name__}, got none")
        errors: dict[int, RowError] = {}
        encoder.kept = held_out_rows(encoder.identity)
        for index, row in self.prompts():
            try:
                if isinstance(row, RowError):
                    raise row
                encoder.encode(row)
            except RowError as error:
                errors[index] = error
        _refuse(errors, self.rows)


class Answered(NamedTuple):
    """A row's responses under a model: whether each token is its first choice, and their mean loss."""

    right: bool
    loss: float


@dataclass(frozen=True, eq=False)
class OneForward(HeldOut):
    """Base of the evaluations that take one forward a row.

    A row that the model answered for another of them a moment ago is not asked again.
    """

    def answered(self, model: str) -> list[Answered]:
        """Ask the model every row; raise RowError if one cannot be read."""
        known = _answers_of(json.dumps([identify(model), self.end_of_turn], sort_keys=True))
        contents = list(row_contents(self.rows))
        new = {content: i for i, content in enumerate(contents) if content not in known}
        if new:
            rows = self.rows.select(list(new.values()))
            losses = response_losses(self.load(model), rows, self.batch_size)
            answered = (Answered(bool(loss.hit.all()), float(loss.mean)) for loss in losses)
            known.update(zip(new, answered, strict=True))
        return [known[content] for content in contents]


@lru_cache(maxsize=1)
def _answers_of(model: str) -> dict[str, Answered]:
    """The answers of the last model so far, by the content of the row."""
    return {}


@dataclass(frozen=True, eq=False)
class ExactMatch(OneForward):
    """1 if greedy decoding generates all of a row's responses, token for token, and stops there, else 0.

    It takes one forward per row and no decoding: every response token must be the model's first choice,
    including the end of turn. A model that would continue after the right answer is wrong, except under
    `end_of_turn="template"` with a template that has no end of turn.

    Examples:
        >>> np.mean(ExactMatch(held_out)("model"))  # doctest: +SKIP
        0.54
    """

    def __call__(self, model: str) -> list[float]:
        """Score each row; raise RowError if one cannot be read."""
        return [float(answer.right) for answer in self.answered(model)]


@dataclass(frozen=True, eq=False)
class LogLikelihood(OneForward):
    """Mean log-likelihood of a row's response tokens, in nats, at most 0: finer than right or wrong."""

    def __call__(self, model: str) -> list[float]:
        """Score each row; raise RowError if one cannot be read."""
        return [-answer.loss for answer in self.answered(model)]


@dataclass(frozen=True, eq=False)
class MultipleChoice(HeldOut):
    """1 if the right option is the likeliest of a row's options, else 0.

    Each option takes the place of the last answer. Options are ranked by their mean log-likelihood per token,
    so that long options are at no disadvantage. A tie is wrong.

    Attributes:
        options: the column with each row's options: a list of distinct texts, including the right answer.

    Examples:
        >>> np.mean(MultipleChoice(held_out, options="choices")("model"))  # doctest: +SKIP
        0.38
    """

    options: str = "options"

    def __call__(self, model: str) -> list[float]:
        """Score each row; raise ColumnError for bad options, RowError if a row cannot be read."""
        rows = read_answered(self.rows)
        prompts = _without_errors([row for _, row in self.prompts()])
        losses = iter(_without_errors(self.load(model).score(prompts, self.batch_size)))
        scores = []
        for row, options in zip(rows, self._options(rows), strict=True):
            means = {option: next(losses).mean for option in options}
            right = means.pop(row.turns[-1].text.strip())
            scores.append(float(all(right < other for other in means.values())))
        return scores

    def prompts(self) -> Iterator[tuple[int, Conversation | RowError]]:
        """Every row with every option as its answer."""
        rows = read_answered(self.rows)
        for index, (row, options) in enumerate(zip(rows, self._options(rows), strict=True)):
            for option in options:
                yield index, replace(row, turns=(*row.turns[:-1], Turn("assistant", (option,))))

    def _options(self, rows: Sequence[Conversation]) -> Iterator[list[str]]:
        refuse_missing([self.options], self.rows.column_names, "options: expected a column")
        for i, (row, options) in enumerate(zip(rows, self.rows[self.options], strict=True)):
            answer = row.turns[-1].text.strip()
            if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
                raise ColumnError(f"row {i}: expected a list of texts in {self.options!r}, got {options!r}")
            texts = [option.strip() for option in options]
            if answer not in texts:
                raise ColumnError(f"row {i}: expected the answer {answer!r} among the options, got {texts}")
            if len(texts) < 2 or len(set(texts)) < len(texts):
                raise ColumnError(f"row {i}: expected two options or more, all different, got {texts}")
            yield texts


def response_losses(vlm: VLM, rows: Dataset, batch_size: int) -> list[ResponseStats]:
    """Measure the response of every row; raise RowError if one cannot be scored."""
    tables = (vlm.score(read_table(table), batch_size) for table in undecoded(rows))
    return [loss for results in tables for loss in _without_errors(results)]


def read_answered(rows: Dataset) -> list[Conversation]:
    """Read held-out rows; raise RowError if one cannot be read or does not end with an answer."""
    read = list(read_rows(rows))
    for i, row in enumerate(read):
        if isinstance(row, Conversation) and (not row.turns or row.turns[-1].role != "assistant"):
            read[i] = RowError("no_response", "expected an answer as the last turn of every held-out row")
    _refuse({i: row for i, row in enumerate(read) if isinstance(row, RowError)}, rows)
    return _without_errors(read)


def _refuse(errors: dict[int, RowError], rows: Dataset) -> None:
    """Refuse held-out rows that cannot be evaluated: the mean of the others is not comparable."""
    if errors:
        raise RowError(
            next(iter(errors.values())).status,
            f"{len(errors)} of {len(rows)} held-out rows cannot be evaluated ({counted(errors)}): "
            f"{shown(errors, row_ids(rows))}; leave them out with dataset.select",
        )


def _without_errors(results: Sequence[T | RowError]) -> list[T]:
    """The results; raises the first error among them."""
    checked = []
    for result in results:
        if isinstance(result, RowError):
            raise result
        checked.append(result)
    return checked


def _name(value: Any) -> Any:
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else value
