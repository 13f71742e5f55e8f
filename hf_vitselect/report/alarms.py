"""Findings that put a selection in doubt, the worst first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hf_vitselect.call_text import parse_call
from hf_vitselect.data.text import cut
from hf_vitselect.report.license import license_names, license_warnings
from hf_vitselect.report.outcomes import Outcome
from hf_vitselect.report.statistics import duplicates, score_columns, score_values
from hf_vitselect.report.verdict import Verdict
from hf_vitselect.selection.selection import Selection

_LEVELS = ("stop", "look", "note")
_LONGER = 1.5  # median length of the answers, subset to pool
_LARGE_KIND = 0.02  # of the rows left
_MANY_UNUSABLE = 0.2
_LONGEST_REASON, _LONGEST_NAME = 90, 60


@dataclass(frozen=True)
class Alarm:
    """A finding.

    Attributes:
        level: `stop` before this subset is used, `look` at the evidence, or `note`.
        text: One sentence with the numbers.
        advice: What to do about it.
    """

    level: Literal["stop", "look", "note"]
    text: str
    advice: str


def find_alarms(
    selection: Selection, ended: Sequence[Outcome], verdicts: Sequence[Verdict] = ()
) -> list[Alarm]:
    """Find what is wrong with a selection, or may be.

    Args:
        selection: Any selection.
        ended: Its `outcomes`.
        verdicts: Those on this very subset.

    Returns:
        The alarms, the worst first.
    """
    alarms = [
        *_of_verdicts(verdicts),
        *_of_unusable(selection, ended),
        *_of_repeats(selection),
        *_of_scores(selection),
        *_of_skill(selection),
        *_of_filters(selection),
        *_of_kinds(selection),
        *_of_lengths(selection),
        *_of_license(selection),
    ]
    return sorted(alarms, key=lambda alarm: _LEVELS.index(alarm.level))


def _of_verdicts(verdicts: Sequence[Verdict]) -> Iterator[Alarm]:
    for verdict in verdicts:
        if verdict.verdict == "worse":
            text = f"Worse than random rows in {verdict.evaluation}: {verdict.difference:+.3f}."
            yield Alarm("stop", text, "Train on random rows, or try another method.")
    if any(verdict.low is None for verdict in verdicts):
        text = "The verdict has no interval: it rests on one fine-tune."
        yield Alarm("look", text, "Compare again with at least three seeds.")


def _of_unusable(selection: Selection, ended: Sequence[Outcome]) -> Iterator[Alarm]:
    unusable = [each for each in ended if each.group == "unusable" and each.name != "excluded"]
    if not unusable:
        return
    worst, rows = unusable[0], sum(map(len, unusable))
    share = rows / selection.recipe.rows
    reason = selection.recipe.dropped_reasons.get(worst.name, "")
    most = f"{len(worst):,} with " if len(unusable) > 1 else ""
    reason = f" ({reason[:_LONGEST_REASON]})" if reason else ""
    text = f"{rows:,} rows ({share:.1%}) could not be used: {most}{worst.name}{reason}."
    level: Literal["stop", "look", "note"] = (
        "stop" if share > 0.5 else "look" if share > _MANY_UNUSABLE else "note"
    )
    yield Alarm(level, text, "Repair these rows and score again.")


def _of_repeats(selection: Selection) -> Iterator[Alarm]:
    if repeated := duplicates(selection)["subset"]:
        text = f"{repeated:,} picked rows repeat another picked row exactly."
        yield Alarm("look", text, "Use a method with the filter NearDuplicates.")


def _of_scores(selection: Selection) -> Iterator[Alarm]:
    for name in score_columns(selection):
        values, _ = score_values(selection, name)
        if len(values) > 1 and np.ptp(values) == 0:
            text = f"Every row has the same {name}, {values[0]:.4g}: it orders nothing."
            yield Alarm("stop" if name == selection.recipe.by else "look", text, "Check the scorer's model.")


def _of_skill(selection: Selection) -> Iterator[Alarm]:
    skill = selection.recipe.skill
    if skill is not None and skill < 0:
        text = f"The seed model predicts answers worse than a guess by their frequency: skill {skill:.2f}."
        yield Alarm("look", text, "Train it on more rows, or for more epochs, and score again.")


def _of_filters(selection: Selection) -> Iterator[Alarm]:
    for record in selection.recipe.filters:
        name = parse_call(record.filter).name
        if record.restored:
            text = f"{name} kept {record.restored:,} rows that it would have dropped, to fill the budget."
            yield Alarm("look", text, "Ask for fewer rows, or score a larger pool.")
        if record.skipped is not None:
            text = f"{name} was skipped: {record.skipped}."
            yield Alarm("look", text, "Add what it needs, or leave the filter out.")
    if (reason := selection.recipe.need_skipped) is not None:
        text = f"Need was skipped: {reason}."
        yield Alarm("look", text, "Check the scorer's model, or use need=0.")


def _of_kinds(selection: Selection) -> Iterator[Alarm]:
    shares = selection.recipe.shares
    left = sum(share.left for share in shares)
    lost = [share for share in shares if not share.picked and share.left > _LARGE_KIND * left]
    if lost:
        largest = max(lost, key=lambda kind: kind.left)
        others = f", nor any of {len(lost) - 1} other large kinds" if len(lost) > 1 else ""
        text = (
            f"None of the {largest.left:,} rows left of the kind {_short(largest.name)} was picked{others}."
        )
        yield Alarm("look", text, "Look at its rows, or use quota='uniform'.")
    gone = [share for share in shares if share.rows and not share.left]
    if gone:
        largest = max(gone, key=lambda kind: kind.rows)
        others = f", and of {len(gone) - 1} other kinds" if len(gone) > 1 else ""
        text = f"The filters dropped all {largest.rows:,} rows of the kind {_short(largest.name)}{others}."
        yield Alarm("note", text, "Look at the dropped rows.")


def _short(name: str) -> str:
    return f"'{cut(name, _LONGEST_NAME)}'"


def _of_lengths(selection: Selection) -> Iterator[Alarm]:
    if (name := selection.length_column) is None:
        return
    lengths = score_values(selection, name)
    pool, subset = (float(np.median(values)) if len(values) else 0.0 for values in lengths)
    if pool > 0 and not 1 / _LONGER <= subset / pool <= _LONGER:
        unit = "tokens" if name == "response_tokens" else "characters"
        words = "longer" if subset > pool else "shorter"
        medians = f"a median of {subset:,.0f} {unit}, against {pool:,.0f} in the pool"
        text = f"The picked answers are {words}: {medians}."
        advice = "Compare with random rows of the same lengths: compare has them."
        yield Alarm("look", text, advice)


def _of_license(selection: Selection) -> Iterator[Alarm]:
    for warning in license_warnings(license_names(selection.recipe.source.license)):
        yield Alarm("note", f"{warning[0].upper()}{warning[1:]}.", "Read the license.")
