"""How much seed model does the default method need? Shares, epochs, a smaller one, none, a second round.

    python benchmarks/seed_model.py measure --fashion FOLDER --minutes 60     pool 0: to choose by
    python benchmarks/seed_model.py measure --fashion FOLDER --part test --models '5%' '12.5%'
    python benchmarks/seed_model.py page                                      docs/results/seed_model.md

Each seed model scores all rows of a pool; the default picks 15%; models fine-tuned on the picks answer
held-out rows. Lines are added to benchmarks/results/seed_model.jsonl; the same call resumes.
Pools and base models are those of benchmarks/evidence.py. FOLDER has the four files of Fashion-MNIST; see
benchmarks/trials/garments.py.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets, disable_progress_bars, load_from_disk
from evidence import DEFAULT
from numpy.typing import NDArray
from results_page import commit, fill
from selection.measure import measured
from sklearn.metrics import roc_auc_score
from transformers import AutoProcessor, CLIPModel
from trials.beds import TRUTH, Bed, Pool
from trials.commands import results_commands, run_command
from trials.page import interval
from trials.plan import POOL_SEEDS
from trials.trial import PARTS, append_line, bits_as_text, bits_of, choose, composition, read_lines
from trl import SFTConfig

from hf_vitselect import ClipEmbedding, ImageGain, NecessityScorer, Selection, score
from hf_vitselect.call_text import write_call
from hf_vitselect.data import with_record
from hf_vitselect.demo import align, answers, build_llava
from hf_vitselect.evaluation import pooled_difference
from hf_vitselect.report import table
from hf_vitselect.resume import Run
from hf_vitselect.training import SelectionSFTTrainer, train_seed_model

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "seed_model.jsonl"
PAGE = HERE.parent / "docs" / "results" / "seed_model.md"
BUDGET = 0.15


@dataclass(frozen=True)
class SeedModel:
    """How a seed model is made.

    Attributes:
        share: of the pool that it is trained on; 0 for the base model itself.
        epochs: of its training.
        layers: of its language model, if it is not the model to fine-tune.
        kept: the number of decoder layers of the model to fine-tune that it keeps, if not all.
        frozen: whether its vision tower keeps the base model's weights.
        second: whether it is trained on what the default picks with the first seed model, not at random.
    """

    name: str
    share: float
    epochs: int = 4
    layers: int | None = None
    kept: int | None = None
    frozen: bool = False
    second: bool = False

    def base(self, bed: Bed, folder: Path) -> Path:
        """The folder of the aligned model that it starts from, made unless it exists."""
        clip, base = bed.models(folder)
        if self.layers is None:
            return base
        run = Run(folder / bed.name / f"layers{self.layers}")
        captions = bed.captions(Run(folder / bed.name))
        return run.stage("base", {}, partial(self._align, bed, captions, clip, base))

    def train(self, pool: Dataset, base: Path, args: SFTConfig) -> Selection:
        """Fine-tune it on a random part of a pool; returns the rows."""
        return train_seed_model(
            pool, str(base), self.share, args, freeze_vision=self.frozen, layers=self.kept
        )

    def _align(self, bed: Bed, captions: Dataset, clip: Path, base: Path, out: Path) -> None:
        processor = AutoProcessor.from_pretrained(base)
        model = build_llava(processor, clip=CLIPModel.from_pretrained(clip))
        language = model.model.language_model
        language.layers = language.layers[: self.layers]
        model.config.text_config.num_hidden_layers = self.layers
        align(model, processor, captions, bed.alignment(out))


MODELS = {
    model.name: model
    for model in (
        SeedModel("none", 0.0, 0),
        SeedModel("1%", 0.01),
        SeedModel("2%", 0.02),
        SeedModel("5%", 0.05),
        SeedModel("12.5%", 0.125),
        SeedModel("30%", 0.3),
        SeedModel("5%, 2 epochs", 0.05, 2),
        SeedModel("12.5%, 1 epoch", 0.125, 1),
        SeedModel("12.5%, 2 epochs", 0.125, 2),
        SeedModel("12.5%, vision frozen", 0.125, frozen=True),
        SeedModel("12.5%, vision frozen, 3 epochs", 0.125, 3, frozen=True),
        SeedModel("12.5%, 2 of 4 layers", 0.125, layers=2),
        SeedModel("12.5%, 2 of 4 layers, vision frozen", 0.125, layers=2, frozen=True),
        SeedModel("12.5%, 2 of 4 layers, 2 epochs", 0.125, 2, layers=2),
        SeedModel("12.5%, 2 of 4 layers, vision frozen, 2 epochs", 0.125, 2, layers=2, frozen=True),
        SeedModel("12.5%, 1 of 4 layers", 0.125, layers=1),
        SeedModel("12.5%, 3 of 4 layers kept, vision frozen, 2 epochs", 0.125, 2, kept=3, frozen=True),
        SeedModel("second round", BUDGET, second=True),
    )
}
TODAY = "12.5%"


def measure_model(model: SeedModel, pool: Pool, part: str, seeds: int, folder: Path) -> dict[str, Any]:
    """Train a seed model, score the pool with it, and fine-tune on the default's picks."""
    bed = pool.bed
    clip, base = bed.models(folder)
    start, first = model.base(bed, folder), pool.scored(folder)
    rows, size = load_from_disk(str(pool.folder(folder) / "data")), bed.settings.scoring_batch_size
    held_out = pool.held_out(folder, part, PARTS[part] + pool.seed, bed.held_out_rows[part])
    with tempfile.TemporaryDirectory(dir=folder) as out:
        seed, training = start, 0.0
        if model.share:
            seed = Path(out, "seed")
            args = bed.training(seed, epochs=model.epochs)
            if model.second:
                selection, _ = choose(first, write_call(DEFAULT), model.share, 0)
                training = measured(lambda: _train(selection, start, args)).cpu
            else:
                blind = rows.remove_columns(TRUTH)
                training = measured(lambda: model.train(blind, start, args)).cpu
        scorers = [kind(str(seed), batch_size=size) for kind in (NecessityScorer, ImageGain)]
        scored, scoring, _ = measured(lambda: score(rows, scorers, Path(out, "scores")))
        embedding = ClipEmbedding(str(clip))
        whole = concatenate_datasets([scored, first.select_columns(list(embedding.features))], axis=1)
        record = {"source": None, "scorers": [scorer.recipe() for scorer in (*scorers, embedding)]}
        whole.info.description = with_record("", record)
        picks = [choose(whole, write_call(DEFAULT), BUDGET, number) for number in range(seeds)]
        trials = [
            fine_tune(selection, base, bed.training(Path(out, "model"), number), held_out, pool)
            | {"flaws": composition(whole, chosen)["flaws"]}
            for number, (selection, chosen) in enumerate(picks)
        ]
    return {
        "testbed": bed.name,
        "pool": pool.seed,
        "part": part,
        "model": model.name,
        "cpu": {"train": round(training, 1), "score": round(scoring, 1)},
        "auc": {
            "wrong": auc(whole, "wrong", np.array(whole["necessity"], dtype=np.float64), inside=True),
            "blind": auc(whole, "blind", -np.array(whole["image_gain"], dtype=np.float64), inside=False),
        },
        "skill": picks[0][0].recipe.skill,  # every seed's
        "held_out": len(held_out),
        "trials": trials,
        "date": str(date.today()),
        "commit": commit(),
    }


