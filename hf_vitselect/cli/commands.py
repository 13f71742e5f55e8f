"""The commands: each from its parsed flags to its result on disk or on the Hub."""

import dataclasses
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_type_hints

from datasets import Dataset
from trl import ModelConfig, SFTConfig, get_peft_config, get_quantization_config

from hf_vitselect.call_text import fits, read_call, type_words
from hf_vitselect.cli.arguments import (
    CompareArguments,
    PoolArguments,
    PromptArguments,
    PushArguments,
    ReportArguments,
    ScoreArguments,
    ScoreNetArguments,
    SeedArguments,
    SelectArguments,
    TrainArguments,
    parse_budget,
)
from hf_vitselect.cli.summary import (
    Summary,
    command_line,
    dropped,
    of_scored,
    of_seed,
    of_selection,
    train_line,
)
from hf_vitselect.data.columns import LENGTHS, refuse_missing
from hf_vitselect.data.pools import SplitError, open_pool, open_stream
from hf_vitselect.errors import AllRefusedError, UsageError, nearest, nearest_path
from hf_vitselect.evaluation.by_name import find_evaluation
from hf_vitselect.evaluation.checks import refuse_unable
from hf_vitselect.evaluation.compare import compare
from hf_vitselect.evaluation.held_out import Evaluation
from hf_vitselect.evaluation.methods import Method, parse_method
from hf_vitselect.evaluation.trials import Setup
from hf_vitselect.hub import push_to_hub
from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.report import Publish, write_report
from hf_vitselect.rules import RULES
from hf_vitselect.rules.base import Rule
from hf_vitselect.scorers import (
    ClipEmbedding,
    ClipScore,
    EL2NScorer,
    ImageGain,
    JudgeScore,
    NecessityScorer,
    PerplexityScorer,
    QuestionGain,
    ScoreNetScorer,
    TextEmbedding,
    UPDScorer,
)
from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.scorers.base.scorer import Scorer, refuse_overwrite
from hf_vitselect.scoring.ranks import Rank
from hf_vitselect.scoring.score import score
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.candidates import refuse_missing_columns
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection, refuse_other_contents
from hf_vitselect.training import ScoreNetTrainer, SelectionSFTTrainer, load_seed_rows, train_seed_model
from hf_vitselect.training.seed import ROWS_FILE


def load_pool(args: PoolArguments) -> Dataset:
    """The pool that the flags name.

    Raises:
        PoolError: if there is none, or it cannot be read.
    """
    return open_pool(args.dataset_name, args.dataset_config, args.dataset_train_split)


def make_rule(args: SelectArguments) -> Rule:
    """The rule that the flags name, with its own flags.

    Raises:
        ValueError: if there is no such rule, or it has no such flag.
    """
    kind = type(read_call(args.rule, RULES))
    flags = {item.name for each in RULES.values() for item in dataclasses.fields(each)}  # type: ignore[arg-type]
    given = {name: getattr(args, name) for name in flags if getattr(args, name, None) is not None}
    given |= _rule_kwargs(args.rule_kwargs)
    if str(given.get("groups")).isdigit():
        given["groups"] = int(given["groups"])
    foreign = sorted(given.keys() - {parameter.name for parameter in dataclasses.fields(kind)})  # type: ignore[arg-type]
    if foreign:
        raise UsageError(f"{args.rule} has no {foreign}; remove them or choose the rule that has")
    hints = get_type_hints(kind)
    for name, value in given.items():
        if not fits(value, hints[name]):
            raise UsageError(f"{args.rule}: expected {name} to be {type_words(hints[name])}, got {value!r}")
    return kind(**given)


def _rule_kwargs(text: str | None) -> dict[str, Any]:
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise UsageError(
            f"rule_kwargs: expected JSON such as '{{\"gamma\": 1.0}}', got {text!r}: {error}"
        ) from error
    if not isinstance(given, dict):
        raise UsageError(f"rule_kwargs: expected names and their values, got {text!r}")
    return given


def seed_command(
    args: SeedArguments, model: ModelConfig, training: SFTConfig, prompt: PromptArguments
) -> Summary:
    """Fine-tunes the seed model and keeps the rows it was trained on."""
    selection = train_seed_model(
        load_pool(args),
        model.model_name_or_path,
        parse_budget(args.budget),
        with_model_options(model, training),
        peft_config=get_peft_config(model),
        quantization_config=get_quantization_config(model),
        processing_class=prompt.processor_name_or_path,
        end_of_turn=prompt.end_of_turn,
        seed=training.seed,
    )
    return of_seed(selection, _pool_flags(args), str(training.output_dir))


