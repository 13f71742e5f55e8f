"""The commands: each from its parsed flags to its result on disk or on the Hub."""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from trl import ModelConfig, SFTConfig, get_peft_config, get_quantization_config

from hf_vitselect.arguments import (
    CompareArguments,
    PoolArguments,
    PushArguments,
    ReportArguments,
    ScoreArguments,
    ScoreNetArguments,
    SeedArguments,
    SelectArguments,
    TrainArguments,
    parse_budget,
)
from hf_vitselect.card import Publish, write_report
from hf_vitselect.compare import compare, parse_method
from hf_vitselect.engines.ranks import Rank
from hf_vitselect.errors import LayoutError
from hf_vitselect.evaluation import find_evaluation
from hf_vitselect.hub import push_to_hub
from hf_vitselect.response_scorer import ResponseScorer
from hf_vitselect.rules.base import Rule
from hf_vitselect.rules.by_name import RULES, rule_class
from hf_vitselect.score_net import ScoreNet
from hf_vitselect.scorer import Scorer, refuse_overwrite
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
from hf_vitselect.scoring import score
from hf_vitselect.selection import Selection, select_diverse
from hf_vitselect.training import ScoreNetTrainer, SelectionSFTTrainer, load_seed_rows, train_seed_model
from hf_vitselect.training.seed import ROWS_FILE

_FILES = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv"}


def load_pool(args: PoolArguments) -> Dataset:
    """The pool: a Parquet, JSON or CSV file, a folder that `save_to_disk` wrote, or `datasets.load_dataset`.

    Raises:
        LayoutError: if a folder holds several splits and none of that name.
    """
    if any(Path(args.dataset_name, file).exists() for file in ("state.json", "dataset_dict.json")):
        saved = load_from_disk(args.dataset_name)
        if isinstance(saved, Dataset):
            return saved
        assert isinstance(saved, DatasetDict)
        if args.dataset_train_split not in saved:
            raise LayoutError(
                f"expected a split {args.dataset_train_split!r}, got {list(saved)}; set dataset_train_split"
            )
        return saved[args.dataset_train_split]
    return _load(args, streaming=False)


def _load(args: PoolArguments, *, streaming: bool) -> Any:
    """What `datasets.load_dataset` makes of a file or a name."""
    kind = _FILES.get(Path(args.dataset_name).suffix)
    if kind is not None and os.path.isfile(args.dataset_name):
        return load_dataset(kind, data_files=args.dataset_name, split="train", streaming=streaming)
    name, config, split = args.dataset_name, args.dataset_config, args.dataset_train_split
    return load_dataset(name, config, split=split, streaming=streaming)


def make_rule(args: SelectArguments) -> Rule:
    """The rule that the flags name, with its own flags.

    Raises:
        ValueError: if there is no such rule, or it has no such flag.
    """
    kind = rule_class(args.rule)
    flags = {item.name for each in RULES.values() for item in dataclasses.fields(each)}  # type: ignore[arg-type]
    given = {name: getattr(args, name) for name in flags if getattr(args, name, None) is not None}
    given |= json.loads(args.rule_kwargs or "{}")
    if str(given.get("groups")).isdigit():
        given["groups"] = int(given["groups"])
    foreign = sorted(given.keys() - {parameter.name for parameter in dataclasses.fields(kind)})  # type: ignore[arg-type]
    if foreign:
        raise ValueError(f"{args.rule} has no {foreign}; remove them or choose the rule that has")
    return kind(**given)


def seed_command(args: SeedArguments, model: ModelConfig, training: SFTConfig) -> None:
    """Fine-tunes the seed model and keeps the rows it was trained on."""
    train_seed_model(
        load_pool(args),
        model.model_name_or_path,
        parse_budget(args.budget),
        with_model_options(model, training),
        peft_config=get_peft_config(model),
        quantization_config=get_quantization_config(model),
        seed=training.seed,
    )


