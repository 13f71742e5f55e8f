"""Self-Filter's second stage as its authors loop, made stable: what the fast rule is checked against.

Each pick sorts a dictionary of all scores and computes the cosines of all rows, removed ones too, as the
released code does (arXiv 2402.12501, self_filter/stage2.py). Two things differ: ties go to the lowest row,
and where fewer than k rows remain all are penalized.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

Cosines = Callable[[int], torch.Tensor]


def paper_cosines(features: NDArray[np.float32]) -> Cosines:
    """As the authors compute them: float32, row by row products and their sums."""
    matrix = torch.from_numpy(features)
    norms = matrix.norm(dim=1)
    return lambda row: (matrix * matrix[row]).sum(dim=-1) / norms / norms[row]


def contract_cosines(features: NDArray[np.float32]) -> Cosines:
    """As `hf_vitselect` defines them: float64 product over norms, rounded to float32; 0 for zero rows."""
    wide = torch.from_numpy(features).double()
    norms = wide.norm(dim=1)
    norms[norms == 0] = torch.inf
    return lambda row: ((wide @ wide[row]) / norms / norms[row]).float()


def loop(
    scores: NDArray[np.float64], cosines: Cosines, *, gamma: float = 1.0, neighbors: int = 10
) -> Iterator[tuple[int, float]]:
    """Yields each pick and its gain."""
    current = dict(enumerate(scores.tolist()))
    while current:
        ranked = sorted(current.items(), key=lambda item: item[1], reverse=True)  # stable, also reversed
        row, gain = ranked[0]
        current.pop(row)
        yield row, gain
        values, rows = torch.sort(cosines(row), descending=True, stable=True)
        penalized = 0
        for place in range(len(rows)):
            if penalized >= min(neighbors, len(current)):
                break
            other = int(rows[place])
            if other in current:
                current[other] -= gain * float(values[place]) ** 2 * gamma
                penalized += 1
