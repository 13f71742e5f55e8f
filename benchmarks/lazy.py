"""What choosing costs with fewer scored rows and a smaller seed model, and whether the picks are as good.

    python benchmarks/lazy.py trials --fashion FOLDER     adds to results/lazy.jsonl; the same call resumes
    python benchmarks/lazy.py picks --fashion FOLDER      the same: picks by these seed models from all scores
    python benchmarks/lazy.py costs --fashion FOLDER      the same; on a machine without other work
    python benchmarks/lazy.py page                        docs/results/lazy.md

Pools, base models and the results of scoring all rows are those of benchmarks/evidence.py, seed models those
of benchmarks/seed_model.py. FOLDER has the four files of Fashion-MNIST; see benchmarks/trials/garments.py.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars, load_from_disk
from evidence import DEFAULT, RESULTS, make_plan
from numpy.typing import NDArray
from results_page import commit, fill
from seed_model import MODELS, TODAY, SeedModel, fine_tune
from selection.measure import Measured, measured
from trials.beds import TRUTH, Pool
from trials.commands import results_commands, run_command
from trials.page import interval, spread
from trials.plan import POOL_SEEDS, Arm
from trials.trial import PARTS, append_line, bits_of, composition, read_lines

from hf_vitselect import Scorer, Selection, score, score_candidates, select_diverse
from hf_vitselect.evaluation import pooled_difference
from hf_vitselect.report import table
from hf_vitselect.resume import Run
from hf_vitselect.training import load_seed_rows

HERE = Path(__file__).parent
OURS = HERE / "results" / "lazy.jsonl"
PAGE = HERE.parent / "docs" / "results" / "lazy.md"
FROZEN, THREE = MODELS["12.5%, vision frozen"], MODELS["12.5%, vision frozen, 3 epochs"]
SHORT = MODELS["12.5%, 2 of 4 layers, vision frozen, 2 epochs"]
KEPT = MODELS["12.5%, 3 of 4 layers kept, vision frozen, 2 epochs"]
PART = "test"
BUDGETS = (0.15, 0.05)
SEEDS = {
    (THREE.name, 0.15): 5,
    (SHORT.name, 0.05): 5,
    (SHORT.name, 0.15): 2,
    (THREE.name, 0.05): 5,
    (KEPT.name, 0.05): 5,
    (KEPT.name, 0.15): 5,
}
"""Models to fine-tune on each pool's picks, by seed model and budget."""
ROUNDS = 2
NAMES = (TODAY, FROZEN.name, THREE.name, SHORT.name, KEPT.name)


def trials(args: argparse.Namespace) -> None:
    """Fine-tune what is missing on picks, seed after seed on all pools."""
    prepare()
    for (name, budget), seeds in SEEDS.items():
        for seed in range(seeds):
            for seeded in on_all_pools(args, name):
                what = {"budget": f"{budget:.0%}", "seed": seed}
                run = partial(Seeded.trial, folder=args.folder, budget=budget, seed=seed)
                add(args.results, seeded, what, run)


def picks(args: argparse.Namespace) -> None:
    """Score all rows with the seed models of the trials, and look at what is picked then."""
    prepare()
    for (name, budget), seeds in SEEDS.items():
        for seeded in on_all_pools(args, name):
            what = {"what": "picks", "of": f"{budget:.0%}"}
            run = partial(Seeded.picks, folder=args.folder, budget=budget, seeds=seeds)
            add(args.results, seeded, what, run)


def costs(args: argparse.Namespace) -> None:
    """Measure costs on the first pool of each testbed, all models in turn, as other work slows a machine."""
    prepare()
    for round_ in range(ROUNDS):
        for bed in args.beds.values():
            for name in NAMES:
                seeded = Seeded(Pool(bed, "flawed", POOL_SEEDS[bed.name][0]), MODELS[name])
                run = partial(Seeded.cost, folder=args.folder)
                add(args.results, seeded, {"what": "cost", "round": round_}, run)


