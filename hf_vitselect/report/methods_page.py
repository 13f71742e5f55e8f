"""All scorers and rules in two tables, from their own code."""

import inspect
import re
from typing import Any

from hf_vitselect import scorers
from hf_vitselect.rules import RULES, Rule
from hf_vitselect.scorers.base.scorer import Scorer

_HEAD = """\
# Methods

Written by `python -m hf_vitselect.report.methods_page > docs/methods.md`; a test holds it to the code.
Costs are for one row; scorers of one model's forwards share them where `score` runs them together.
[papers.md](papers.md) describes the papers and where these implementations differ from them.
"""


def catalogue() -> str:
    """The tables, as Markdown."""
    kinds = [getattr(scorers, name) for name in sorted(scorers.__all__, key=str.lower)]
    made = [RULES[name] for name in sorted(RULES, key=str.lower)]
    return "\n".join(
        [
            _HEAD,
            "## Scorers\n",
            *_head("scorer", "column", "what", "paper", "cost", "needs"),
            *(_scorer(kind) for kind in kinds),
            "\n## Rules\n",
            *_head("rule", "what", "paper", "needs"),
            *(_rule(kind) for kind in made),
            "",
        ]
    )


def _scorer(kind: type[Scorer]) -> str:
    column = inspect.signature(kind).parameters["column"].default
    return _row(f"`{kind.__name__}`", f"`{column}`", _what(kind), _papers(kind), kind.cost, kind.needs)


def _rule(kind: type[Rule]) -> str:
    rule = kind()
    needs = [name for name, used in (("scores", rule.uses_scores), ("features", rule.uses_features)) if used]
    needs += [f"`{name}`" for name in rule.uses_columns]
    shown = ", ".join(needs[:3]) + (f" and {len(needs) - 3} more columns" if len(needs) > 3 else "")
    return _row(f"`{kind.__name__}`", _what(kind), _papers(kind), shown or "nothing")


def _what(kind: Any) -> str:
    """The docstring's first sentence, without its paper."""
    text = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    text = re.sub(r" ?\([^()]*arXiv[^()]*\)", "", text)
    return re.split(r"(?<=\w)\. |\.$", text)[0].replace("|", "\\|")


def _papers(kind: Any) -> str:
    numbers = dict.fromkeys(re.findall(r"arXiv (\d{4}\.\d{5})", kind.__doc__ or ""))
    return ", ".join(f"[{number}](https://arxiv.org/abs/{number})" for number in numbers)


def _head(*names: str) -> tuple[str, str]:
    return _row(*names), _row(*["---"] * len(names))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(catalogue(), end="")
