"""The whole chain on the real pool, by the package's functions, and one table of its results."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset, load_from_disk

from hf_vitselect import NecessityScorer, Selection, TextEmbedding
from hf_vitselect.demo import Grades, align, grade, select_and_fine_tune, small_training
from hf_vitselect.report import table
from hf_vitselect.resume import Run
from realpool.model import build_base, captions, train_tower

BUDGET = 0.15
SEED_SHARE = 0.125
CHANCE = {"choice": 0.25, "category": 0.25, "yesno": 0.5}

_aligning = partial(small_training, epochs=1, batch_size=8, learning_rate=1e-3)
_tuning = partial(small_training, epochs=6, batch_size=8, learning_rate=5e-4)


def run_chain(
    run: Run, train: Dataset, held_out: Dataset, embedder: Path, *, size: int, digest: str, seeds: int
) -> str:
    """Vision tower, aligned model, seed model, scores, selection, fine-tunes, held-out accuracy.

    Args:
        run: the run's folder; the same call resumes an interrupted run.
        train: the pool.
        held_out: rows about other images.
        embedder: folder of a sentence-transformers model; it embeds the text of a row.
        size: side of the images in pixels.
        digest: of the pool: another pool makes the run stale.
        seeds: fine-tunes of each subset.

    Returns:
        The report: accuracy, composition, seconds.
    """
    tower = run.stage("tower", {"pool": digest}, partial(train_tower, train, size))
    base = run.stage("base", {}, partial(_align, train, tower))
    subsets, models = select_and_fine_tune(
        run,
        train,
        base,
        lambda seed: [NecessityScorer(seed, batch_size=64), TextEmbedding(str(embedder))],
        _tuning,
        seed_share=SEED_SHARE,
        budget=BUDGET,
        seeds=seeds,
    )
    grades = grade(run, models, held_out, batch_size=64)
    scored = load_from_disk(run.folder / "score" / "scored")
    report = _report(grades, held_out, scored, subsets, run.seconds)
    (run.folder / "report.md").write_text(report)
    return report


def _align(train: Dataset, tower: Path, out: Path) -> None:
    model, processor = build_base(train, tower)
    align(model, processor, captions(train), _aligning(out))


def _report(
    grades: Mapping[str, list[Grades]],
    held_out: Dataset,
    scored: Dataset,
    subsets: Mapping[str, Selection],
    seconds: Mapping[str, float],
) -> str:
    """One table in three parts: accuracy and loss on held-out rows, composition, seconds."""
    shares = []
    for column in ("source", "kind"):
        parts = {"pool": scored} | {name: subset.dataset for name, subset in subsets.items()}
        counts = {name: Counter(rows[column]) for name, rows in parts.items()}
        for value, _ in counts["pool"].most_common():
            cells = {name: f"{count[value] / count.total():.1%}" for name, count in counts.items()}
            shares.append({"rows": f"{column}: {value}"} | cells)
    stages = [{"stage": name, "seconds": f"{taken:.1f}"} for name, taken in seconds.items()]
    stages.append({"stage": "all", "seconds": f"{sum(seconds.values()):.1f}"})
    return "\n\n".join([accuracy(grades, held_out), table(shares), table(stages)])


def accuracy(grades: Mapping[str, list[Grades]], held_out: Dataset) -> str:
    """The share of held-out rows that each model answers, by kind of question, as a table."""
    kinds = np.array(held_out["kind"])
    counts = {kind: int((kinds == kind).sum()) for kind in CHANCE}
    answerable = np.isin(kinds, list(CHANCE))
    guess = sum(CHANCE[kind] * count for kind, count in counts.items()) / sum(counts.values())
    rows = [{"model": "guessing among the listed answers", "all three": f"{guess:.3f}"}]
    rows[0] |= {f"{kind} ({counts[kind]})": f"{share:.3f}" for kind, share in CHANCE.items()}
    for name, runs in grades.items():
        right = np.array([run["right"] for run in runs])
        row = {"model": name, "all three": _mean(right[:, answerable])}
        row |= {f"{kind} ({counts[kind]})": _mean(right[:, kinds == kind]) for kind in CHANCE}
        rows.append(row | {f"nats a token ({len(kinds)})": _mean(np.array([run["nll"] for run in runs]))})
    return table(rows)


def _mean(grades: np.ndarray) -> str:
    """The mean over rows and seeds, with the standard deviation over seeds where there are several."""
    values = grades.mean(1)
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"
