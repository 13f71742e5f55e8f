"""What a model knows: from its folder to a score for each held-out row, higher is better.

An evaluation is any function of a model's folder that returns one number a row, or a single number:

    def pope(model: str) -> float:
        results = lm_eval.simple_evaluate("hf-multimodal", model_args=f"pretrained={model}", tasks=["pope"])
        return results["results"]["pope"]["acc,none"]

The classes here are such functions. They also have an `identity`, so that a run that goes on notices other
held-out rows; a plain function goes by its name. A `check` is called with the model's encoder before the
first fine-tune, and raises if the rows cannot be evaluated.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from datasets import Dataset
from numpy.typing import ArrayLike

from hf_vitselect.data.columns import refuse_missing
from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.layouts import read_rows, read_table, undecoded
from hf_vitselect.data.row_ids import pool_digest, row_ids
from hf_vitselect.errors import ColumnError, RowError, counted, shown
from hf_vitselect.evaluation.generate import write
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.options import EndOfTurn, ModelOptions
from hf_vitselect.models.token_stats import ResponseStats
from hf_vitselect.models.vlm import VLM

T = TypeVar("T")

Evaluation = Callable[[str], ArrayLike]
"""From a model's folder to float scores of shape (rows,), or one number; higher is better."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """An evaluation on held-out rows.

    Attributes:
        rows: any conversation layout; the last assistant turn is the right answer.
        batch_size: rows in one forward.
        end_of_turn: as in `NecessityScorer`, and as in the training of the models that are evaluated.
    """

    rows: Dataset
    batch_size: int = 8
    end_of_turn: EndOfTurn = field(default="auto", kw_only=True)

    def load(self, model: str) -> VLM:
        """The model to evaluate.

        Raises:
            ModelError: as `VLM.load` does.
        """
        return VLM.load(model, ModelOptions(end_of_turn=self.end_of_turn))

    def identity(self) -> dict[str, Any]:
        """What the scores depend on beside the model, as plain JSON."""
        settings = {name: _name(value) for name, value in vars(self).items() if name != "rows"}
        return {"evaluation": type(self).__name__, "rows": pool_digest(row_ids(self.rows)), **settings}

    def asked(self) -> Iterator[tuple[int, Conversation | RowError]]:
        """What a model is asked, each with its row's place; a row that cannot be read is its error."""
        yield from enumerate(read_rows(self.rows))

    def check(self, encoder: Encoder) -> None:
        """Refuses rows that cannot be evaluated, before any model is trained for it.

        Args:
            encoder: of the models that are to be evaluated.

        Raises:
            RowError: naming the first of them.
            ValueError: if there is no row.
        """
        if not len(self.rows):
            raise ValueError(f"expected held-out rows for {type(self).__name__}, got none")
        errors: dict[int, RowError] = {}
        for i, row in self.asked():
            try:
                if isinstance(row, RowError):
                    raise row
                encoder.encode(row)
            except RowError as error:
                errors[i] = error
        _refuse(errors, self.rows)


@dataclass(frozen=True, eq=False)
class ExactMatch(HeldOut):
    """1 where greedy decoding would write all of a row's responses, token for token, and end there, else 0.

    It takes one forward a row and no decoding: every response token must be the model's first choice, the end
    of turn included. A model that would write on after the right answer is wrong; only under
    `end_of_turn="template"` with a template that writes no end is it not asked to stop.

    Example:
        >>> ExactMatch(held_out)("model").mean()  # doctest: +SKIP
        0.54
    """

    def __call__(self, model: str) -> list[float]:
        """Float scores, one a row.

        Raises:
            RowError: if a row cannot be read.
        """
        losses = response_losses(self.load(model), self.rows, self.batch_size)
        return [float(loss.hit.all()) for loss in losses]


@dataclass(frozen=True, eq=False)
class LogLikelihood(HeldOut):
    """The mean log-likelihood of a row's response tokens, in nats: finer than being right or wrong."""

    def __call__(self, model: str) -> list[float]:
        """Float scores, one a row, at most 0.

        Raises:
            RowError: if a row cannot be read.
        """
        return [-loss.mean for loss in response_losses(self.load(model), self.rows, self.batch_size)]