def score_command(args: ScoreArguments, prompt: PromptArguments) -> Summary:
    """Scores a pool and saves it, columns joined, to the folder `scored`."""
    scorers: list[Scorer] = []
    check_score(args)
    if args.model_name_or_path:
        scorers += [
            _SIGNALS[signal](
                args.model_name_or_path,
                column=f"{signal}{args.suffix}",
                processor=prompt.processor_name_or_path,
                revision=args.model_revision,
                dtype=args.dtype,
                batch_size=args.batch_size,
                batch_tokens=args.batch_tokens,
                attn_implementation=args.attn_implementation,
                torch_compile=args.torch_compile,
                max_length=args.max_length,
                end_of_turn=prompt.end_of_turn,
                trust_remote_code=args.trust_remote_code,
            )
            for signal in args.signals
        ]
    if args.clip_name_or_path:
        scorers.append(ClipEmbedding(args.clip_name_or_path))
        if args.clip_score:
            scorers.append(ClipScore(args.clip_name_or_path))
    if args.text_name_or_path:
        scorers.append(TextEmbedding(args.text_name_or_path))
    if args.judge:
        scorers.append(JudgeScore(args.judge, base_url=args.judge_base_url))
    if not scorers:
        raise ValueError(
            "nothing to score: give model_name_or_path, clip_name_or_path, text_name_or_path or judge"
        )
    pool = (
        open_stream(args.dataset_name, args.dataset_config, args.dataset_train_split)
        if args.dataset_streaming
        else load_pool(args)
    )
    shards, place = Path(args.output_dir, "shards"), Path(args.output_dir, "scored")
    options: dict[str, Any] = {"shard_size": args.shard_size, "workers": args.workers, "engine": args.engine}
    return of_scored(
        _score_and_save(pool, scorers, shards, place, **options), [it.column for it in scorers], place
    )


def _score_and_save(
    pool: Any, scorers: Sequence[Scorer], shards: Path, place: Path, **options: Any
) -> Dataset:
    """Saves the scored pool, also where every row was refused: there stand the reasons."""
    try:
        scored = score(pool, scorers, shards, **options)
    except AllRefusedError as error:
        if error.scored is not None and Rank.here().number == 0:
            error.scored.save_to_disk(str(place))
        raise
    if Rank.here().number == 0:
        scored.save_to_disk(str(place))
    return scored


def score_net_command(
    args: ScoreNetArguments, model: ModelConfig, training: SFTConfig, prompt: PromptArguments
) -> Summary:
    """Trains score net and model together; saves the pool with its difficulty to the folder `scored`."""
    pool, out = load_pool(args), Path(training.output_dir)
    refuse_overwrite(ScoreNetScorer(str(out / "score_net")), pool.column_names)
    trainer = ScoreNetTrainer(
        model.model_name_or_path,
        pool=pool,
        score_net=ScoreNet.fit(pool, args.columns, hidden=args.hidden, seed=training.seed),
        args=with_model_options(model, training),
        peft_config=get_peft_config(model),
        quantization_config=get_quantization_config(model),
        processing_class=prompt.processor_name_or_path,
        end_of_turn=prompt.end_of_turn,
    )
    trainer.train(resume_from_checkpoint=trainer.args.resume_from_checkpoint)
    trainer.save_model()
    scorer = ScoreNetScorer(str(out / "score_net"))
    return of_scored(
        _score_and_save(pool, [scorer], out / "shards", out / "scored"), [scorer.column], out / "scored"
    )


def select_command(args: SelectArguments) -> Summary:
    """Picks the subset and saves the selection."""
    rule, budget = make_rule(args), parse_budget(args.budget)
    if args.balance is None and args.balance_quota != SelectArguments.balance_quota:
        raise UsageError(f"balance_quota: expected balance with it, got {args.balance_quota!r} alone")
    out = Path(args.output_dir)
    refuse_other_contents(out)
    if out.resolve() in (path := Path(args.dataset_name).resolve(), *path.parents):
        raise UsageError(
            f"output_dir: expected another folder than the pool's, got {args.output_dir!r}: "
            "it would be replaced"
        )
    pool = load_pool(args)
    selection = select_diverse(
        pool,
        budget,
        by=args.by,
        over=args.over,
        rule=rule,
        seed=args.seed,
        include=_chosen_rows(pool, args.include),
        exclude=_chosen_rows(pool, args.exclude),
        balance=args.balance,
        balance_quota=args.balance_quota,  # type: ignore[arg-type]
    )
    selection.save_to_disk(args.output_dir)
    return of_selection(selection, args.output_dir)


