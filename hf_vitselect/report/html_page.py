"""A selection as one self-contained HTML page to look at: verdict, counts, alarms, rows, scores."""

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from datasets import Dataset
from jinja2 import Environment, StrictUndefined

from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.text import one_line
from hf_vitselect.report.alarms import find_alarms
from hf_vitselect.report.card_files import card_files
from hf_vitselect.report.card_html import card_html
from hf_vitselect.report.charts import Bar, bars, histograms
from hf_vitselect.report.composition import recorded_shares
from hf_vitselect.report.dataset_card import subset_fingerprint
from hf_vitselect.report.gallery import Gallery
from hf_vitselect.report.outcomes import Outcome, outcomes
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.report.verdict import Verdict
from hf_vitselect.selection.selection import Selection

MOST_BYTES = 8_000_000
"""The largest page. Where rows are so large that it would be exceeded, fewer of them are shown."""

_CARDS = (24, 12, 6, 3, 0)  # in a group of the gallery
_REASONS = 7  # on the first screen


def write_report(
    selection: Selection,
    folder: str | os.PathLike[str],
    *,
    plots: Mapping[str, bytes] | None = None,
    run: str | os.PathLike[str] | None = None,
    pool: Dataset | None = None,
) -> Path:
    """Write a page to look at, and next to it what a push would show.

    The page contains rows of the pool, also if the selection is published with `publish="indices"`.

    Args:
        selection: any selection.
        folder: created if missing; older files of the same names are replaced.
        plots: as in `card_files`.
        run: the folder of the run that made the selection.
        pool: the pool that the selection was made from, to show the rows that were left out.

    Returns:
        The page, `index.html`, next to the files of `card_files`.

    Raises:
        ColumnError: if the rows have columns of reserved names.
        LayoutError: if the pool is not that of the selection.

    Examples:
        >>> write_report(selection, "report")  # doctest: +SKIP
        PosixPath('report/index.html')
    """
    refuse_reserved(selection.dataset.features)
    published = selection.recipe.published
    record = None if run is None else RunRecord.read(run)
    made = card_files(selection, plots, repo_id=published.repo_id if published else None, run=record)
    made["index.html"] = html_page(selection, made, record or RunRecord(), pool).encode()
    for path, content in made.items():
        file = Path(folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return Path(folder, "index.html")


def html_page(
    selection: Selection, card: Mapping[str, bytes], run: RunRecord, pool: Dataset | None = None
) -> str:
    """Render the page: light or dark like the reader's system, without script; it can load nothing.

    Args:
        selection: any selection.
        card: the files of its card.
        run: the record of its run.
        pool: its pool.
    """
    ended = outcomes(selection)
    subset = subset_fingerprint(selection)
    verdicts = [verdict for verdict in run.verdicts if subset in verdict.subsets]
    known = {
        "selection": selection,
        "facts": selection.recipe.facts,
        "verdicts": [_Bars.of(verdict) for verdict in verdicts],
        "others": [verdict for verdict in run.verdicts if verdict not in verdicts],
        "alarms": find_alarms(selection, ended, verdicts),
        "counts": _counts(ended),
        "histograms": histograms(selection),
        "compositions": _compositions(selection),
        "kinds": bars({share.name: (share.rows, share.picked) for share in _largest_kinds(selection)}),
        "comparison": run.comparison,
        "plot": run.plot and base64.b64encode(run.plot).decode(),
        "card": card_html(card["README.md"].decode(), card),
        "has_pool": pool is not None,
    }
    page = ""
    for most in _CARDS:
        gallery = Gallery(selection, pool, most)
        page = _render(
            picks=gallery.picks(),
            left=gallery.others(each for each in ended if each.group == "left"),
            dropped=gallery.others(each for each in ended if each.group == "dropped"),
            unusable=gallery.others(each for each in ended if each.group == "unusable"),
            **known,
        )
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


@dataclass(frozen=True)
class _Bars:
    """A verdict with its interval on an axis that contains zero, in percent of the axis."""

    verdict: Verdict
    zero: float
    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, verdict: Verdict) -> "_Bars":
        ends = [end for end in (verdict.low, verdict.high) if end is not None]
        reach = max(map(abs, [verdict.difference, *ends])) or 1.0
        low, high = (None if end is None else _percent(end, reach) for end in (verdict.low, verdict.high))
        return cls(verdict, 50.0, _percent(verdict.difference, reach), low, high)


def _percent(value: float, reach: float) -> float:
    """The place of a value on an axis around zero, with a margin."""
    return round(50 + 46 * value / reach, 2)


def _counts(ended: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Outcomes for the first screen, the smallest of many as one, with their places in a bar of 100."""
    shown = [(each.name, each.group, len(each)) for each in ended]
    if len(shown) > _REASONS:
        few = sorted(shown[2:], key=lambda each: -each[2])[_REASONS - 3 :]
        shown = [each for each in shown if each not in few]
        shown.append((f"{len(few)} other reasons", few[0][1], sum(rows for _, _, rows in few)))
    total, start, counts = max(1, sum(rows for _, _, rows in shown)), 0, []
    for name, group, rows in shown:
        counts.append(
            {
                "name": name,
                "group": group,
                "rows": rows,
                "share": rows / total,
                "x": round(100 * start / total, 3),
                "width": round(100 * rows / total, 3),
            }
        )
        start += rows
    return counts


def _compositions(selection: Selection) -> dict[str, list[Bar]]:
    return {
        name: bars({value: (int(both["pool"]), int(both["subset"])) for value, both in shares.items()})
        for name, shares in recorded_shares(selection).items()
    }


def _largest_kinds(selection: Selection) -> list[Any]:
    return sorted((share for share in selection.recipe.shares if share.rows), key=lambda kind: -kind.rows)


def _render(**values: Any) -> str:
    folder = files("hf_vitselect.hub_cards")
    style = folder.joinpath("report_page.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cut"] = one_line
    template = environment.from_string(folder.joinpath("report_page.html.jinja").read_text("utf-8"))
    return template.render(style=style, digest=digest, **values)
