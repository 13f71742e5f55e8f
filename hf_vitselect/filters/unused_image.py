"""Rows whose image hardly helps with the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.filters.base import Drops, Filter, NothingToGoByError, Rows, quoted
from hf_vitselect.filters.cells import Cells, bounds_of_rows
from hf_vitselect.filters.kind_gains import KindGains


@dataclass(frozen=True, kw_only=True)
class UnusedImage(Filter):
    """Rows whose image saves the seed model little or nothing of the loss.

    First come whole kinds, the one with the least use of images first: kinds in which the images save less
    than `gain_share` of the mean loss without them, and lower the loss of no more than `helped` of the rows.
    A kind that would bring the drops above `most` of the pool stays. Then come single rows of other kinds
    whose loss the image does not lower, the one whose loss it raises most first, up to the same limit. Rows
    without an image have no gain and are never dropped. A copy that was not scored counts for its kind like
    the row that it repeats.

    Single rows without gain may have some answers, such as "no", more often than others. Their drops may move
    the answers of a kind by at most `skew`: the total variation between the answers' shares before and after,
    which is half the sum of the absolute differences. Where they would move more, fewer rows of the answers
    that lose the largest shares are dropped.

    `most` and `skew` bound what `find` drops. `Selection.extend` applies the kinds and gains that it found to
    new rows as they are, whatever share of them goes.

    Args:
        gain_share: Least share of the loss that a kind's images must save, 0 to 1.
        helped: Most rows of such a kind whose loss the image lowers, as a share, 0 to 1. Where the seed model
            has not learned to answer yet, images save little, but they save it in nearly every row.
        most: Most rows to drop by `find`, as a share of the pool, 0 to 1.
        smallest: Least rows with image of a kind to judge it; also of an answer to watch its share.
        rows: Whether to drop single rows too.
        skew: Most that the shares of a kind's answers may move by single rows, 0 to 1.
        column: The loss that the image saves, as `ImageGain` gives it.
        loss: The loss with the image, in the same unit, as `NecessityScorer` gives it.

    Examples:
        >>> from hf_vitselect.filters.base import Rows
        >>> loss, gain = np.array([1.0, 2.0, 1.0, 1.5]), np.array([2.0, 0.5, np.nan, -0.5])
        >>> rows = Rows.of(loss, columns={"necessity": loss, "image_gain": gain})
        >>> UnusedImage().find(rows).rows
        array([3])
    """

    uses_kinds = True
    uses_answers = True

    gain_share: float = 0.1
    helped: float = 0.65
    most: float = 0.3
    smallest: int = 20
    rows: bool = True
    skew: float = 0.05
    column: str = "image_gain"
    loss: str = "necessity"

    def __post_init__(self) -> None:
        for name in ("gain_share", "helped", "most", "skew"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {getattr(self, name)!r}")
        if self.smallest < 1:
            raise ValueError(f"smallest: expected 1 or more, got {self.smallest!r}")

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The gain and the loss."""
        return (self.column, self.loss)

    def find(self, rows: Rows) -> Drops:
        """Find the rows of kinds without use of images, then single rows without gain."""
        gains = rows.numbers(self.column)
        if not np.nanmax(gains, initial=-np.inf) > np.nanmin(gains, initial=np.inf):
            raise NothingToGoByError(f"expected different values in {self.column!r}, got equal ones or none")
        by_kind = KindGains.of(rows, gains, rows.numbers(self.loss))
        shares, large = by_kind.saved, by_kind.sizes >= self.smallest
        unused = np.flatnonzero(large & (shares < self.gain_share) & (by_kind.helped <= self.helped))
        if len(unused) and len(unused) == np.count_nonzero(large):
            raise NothingToGoByError(
                f"expected a kind whose images save {self.gain_share:.0%} of the loss, got none of "
                f"{len(unused)}: the seed model hardly uses images"
            )
        room = self.most * rows.weights.sum()
        droppable = rows.droppable & np.isfinite(gains)
        kinds: dict[str, float] = {}
        too_large: dict[str, float] = {}
        for kind in sorted(unused.tolist(), key=lambda kind: (shares[kind], rows.kind_names[kind])):
            size = float(rows.weights[droppable & (rows.kinds == kind)].sum())
            (kinds if size <= room else too_large)[rows.kind_names[kind]] = round(float(shares[kind]), 4)
            room -= size if size <= room else 0
        thresholds: dict[str, Any] = {"kinds": kinds, "too_large": too_large}
        if self.rows:
            single = droppable & ~_is_of(rows, kinds) & (gains <= 0)
            thresholds |= self._single_rows(rows, gains, single, room)
        return self.find_more(rows, thresholds)

    def unsure_kinds(self, rows: Rows) -> NDArray[np.int64]:
        """Return the kinds whose shares are near `gain_share` or `helped`, for the few rows they come from.

        Near is within two standard errors, unless that of `gain_share` is at most half of it, or that of
        `helped` at most a twentieth.
        """
        by_kind = KindGains.of(rows, rows.numbers(self.column), rows.numbers(self.loss))
        errors = by_kind.saved_errors
        near = (np.abs(by_kind.saved - self.gain_share) <= 2 * errors) & (errors > self.gain_share / 2)
        errors = by_kind.helped_errors
        unsure = (np.abs(by_kind.helped - self.helped) <= 2 * errors) & (errors > 0.05)
        near |= unsure & (by_kind.saved < self.gain_share)
        return np.flatnonzero((by_kind.sizes >= self.smallest) & near)

    def find_more(self, rows: Rows, thresholds: Mapping[str, Any]) -> Drops:
        """Find the rows of the kinds that were dropped, then single rows, by the bounds of their cells."""
        gains = rows.numbers(self.column)
        droppable = rows.droppable & np.isfinite(gains)
        shares = np.array([thresholds["kinds"].get(name, np.inf) for name in rows.kind_names])[rows.kinds]
        dropped = droppable & np.isfinite(shares)
        if self.rows:
            dropped |= droppable & (gains <= bounds_of_rows(rows, thresholds["gains"], 0.0))
        indices = np.flatnonzero(dropped)
        indices = indices[np.lexsort((indices, gains[indices], shares[indices]))]
        reasons = [
            f"its image saves {gains[row]:.3f} of the loss"
            if shares[row] == np.inf
            else f"the images of kind {rows.kind_names[rows.kinds[row]]!r} save {shares[row]:.1%} of the loss"
            for row in indices
        ]
        return Drops(rows=indices, reasons=reasons, thresholds=thresholds)

    def describe(self, thresholds: Mapping[str, Any]) -> str:
        """Name the kinds that were dropped, and the kind whose answers single rows moved most."""
        lines = []
        if thresholds["kinds"]:
            saved = _with_shares(thresholds["kinds"])
            lines.append(f"whole kinds, by the share of the loss that their images save: {saved}")
        if thresholds["too_large"]:
            lines.append(f"kinds too large to drop: {_with_shares(thresholds['too_large'])}")
        if answers := thresholds.get("answers"):
            kind = max(answers, key=lambda kind: answers[kind]["moved"])
            moved, both = answers[kind]["moved"], answers[kind]["shares"].items()
            shares = [f"{quoted(answer)} {before:.1%} to {after:.1%}" for answer, (before, after) in both]
            answers_of = f"single rows moved the answers of kind {quoted(kind)} most, by {moved:.1%}"
            lines.append(f"{answers_of}: {', '.join(shares[:3])}")
        return "; ".join(lines)

    def _single_rows(
        self, rows: Rows, gains: NDArray[np.float64], single: NDArray[np.bool_], room: float
    ) -> dict[str, Any]:
        """The gain up to which single rows of each cell go, and what that does to the kinds' answers."""
        cells = Cells.of(rows, self.smallest)
        before, drops = cells.count(rows.left), cells.count(single)
        allowed = drops.copy()
        for kind in np.unique(cells.kinds[drops > 0]):
            of_kind = cells.kinds == kind
            allowed[of_kind] = _most_even_drops(before[of_kind], drops[of_kind], self.skew)
        bounds = np.zeros(len(cells))
        order = np.flatnonzero(single)
        order = order[np.lexsort((gains[order], cells.labels[order]))]
        first_to_stay = (np.cumsum(drops) - drops + allowed)[allowed < drops]
        bounds[allowed < drops] = _below(gains[order[first_to_stay]])
        single = single & (gains <= bounds[cells.labels])
        order = np.flatnonzero(single)
        order = order[np.argsort(gains[order], kind="stable")]
        beyond = order[np.cumsum(rows.weights[order]) > room]
        if len(beyond):
            bounds = np.minimum(bounds, _below(gains[beyond[:1]]))
            single = single & (gains <= bounds[cells.labels])
        after = before - cells.count(single)
        answers = {
            rows.kind_names[kind]: _moved_answers(cells, kind, before, after)
            for kind in np.unique(cells.kinds[after < before])
        }
        return {"gains": cells.bounds(bounds), "answers": answers}