def on_all_pools(args: argparse.Namespace, name: str) -> "Iterator[Seeded]":
    """A kind of seed model for each pool of the testbeds."""
    for bed in args.beds.values():
        for number in POOL_SEEDS[bed.name]:
            yield Seeded(Pool(bed, "flawed", number), MODELS[name])


def prepare() -> None:
    """Hide bars, and use one thread."""
    disable_progress_bars()
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Seeded:
    """A pool and a kind of seed model for it."""

    pool: Pool
    model: SeedModel

    @property
    def about(self) -> dict[str, Any]:
        """What every line says."""
        return {"testbed": self.pool.bed.name, "pool": self.pool.seed, "model": self.model.name}

    def rows(self, folder: Path) -> Dataset:
        """The pool."""
        self.pool.scored(folder)
        return load_from_disk(str(self.pool.folder(folder) / "data"))

    def seed_model(self, folder: Path) -> Path:
        """The folder of the seed model, trained unless it exists."""
        run = Run(self.pool.folder(folder) / "seed models" / self.model.name)
        identity = {**self.pool.bed.identity, **asdict(self.model)}
        return run.stage("seed", identity, lambda out: self._train(folder, out))

    def _train(self, folder: Path, out: Path) -> Measured:
        """Train a seed model; only the training is measured."""
        bed, start = self.pool.bed, self.model.base(self.pool.bed, folder)
        args = bed.training(out, epochs=self.model.epochs)
        blind = self.rows(folder).remove_columns(TRUTH)
        return measured(lambda: self.model.train(blind, start, args))

    def cost(self, folder: Path) -> dict[str, Any]:
        """CPU seconds and rows of the seed model, of what each budget needs and, of today's, of all rows."""
        rows = self.rows(folder)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            seed = Path(place, "seed")
            trained, training, _ = self._train(folder, seed)
            scorers = self.pool.scorers(folder, seed)
            line = {"seed model": {"cpu": training, "rows": len(trained)}}
            if self.model.name == TODAY:
                line["all rows"] = _cost_of_all(rows, scorers, Path(place, "all"))
            for budget in BUDGETS:
                name = f"{budget:.0%}"
                line[name] = _cost_of_needed(rows, scorers, budget, Path(place, name))
            return line

    def picks(self, folder: Path, budget: float, seeds: int) -> dict[str, Any]:
        """Score all rows and pick, without a fine-tune."""
        rows, seed = self.rows(folder), self.seed_model(folder)
        scored = score(rows, self.pool.scorers(folder, seed), seed.with_name(f"{seed.name}, all scores"))
        chosen = [select_diverse(scored, budget, method=DEFAULT, seed=number) for number in range(seeds)]
        return {"picks": [{"flaws": composition(scored, each.indices.tolist())["flaws"]} for each in chosen]}

    def trial(self, folder: Path, budget: float, seed: int, warm: bool = False) -> dict[str, Any]:
        """Score the rows that are needed, pick, fine-tune, ask.

        A warm start is that of the seed model, without its rows; otherwise the base model is fine-tuned.
        """
        rows, model = self.rows(folder), self.seed_model(folder)
        scorers = self.pool.scorers(folder, model)
        options: dict[str, Any] = {"method": DEFAULT, "seed": seed}
        if warm:
            options["exclude"] = load_seed_rows(rows.remove_columns(TRUTH), model)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            scored = score_candidates(rows, scorers, budget, place, **options)
            selection = select_diverse(scored, budget, **options)
        line = self.fine_tune(folder, selection, seed, model if warm else None)
        return {**line, "flaws": composition(scored, selection.indices.tolist())["flaws"]}

    def fine_tune(
        self, folder: Path, selection: Selection, seed: int, start: Path | None = None
    ) -> dict[str, Any]:
        """Fine-tune the base model, or another one, and ask."""
        pool = self.pool
        start = start or pool.bed.models(folder)[1]
        held_out = pool.held_out(folder, PART, PARTS[PART] + pool.seed, pool.bed.held_out_rows[PART])
        with tempfile.TemporaryDirectory(dir=folder) as place:
            line = fine_tune(selection, start, pool.bed.training(Path(place), seed), held_out, pool)
        return {**line, "held_out": len(held_out), "rows": len(selection)}


