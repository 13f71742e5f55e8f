"""The demo: the whole chain on a pool of known make-up, and one table of what came out."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, load_from_disk
from transformers import CLIPModel
from trl import SFTConfig

from hf_vitselect.card import card_files
from hf_vitselect.demo.models import (
    SETTINGS,
    build_clip,
    build_clip_processor,
    build_llava,
    build_processor,
    save,
    train_clip,
)
from hf_vitselect.demo.pool import render_captions, render_held_out, render_pool
from hf_vitselect.errors import RowError
from hf_vitselect.hub import push_to_hub
from hf_vitselect.pipeline import Run
from hf_vitselect.report import plots, table
from hf_vitselect.rows import read_table, undecoded
from hf_vitselect.rules import NeighborPenalty, Random, Rule
from hf_vitselect.scorers import ClipEmbedding, NecessityScorer
from hf_vitselect.scoring import score
from hf_vitselect.selection import Selection, select_diverse
from hf_vitselect.training import SelectionSFTTrainer, train_seed_model
from hf_vitselect.vlm import VLM


def demo(folder: str | os.PathLike[str], *, seeds: int = 1, owner: str | None = None) -> str:
    """Runs the chain in a folder and returns its table; the same call goes on where it stopped.

    Renders a pool, trains a CLIP and aligns a LLaVA with it on captions, fine-tunes that on a random part
    (the seed model), scores the pool, selects, fine-tunes the aligned model on the subset and on a random
    subset of the same size, and asks all of them the held-out questions.

    Args:
        folder: the scored pool, the selection, the models and the card stay here.
        seeds: fine-tunes of each subset; the table gives their mean and standard deviation.
        owner: if given, subset and model are pushed to the Hub under this name.
    """
    run = Run(folder)
    data = run.stage("data", {"demo": asdict(SETTINGS)}, _render)
    pool, held_out, captions = (load_from_disk(str(data / name)) for name in ("pool", "held_out", "captions"))
    clip = run.stage("clip", {}, lambda out: _train_clip(captions, out))
    base = run.stage("base", {}, lambda out: _align(captions, clip, out))
    seed = run.stage("seed", {}, lambda out: _train_seed(pool, base, out))
    scored = load_from_disk(str(run.stage("score", {}, lambda out: _score(pool, seed, clip, out)) / "scored"))

    subsets: dict[str, Selection] = {}
    models: dict[str, list[Path]] = {"aligned, not fine-tuned": [base], "seed model": [seed]}
    for name, rule in (("selection", NeighborPenalty()), ("random", Random())):
        kept = run.stage(name, {"rule": repr(rule)}, partial(_select, scored, rule))
        subset = subsets[name] = Selection.load_from_disk(kept)
        models[f"fine-tuned on {name}"] = [
            run.stage(f"model_{name}_{number}", {}, partial(_fine_tune, base, subset, number))
            for number in range(seeds)
        ]
    run.stage("card", {}, partial(_write_card, subsets["selection"], pool))
    graded = run.stage("accuracy", {}, partial(_grade, models, held_out))
    accuracy = json.loads((graded / "accuracy.json").read_text())
    report = _report(accuracy, pool, subsets, run.seconds)
    (run.folder / "table.txt").write_text(report)
    if owner is not None:
        model = models["fine-tuned on selection"][0]
        report += "\n\n" + _push(subsets["selection"], pool, model, owner)
    return report


def exact_match(vlm: VLM, rows: Dataset, batch_size: int) -> float:
    """The share of rows whose whole response greedy decoding would write: every token is the first choice.

    Rows that cannot be scored count as wrong.
    """
    right = 0
    for batch in undecoded(rows):
        for result in vlm.score(read_table(batch), batch_size):
            right += not isinstance(result, RowError) and bool(result.hit.all())
    return right / len(rows)


def _render(out: Path) -> None:
    render_pool(SETTINGS.pool_rows).save_to_disk(str(out / "pool"))
    render_held_out(SETTINGS.held_out_rows, seed=1).save_to_disk(str(out / "held_out"))
    render_captions(SETTINGS.caption_rows, seed=2).save_to_disk(str(out / "captions"))


def _train_clip(captions: Dataset, out: Path) -> None:
    processor = build_clip_processor()
    clip = build_clip(processor)
    train_clip(clip, processor, captions)
    save(clip, processor, out)


def _align(captions: Dataset, clip: Path, out: Path) -> None:
    processor = build_processor()
    model = build_llava(processor, clip=CLIPModel.from_pretrained(clip))
    everything = select_diverse(captions, 1.0, rule=Random())
    args = _training(out, SETTINGS.align_epochs, SETTINGS.align_batch_size, SETTINGS.align_learning_rate)
    _train(SelectionSFTTrainer(model, selection=everything, args=args, processing_class=processor))


def _train_seed(pool: Dataset, base: Path, out: Path) -> None:
    drawn = train_seed_model(pool, str(base), SETTINGS.seed_share, _tuning(out, 0))
    drawn.save_to_disk(out / "seed_rows")


def _score(pool: Dataset, seed: Path, clip: Path, out: Path) -> None:
    scorers = [NecessityScorer(str(seed), batch_size=SETTINGS.scoring_batch_size), ClipEmbedding(str(clip))]
    score(pool, scorers, out / "shards").save_to_disk(str(out / "scored"))


def _select(scored: Dataset, rule: Rule, out: Path) -> None:
    select_diverse(scored, SETTINGS.budget, rule=rule).save_to_disk(out)


def _fine_tune(base: Path, subset: Selection, seed: int, out: Path) -> None:
    _train(SelectionSFTTrainer(str(base), selection=subset, args=_tuning(out, seed)))


def _write_card(selection: Selection, pool: Dataset, out: Path) -> None:
    for name, content in card_files(selection, plots(selection, pool, "flaw")).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


def _push(selection: Selection, pool: Dataset, model: Path, owner: str) -> str:
    """Pushes the subset, then the model, whose card can name the subset now."""
    address = push_to_hub(selection, f"{owner}/vitselect-demo", plots=plots(selection, pool, "flaw"))
    args = _tuning(model, 0)
    args.hub_model_id = f"{owner}/vitselect-demo-llava"
    SelectionSFTTrainer(str(model), selection=selection, args=args).push_to_hub()
    return f"pushed {address} and the model {args.hub_model_id}"


def _grade(models: Mapping[str, Sequence[Path]], held_out: Dataset, out: Path) -> None:
    accuracy = {
        name: [exact_match(VLM.load(str(path)), held_out, SETTINGS.scoring_batch_size) for path in paths]
        for name, paths in models.items()
    }
    out.mkdir(exist_ok=True)
    (out / "accuracy.json").write_text(json.dumps(accuracy, indent=2))


def _tuning(out: Path, seed: int) -> SFTConfig:
    return _training(
        out, SETTINGS.tune_epochs, SETTINGS.tune_batch_size, SETTINGS.tune_learning_rate, seed=seed
    )


def _training(out: Path, epochs: int, batch_size: int, learning_rate: float, seed: int = 0) -> SFTConfig:
    return SFTConfig(
        str(out),
        max_length=None,
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        save_strategy="no",
        logging_steps=100,
        report_to="none",
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
    )


def _train(trainer: SelectionSFTTrainer) -> None:
    trainer.train()
    trainer.save_model()
    trainer.create_model_card()


def _report(
    accuracy: Mapping[str, Sequence[float]],
    pool: Dataset,
    subsets: Mapping[str, Selection],
    seconds: Mapping[str, float],
) -> str:
    """One table in three parts: accuracy, make-up, seconds."""
    graded = [
        {
            "model": name,
            "held-out accuracy": f"{np.mean(values):.3f}",
            "sd over seeds": f"{np.std(values, ddof=1):.3f}" if len(values) > 1 else "-",
            "seeds": len(values),
        }
        for name, values in accuracy.items()
    ]
    counted = {"pool": pool, **{name: subset.dataset for name, subset in subsets.items()}}
    make_up = []
    for column in ("flaw", "kind"):
        shares = {name: Counter(rows[column]) for name, rows in counted.items()}
        for value in sorted(shares["pool"]):
            row = {name: f"{count[value] / count.total():.1%}" for name, count in shares.items()}
            make_up.append({"rows": f"{column}: {value}"} | row)
    stages = [{"stage": name, "seconds": f"{taken:.1f}"} for name, taken in seconds.items()]
    return "\n\n".join(table(part) for part in (graded, make_up, stages))
