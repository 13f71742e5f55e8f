"""The whole chain on the real pool, by the package's functions, and one table of its results."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset, load_from_disk

from hf_vitselect import NecessityScorer, Selection, TextEmbedding
from hf_vitselect.call_text import write_call
from hf_vitselect.demo import Grades, align, answers, seed_and_score, select_and_save, small_training
from hf_vitselect.report import table
from hf_vitselect.resume import Run
from hf_vitselect.rules import NeighborPenalty, Random
from hf_vitselect.selection import Method
from hf_vitselect.training import SelectionSFTTrainer
from realpool.model import build_base, captions, train_tower

BUDGET = 0.15
SEED_SHARE = 0.125
BATCH_SIZE = 64
METHODS = {"selection": Method(rule=NeighborPenalty()), "random": Method(rule=Random())}
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
    scored = seed_and_score(
        run,
        train,
        base,
        lambda seed: [NecessityScorer(seed, batch_size=BATCH_SIZE), TextEmbedding(str(embedder))],
        _tuning,
        seed_share=SEED_SHARE,
        freeze_vision=False,  # as when docs/results/real_pool.md was measured
    )
    subsets: dict[str, Selection] = {}
    models = {"aligned, not fine-tuned": [base], "seed model": [run.folder / "seed"]}
    for name, method in METHODS.items():
        settings = {"method": write_call(method, whole=True), "budget": BUDGET}
        picked = run.stage(name, settings, partial(select_and_save, scored, method, BUDGET))
        subsets[name] = Selection.load_from_disk(picked)
        models[f"fine-tuned on {name}"] = [
            run.stage(f"model_{name}_{number}", {}, partial(_tune, base, subsets[name], number))
            for number in range(seeds)
        ]
    grades = grade(models, held_out)
    report = _report(grades, held_out, load_from_disk(scored), subsets, run.seconds)
    (run.folder / "report.md").write_text(report)
    return report


def grade(models: Mapping[str, Sequence[Path]], held_out: Dataset) -> dict[str, list[Grades]]:
    """Grade models on the held-out rows; several folders of one name are its seeds."""
    return {
        name: [answers(folder, held_out, BATCH_SIZE) for folder in folders]
        for name, folders in models.items()
    }


def _tune(base: Path, subset: Selection, seed: int, out: Path) -> None:
    trainer = SelectionSFTTrainer(str(base), selection=subset, args=_tuning(out, seed=seed))
    trainer.train()
    trainer.save_model()


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