def fine_tune(
    selection: Selection, base: Path, args: SFTConfig, held_out: Dataset, pool: Pool
) -> dict[str, Any]:
    """Fine-tune on a selection and ask held-out rows."""
    _train(selection, base, args)
    grades = answers(Path(args.output_dir), held_out, pool.bed.settings.scoring_batch_size)
    right = np.array(grades["right"])
    return {
        "accuracy": round(float(right.mean()), 5),
        "nll": round(float(np.mean(grades["nll"])), 5),
        "right": bits_as_text(right),
    }


def _train(selection: Selection, base: Path, args: SFTConfig) -> None:
    trainer = SelectionSFTTrainer(str(base), selection=selection, args=args)
    trainer.train()
    trainer.save_model()


def auc(scored: Dataset, flaw: str, values: NDArray[np.float64], inside: bool) -> float:
    """How well a score separates a flaw from sound rows: AUC; inside kinds a mean weighted by flaws."""
    kinds, flaws = (np.array(scored[name]) for name in ("kind", "flaw"))
    seen = np.isin(flaws, ["none", "duplicate", flaw]) & np.isfinite(values)
    groups = kinds if inside else np.zeros(len(kinds))
    areas, sizes = [], []
    for group in np.unique(groups[seen]):
        part = seen & (groups == group)
        flawed = flaws[part] == flaw
        if 0 < flawed.sum() < len(flawed):
            areas.append(roc_auc_score(flawed, values[part]))
            sizes.append(flawed.sum())
    return round(float(np.average(areas, weights=sizes)), 4)


