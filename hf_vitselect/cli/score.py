"""`score`: add score and embedding columns to a pool."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Literal

from datasets import Dataset, Value

from hf_vitselect.call_text import write_call
from hf_vitselect.cli.command import PoolFacts
from hf_vitselect.cli.flags import (
    ModelCommand,
    PoolFlags,
    flag,
    given_flags,
    parse_budget,
    read_object,
    refuse_large_budget,
)
from hf_vitselect.cli.pool import load_rows, pool_options
from hf_vitselect.cli.summary import Summary, command_line
from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.image_files import missing_images
from hf_vitselect.data.pools import load_pool, load_stream
from hf_vitselect.data.refusals import Refusals
from hf_vitselect.errors import AllRefusedError, UsageError, nearest
from hf_vitselect.models.weights import refuse_unknown_dtype
from hf_vitselect.rules import KCenter, Rule, TopScore
from hf_vitselect.scorers import SCORERS, SIGNALS, ClipEmbedding, ClipScore, JudgeScore, TextEmbedding
from hf_vitselect.scorers.base.scorer import Scorer, refuse_taken
from hf_vitselect.scoring.ranks import Rank
from hf_vitselect.scoring.score import score
from hf_vitselect.selection.lazy import score_candidates
from hf_vitselect.selection.method import CleanBalanced, Method, read_method


def _default_column(kind: Any) -> str:
    return str(signature(kind).parameters["column"].default)


Fit = partial[Scorer]
"""What `fit` of a scorer's class needs but for the pool, as `read_call` gives it."""

_ONLY_WITH = {"clip_name_or_path": ["clip_score"], "judge": ["judge_base_url"]}
"""Flags that do nothing without another one."""
_BUDGET = 0.15
_ALL = "all"


