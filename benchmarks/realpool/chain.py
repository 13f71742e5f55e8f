"""The whole chain on the real pool, through the package's functions, and one table of what came out."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, load_from_disk
from trl import SFTConfig

from hf_vitselect import NecessityScorer, Selection, TextEmbedding, score, select_diverse
from hf_vitselect.errors import RowError
from hf_vitselect.pipeline import Run
from hf_vitselect.report import make_up, table
from hf_vitselect.rows import read_table, undecoded
from hf_vitselect.rules import NeighborPenalty, Random, Rule
from hf_vitselect.training import SelectionSFTTrainer, train_seed_model
from hf_vitselect.vlm import VLM
from realpool.model import build_base, captions, train_tower

BUDGET = 0.15
SEED_SHARE = 0.125
TUNE_EPOCHS = 6
CHANCE = {"choice": 0.25, "category": 0.25, "yesno": 0.5}


def build_base_model(run: Run, train: Dataset, size: int, digest: str) -> Path:
    """Trains the vision tower and aligns the LLaVA on captions of the train pictures.

    Args:
        run: the run's folder.
        train: the pool's train side.
        size: side of the pictures in pixels.
        digest: of the pool: another pool makes the run stale.

    Returns:
        The folder of the aligned model and its processor.
    """
    tower = run.stage("tower", {"pool": digest}, lambda out: train_tower(train, size, out))
    return run.stage("base", {}, lambda out: _align(train, tower, out))


def run_chain(
    run: Run, train: Dataset, held_out: Dataset, base: Path, embedder: Path, *, seeds: int = 1
) -> str:
    """Seed model, scores, selection, fine-tunes, held-out accuracy.

    Args:
        run: the run's folder; the same call goes on where it stopped.
        train: the pool.
        held_out: rows about other pictures.
        base: what `build_base_model` returned.
        embedder: folder of a sentence-transformers model; rows are told apart by their text.
        seeds: fine-tunes of each subset.

    Returns:
        The report: accuracy, make-up, seconds.
    """
    seed = run.stage("seed", {"share": SEED_SHARE}, partial(_train_seed, train, base))
    scored = load_from_disk(run.stage("score", {}, partial(_score, train, seed, embedder)) / "scored")
    subsets: dict[str, Selection] = {}
    folders = {"aligned, not fine-tuned": [base], "seed model": [seed]}
    for name, rule in (("selection", NeighborPenalty()), ("random", Random())):
        settings = {"rule": repr(rule), "budget": BUDGET}
        picked = Selection.load_from_disk(run.stage(name, settings, partial(_select, scored, rule)))
        subsets[name] = picked
        folders[f"fine-tuned on {name}"] = [
            run.stage(f"model_{name}_{number}", {"epochs": TUNE_EPOCHS}, partial(_tune, base, picked, number))
            for number in range(seeds)
        ]
    graded = run.stage("accuracy", {}, partial(_grade, folders, held_out))
    grades = json.loads((graded / "grades.json").read_text())
    report = _report(grades, held_out, scored, subsets, run.seconds)
    (run.folder / "report.md").write_text(report)
    return report


def _align(train: Dataset, tower: Path, out: Path) -> None:
    model, processor = build_base(train, tower)
    everything = select_diverse(captions(train), 1.0, rule=Random())
    args = _training(out, 1, 1e-3, 0)
    _train(SelectionSFTTrainer(model, selection=everything, args=args, processing_class=processor))


def _train_seed(train: Dataset, base: Path, out: Path) -> None:
    drawn = train_seed_model(train, str(base), SEED_SHARE, _training(out, TUNE_EPOCHS, 5e-4, 0))
    drawn.save_to_disk(out / "seed_rows")


def _score(train: Dataset, seed: Path, embedder: Path, out: Path) -> None:
    scorers = [NecessityScorer(str(seed), batch_size=64), TextEmbedding(str(embedder))]
    score(train, scorers, out / "shards").save_to_disk(out / "scored")


def _select(scored: Dataset, rule: Rule, out: Path) -> None:
    select_diverse(scored, BUDGET, rule=rule).save_to_disk(out)


def _tune(base: Path, subset: Selection, seed: int, out: Path) -> None:
    args = _training(out, TUNE_EPOCHS, 5e-4, seed)
    _train(SelectionSFTTrainer(str(base), selection=subset, args=args))


def _training(out: Path, epochs: int, learning_rate: float, seed: int) -> SFTConfig:
    return SFTConfig(
        str(out),
        max_length=None,
        num_train_epochs=epochs,
        per_device_train_batch_size=8,
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


def _grade(folders: Mapping[str, list[Path]], held_out: Dataset, out: Path) -> None:
    """For every model and held-out row: would greedy decoding write the whole response, and its loss."""
    grades = {name: [] for name in folders}
    for name, models in folders.items():
        for folder in models:
            vlm = VLM.load(str(folder))
            results = [r for part in undecoded(held_out) for r in vlm.score(read_table(part), 64)]
            if errors := [result for result in results if isinstance(result, RowError)]:
                raise errors[0]  # every held-out row can be scored: its text spells no special token
            right = [bool(result.hit.all()) for result in results]
            grades[name].append({"right": right, "nll": [float(result.nll.mean()) for result in results]})
    out.mkdir(exist_ok=True)
    (out / "grades.json").write_text(json.dumps(grades))


def _report(
    grades: Mapping[str, list[dict[str, list]]],
    held_out: Dataset,
    scored: Dataset,
    subsets: Mapping[str, Selection],
    seconds: Mapping[str, float],
) -> str:
    """One table in three parts: accuracy and loss on held-out rows, make-up, seconds."""
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
    shares = []
    for column in ("source", "kind"):
        made = {name: make_up(scored, subset, column) for name, subset in subsets.items()}
        for value, pool in made["selection"].items():
            row = {"rows": f"{column}: {value}", "pool": f"{pool['pool_share']:.1%}"}
            shares.append(row | {name: f"{part[value]['subset_share']:.1%}" for name, part in made.items()})
    stages = [{"stage": name, "seconds": f"{taken:.1f}"} for name, taken in seconds.items()]
    stages.append({"stage": "all", "seconds": f"{sum(seconds.values()):.1f}"})
    return "\n\n".join([table(rows), table(shares), table(stages)])


def _mean(grades: np.ndarray) -> str:
    """The mean over rows and seeds, with the standard deviation over seeds where there are several."""
    values = grades.mean(1)
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"
