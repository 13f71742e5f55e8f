"""The pools that methods are tried on: rendered, scored by a seed model of their own, kept in a folder.

    <folder>/<testbed>/captions, clip, base                       once a testbed
    <folder>/<testbed>/<variant>/pool<seed>/data, seed, scored    once a pool
    <folder>/<testbed>/<variant>/pool<seed>/<part><seed>/rows     its held-out rows

Every stage resumes and refuses what was made with other settings (`hf_vitselect.resume`).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from datasets import Dataset, concatenate_datasets, load_from_disk
from trl import SFTConfig

from hf_vitselect import (
    ClipEmbedding,
    ImageGain,
    NecessityScorer,
    ScoreNet,
    ScoreNetScorer,
    Scorer,
    score,
)
from hf_vitselect.demo import (
    SETTINGS,
    Composition,
    DemoSettings,
    Shapes,
    World,
    build_base,
    build_base_clip,
    render_captions,
    render_held_out,
    render_pool,
    small_training,
)
from hf_vitselect.errors import UsageError
from hf_vitselect.resume import Run
from hf_vitselect.selection import Method
from hf_vitselect.training import ScoreNetTrainer, train_seed_model
from trials.garments import Garments

TRUTH = ("kind", "flaw", "scene", "group")
"""Columns that say what a row is; no method may read them."""

HELD_OUT_ROWS = {"validation": 4000, "test": 10_000}
TINY = DemoSettings(pool_rows=80, caption_rows=32, clip_epochs=1, tune_epochs=2, clip_batch_size=16)

FLAWED = Composition()
FLAWLESS = Composition(duplicates=0, wrong=0, blind=0)


@dataclass(frozen=True)
class Bed:
    """A world with its models and the variants of its pool.

    Attributes:
        settings: sizes and training settings.
        variants: compositions of the pool by name.
        held_out_rows: of each part.
        worlds: from a part (`captions`, `pool`, `validation` or `test`) to the world that it is drawn from.
    """

    name: str
    settings: DemoSettings
    variants: dict[str, Composition]
    worlds: Callable[[str], World]
    held_out_rows: dict[str, int]

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that results depend on, as plain JSON; budget and held-out rows are a trial's."""
        others = ("held_out_rows", "budget", "scoring_batch_size")
        return {name: value for name, value in asdict(self.settings).items() if name not in others}

    def captions(self, run: Run) -> Dataset:
        """The rows that CLIP and base model learn from."""
        world = self.worlds("captions")

        def render(out: Path) -> None:
            render_captions(self.settings.caption_rows, 2, world=world).save_to_disk(str(out))

        return load_from_disk(str(run.stage("captions", self.identity, render)))

    def models(self, folder: Path) -> tuple[Path, Path]:
        """The folders of the CLIP and of the base model, built unless they exist."""
        run, world = Run(folder / self.name), self.worlds("captions")
        captions = self.captions(run)
        clip = run.stage("clip", {}, partial(build_base_clip, self.settings, captions, world=world))
        base = run.stage("base", {}, partial(build_base, self.settings, captions, clip, world=world))
        return clip, base

    def training(self, out: Path, seed: int = 0, epochs: int | None = None) -> SFTConfig:
        """The settings of a fine-tune."""
        return small_training(
            out,
            epochs=self.settings.tune_epochs if epochs is None else epochs,
            batch_size=self.settings.tune_batch_size,
            learning_rate=self.settings.tune_learning_rate,
            seed=seed,
        )

    def alignment(self, out: Path) -> SFTConfig:
        """The settings with which a model is aligned on the captions."""
        args = self.training(out, epochs=self.settings.align_epochs)
        args.per_device_train_batch_size = self.settings.align_batch_size
        args.learning_rate = self.settings.align_learning_rate
        return args