def train_command(
    args: TrainArguments, model: ModelConfig, training: SFTConfig, prompt: PromptArguments
) -> Summary:
    """Fine-tunes on a selection, saves the model and its card, and pushes them if asked to."""
    selection = load_selection(args.selection)
    trainer = SelectionSFTTrainer(
        model.model_name_or_path,
        selection=selection,
        args=with_model_options(model, training),
        peft_config=get_peft_config(model),
        quantization_config=get_quantization_config(model),
        processing_class=prompt.processor_name_or_path,
        end_of_turn=prompt.end_of_turn,
    )
    trainer.train(resume_from_checkpoint=trainer.args.resume_from_checkpoint)
    trainer.save_model()
    trainer.create_model_card()
    pushed = trainer.push_to_hub() if training.push_to_hub else None
    loss = next((entry["train_loss"] for entry in trainer.state.log_history if "train_loss" in entry), None)
    return Summary(
        {
            "rows": f"{len(selection):,} of a pool of {selection.recipe.rows:,}",
            "steps": f"{trainer.state.global_step:,}",
            "mean loss": None if loss is None else f"{loss:.3f} nats a token",
            "saved to": training.output_dir,
            "pushed to": pushed,
        },
        [
            command_line(
                "compare",
                dataset_name="SCORED_POOL",
                eval_dataset_name="HELD_OUT",
                selections=args.selection,
                model_name_or_path=model.model_name_or_path,
                output_dir="compare",
                use_cpu="true" if training.use_cpu else None,
            )
        ],
    )


def compare_command(
    args: CompareArguments, model: ModelConfig, training: SFTConfig, prompt: PromptArguments
) -> Summary:
    """Compares selections with random rows."""
    methods, pool, held_out = _methods(args.selections, args.by), load_pool(args), _load_held_out(args)
    comparison = compare(
        pool,
        methods,
        model.model_name_or_path,
        _evaluations(args, held_out, training, prompt),
        training.output_dir,
        budgets=[parse_budget(budget) for budget in args.budgets],
        seeds=args.seeds,
        args=with_model_options(model, training),
        peft_config=get_peft_config(model),
        processor=prompt.processor_name_or_path,
        end_of_turn=prompt.end_of_turn,
        by=args.by,
        matched=args.matched,
        full=args.full,
        columns=args.columns,
        processes=args.processes,
    )
    out = Path(training.output_dir)
    folders = [folder for text in args.selections for folder in (text, text.partition("=")[2]) if folder]
    saved = next((folder for folder in folders if Path(folder, "recipe.json").exists()), None)
    first = next(iter(methods.values()))
    if saved is None and isinstance(first, Method):
        next_line = _select_line(args, first)
    else:
        run_dir = out.parent if out.name == "compare" else None
        next_line = command_line("report", selection=saved, run_dir=run_dir, output_dir="report")
    return Summary(
        {
            "rows": f"{len(pool):,} in the pool, {len(held_out):,} held out",
            "saved to": ", ".join(str(out / f"comparison.{kind}") for kind in ("md", "json", "png")),
        },
        [next_line],
        str(comparison),
    )


def _select_line(args: CompareArguments, method: Method) -> str:
    """The command that selects as a method of a comparison does."""
    fields = dataclasses.fields(method.rule)  # type: ignore[arg-type]
    given = {it.name: getattr(method.rule, it.name) for it in fields}
    chosen = {it.name: given[it.name] for it in fields if given[it.name] != it.default}
    return command_line(
        "select",
        **_pool_flags(args),
        budget=args.budgets[0],
        rule=type(method.rule).__name__,
        rule_kwargs=json.dumps(chosen) if chosen else None,
        by=method.by if method.by != "necessity" else None,
        over=method.over if method.over != "embedding" else None,
        output_dir="selection",
    )


def check_compare(
    args: CompareArguments, model: ModelConfig, training: SFTConfig, prompt: PromptArguments
) -> None:
    """Refuses what no comparison can follow, held-out rows among it, before other stages of a run begin.

    Raises:
        RowError: if a held-out row cannot be evaluated.
        ValueError: if there is no such selection, evaluation or option.
    """
    _planned_methods(args)
    for budget in args.budgets:
        budget_rows(parse_budget(budget), sys.maxsize)
    setup = Setup(
        str(model.model_name_or_path),
        with_model_options(model, training),
        get_peft_config(model),
        _evaluations(args, _load_held_out(args), training, prompt),
        prompt.processor_name_or_path,
        prompt.end_of_turn,
    )
    refuse_unable(setup)