@dataclass(kw_only=True)
class Score(PoolFlags, ModelCommand):
    """Score a pool and save it, with the new columns, to the folder `scored`."""

    output_dir: str = flag("Where the shards go, and the scored pool, into its folder 'scored'.", "scored")
    model_name_or_path: str | None = flag("The seed model, for the columns of 'signals'.", None)
    signals: list[str] = flag(
        f"Columns from the seed model: {', '.join(SIGNALS)}; by default those that the default method uses.",
        CleanBalanced().signals,
    )
    suffix: str = flag("Appended to the names of the seed model's columns.", "")
    clip_name_or_path: str | None = flag("A CLIP model, for the column 'embedding'.", None)
    clip_score: bool = flag("Whether the CLIP model also gives the column 'clip_score'.", False)
    text_name_or_path: str | None = flag("A sentence-transformers model, for the column 'embedding'.", None)
    judge: str | None = flag("The name of a chat model, for the column 'judge'.", None)
    judge_base_url: str | None = flag("The judge's OpenAI-compatible endpoint; the Hub's if not set.", None)
    scorers: list[str] = flag(
        "Further scorers with their arguments, such as 'GraNdScorer(model=\"seed\")', of "
        f"{', '.join(SCORERS)}.",
        [],
    )
    budget: str = flag(
        "Score only the rows that a selection of this budget may need: rows (1200), a share (0.15), or all.",
        _ALL,
    )
    method: str | None = flag("With budget: how the selection picks, by default 'CleanBalanced()'.", None)
    seed: int = flag("With budget: the selection's seed.", 0)
    exclude: str | None = flag(
        "With budget: rows that the selection leaves out: those of a selection, or of a seed model.", None
    )
    shard_size: int = flag("Rows per shard; a crash loses at most the unfinished shards.", 500)
    workers: int | None = flag("Worker processes; by default one per GPU if there are several.", None)
    engine: Literal["local", "ray"] = flag("'local', or 'ray' for workers on a Ray cluster.", "local")
    dataset_streaming: bool = flag("Whether to read the pool as a stream, in constant memory.", False)
    least: ClassVar[Mapping[str, int]] = {"shard_size": 1, "workers": 1, "seed": 0}
    example = (
        "--dataset_name demo/data/pool --model_name_or_path demo/seed --batch_size 64 "
        "--clip_name_or_path demo/clip --output_dir scored"
    )

    @cached_property
    def named_scorers(self) -> list[Scorer | Fit]:
        """The scorers given as text, read once."""
        return [read_object("scorers", text, SCORERS) for text in self.scorers]

    @property
    def named_columns(self) -> list[str]:
        """The main columns of the scorers given as text."""
        return [main_column(scorer) for scorer in self.named_scorers]

    @cached_property
    def all_scorers(self) -> list[Scorer | Fit]:
        """The scorers that the flags name, made once; one that is fitted to a pool waits for it."""
        made = list[Scorer | Fit]()
        if unknown := [signal for signal in self.signals if signal not in SIGNALS]:
            near = nearest(unknown[0], SIGNALS)
            raise UsageError(f"signals: expected some of {list(SIGNALS)}, got {unknown}{near}")
        if model := self.model_name_or_path:
            options = self.model_options
            made += [
                SIGNALS[signal](model, column=f"{signal}{self.suffix}", **options) for signal in self.signals
            ]
        if clip := self.clip_name_or_path:
            made += [ClipEmbedding(clip), *[ClipScore(clip)] * self.clip_score]
        if self.text_name_or_path:
            made.append(TextEmbedding(self.text_name_or_path))
        if self.judge:
            made.append(JudgeScore(self.judge, base_url=self.judge_base_url))
        made += self.named_scorers
        columns = [main_column(scorer) for scorer in made]
        if twice := [column for column in columns if columns.count(column) > 1]:
            raise UsageError(f"expected one scorer for the column {twice[0]!r}, got more: give it once")
        return made

    def check(self) -> None:
        """Refuse flags that no scorer can follow, before a pool is read."""
        refuse_unknown_dtype(self.model_options["dtype"])
        scorers = self.all_scorers
        for text, scorer in zip(self.scorers, self.named_scorers, strict=True):
            try:
                refuse_unknown_dtype(getattr(_unfitted(scorer), "dtype", "auto"))
            except ValueError as error:
                raise UsageError(f"scorers: {text}: {error}") from error
        given = given_flags(self) | given_flags(self.model_flags)
        needs = {"model_name_or_path": ["signals", "suffix", *vars(self.model_flags)], **_ONLY_WITH}
        for needed, names in needs.items():
            if alone := [name for name in names if name in given and needed not in given]:
                raise UsageError(f"{alone[0]}: expected {needed} with it, got {given[alone[0]]!r} alone")
        if not scorers:
            models = "model_name_or_path, clip_name_or_path, text_name_or_path, judge or scorers"
            raise UsageError(f"nothing to score: give {models}")
        self._check_draw(scorers)
        if self.dataset_streaming and not any(isinstance(scorer, Scorer) for scorer in scorers):
            raise UsageError("dataset_streaming: expected a scorer that needs no fit to the pool, got none")

    def _check_draw(self, scorers: Sequence[Scorer | Fit]) -> None:
        """Refuse to score a part of the rows where all of them are needed."""
        if self.budget == _ALL:
            for name in ("method", "seed", "exclude"):
                if value := getattr(self, name):
                    raise UsageError(f"{name}: expected budget with it, got {value!r} alone")
            return
        parse_budget(self.budget)
        if not self.chosen_method.picks_at_random:
            raise UsageError(
                f"budget: expected a method that draws rows at random, got {self.method}, which needs the "
                "scores of all rows; leave budget out"
            )
        if self.dataset_streaming:
            raise UsageError("budget: expected a pool that is not streamed; leave dataset_streaming out")
        if any(_waits_for_pool(scorer) for scorer in scorers):
            raise UsageError("budget: expected scorers that need no fit to the pool; leave budget out")

    @property
    def chosen_method(self) -> Method:
        """The method for whose picks rows are scored."""
        return CleanBalanced() if self.method is None else read_method(self.method)

    def check_inputs(self, pool: PoolFacts | None) -> None:
        """Refuse a pool that is not of conversations, has a scorer's columns, or lacks those of a fit."""
        if pool is None:
            return
        refuse_reserved(dict.fromkeys(pool.columns))
        find_layout(pool.columns)
        if self.budget != _ALL:
            refuse_large_budget(self.budget, pool.rows)
        columns = list(pool.columns)
        for scorer in sorted(self.all_scorers, key=_waits_for_pool):
            unfitted = _unfitted(scorer, columns)
            refuse_taken(type(unfitted).__name__, _columns_of(unfitted), columns)
            columns += _columns_of(unfitted)

    def added_columns(self) -> list[str]:
        """The columns of the scorers; no model is loaded."""
        names = [name for scorer in self.all_scorers for name in _columns_of(_unfitted(scorer))]
        return list(dict.fromkeys(names))

    def run(self) -> Summary:
        """Score and save."""
        load = load_stream if self.dataset_streaming else load_pool
        pool = load(self.dataset_name, **pool_options(self))
        settings = {"shard_size": self.shard_size, "workers": self.workers, "engine": self.engine}
        scorers, folder = self.all_scorers, Path(self.output_dir)
        if self.budget == _ALL:
            return score_and_save(pool, scorers, folder, score, **settings)
        budget, method = parse_budget(self.budget), self.chosen_method
        exclude = load_rows(pool, self.exclude)
        run = partial(score_candidates, budget=budget, method=method, seed=self.seed, exclude=exclude)
        summary = score_and_save(pool, scorers, folder, run, **settings)
        select = command_line(
            "select",
            dataset_name=folder / "scored",
            budget=self.budget,
            method=write_call(method) if method != CleanBalanced() else None,
            seed=self.seed or None,
            exclude=self.exclude,
            output_dir="selection",
        )
        return replace(summary, next=[select])


