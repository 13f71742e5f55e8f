"""The demo: the whole chain on a pool of known composition, and what it shows."""

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, load_from_disk
from trl import SFTConfig

from hf_vitselect.call_text import parse_call, write_call
from hf_vitselect.demo.models import SETTINGS, DemoSettings
from hf_vitselect.demo.pool import render_captions, render_held_out, render_pool
from hf_vitselect.demo.stages import (
    build_base,
    build_base_clip,
    seed_and_score,
    select_and_save,
    small_training,
)
from hf_vitselect.evaluation import Comparison, Evaluation, ExactMatch, LogLikelihood, compare
from hf_vitselect.evaluation.trials import trial_folder
from hf_vitselect.hub import push_to_hub
from hf_vitselect.report.card_files import card_files
from hf_vitselect.report.cost import cost_of_choosing
from hf_vitselect.report.plots import plots
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.report.tables import table
from hf_vitselect.resume import Run
from hf_vitselect.selection.method import CleanBalanced, MLLMSelector, SelfFilter
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training import SelectionSFTTrainer

DEFAULT = {"CleanBalanced": CleanBalanced()}
PAPERS = {"MLLMSelector": MLLMSelector(), "SelfFilter by necessity": SelfFilter(by="necessity")}
"""Self-Filter's own score is a score net's, which the demo does not train."""
_ACCURACY = "exact match"
_FLAWS = {"wrong": "wrong answers", "blind": "image not needed", "duplicate": "copies"}