@dataclass(frozen=True)
class Pool:
    """One pool of a bed: a variant and a seed."""

    bed: Bed
    variant: str
    seed: int

    @property
    def composition(self) -> dict[str, Any]:
        """What the pool consists of, as plain JSON."""
        return asdict(self.bed.variants[self.variant])

    def scored(self, folder: Path, method: Method | None = None) -> Dataset:
        """The scored pool, truth included.

        Args:
            folder: of all testbeds.
            method: adds the scores that it needs besides necessity, image gain and embedding.
        """
        _, base = self.bed.models(folder)
        run, settings = Run(self.folder(folder)), self.bed.settings
        data = run.stage("data", {"rows": settings.pool_rows, **self.composition}, self._render)
        seed = run.stage("seed", self.bed.identity, partial(self._train_seed, data, base))
        scored = run.stage("scored", {}, partial(self._score, folder, data))
        parts = [load_from_disk(str(scored))]
        for scorer in more_scorers(method, seed, settings.scoring_batch_size):
            run = Run(self.folder(folder) / scorer.column)
            added = run.stage("scored", {}, partial(_add_columns, scored, scorer))
            parts.append(load_from_disk(str(added)))
        if uses_score_net(method):
            run = Run(self.folder(folder) / "score_net")
            net = run.stage("net", self.bed.identity, partial(self._train_score_net, scored, base))
            scorer = ScoreNetScorer(str(net / "score_net"))
            added = run.stage("scored", {}, partial(_add_columns, scored, scorer))
            parts.append(load_from_disk(str(added)))
        return concatenate_datasets(parts, axis=1) if len(parts) > 1 else parts[0]

    def scorers(self, folder: Path, seed: Path | None = None) -> list[Scorer]:
        """Those of necessity, image gain and embedding, by the pool's seed model or another one."""
        clip, _ = self.bed.models(folder)
        seed, size = seed or self.folder(folder) / "seed", self.bed.settings.scoring_batch_size
        necessity, gain = (kind(str(seed), batch_size=size) for kind in (NecessityScorer, ImageGain))
        return [necessity, gain, ClipEmbedding(str(clip))]

    def held_out(self, folder: Path, part: str, seed: int, rows: int) -> Dataset:
        """Held-out rows for this pool's trials; their kinds are even in all variants."""
        run, world = Run(self.folder(folder) / f"{part}{seed}"), self.bed.worlds(part)

        def render(out: Path) -> None:
            render_held_out(rows, seed, world=world).save_to_disk(str(out))

        return load_from_disk(str(run.stage("rows", {"rows": rows}, render)))

    def folder(self, folder: Path) -> Path:
        """The pool's own folder, in that of all testbeds."""
        return folder / self.bed.name / self.variant / f"pool{self.seed}"

    def _render(self, out: Path) -> None:
        world, composition = self.bed.worlds("pool"), self.bed.variants[self.variant]
        rows = self.bed.settings.pool_rows
        render_pool(rows, self.seed, world=world, composition=composition).save_to_disk(str(out))

    def _train_seed(self, data: Path, base: Path, out: Path) -> None:
        pool = load_from_disk(str(data)).remove_columns(TRUTH)
        share, args = self.bed.settings.seed_share, self.bed.training(out)
        train_seed_model(pool, str(base), share, args, freeze_vision=False)

    def _score(self, folder: Path, data: Path, out: Path) -> None:
        score(load_from_disk(str(data)), self.scorers(folder)).save_to_disk(str(out))

    def _train_score_net(self, scored: Path, base: Path, out: Path) -> None:
        """Self-Filter's stage 1, on the embedding, with the paper's batch and epochs."""
        pool = load_from_disk(str(scored))
        args = replace(self.bed.training(out, epochs=3), per_device_train_batch_size=16)
        net = ScoreNet.fit(pool, ["embedding"])
        trainer = ScoreNetTrainer(str(base), pool=pool, score_net=net, args=args)
        trainer.train()
        trainer.save_model()


def uses_score_net(method: Method | None) -> bool:
    """Whether the method reads Self-Filter's difficulty."""
    return method is not None and method.by == "score_net"


def more_scorers(method: Method | None, seed: Path, batch_size: int = 8) -> list[Scorer]:
    """The scorers of the seed model that a method needs and pools do not have anyway."""
    if method is None:
        return []
    plain = replace(method, by="necessity") if uses_score_net(method) else method
    scorers = plain.scorers(str(seed), clip="of the pool", batch_size=batch_size)
    return [scorer for scorer in scorers if scorer.column not in ("necessity", "image_gain", "embedding")]


def _add_columns(scored: Path, scorer: Scorer, out: Path) -> None:
    pool = load_from_disk(str(scored))
    added = score(pool, scorer)
    added.select_columns([name for name in added.column_names if name not in pool.column_names]).save_to_disk(
        str(out)
    )


def known_beds(fashion: Path | None = None, tiny: bool = False) -> dict[str, Bed]:
    """The demo's testbed and the garments, which are drawn from the folder of Fashion-MNIST's files."""
    settings, rows = (TINY, {"validation": 30, "test": 40}) if tiny else (SETTINGS, HELD_OUT_ROWS)
    variants = {"flawed": FLAWED, "clean": FLAWLESS, "wrong 20%": replace(FLAWED, wrong=0.2)}
    variants["no duplicates"] = replace(FLAWED, duplicates=0)
    demo = Bed("demo", settings, variants, _shapes, rows)
    variants = variants | {"long-tailed": replace(FLAWED, rare=("where", "count", "sort"))}
    settings = replace(settings, caption_rows=2 * settings.caption_rows, clip_epochs=3)
    garments = Bed("garments", settings, variants, partial(_garments, fashion), rows)
    return {"demo": demo, "garments": garments}


@cache
def _garments(fashion: Path | None, part: str) -> World:
    if fashion is None:
        raise UsageError(
            "expected the folder of Fashion-MNIST's files for the garments, got none; give --fashion"
        )
    return Garments(fashion, part)


def _shapes(part: str) -> World:
    return Shapes(held_out=part in ("validation", "test"))
