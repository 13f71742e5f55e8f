"""The record of a run for a card: its settings, its cost, its comparison."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hf_vitselect.call_text import fits
from hf_vitselect.errors import UsageError, first_line, nearest_path
from hf_vitselect.report.recipe_facts import without_paths
from hf_vitselect.report.verdict import Verdict
from hf_vitselect.resume import without_secrets


@dataclass(frozen=True)
class RunRecord:
    """The record of the run that made a selection.

    Attributes:
        config: the run's YAML, without secrets and without folders of this machine.
        cost: one row per stage: `stage`, `seconds` and, if known, `tokens` and `device`.
        comparison: the rows that `compare` has saved for the card.
        verdicts: those of the comparison, the first evaluation's first.
        plot: the comparison's plot, a PNG file.
    """

    config: str | None = None
    cost: list[dict[str, Any]] = field(default_factory=list)
    comparison: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    plot: bytes | None = None

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "RunRecord":
        """Read `run.yaml`, the stages' records and `compare/comparison.json`, as far as they exist."""
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"expected the folder of a run, got {str(folder)!r}, which does not exist"
                f"{nearest_path(folder)}"
            )
        config, compared = folder / "run.yaml", folder / "compare" / "comparison.json"
        plot = compared.with_suffix(".png")
        rows, verdicts = _comparison(compared) if compared.exists() else ([], [])
        record = cls(
            _config(config) if config.exists() else None,
            stage_costs(folder),
            rows,
            verdicts,
            plot.read_bytes() if rows and plot.exists() else None,
        )
        if record == cls():
            raise FileNotFoundError(
                f"expected the folder of a run, got {str(folder)!r}, which holds no record of one"
            )
        return record


def published_config(text: str) -> str:
    """A run's YAML without secrets, and with folders by their last name only."""
    settings = without_paths(without_secrets(yaml.safe_load(text)))
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def _config(file: Path) -> str:
    try:
        return published_config(file.read_text("utf-8"))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(
            f"expected the YAML of a run in {file}, got {first_line(error)}; restore it, or run again"
        ) from error


def _comparison(file: Path) -> tuple[list[dict[str, Any]], list[Verdict]]:
    """Read the rows that `compare` rendered for the card, and its verdicts."""
    try:
        record = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"expected JSON in {file}, got {first_line(error)}; run compare again") from error
    rows: Any = record.get("card") if isinstance(record, dict) else record
    if not isinstance(record, dict) or not fits(rows, list[dict[str, str | float | bool | None]]):
        raise UsageError(
            f"expected a comparison with rows for a card in {file}, got {repr(rows)[:100]}; run compare again"
        )
    try:
        return list(rows), [Verdict.from_json(verdict) for verdict in record.get("verdicts", [])]
    except (ValueError, TypeError) as error:
        raise UsageError(f"verdicts in {file}: {error}; run compare again") from error


def stage_costs(folder: Path) -> list[dict[str, Any]]:
    """One row per finished stage of a run, in the order in which they finished; see `RunRecord.cost`."""
    stages = []
    for file in sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns):
        try:
            record = json.loads(file.read_text("utf-8"))
        except (ValueError, RecursionError):  # not ours
            continue
        if isinstance(record, dict) and fits(record.get("seconds"), float) and "settings" in record:
            known = {name: record[name] for name in ("tokens", "device") if name in record}
            stages.append({"stage": file.stem, "seconds": record["seconds"], **known})
    return stages