@dataclass(frozen=True, eq=False)
class MultipleChoice(HeldOut):
    """1 where the right option is the likeliest of a row's options, else 0.

    Each option is put in the place of the last answer; its mean log-likelihood a token counts, so that long
    options are at no disadvantage. A tie is wrong.

    Attributes:
        options: the column with each row's options, a list of different texts, the right answer among them.
    """

    options: str = "options"

    def __call__(self, model: str) -> list[float]:
        """Float scores, one a row.

        Raises:
            ColumnError: if the options are no column, or a row has not two different ones, one of them right.
            RowError: if a row cannot be read.
        """
        rows = _conversations(self.rows)
        asked = _all([row for _, row in self.asked()])
        losses = iter(_all(self.load(model).score(asked, self.batch_size)))
        scores = []
        for row, options in zip(rows, self._options(rows), strict=True):
            means = {option: next(losses).mean for option in options}
            right = means.pop(row.turns[-1].text.strip())
            scores.append(float(all(right < other for other in means.values())))
        return scores

    def asked(self) -> Iterator[tuple[int, Conversation | RowError]]:
        """Every row with every option as its answer."""
        rows = _conversations(self.rows)
        for i, (row, options) in enumerate(zip(rows, self._options(rows), strict=True)):
            for option in options:
                yield i, replace(row, turns=(*row.turns[:-1], Turn("assistant", (option,))))

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


def token_f1(answers: Sequence[str], right: Sequence[str]) -> list[float]:
    """How much of each right answer's words an answer has, as SQuAD counts it (arXiv 1606.05250, 6.1).

    The harmonic mean of precision and recall over words, without case, punctuation and articles; two empty
    texts agree.

    Example:
        >>> token_f1(["a red ring", "No."], ["the red circle", "no"])
        [0.5, 1.0]
    """
    scores = []
    for given, wanted in zip(map(_words, answers), map(_words, right), strict=True):
        common = (Counter(given) & Counter(wanted)).total()
        scores.append(2 * common / (len(given) + len(wanted)) if given or wanted else 1.0)
    return scores


@dataclass(frozen=True, eq=False)
class Generated(HeldOut):
    """Scores of what a model writes as the last answer, by greedy decoding.

    Attributes:
        metric: from the model's answers and the right ones, both lists of texts, to a number for each, or
            to a single one; higher is better.
        max_new_tokens: the longest answer.
    """

    metric: Callable[[list[str], list[str]], ArrayLike] = token_f1
    max_new_tokens: int = 64

    def asked(self) -> Iterator[tuple[int, Conversation | RowError]]:
        """Every row, whose last turn must be an answer."""
        yield from enumerate(_conversations(self.rows))

    def __call__(self, model: str) -> ArrayLike:
        """What the metric returns.

        Raises:
            RowError: if a row cannot be read.
        """
        vlm, rows = self.load(model), _conversations(self.rows)
        answers: list[str] = []
        for start in range(0, len(rows), self.batch_size):
            answers += write(vlm, rows[start : start + self.batch_size], self.max_new_tokens)
        return self.metric(answers, [row.turns[-1].text.strip() for row in rows])


def response_losses(vlm: VLM, rows: Dataset, batch_size: int) -> list[ResponseStats]:
    """The response losses of every row.

    Raises:
        RowError: if a row cannot be scored.
    """
    return [loss for table in undecoded(rows) for loss in _all(vlm.score(read_table(table), batch_size))]


def _conversations(rows: Dataset) -> list[Conversation]:
    read = list(read_rows(rows))
    for i, row in enumerate(read):
        if isinstance(row, Conversation) and (not row.turns or row.turns[-1].role != "assistant"):
            read[i] = RowError("no_response", "expected an answer as the last turn of every held-out row")
    _refuse({i: row for i, row in enumerate(read) if isinstance(row, RowError)}, rows)
    return _all(read)


def _refuse(errors: dict[int, RowError], rows: Dataset) -> None:
    """Refuses held-out rows that cannot be evaluated: a score of the others is another score."""
    if errors:
        raise RowError(
            next(iter(errors.values())).status,
            f"{len(errors)} of {len(rows)} held-out rows cannot be evaluated ({counted(errors)}): "
            f"{shown(errors, row_ids(rows))}; leave them out with dataset.select",
        )


def _all(results: Sequence[T | RowError]) -> list[T]:
    """The results, none of which may be an error: a score of other rows is another score."""
    for result in results:
        if isinstance(result, RowError):
            raise result
    return [result for result in results if not isinstance(result, RowError)]


def _words(text: str) -> list[str]:
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def _name(value: Any) -> Any:
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else value