def _with_shares(kinds: Mapping[str, float], most: int = 5) -> str:
    """Kinds with the share of the loss that their images save."""
    named = [f"{quoted(kind)} ({share:.1%})" for kind, share in kinds.items()]
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")


def _is_of(rows: Rows, kinds: Mapping[str, float]) -> NDArray[np.bool_]:
    """Whether each row is of one of these kinds."""
    return np.array([name in kinds for name in rows.kind_names])[rows.kinds]


def _below(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The next lower numbers: gains up to these are gains below the given ones."""
    return np.nextafter(numbers, -np.inf)


def _shifted(before: NDArray[np.int64], after: NDArray[np.int64]) -> float:
    """The total variation between the shares of two counts, 0 to 1; 1 if nothing is left."""
    if not after.sum():
        return 1.0
    return float(np.abs(before / before.sum() - after / after.sum()).sum() / 2)


def _most_even_drops(before: NDArray[np.int64], drops: NDArray[np.int64], skew: float) -> NDArray[np.int64]:
    """Lower the highest shares of answers' rows that go until the answers' shares move by at most `skew`."""
    for rate in np.linspace((drops / np.maximum(before, 1)).max(), 0, 101):
        allowed: NDArray[np.int64] = np.minimum(drops, np.floor(rate * before + 1e-9).astype(np.int64))
        if _shifted(before, before - allowed) <= skew + 1e-9:
            break
    return allowed


def _moved_answers(
    cells: Cells, kind: int, before: NDArray[np.int64], after: NDArray[np.int64]
) -> dict[str, Any]:
    """Describe how far a kind's answers moved, with the shares of the five that moved most."""
    of_kind = np.flatnonzero(cells.kinds == kind)
    shares = [counts[of_kind] / max(1, counts[of_kind].sum()) for counts in (before, after)]
    most = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:5]
    named = {
        "rare answers" if answer is None else answer: [round(float(both[i]), 3) for both in shares]
        for i in most
        for answer in [cells.names[of_kind[i]][1]]
    }
    return {"moved": round(_shifted(before[of_kind], after[of_kind]), 3), "shares": named}