def add(
    results: Path, seeded: Seeded, what: Mapping[str, Any], run: Callable[[Seeded], dict[str, Any]]
) -> None:
    """Run what has no line yet, and add its line."""
    about = {**seeded.about, **what}
    key = ", ".join(map(str, about.values()))
    if key not in read_lines(results):
        line = {"key": key, **about, **run(seeded), "date": str(date.today()), "commit": commit()}
        append_line(results, line)
        print(key, {name: value for name, value in line.items() if name not in ("key", "right")}, flush=True)


def _cost_of_all(rows: Dataset, scorers: Sequence[Scorer], place: Path) -> dict[str, Any]:
    """CPU seconds of the scores of all rows, and of all of choosing 15% of them."""
    scored, scores, _ = measured(lambda: score(rows, scorers, place))
    picking = measured(lambda: select_diverse(scored, 0.15, method=DEFAULT)).cpu
    return {"rows": len(rows), "scores": scores, "cpu": scores + picking}


def _cost_of_needed(rows: Dataset, scorers: Sequence[Scorer], budget: float, place: Path) -> dict[str, Any]:
    """CPU seconds of the scores that a budget needs, and of all of choosing: kinds, copies, picks."""
    scored, choosing, _ = measured(
        lambda: score_candidates(rows, scorers, budget, place / "chosen", method=DEFAULT)
    )
    picking = measured(lambda: select_diverse(scored, budget, method=DEFAULT)).cpu
    needed = rows.select(np.flatnonzero(np.array(scored["necessity_status"]) == "ok"))
    scores = measured(lambda: score(needed, scorers, place / "scores")).cpu
    return {"rows": len(needed), "scores": scores, "cpu": choosing + picking}


def write_page(args: argparse.Namespace) -> None:
    """Fill the tables of docs/results/lazy.md."""
    ours, evidence, plan = list(read_lines(args.results).values()), read_lines(RESULTS), make_plan(args)
    arms = {
        (arm.pools[0].bed.name, arm.budget): (arm, versus.random)
        for versus in plan.versus
        for arm in [versus.default]
        if arm.budget in BUDGETS and arm.pools[0].variant == "flawed"
    }
    tables = {
        "cost": lambda: table([*_cost_rows(ours)]),
        "picks": lambda: table([*_pick_rows(ours, evidence, arms)]),
        "accuracy": lambda: table([*_accuracy_rows(ours, evidence, arms, "all scored")]),
        "random": lambda: table([*_accuracy_rows(ours, evidence, arms, "random")]),
    }
    args.page.write_text(fill(args.page.read_text(), "lazy", tables))
    print(args.page)


Lines = Sequence[Mapping[str, Any]]
Arms = Mapping[tuple[str, float], tuple[Arm, Arm]]


def _cost_rows(lines: Lines) -> Iterator[dict[str, Any]]:
    """CPU seconds, and shares of what today's seed model and scores of all rows take in the same round."""
    costs = defaultdict[tuple[str, str], list[Any]](list)
    for line in lines:
        if line.get("what") == "cost":
            costs[line["testbed"], line["model"]].append(line)
    for bed in POOL_SEEDS:
        for budget in BUDGETS:
            for model in NAMES:
                yield _cost_row(bed, f"{budget:.0%}", model, costs[bed, model], costs[bed, TODAY])


def _cost_row(bed: str, budget: str, model: str, own: Lines, whole: Lines) -> dict[str, Any]:
    """Medians over the rounds."""
    row: dict[str, Any] = {"testbed": bed, "budget": budget, "seed model": model}
    row["rows scored"] = f"{own[0][budget]['rows'] / whole[0]['all rows']['rows']:.0%}"
    row["its training"] = f"{median(line['seed model']['cpu'] for line in own):.1f} s"
    row["scores"] = f"{median(line[budget]['scores'] for line in own):.1f} s"
    for title, name in (("of training and scores", "scores"), ("of all of choosing", "cpu")):
        every = [line["seed model"]["cpu"] + line["all rows"][name] for line in whole]
        some = [line["seed model"]["cpu"] + line[budget][name] for line in own]
        share = median(part / of for part, of in zip(some, every, strict=True))
        row[title] = f"{share:.0%} of {median(every):.0f} s"
    return row


