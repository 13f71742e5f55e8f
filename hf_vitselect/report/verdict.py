"""The verdict of a comparison on a method, as a comparison records it and a report reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from hf_vitselect.call_text import fits


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one method at one budget under one evaluation.

    Attributes:
        evaluation: The evaluation's name.
        method: The method's name in the comparison.
        rows: The budget.
        seeds: Number of fine-tunes.
        verdict: Against random rows.
        difference: Mean score less that of random rows.
        low: Lower end of its confidence interval, None if the noise is unknown.
        high: Upper end of it.
        sentence: All of this in words.
        subsets: For each seed the digest of the ids of the subset's rows, in pick order.
    """

    evaluation: str
    method: str
    rows: int
    seeds: int
    verdict: Literal["better", "worse", "not distinguishable"]
    difference: float
    low: float | None
    high: float | None
    sentence: str
    subsets: Sequence[str]

    @classmethod
    def from_json(cls, value: Any) -> "Verdict":
        """Read plain JSON.

        Raises:
            ValueError: If it is anything else than a verdict.
        """
        hints = get_type_hints(cls)
        if not isinstance(value, Mapping) or value.keys() != hints.keys():
            raise ValueError(f"expected the fields {sorted(hints)}, got {repr(value)[:100]}")
        if odd := [name for name, hint in hints.items() if not fits(value[name], hint)]:
            raise ValueError(f"expected a verdict, got {odd[0]}={repr(value[odd[0]])[:100]}")
        return cls(**value)