def _methods(texts: Sequence[str], by: str) -> dict[str, Method | Selection]:
    methods = [parse_method(text, by) for text in texts]
    if len(methods) > len(dict(methods)):
        raise UsageError(f"selections: expected different names, got {[name for name, _ in methods]}")
    return dict(methods)


def _planned_methods(args: CompareArguments) -> dict[str, Method | Selection]:
    """The methods but for folders, which may be those of selections that the run has yet to make."""
    return _methods([text for text in args.selections if os.sep not in text], args.by)


def _evaluations(
    args: CompareArguments, held_out: Dataset, training: SFTConfig, prompt: PromptArguments
) -> dict[str, Evaluation]:
    batch_size = training.per_device_eval_batch_size
    return {
        name: find_evaluation(name, held_out, batch_size, prompt.end_of_turn) for name in args.evaluations
    }


def _load_held_out(args: CompareArguments) -> Dataset:
    try:
        return open_pool(args.eval_dataset_name, args.eval_dataset_config, args.eval_split or "test")
    except SplitError:
        # One file, or one data set that was saved, has no splits to choose from.
        if args.eval_split is not None or not Path(args.eval_dataset_name).exists():
            raise
        return open_pool(args.eval_dataset_name, args.eval_dataset_config)


def push_command(args: PushArguments) -> Summary:
    """Pushes the selection, and records in its folder where to."""
    selection = load_selection(args.selection)
    address = push_to_hub(
        selection,
        args.repo_id,
        publish=cast(Publish, args.publish),
        private=args.private,
        revision=args.revision,
        create_pr=args.create_pr,
        run=args.run_dir,
    )
    selection.save_recipe(args.selection)
    published = f"{len(selection):,}" + (", their ids and scores alone" if args.publish == "indices" else "")
    return Summary(
        {"rows": published, "pushed to": address},
        [train_line(args.selection)],
    )


def report_command(args: ReportArguments) -> Summary:
    """Writes the selection's card, without any Hub."""
    selection = load_selection(args.selection)
    page = write_report(selection, args.output_dir, run=args.run_dir)
    return Summary(
        {
            "rows": f"{len(selection):,} picked of {selection.recipe.rows:,}",
            "refused": str(dropped(selection.recipe)) or "none",
            "page": page,
        },
        [
            command_line("push", selection=args.selection, repo_id="OWNER/NAME"),
            train_line(args.selection),
        ],
    )


_DTYPES = ["auto", "float32", "bfloat16", "float16", "float64"]
_ONLY_WITH = {
    "model_name_or_path": [
        *("model_revision", "signals", "suffix", "dtype", "batch_size", "batch_tokens", "max_length"),
        *("attn_implementation", "torch_compile", "trust_remote_code"),
    ],
    "clip_name_or_path": ["clip_score"],
    "judge": ["judge_base_url"],
}
"""Flags of `score` that do nothing without another one."""
_SIGNALS: dict[str, type[ResponseScorer]] = {
    kind.column: kind
    for kind in (NecessityScorer, PerplexityScorer, ImageGain, QuestionGain, EL2NScorer, UPDScorer)
}
_DO: dict[str, Callable[..., Summary]] = {
    "seed": seed_command,
    "score": score_command,
    "score_net": score_net_command,
    "select": select_command,
    "train": train_command,
    "push": push_command,
    "compare": compare_command,
    "report": report_command,
}


def command(name: str, arguments: tuple[Any, ...]) -> Summary:
    """Runs one command with its parsed arguments, and says what it did."""
    start = time.perf_counter()
    for part in arguments:
        if folder := getattr(part, "output_dir", None):
            refuse_unwritable(folder)
    summary = _DO[name](*arguments)
    return replace(summary, facts={**summary.facts, "seconds": f"{time.perf_counter() - start:.1f}"})


def refuse_unwritable(folder: str) -> None:
    """Refuses an output folder that cannot be made or written to, before any work is done for it.

    Raises:
        UsageError: saying what is in the way.
    """
    there = Path(folder)
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"output_dir: expected a folder, got {folder!r}, but {str(there)!r} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            f"output_dir: expected a folder to write to, got {folder!r}, but {str(there)!r} is read-only"
        )