def pool_trials(lines: Lines, bed: str, **values: Any) -> list[list[Mapping[str, Any]]]:
    """Each pool's lines with these values, as many of each; none if a pool has fewer than two."""
    values["testbed"] = bed
    own = [line for line in lines if all(line.get(name) == value for name, value in values.items())]
    pools = [[line for line in own if line["pool"] == pool] for pool in POOL_SEEDS[bed]]
    seeds = min(map(len, pools))
    return [pool[:seeds] for pool in pools] if seeds > 1 else []


def _cold_trials(lines: Lines, bed: str, budget: float, model: str) -> list[list[Mapping[str, Any]]]:
    """Those that fine-tune the base model."""
    return pool_trials(lines, bed, model=model, budget=f"{budget:.0%}", start=None)


def _pick_rows(lines: Lines, evidence: Mapping[str, Any], arms: Arms) -> Iterator[dict[str, Any]]:
    """Shares of flaws, means over pools and seeds; the range is that of the runs."""
    for (bed, budget), (arm, _) in arms.items():
        yield _shares(bed, budget, "all", TODAY, list(chain.from_iterable(arm.lines(evidence))))
        for model in NAMES:
            if own := list(chain.from_iterable(_cold_trials(lines, bed, budget, model))):
                of = {"testbed": bed, "model": model, "what": "picks", "of": f"{budget:.0%}"}
                whole = [pick for line in lines if of.items() <= line.items() for pick in line["picks"]]
                if whole:
                    yield _shares(bed, budget, "all", model, whole)
                yield _shares(bed, budget, "those needed", model, own)


def _shares(bed: str, budget: float, scored: str, model: str, trials: Lines) -> dict[str, Any]:
    row = {"testbed": bed, "budget": f"{budget:.0%}", "rows scored": scored, "seed model": model}
    for flaw in ("none", "wrong", "blind", "duplicate"):
        shares = [trial["flaws"].get(flaw, 0) for trial in trials]
        spread = f"{np.mean(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})"
        row["sound" if flaw == "none" else flaw] = spread
    return row


def _accuracy_rows(
    lines: Lines, evidence: Mapping[str, Any], arms: Arms, against: str
) -> Iterator[dict[str, Any]]:
    """The difference of what few scores pick from what all scores or chance pick, on the same pools."""
    for (bed, budget), (all_scored, random) in arms.items():
        arm = {"all scored": all_scored, "random": random}[against]
        for model in NAMES:
            if own := _cold_trials(lines, bed, budget, model):
                right = [right_of(trials) for trials in own]
                yield {
                    "testbed": bed,
                    "budget": f"{budget:.0%}",
                    "seed model": model,
                    against: spread(arm, evidence, "accuracy"),
                    "those needed scored": mean_accuracy(right),
                    **interval(pooled_difference(right, arm.right(evidence))),
                }


def right_of(trials: Lines) -> NDArray[np.float64]:
    """Right answers of shape (seeds, held-out rows)."""
    return np.array([bits_of(trial["right"], trial["held_out"]) for trial in trials])


def mean_accuracy(right: Sequence[NDArray[np.float64]]) -> str:
    """The mean over pools, each with right answers of shape (seeds, held-out rows)."""
    return f"{np.mean([pool.mean() for pool in right]):.3f} ({len(right)} pools x {len(right[0])})"


def main() -> None:
    """Parse the command line and run the command."""
    parser, _ = results_commands(__doc__, (trials, picks, costs), write_page, OURS, PAGE)
    run_command(parser, OURS)


if __name__ == "__main__":
    main()
