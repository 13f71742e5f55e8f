"""Verdicts are read from any JSON."""

from dataclasses import asdict
from typing import Any

import pytest

from hf_vitselect.report.verdict import Verdict

GOOD: dict[str, Any] = asdict(
    Verdict(
        evaluation="exact match",
        method="mine",
        rows=6,
        seeds=1,
        verdict="not distinguishable",
        difference=0.5,
        low=None,
        high=None,
        sentence="mine: not distinguishable.",
        subsets=["a" * 64],
    )
)


def test_verdict_is_read_as_written() -> None:
    assert asdict(Verdict.from_json(GOOD)) == GOOD


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        GOOD | {"more": 1},
        GOOD | {"verdict": "fine"},
        GOOD | {"low": "0"},
        GOOD | {"subsets": [1]},
    ],
)
def test_other_json_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        Verdict.from_json(wrong)