def main_column(scorer: Scorer | Fit) -> str:
    """The scorer's main column."""
    if isinstance(scorer, Scorer):
        return scorer.column
    fit: Any = scorer.func
    return str(scorer.keywords.get("column", _default_column(fit.__self__)))


def _waits_for_pool(scorer: Scorer | Fit) -> bool:
    return not isinstance(scorer, Scorer)


def _unfitted(scorer: Scorer | Fit, columns: Sequence[str] | None = None) -> Scorer:
    """The scorer, of one that waits for its pool without what it learns there; its arguments are checked."""
    if isinstance(scorer, Scorer):
        return scorer
    fit: Any = scorer.func
    unfitted: Scorer = fit.__self__.check_fit(columns, **scorer.keywords)
    return unfitted


def _columns_of(scorer: Scorer) -> list[str]:
    """All columns that the scorer adds; no model is loaded."""
    # An embedding has no further columns, and its width is known to its model alone.
    embeds = isinstance(scorer, ClipEmbedding | TextEmbedding)
    values = [scorer.column] if embeds else list(scorer.values)
    return [*values, scorer.status_column, scorer.reason_column]


def score_and_save(
    pool: Any,
    scorers: Sequence[Scorer | Fit],
    folder: Path,
    score: Callable[..., Dataset] = score,
    **settings: Any,
) -> Summary:
    """Score a pool, save it to the folder `scored`, and say what came out.

    Scorers that are fitted to the pool come last, so that they find the other ones' columns in it. A pool of
    which every row was refused is saved too: it holds the reasons.
    """
    place, columns = folder / "scored", [main_column(scorer) for scorer in scorers]
    try:
        if ready := [scorer for scorer in scorers if isinstance(scorer, Scorer)]:
            pool = score(pool, ready, output_dir=folder / "shards", **settings)
        for fit in scorers:
            if not isinstance(fit, Scorer):
                pool = score(pool, fit(pool), output_dir=folder / f"shards_{main_column(fit)}", **settings)
    except AllRefusedError as error:
        if error.scored is not None and Rank.here().number == 0:
            error.scored.save_to_disk(str(place))
        raise
    if Rank.here().number == 0:
        pool.save_to_disk(str(place))
    refusals = {column: Refusals.read(pool, column) for column in columns}
    facts = {"rows": f"{len(pool):,}"}
    if not_scored := len(pool) - refusals[columns[0]].rows:
        facts["not scored"] = f"{not_scored:,} rows, which the selection does not need"
    for name, counts in refusals.items():
        refused = f", {counts.refused:,} refused: {counts}" if counts.refused else ""
        facts[name] = f"{counts.rows - counts.refused:,} scored{refused}"
    facts["missing images"] = missing_images(pool, columns)
    return Summary({**facts, "saved to": str(place)}, [_select_line(pool, refusals, place)])


def _select_line(scored: Dataset, refusals: Mapping[str, Refusals], folder: Path) -> str:
    """A selection that this pool allows: the default by necessity, or the highest other scores."""
    kinds = scored.features
    numbers = [c for c in refusals if isinstance(kinds[c], Value) and kinds[c].dtype != "string"]
    vectors = [c for c in refusals if not isinstance(kinds[c], Value)]
    vectors += ["embedding"] * (not vectors and "embedding" in kinds)
    by, over = (names[0] if names else None for names in (numbers, vectors))
    rule: Rule | None = KCenter() if by is None else None if by == Method.by else TopScore()
    usable = min(counts.rows - counts.refused for name, counts in refusals.items() if name in (by, over))
    return command_line(
        "select",
        dataset_name=folder,
        budget=_BUDGET if usable > _BUDGET * len(scored) else max(1, usable // 2),
        by=by if by != Method.by else None,
        over=over if over != Method.over else None,
        rule=rule and write_call(rule),
        output_dir="selection",
    )
