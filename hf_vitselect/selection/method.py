"""How a subset is chosen: one object, and the ones that have a name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from hf_vitselect.call_text import Call, parse_call
from hf_vitselect.errors import UsageError
from hf_vitselect.filters import FILTERS, LossTail, NearDuplicates, UnusedImage
from hf_vitselect.filters.base import Filter
from hf_vitselect.rules import (
    RULES,
    FacilityLocation,
    GroupedSampling,
    LengthMatchedRandom,
    NeighborPenalty,
    Random,
    Rule,
    TopScore,
)
from hf_vitselect.scorers import SIGNALS, ClipEmbedding
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection.question_kinds import QuestionKinds

_DIFFICULTY = "score_net"  # the column of ScoreNetScorer


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to choose a subset: rows are filtered, each kind of row gets a quota, and a rule picks inside.

    Args:
        filters: From `hf_vitselect.filters`, in order. Where they leave fewer rows than the budget, the last
            one is relaxed first.
        kinds: Groups of rows with a quota each: `QuestionKinds()`, or a column such as a task or source; one
            group if None.
        quota: A kind's share of the budget before `need`: `"proportional"` to its rows that the filters
            leave, or `"uniform"`.
        need: Weighs the quotas by the mean score of a kind's rows to this power, 0 or more. Needs scores of
            0 or more; it is skipped with a warning if all are 0.
        rule: From `hf_vitselect.rules`; picks inside each kind.
        by: The score, a numeric column. Filters take it for the loss under the seed model.
        over: The features, a column of vectors.

    Examples:
        >>> from hf_vitselect.filters import NearDuplicates
        >>> Method(filters=(NearDuplicates(),), kinds="source").rule
        Random()
    """

    filters: tuple[Filter, ...] = ()
    kinds: QuestionKinds | str | None = None
    quota: Literal["proportional", "uniform"] = "proportional"
    need: float = 0.0
    rule: Rule = Random()
    by: str = "necessity"
    over: str = "embedding"

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", tuple(self.filters))
        for each in self.filters:
            if not isinstance(each, Filter):
                raise TypeError(f"filters: expected filters such as NearDuplicates(), got {each!r}")
        if not isinstance(self.rule, Rule):
            raise TypeError(f"rule: expected a rule such as Random(), got {self.rule!r}")
        if self.quota not in ("proportional", "uniform"):
            raise ValueError(f"quota: expected 'proportional' or 'uniform', got {self.quota!r}")
        if not 0 <= self.need < float("inf"):
            raise ValueError(f"need: expected 0 or more, got {self.need}")

    @property
    def uses_scores(self) -> bool:
        """Whether the rule or the quotas need scores."""
        return self.rule.uses_scores or self.need > 0

    @property
    def needs_no_scores(self) -> bool:
        """Whether rows are random ones, picked without scores, filters or kinds, so that any row can be."""
        at_random = isinstance(self.rule, Random | LengthMatchedRandom)
        return at_random and not (self.need or self.filters or self.kinds)

    @property
    def picks_at_random(self) -> bool:
        """Whether the rule draws rows at random, so that scores of the rows drawn are enough."""
        return isinstance(self.rule, Random)

    @property
    def required_columns(self) -> dict[str, str]:
        """The columns without which nothing can be picked, each with what uses it."""
        rule = type(self.rule).__name__
        required = dict.fromkeys(self.rule.uses_columns, f"{rule} uses")
        if isinstance(self.kinds, str):
            required[self.kinds] = "kinds are the values of"
        if self.uses_scores:
            required[self.by] = "the score is"
        if self.rule.uses_features:
            required[self.over] = "the features are"
        return required

    def advice(self, column: str) -> str:
        """Say how a pool gets a column that the method requires."""
        if column == _DIFFICULTY:
            return (
                "train a ScoreNet and score the pool with ScoreNetScorer, as in docs/guides/self_filter.md; "
                "a run needs a section score_net"
            )
        if column == self.over and self.rule.uses_features:
            return "score the pool first, with ClipEmbedding, or with clip_name_or_path in the section score"
        return "score the pool first"

    @property
    def filter_columns(self) -> tuple[str, ...]:
        """The columns that only filters use; a filter without its column is skipped."""
        return tuple(dict.fromkeys(name for each in self.filters for name in each.uses_columns))

    @property
    def uses_image_features(self) -> bool:
        """Whether a filter uses the image half of CLIP embeddings, if there are any."""
        return any(each.uses_image_features for each in self.filters)

    @property
    def signals(self) -> list[str]:
        """The columns of a seed model's losses that the method uses, its score first."""
        by = [self.by] * (self.uses_scores or bool(self.filters))
        used = {*by, *self.filter_columns, *self.rule.uses_columns}
        names = [name for name, kind in SIGNALS.items() if used & kind(model="any").features.keys()]
        return sorted(names, key=lambda name: name not in by)

    def scorers(self, model: str, clip: str | None = None, **options: Any) -> list[Scorer]:
        """List the scorers of the columns that the method uses, for `score` or one `map` each.

        Columns that only filters or kinds use are left out where none of these scorers adds them.

        Args:
            model: The seed model, a Hub id or a folder.
            clip: A CLIP model; needed only if the rule uses features. Filters do without.
            **options: Of every scorer of the seed model, as in `ModelOptions`.

        Raises:
            UsageError: If no scorer of the seed model adds the score, such as a score net's, or
                the rule uses features and there is no CLIP model.
        """
        made: list[Scorer] = [SIGNALS[name](model=model, **options) for name in self.signals]
        if self.uses_scores and not any(self.by in scorer.features for scorer in made):
            advice = self.advice(self.by) if self.by == _DIFFICULTY else "add it to the pool yourself"
            raise UsageError(f"expected a score among {list(SIGNALS)}, got {self.by!r}; {advice}")
        if clip is not None and (self.rule.uses_features or self.uses_image_features):
            made.append(ClipEmbedding(model=clip, column=self.over))
        elif self.rule.uses_features:
            raise UsageError(f"expected a CLIP model for the column {self.over!r}, got none; pass clip=")
        return made