def demo(
    folder: str | os.PathLike[str],
    *,
    settings: DemoSettings = SETTINGS,
    seeds: int = 6,
    owner: str | None = None,
) -> str:
    """Run the chain in a folder and return what it shows; the same call resumes it.

    Renders a pool, trains a CLIP, aligns a LLaVA with it on captions, fine-tunes that on a random part of
    the pool (the seed model), scores the pool and selects. Then the aligned model is fine-tuned on rows of
    the default method, on random rows and on those of two papers' methods, and compared on held-out rows.

    Args:
        folder: keeps the scored pool, the selection, the comparison with its plot, and the card.
        settings: sizes, epochs and learning rates.
        seeds: fine-tunes on rows of the default method, and on random rows.
        owner: if given, subset and model are pushed to the Hub under this name.
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
    method, batch_size = DEFAULT["CleanBalanced"], settings.scoring_batch_size
    make_scorers = partial(method.scorers, clip=str(clip), batch_size=batch_size)
    scored = seed_and_score(run, pool, base, make_scorers, tuning, seed_share=settings.seed_share)
    how = {"method": write_call(method, whole=True), "budget": settings.budget}
    chosen = run.stage("selection", how, partial(select_and_save, scored, method, settings.budget))
    selection = Selection.load_from_disk(chosen)
    out = run.folder / "compare"
    papers, default = _compare(settings, load_from_disk(str(scored)), base, held_out, tuning(out), seeds)
    for name, content in _card(selection, pool, run.folder).items():
        place = run.folder / "card" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (picked,) = (line for line in default.lines[_ACCURACY] if line.method in DEFAULT)
    cost = cost_of_choosing(run.seconds, picked.seconds, len(selection), len(pool))
    report = "\n\n".join([_filters(selection, pool), *_results(default, papers), f"Choosing took {cost}."])
    (run.folder / "table.txt").write_text(report)
    if owner is not None:
        model = trial_folder(out, "CleanBalanced", len(selection), 0) / "model"
        report += "\n\n" + _push(selection, pool, model, tuning(model), owner)
    return report


def _render(settings: DemoSettings, out: Path) -> None:
    render_pool(settings.pool_rows).save_to_disk(str(out / "pool"))
    render_held_out(settings.held_out_rows, seed=1).save_to_disk(str(out / "held_out"))
    render_captions(settings.caption_rows, seed=2).save_to_disk(str(out / "captions"))


def _compare(
    settings: DemoSettings, scored: Dataset, base: Path, held_out: Dataset, args: SFTConfig, seeds: int
) -> tuple[Comparison, Comparison]:
    """Compare the default method, then the papers' methods with one seed; the default's files stay.

    In this order the papers' fine-tunes fill both processes: the random rows they need are done by then.
    """
    batch_size, with_image = settings.scoring_batch_size, np.char.str_len(held_out["scene"]) > 0
    papers: dict[str, Evaluation] = {_ACCURACY: ExactMatch(held_out, batch_size)}
    default: dict[str, Evaluation] = papers | {
        f"{_ACCURACY}, rows with image": ExactMatch(held_out.select(np.flatnonzero(with_image)), batch_size),
        "log-likelihood": LogLikelihood(held_out, batch_size),
    }
    both = [
        compare(
            scored,
            methods,
            str(base),
            evaluations,
            args.output_dir,
            budgets=[settings.budget],
            seeds=number,
            args=args,
            matched=[],
            columns=["flaw"],
            processes=None if torch.cuda.is_available() else 2,
        )
        for methods, evaluations, number in ((DEFAULT, default, seeds), (PAPERS, papers, 1))
    ]
    both[0].save(args.output_dir)
    return both[1], both[0]


def _card(selection: Selection, pool: Dataset, run: Path) -> dict[str, bytes]:
    return card_files(selection, plots(selection, pool, "flaw"), run=RunRecord.read(run))


def _push(selection: Selection, pool: Dataset, model: Path, args: SFTConfig, owner: str) -> str:
    """Push the subset, then the model, whose card can then name the subset."""
    address = push_to_hub(selection, f"{owner}/vitselect-demo", plots=plots(selection, pool, "flaw"))
    args.hub_model_id = f"{owner}/vitselect-demo-llava"
    SelectionSFTTrainer(str(model), selection=selection, args=args).push_to_hub()
    return f"pushed {address} and the model {args.hub_model_id}"


def _filters(selection: Selection, pool: Dataset) -> str:
    """Table of the rows that each filter dropped, and of the pool's flaws among them."""
    groups, flaws = np.array(pool["group"]), np.array(pool["flaw"])
    totals = {flaw: int(np.count_nonzero(flaws == flaw)) for flaw in _FLAWS}
    # Whichever of the copies goes: the first of them is as good as any other.
    flaws[np.bincount(groups)[groups] > 1] = "duplicate"
    by = np.array([name or "" for name in selection.scores["dropped_by"]])
    names = [parse_call(record.filter).name for record in selection.recipe.filters if not record.skipped]
    parts = {"(whole pool)": np.full(len(pool), True), **{name: by == name for name in names}}
    rows = []
    for name, part in parts.items():
        dropped = int(part.sum())
        caught = {flaw: min(int((part & (flaws == flaw)).sum()), total) for flaw, total in totals.items()}
        flawed = sum(caught.values()) / max(1, dropped)
        row = {"dropped by": name, "rows": f"{dropped:,}", "flawed": f"{flawed:.0%}"}
        rows.append(row | {_FLAWS[flaw]: f"{caught[flaw]:,} of {totals[flaw]:,}" for flaw in _FLAWS})
    return f"## What the filters dropped, and the flaws among it\n\n{table(rows)}"


def _results(default: Comparison, papers: Comparison) -> list[str]:
    """The verdict on the default method, what it picked, and the papers' methods without a verdict."""
    drawn = [row for table in default.composition.values() for row in table if row["rows"][:4] == "flaw"]
    one = [
        {"method": line.method, _ACCURACY: f"{line.mean:.3f}"}
        for line in papers.lines[_ACCURACY]
        if line.method in PAPERS
    ]
    return [
        default.results,
        f"## What was picked\n\n{table(drawn)}",
        f"## The papers' methods: one seed each, which proves nothing\n\n{table(one)}",
    ]
