"""Groups of near-copies that count as large, so that they are divided, without many rows."""

import pytest

from hf_vitselect.filters import compared_rows, near_duplicates


def divide_above(monkeypatch: pytest.MonkeyPatch, largest: int, per_cluster: int) -> None:
    """Divide groups of more than `largest` rows into clusters of about `per_cluster`."""
    monkeypatch.setattr(near_duplicates, "LARGEST", largest)
    monkeypatch.setattr(compared_rows, "LARGEST", largest)
    monkeypatch.setattr(compared_rows, "_PER_CLUSTER", per_cluster)