def load_selection(folder: str) -> Selection:
    """A selection by its folder.

    Raises:
        UsageError: if there is none.
        SelectionError: if it is damaged.
    """
    if not Path(folder, "recipe.json").exists():
        near = nearest_path(folder) if not Path(folder).exists() else ""
        raise UsageError(
            f"expected a folder that select or Selection.save_to_disk wrote, got {folder!r}{near}"
        )
    return Selection.load_from_disk(folder)


def _pool_flags(args: PoolArguments) -> dict[str, Any]:
    """The flags that name a pool, but for defaults."""
    given = {item.name: getattr(args, item.name) for item in dataclasses.fields(PoolArguments)}
    return {name: value for name, value in given.items() if value != getattr(PoolArguments, name, None)}


def _chosen_rows(pool: Dataset, folder: str | None) -> Selection | Sequence[str]:
    """The rows of a selection's folder, or those that a seed model was trained on."""
    if folder is None:
        return ()
    seed = Path(folder, ROWS_FILE).exists()
    return load_seed_rows(pool, folder) if seed else load_selection(folder)


def check_score(args: ScoreArguments) -> None:
    """Refuses what no scorer can follow, before a pool is read.

    Raises:
        UsageError: naming what there is.
    """
    if unknown := [signal for signal in args.signals if signal not in _SIGNALS]:
        near = nearest(unknown[0], _SIGNALS)
        raise UsageError(f"signals: expected a list of some of {list(_SIGNALS)}, got {unknown}{near}")
    if len(set(args.signals)) < len(args.signals):
        raise UsageError(f"signals: expected each once, got {args.signals}")
    if args.clip_name_or_path and args.text_name_or_path:
        raise UsageError(
            "expected clip_name_or_path or text_name_or_path, got both; each adds the column 'embedding': "
            "give one"
        )
    if args.dtype.removeprefix("torch.") not in _DTYPES:
        raise UsageError(
            f"dtype: expected one of {_DTYPES}, got {args.dtype!r}{nearest(args.dtype, _DTYPES)}"
        )
    for needed, flags in _ONLY_WITH.items():
        for name in flags if not getattr(args, needed) else ():
            default = next(it for it in dataclasses.fields(args) if it.name == name)
            plain = default.default_factory() if callable(default.default_factory) else default.default
            if getattr(args, name) != plain:
                raise UsageError(f"{name}: expected {needed} with it, got {getattr(args, name)!r} alone")


def added_columns(args: ScoreArguments) -> list[str]:
    """The columns that `score` will add, known without its models."""
    given = {
        **{f"{signal}{args.suffix}": args.model_name_or_path for signal in args.signals},
        "embedding": args.clip_name_or_path or args.text_name_or_path,
        "clip_score": args.clip_score,
        "judge": args.judge,
    }
    main = [column for column, wanted in given.items() if wanted]
    necessity = f"necessity{args.suffix}"
    lengths = f"{necessity}_{LENGTHS}" if args.suffix else LENGTHS
    more = [lengths] * (necessity in main) + ["judge_answer"] * ("judge" in main)
    return [f"{column}{end}" for column in main for end in ("", "_status", "_reason")] + more


def check_columns(args: Any, columns: Sequence[str]) -> None:
    """Refuses a pool without the columns that a command uses, before other stages of a run begin.

    Args:
        args: of the command.
        columns: that the pool will have.

    Raises:
        ColumnError: naming the first that is missing.
    """
    if isinstance(args, SelectArguments):
        refuse_missing_columns(columns, make_rule(args), args.by, args.over)
        refuse_missing([args.balance] if args.balance else [], columns, "balance: expected a column")
    if isinstance(args, ScoreNetArguments | CompareArguments):
        refuse_missing(args.columns, columns, "columns: expected a column")
    if isinstance(args, CompareArguments):
        for method in _planned_methods(args).values():
            if isinstance(method, Method):
                refuse_missing_columns(columns, method.rule, method.by, method.over)


def with_model_options(model: ModelConfig, training: SFTConfig) -> SFTConfig:
    """The training arguments with TRL's model flags: revision, attention kernel, dtype."""
    if training.assistant_only_loss:
        warnings.warn(
            "assistant_only_loss need not be given: the loss is always that of the response tokens alone, "
            "with every template",
            stacklevel=2,
        )
        training.assistant_only_loss = False
    training.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
    }
    return training