@dataclass(frozen=True, kw_only=True)
class CleanBalanced(Method):
    """Clean, without near-copies, each kind of question by its need, at random inside: the default.

    Rows whose image is not used, near-copies and the highest losses among equal answers are left out. What is
    left keeps its shares of kinds, weighed by how much the seed model still has to learn in each.
    docs/results/evidence.md compares it with random rows.
    """

    filters: tuple[Filter, ...] = (UnusedImage(), NearDuplicates(), LossTail())
    kinds: QuestionKinds | str | None = QuestionKinds()
    need: float = 0.5


@dataclass(frozen=True, kw_only=True)
class MLLMSelector(Method):
    """Necessity-based grouped sampling: MLLM-Selector (arXiv 2503.20502); differences in docs/papers.md."""

    rule: Rule = GroupedSampling()


@dataclass(frozen=True, kw_only=True)
class SelfFilter(Method):
    """The hardest rows by a score net, similar ones penalized: Self-Filter (arXiv 2402.12501).

    Differences in docs/papers.md.
    """

    rule: Rule = NeighborPenalty(rescale="minmax")  # a score net's numbers may be negative
    by: str = _DIFFICULTY


@dataclass(frozen=True, kw_only=True)
class HardFirst(Method):
    """The highest scores, of which wrong answers have their share."""

    rule: Rule = TopScore()


@dataclass(frozen=True, kw_only=True)
class EasyFirst(Method):
    """The lowest scores."""

    rule: Rule = TopScore(lowest=True)


@dataclass(frozen=True, kw_only=True)
class MostDiverse(Method):
    """Rows that cover the embeddings best."""

    rule: Rule = FacilityLocation()


NAMED: dict[str, type[Method]] = {
    kind.__name__: kind
    for kind in (CleanBalanced, SelfFilter, MLLMSelector, HardFirst, EasyFirst, MostDiverse, Method)
}
"""Every method by its name."""

METHOD_NAMES: Mapping[str, type[Any]] = {**NAMED, **FILTERS, **RULES, "QuestionKinds": QuestionKinds}
"""What the text of a method may name."""


def method_of(
    method: Method | None,
    rule: Rule | None,
    columns: Mapping[str, str | None],
    balance: str | None,
    balance_quota: Literal["proportional", "uniform"],
) -> Method:
    """Return the method that the short forms stand for; `columns` has `by` and `over`, None if not given."""
    if method is not None and rule is not None:
        raise TypeError("expected method= or rule=, got both; give method=Method(rule=..., ...)")
    if not isinstance(method, Method | None):
        raise TypeError(f"method: expected a Method such as CleanBalanced(), got {method!r}")
    if method is None:
        method = CleanBalanced() if rule is None else Method(rule=rule)
    changed: dict[str, Any] = {name: column for name, column in columns.items() if column is not None}
    if balance is not None:
        changed |= {"kinds": balance, "quota": balance_quota}
    elif balance_quota != "proportional":
        raise ValueError(f"balance_quota: expected balance with it, got {balance_quota!r} alone")
    return replace(method, **changed)


def read_method(text: str, by: str | None = None) -> Method:
    """Read a method from its text, such as `CleanBalanced(need=1.0)`; a rule alone is a method too.

    Args:
        text: As on the command line or in a recipe.
        by: The score column of a rule alone, if the text names none.

    Raises:
        UsageError: If it is no method, or names a class that is not one of this package.
    """
    call = parse_call(text)
    if call.name in RULES:  # its columns may stand among its arguments
        columns: dict[str, Any] = {} if by is None else {"by": by}
        columns |= {key: call.keywords.pop(key) for key in ("by", "over") if key in call.keywords}
        call = Call("Method", (), {"rule": call} | columns)
    method = call.make(METHOD_NAMES)
    if not isinstance(method, Method):
        raise UsageError(f"expected a method such as CleanBalanced(), got {text!r}")
    return method
