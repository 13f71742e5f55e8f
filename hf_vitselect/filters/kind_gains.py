"""The share of the loss that the images of each kind save, and its standard error."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.filters.base import Rows


@dataclass(frozen=True, eq=False)
class KindGains:
    """The gains of the m rows whose gain and loss are known, by kind. Attributes of kinds are `[k]`.

    Attributes:
        kinds: int64 `[m]`, each row's kind, from 0 to k - 1.
        times: float64 `[m]`, 1 and the copies of a row that were not scored: they gain as much.
        gains: float64 `[m]`, the loss that a row's image saves.
        without: float64 `[m]`, its loss without the image.
        number: k.
    """

    kinds: NDArray[np.int64]
    times: NDArray[np.float64]
    gains: NDArray[np.float64]
    without: NDArray[np.float64]
    number: int

    @classmethod
    def of(cls, rows: Rows, gains: NDArray[np.float64], losses: NDArray[np.float64]) -> "KindGains":
        """Take the rows whose gain and loss with the image, float64 `[n]`, are finite."""
        known = np.isfinite(gains) & np.isfinite(losses)
        without = (losses + gains)[known]
        return cls(rows.kinds[known], 1 + rows.copies[known], gains[known], without, len(rows.kind_names))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each kind, int64."""
        return np.bincount(self.kinds, minlength=self.number)

    @cached_property
    def saved(self) -> NDArray[np.float64]:
        """The share of the loss without images that they save, float64; 0 where there is no such loss."""
        return _ratios(self._sums(self.times * self.gains), self._sums(self.times * self.without))

    @cached_property
    def helped(self) -> NDArray[np.float64]:
        """The share of the rows whose loss the image lowers, float64."""
        return _ratios(self._sums(self.times * (self.gains > 0)), self._sums(self.times))

    @property
    def saved_errors(self) -> NDArray[np.float64]:
        """The standard errors of `saved`, as those of ratios of means, float64."""
        without = self.times * self.without
        residuals = self.times * self.gains - self.saved[self.kinds] * without
        return _ratios(np.sqrt(self._sums(residuals**2)), self._sums(without))

    @property
    def helped_errors(self) -> NDArray[np.float64]:
        """The standard errors of `helped`, float64."""
        deviations = np.sqrt(self.helped * (1 - self.helped) * self._sums(self.times**2))
        return _ratios(deviations, self._sums(self.times))

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(self.kinds, values, minlength=self.number).astype(np.float64)


def _ratios(sums: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; 0 where the divisor is not above 0."""
    ratios: NDArray[np.float64] = np.divide(sums, of, out=np.zeros(len(sums)), where=of > 0)
    return ratios