def measure(args: argparse.Namespace) -> None:
    """Measure what is missing, until the time is up."""
    disable_progress_bars()
    torch.set_num_threads(1)
    deadline, longest = time.monotonic() + 60 * args.minutes, 0.0
    done = read_lines(args.results)
    for name, model, seed, bed in _wanted(args):
        key = f"{name}, pool {seed}, {args.part}, {model.name}, {args.seeds} seeds"
        if key in done:
            continue
        if time.monotonic() + longest > deadline:
            print("call it again")
            return
        start = time.monotonic()
        line = measure_model(model, Pool(bed, "flawed", seed), args.part, args.seeds, args.folder)
        longest = max(longest, time.monotonic() - start)
        append_line(args.results, {"key": key, **line})
        shown = {key: line[key] for key in ("cpu", "auc")}
        print(name, seed, model.name, shown, [trial["accuracy"] for trial in line["trials"]], flush=True)


def _wanted(args: argparse.Namespace) -> Iterator[tuple[str, SeedModel, int, Bed]]:
    for model in map(MODELS.__getitem__, args.models):
        for name, bed in args.beds.items():
            for seed in POOL_SEEDS[name] if args.part == "test" else (0,):
                yield name, model, seed, bed


def write_page(args: argparse.Namespace) -> None:
    """Fill the tables of docs/results/seed_model.md."""
    lines = list(read_lines(args.results).values())
    tables = {"validation": lambda: _table(lines, "validation"), "test": lambda: _table(lines, "test")}
    args.page.write_text(fill(PAGE.read_text(), "seed_model", tables))
    print(args.page)


def _table(lines: Sequence[dict[str, Any]], part: str) -> str:
    """A row for each testbed and model: costs, AUC, picks, accuracy, and the difference from today's."""
    rows = []
    for bed in dict.fromkeys(line["testbed"] for line in lines):
        of = {name: _lines_of(lines, bed, part, name) for name in MODELS}
        for name in (name for name in MODELS if of[name]):
            mine = of[name]
            pools = {line["pool"] for line in mine}
            today = [line for line in of[TODAY] if line["pool"] in pools]
            gain = None
            if name != TODAY and len(today) == len(mine):
                gain = pooled_difference(_right(mine), _right(today))
            trials = [trial for line in mine for trial in line["trials"]]
            cost = {key: np.mean([line["cpu"][key] for line in mine]) for key in ("train", "score")}
            rows.append(
                {
                    "testbed": bed,
                    "seed model": name,
                    "pools x seeds": f"{len(mine)} x {len(mine[0]['trials'])}",
                    "training": f"{cost['train']:.0f} s",
                    "scores": f"{cost['score']:.0f} s",
                    "skill": _mean_skill(mine),
                    "accuracy": f"{np.mean([trial['accuracy'] for trial in trials]):.3f}",
                    **(interval(gain) if gain else {"difference": "", "interval": "", "verdict": ""}),
                    "NLL": f"{np.mean([trial['nll'] for trial in trials]):.3f}",
                    "AUC wrong": f"{np.mean([line['auc']['wrong'] for line in mine]):.3f}",
                    "AUC blind": f"{np.mean([line['auc']['blind'] for line in mine]):.3f}",
                    **{
                        f"picked {flaw}": f"{np.mean([trial['flaws'].get(flaw, 0) for trial in trials]):.1%}"
                        for flaw in ("wrong", "blind")
                    },
                }
            )
    return table(rows) if rows else "Not measured yet."


def _mean_skill(lines: Sequence[dict[str, Any]]) -> str:
    known = [line["skill"] for line in lines if line["skill"] is not None]
    return f"{np.mean(known):.2f}" if known else ""


def _lines_of(lines: Sequence[dict[str, Any]], bed: str, part: str, name: str) -> list[dict[str, Any]]:
    """The lines of one model on a testbed's pools, in the order of the pools."""
    own = [line for line in lines if (line["testbed"], line["part"], line["model"]) == (bed, part, name)]
    return sorted(own, key=lambda line: line["pool"])


def _right(lines: Sequence[dict[str, Any]]) -> list[NDArray[np.float64]]:
    """Right answers of shape (seeds, held-out rows), for each pool."""
    return [
        np.array([bits_of(trial["right"], line["held_out"]) for trial in line["trials"]]) for line in lines
    ]


def main() -> None:
    """Parse the command line and run the command."""
    parser, commands = results_commands(__doc__, (measure,), write_page, RESULTS, PAGE)
    command = commands[measure]
    command.add_argument("--part", choices=("validation", "test"), default="validation")
    command.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    command.add_argument("--seeds", type=int, default=3, help="fine-tunes on each pool's picks")
    command.add_argument("--minutes", type=float, default=60.0, help="start nothing that ends later")
    run_command(parser, RESULTS)


if __name__ == "__main__":
    main()
