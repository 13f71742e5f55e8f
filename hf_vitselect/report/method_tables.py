"""The tables of a card about a method: what its filters dropped, and what each kind of row gave."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from hf_vitselect.call_text import read_call, short_call
from hf_vitselect.data.text import cut
from hf_vitselect.errors import UsageError
from hf_vitselect.filters import FILTERS
from hf_vitselect.report.markdown import Markdown, code, escaped_table, md
from hf_vitselect.selection.method import read_method
from hf_vitselect.selection.recipe import KindShare, Recipe

_MOST_LINES = 40
_LONGEST_EXAMPLE = 80
_LONGEST_NOTE = 2_000


def filter_table(recipe: Recipe) -> Markdown:
    """The filters in order, each with its numbers of rows, or why it was skipped."""
    skipped = any(record.skipped for record in recipe.filters)
    return escaped_table(
        {
            "filter": code(short_call(record.filter, lambda text: read_call(text, FILTERS))),
            "dropped": None if record.skipped else record.dropped,
            "restored": None if record.skipped else record.restored,
            **({"skipped because": record.skipped or ""} if skipped else {}),
        }
        for record in recipe.filters
    )


def filter_notes(recipe: Recipe) -> list[Markdown]:
    """The basis of each filter, in its own words.

    A filter that is not of this package, or thresholds that it does not understand, have no note. A note is
    long enough for what filters of this package say; they cut the texts of rows in it.
    """
    notes: list[Markdown] = []
    for record in recipe.filters:
        with suppress(UsageError, LookupError, TypeError, ValueError, AttributeError):
            if basis := read_call(record.filter, FILTERS).describe(record.thresholds):
                notes.append(
                    Markdown(f"{code(record.filter.partition('(')[0])}: {md(basis, longest=_LONGEST_NOTE)}.")
                )
    return notes


def kind_table(recipe: Recipe) -> Markdown:
    """The kinds with an example question each, their rows, and their mean scores, the largest first."""
    asked = {kind.name: kind.examples for kind in recipe.kinds.kinds} if recipe.kinds else {}
    shares = sorted((share for share in recipe.shares if share.rows), key=lambda kind: -kind.rows)
    lines = [(code(share.name), next(iter(asked.get(share.name, ())), ""), share) for share in shares]
    if rest := shares[_MOST_LINES:]:
        lines[_MOST_LINES:] = [(Markdown(f"{len(rest):,} others"), "", _together(rest))]
    return escaped_table(
        {
            "kind": name,
            **({"for example": cut(question, _LONGEST_EXAMPLE)} if asked else {}),
            "pool": share.rows,
            "left": share.left,
            "picked": share.picked,
            "picked of left": Markdown(f"{share.picked / share.left:.1%}") if share.left else None,
            **({f"mean {recipe.by}": share.score} if recipe.by else {}),
        }
        for name, question, share in lines
    )


def quota_note(recipe: Recipe) -> Markdown:
    """A sentence about the quotas of kinds, if the method is of this package."""
    try:
        method = read_method(recipe.method or "")
    except UsageError:
        return Markdown("")
    size = "its rows left" if method.quota == "proportional" else "the same for all kinds"
    need = (
        f", times the mean {code(method.by)} of these rows to the power {method.need:g}"
        if method.need and recipe.need_skipped is None
        else ""
    )
    skipped = f" Its need was skipped: {md(recipe.need_skipped)}." if recipe.need_skipped else ""
    return Markdown(f"A kind's share of the budget is {size}{need}.{skipped}")


def answer_table(recipe: Recipe) -> Markdown:
    """The shares of the answers inside kinds before and after the filters, the most moved kind first."""
    moved = [
        (kind, change["moved"], change["shares"])
        for record in recipe.filters
        for kind, change in _mapping(record.thresholds.get("answers")).items()
        if isinstance(change, Mapping) and isinstance(change.get("moved"), int | float)
    ]
    moved.sort(key=lambda line: -line[1])
    return escaped_table(
        {
            "kind": code(kind),
            "moved": Markdown(f"{total:.1%}"),
            "answers": Markdown(", ".join(_changes(_mapping(shares)))),
        }
        for kind, total, shares in moved[:_MOST_LINES]
    )


def _together(shares: list[KindShare]) -> KindShare:
    """Several kinds as one."""
    left = sum(share.left for share in shares)
    scores = sum(share.left * (share.score or 0) for share in shares)
    return KindShare(
        name="",
        rows=sum(share.rows for share in shares),
        left=left,
        picked=sum(share.picked for share in shares),
        score=scores / left if left else None,
        weight=sum(share.weight for share in shares),
    )


def _changes(shares: Mapping[str, Any]) -> Iterator[str]:
    for answer, both in shares.items():
        match both:
            case [int() | float() as before, int() | float() as after]:
                yield f"{md(answer)} {before:.1%} to {after:.1%}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
