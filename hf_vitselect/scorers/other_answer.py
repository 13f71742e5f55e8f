"""How much the seed model prefers an answer of its own, and which."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datasets import Features, Value

from hf_vitselect.scorers.base.response import ResponseScorer, ViewStats
from hf_vitselect.scorers.base.views import whole

if TYPE_CHECKING:
    from hf_vitselect.models.token_stats import ResponseStats


@dataclass(kw_only=True, eq=False)
class OtherAnswer(ResponseScorer):
    """The log odds of the model's own answer against the given one, at the token where they are highest.

    At each response token these are the log probability of the model's first choice less that of the given
    token, after the given beginning. High odds are a sign of a wrong answer where the model has skill.

    Adds `other_answer_odds` (float32, nats, at least 0; 0 = greedy decoding generates the given response),
    `other_answer` (text: the beginning of the given answer up to that token, with the model's choice in its
    place; null if the odds are 0), `other_answer_odds_status` and `other_answer_odds_reason`. Any other
    `column` is the prefix of all: `x`, `x_text`, `x_status`, `x_reason`. Costs one forward per row, shared
    with `NecessityScorer`. Arguments and errors are those of `NecessityScorer`.

    Examples:
        >>> scored = pool.map(OtherAnswer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    column: str = "other_answer_odds"

    @property
    def values(self) -> Features:
        """The odds and the text."""
        text = "other_answer" if self.column == "other_answer_odds" else f"{self.column}_text"
        return Features({self.column: Value("float32"), text: Value("string")})

    def value(self, stats: ViewStats) -> float:
        """The highest odds."""
        return stats[whole].log_odds.max().item()

    def row_values(self, results: ViewStats) -> tuple[Any, ...]:
        """The odds and the text."""
        (odds,) = super().row_values(results)
        return odds, _other_answer(results[whole]) if odds > 0 else None


def _other_answer(stats: "ResponseStats") -> str:
    at = int(stats.log_odds.argmax())
    start = at
    while start and stats.position[start - 1] == stats.position[start] - 1:  # up to its turn's first token
        start -= 1
    tokens = [*stats.token[start:at].tolist(), int(stats.choice[at])]
    return str(stats.tokenizer.decode(tokens, skip_special_tokens=True)).strip()
