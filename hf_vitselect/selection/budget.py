"""A budget in rows."""

import math

import numpy as np

from hf_vitselect.errors import BudgetError


def budget_rows(budget: int | float, pool: int) -> int:
    """Turn a budget into a number of rows.

    Args:
        budget: A number of rows (int), or a share of the pool in (0, 1] (float): max(1, floor(share x pool)).
        pool: Rows of the pool.
    """
    advice = "give rows as an int from 1, or a share as a float in (0, 1], such as 0.15"
    if isinstance(budget, bool) or not isinstance(budget, (int, float, np.integer, np.floating)):
        raise BudgetError(f"expected a number, got {budget!r}; {advice}")
    if isinstance(budget, (float, np.floating)):
        if not 0 < budget <= 1:
            raise BudgetError(f"expected a share in (0, 1], got {budget}; {advice}")
        return max(1, math.floor(budget * pool))
    if budget < 1:
        raise BudgetError(f"expected at least 1 row, got {budget}; {advice}")
    return int(budget)
