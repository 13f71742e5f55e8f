"""The demo: the whole chain on a pool of known composition, and a table of results."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, load_from_disk
from trl import SFTConfig

from hf_vitselect.demo.models import SETTINGS, DemoSettings
from hf_vitselect.demo.pool import render_captions, render_held_out, render_pool
from hf_vitselect.demo.stages import (
    Grades,
    Training,
    build_base,
    build_base_clip,
    grade,
    select_and_fine_tune,
    small_training,
)
from hf_vitselect.evaluation import Comparison, ExactMatch, LogLikelihood, compare
from hf_vitselect.hub import push_to_hub
from hf_vitselect.report.card_files import card_files
from hf_vitselect.report.plots import plots
from hf_vitselect.report.tables import table
from hf_vitselect.resume import Run
from hf_vitselect.rules import NeighborPenalty, TopScore
from hf_vitselect.scorers import ClipEmbedding, NecessityScorer
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training import SelectionSFTTrainer


def demo(
    folder: str | os.PathLike[str],
    *,
    settings: DemoSettings = SETTINGS,
    seeds: int = 3,
    owner: str | None = None,
    compared: bool = False,
) -> str:
    """Run the chain in a folder and returns its table; the same call resumes it.

    Renders a pool, trains a CLIP, aligns a LLaVA with it on captions, fine-tunes that on a random part of
    the pool (the seed model), scores the pool, selects, fine-tunes the aligned model on the subset and on a
    random subset of the same size, and grades all models on held-out rows.

    Args:
        folder: keeps the scored pool, the selection, the models and the card.
        settings: sizes, epochs and learning rates.
        seeds: fine-tunes of each subset; the table shows their mean and standard deviation.
        owner: if given, subset and model are pushed to the Hub under this name.
        compared: whether to compare the selection, random rows, random rows of the same lengths and the
            highest scores, each with this many seeds.
    """
    # The models are so small that on busy cores threads cost more than they gain.
    torch.set_num_threads(1)
    run = Run(folder)
    data = run.stage("data", asdict(settings), partial(_render, settings))
    pool, held_out, captions = (load_from_disk(str(data / name)) for name in ("pool", "held_out", "captions"))
    clip = run.stage("clip", {}, partial(build_base_clip, settings, captions))
    base = run.stage("base", {}, partial(build_base, settings, captions, clip))
    tuning = partial(
        small_training,
        epochs=settings.tune_epochs,
        batch_size=settings.tune_batch_size,
        learning_rate=settings.tune_learning_rate,
    )
    batch_size = settings.scoring_batch_size
    subsets, models = select_and_fine_tune(
        run,
        pool,
        base,
        lambda seed: [NecessityScorer(seed, batch_size=batch_size), ClipEmbedding(str(clip))],
        tuning,
        seed_share=settings.seed_share,
        budget=settings.budget,
        seeds=seeds,
    )
    selection = subsets["selection"]
    run.stage("card", {}, partial(_write_card, selection, pool))
    grades = grade(run, models, held_out, batch_size)
    report = _report(grades, pool, subsets, run.seconds)
    (run.folder / "table.txt").write_text(report)
    if compared:
        scored = load_from_disk(str(run.folder / "score" / "scored"))
        report += f"\n\n{_compare(settings, scored, base, held_out, tuning, run.folder / 'compare', seeds)}"
    if owner is not None:
        model = models["fine-tuned on selection"][0]
        report += "\n\n" + _push(selection, pool, model, tuning(model), owner)
    return report


def _render(settings: DemoSettings, out: Path) -> None:
    render_pool(settings.pool_rows).save_to_disk(str(out / "pool"))
    render_held_out(settings.held_out_rows, seed=1).save_to_disk(str(out / "held_out"))
    render_captions(settings.caption_rows, seed=2).save_to_disk(str(out / "captions"))


def _write_card(selection: Selection, pool: Dataset, out: Path) -> None:
    for name, content in card_files(selection, plots(selection, pool, "flaw")).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


def _push(selection: Selection, pool: Dataset, model: Path, args: SFTConfig, owner: str) -> str:
    """Push the subset, then the model, whose card can then name the subset."""
    address = push_to_hub(selection, f"{owner}/vitselect-demo", plots=plots(selection, pool, "flaw"))
    args.hub_model_id = f"{owner}/vitselect-demo-llava"
    SelectionSFTTrainer(str(model), selection=selection, args=args).push_to_hub()
    return f"pushed {address} and the model {args.hub_model_id}"


def _compare(
    settings: DemoSettings,
    scored: Dataset,
    base: Path,
    held_out: Dataset,
    tuning: Training,
    out: Path,
    seeds: int,
) -> Comparison:
    return compare(
        scored,
        {"NeighborPenalty": NeighborPenalty(), "TopScore": TopScore()},
        str(base),
        {
            "exact match": ExactMatch(held_out, settings.scoring_batch_size),
            "log-likelihood": LogLikelihood(held_out, settings.scoring_batch_size),
        },
        out,
        budgets=[settings.budget],
        seeds=seeds,
        args=tuning(out),
        matched=["NeighborPenalty"],
        columns=["flaw", "kind"],
        processes=None if torch.cuda.is_available() else 2,
    )


def _report(
    grades: Mapping[str, list[Grades]],
    pool: Dataset,
    subsets: Mapping[str, Selection],
    seconds: Mapping[str, float],
) -> str:
    """One table in three parts: accuracy, composition, seconds."""
    graded = []
    for name, runs in grades.items():
        accuracy = np.mean([run["right"] for run in runs], axis=1)
        spread = f"{accuracy.std(ddof=1):.3f}" if len(runs) > 1 else "-"
        row = {"model": name, "held-out accuracy": f"{accuracy.mean():.3f}"}
        graded.append(row | {"sd over seeds": spread, "seeds": len(runs)})
    counted = {"pool": pool, **{name: subset.dataset for name, subset in subsets.items()}}
    composition = []
    for column in ("flaw", "kind"):
        shares = {name: Counter(rows[column]) for name, rows in counted.items()}
        for value in sorted(shares["pool"]):
            row = {name: f"{count[value] / count.total():.1%}" for name, count in shares.items()}
            composition.append({"rows": f"{column}: {value}"} | row)
    scenes = {name: f"{len(set(rows['group'])):,}" for name, rows in counted.items()}
    composition.append({"rows": "distinct scenes (near-duplicates once)"} | scenes)
    stages = [{"stage": name, "seconds": f"{taken:.1f}"} for name, taken in seconds.items()]
    stages.append({"stage": "all", "seconds": f"{sum(seconds.values()):.1f}"})
    parts = [table(graded), table(composition), table(stages)]
    if all(len(runs) == 1 for runs in grades.values()):
        parts.insert(1, "One seed each: these accuracies prove nothing about which subset is better.")
    return "\n\n".join(parts)