def score_command(args: ScoreArguments) -> None:
    """Scores a pool and saves it, columns joined, to the folder ``scored``."""
    scorers: list[Scorer] = []
    refuse_unknown_signals(args)
    if args.model_name_or_path:
        scorers += [
            _SIGNALS[signal](
                args.model_name_or_path,
                column=f"{signal}{args.suffix}",
                revision=args.model_revision,
                dtype=args.dtype,
                batch_size=args.batch_size,
                batch_tokens=args.batch_tokens,
                attn_implementation=args.attn_implementation,
                torch_compile=args.torch_compile,
                max_length=args.max_length,
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
    scored = score(
        _load(args, streaming=True) if args.dataset_streaming else load_pool(args),
        scorers,
        Path(args.output_dir, "shards"),
        shard_size=args.shard_size,
        workers=args.workers,
        engine=args.engine,
    )
    if Rank.here().number == 0:
        scored.save_to_disk(str(Path(args.output_dir, "scored")))


def score_net_command(args: ScoreNetArguments, model: ModelConfig, training: SFTConfig) -> None:
    """Trains score net and model together; saves the pool with its difficulty to the folder ``scored``."""
    pool, out = load_pool(args), Path(training.output_dir)
    refuse_overwrite(ScoreNetScorer(str(out / "score_net")), pool.column_names)
    trainer = ScoreNetTrainer(
        model.model_name_or_path,
        pool=pool,
        score_net=ScoreNet.fit(pool, args.columns, hidden=args.hidden, seed=training.seed),
        args=with_model_options(model, training),
        peft_config=get_peft_config(model),
        quantization_config=get_quantization_config(model),
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model()
    score(pool, ScoreNetScorer(str(out / "score_net")), out / "shards").save_to_disk(str(out / "scored"))


def select_command(args: SelectArguments) -> None:
    """Picks the subset and saves the selection."""
    pool = load_pool(args)
    selection = select_diverse(
        pool,
        parse_budget(args.budget),
        by=args.by,
        over=args.over,
        rule=make_rule(args),
        seed=args.seed,
        include=_chosen_rows(pool, args.include),
        exclude=_chosen_rows(pool, args.exclude),
        balance=args.balance,
        balance_quota=args.balance_quota,  # type: ignore[arg-type]
    )
    selection.save_to_disk(args.output_dir)


def train_command(args: TrainArguments, model: ModelConfig, training: SFTConfig) -> None:
    """Fine-tunes on a selection, saves the model and its card, and pushes them if asked to."""
    trainer = SelectionSFTTrainer(
        model.model_name_or_path,
        selection=Selection.load_from_disk(args.selection),
        args=with_model_options(model, training),
        peft_config=get_peft_config(model),
        quantization_config=get_quantization_config(model),
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model()
    trainer.create_model_card()
    if training.push_to_hub:
        trainer.push_to_hub()


def compare_command(args: CompareArguments, model: ModelConfig, training: SFTConfig) -> None:
    """Compares selections with random rows, and prints what was found."""
    methods = [parse_method(text, args.by) for text in args.selections]
    if len(methods) > len(dict(methods)):
        raise ValueError(f"selections: expected different names, got {[name for name, _ in methods]}")
    held_out = load_pool(PoolArguments(args.eval_dataset_name, args.eval_dataset_config, args.eval_split))
    batch_size = training.per_device_eval_batch_size
    comparison = compare(
        load_pool(args),
        dict(methods),
        model.model_name_or_path,
        {name: find_evaluation(name, held_out, batch_size) for name in args.evaluations},
        training.output_dir,
        budgets=[parse_budget(budget) for budget in args.budgets],
        seeds=args.seeds,
        args=with_model_options(model, training),
        peft_config=get_peft_config(model),
        by=args.by,
        matched=args.matched,
        full=args.full,
        columns=args.columns,
        processes=args.processes,
    )
    print(comparison)


def push_command(args: PushArguments) -> None:
    """Pushes the selection, and records in its folder where to."""
    selection = Selection.load_from_disk(args.selection)
    address = push_to_hub(
        selection,
        args.repo_id,
        publish=cast(Publish, args.publish),
        private=args.private,
        revision=args.revision,
        create_pr=args.create_pr,
        run=args.run_dir,
    )
    print(address)
    selection.save_recipe(args.selection)


def report_command(args: ReportArguments) -> None:
    """Writes the selection's card, without any Hub."""
    print(write_report(Selection.load_from_disk(args.selection), args.output_dir, run=args.run_dir))


_SIGNALS: dict[str, type[ResponseScorer]] = {
    kind.signal: kind
    for kind in (NecessityScorer, PerplexityScorer, ImageGain, QuestionGain, EL2NScorer, UPDScorer)
}
_DO: dict[str, Callable[..., None]] = {
    "seed": seed_command,
    "score": score_command,
    "score_net": score_net_command,
    "select": select_command,
    "train": train_command,
    "push": push_command,
    "compare": compare_command,
    "report": report_command,
}


def command(name: str, arguments: tuple[Any, ...]) -> None:
    """Runs one command with its parsed arguments."""
    _DO[name](*arguments)


def _chosen_rows(pool: Dataset, folder: str | None) -> Selection | Sequence[str]:
    """The rows of a selection's folder, or those that a seed model was trained on."""
    if folder is None:
        return ()
    seed = Path(folder, ROWS_FILE).exists()
    return load_seed_rows(pool, folder) if seed else Selection.load_from_disk(folder)


def refuse_unknown_signals(args: ScoreArguments) -> None:
    """Refuses columns that no scorer of a model's losses has.

    Raises:
        ValueError: naming those that there are.
    """
    if not isinstance(args.signals, list) or set(args.signals) - _SIGNALS.keys():
        raise ValueError(f"signals: expected a list of some of {list(_SIGNALS)}, got {args.signals!r}")


def with_model_options(model: ModelConfig, training: SFTConfig) -> SFTConfig:
    """The training arguments with TRL's model flags: revision, attention kernel, dtype."""
    training.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
    }
    return training
