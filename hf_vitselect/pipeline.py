"""The commands, and the chain of them: a run whose stages are commands."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from transformers.trainer_utils import get_last_checkpoint
from trl import ModelConfig, SFTConfig, get_peft_config, get_quantization_config

from hf_vitselect import rules
from hf_vitselect.arguments import (
    COMMANDS,
    PoolArguments,
    PushArguments,
    ReportArguments,
    ScoreArguments,
    ScoreNetArguments,
    SeedArguments,
    SelectArguments,
    TrainArguments,
    parse_section,
)
from hf_vitselect.card import Publish, write_report
from hf_vitselect.engines.ledger import write_atomically
from hf_vitselect.errors import LayoutError
from hf_vitselect.hub import push_to_hub
from hf_vitselect.rules.base import Rule
from hf_vitselect.runs import Run
from hf_vitselect.score_net import ScoreNet
from hf_vitselect.scorer import Scorer
from hf_vitselect.scorers import (
    ClipEmbedding,
    ClipScore,
    JudgeScore,
    NecessityScorer,
    ScoreNetScorer,
    TextEmbedding,
)
from hf_vitselect.scoring import score
from hf_vitselect.selection import Selection, select_diverse
from hf_vitselect.training import ScoreNetTrainer, SelectionSFTTrainer, train_seed_model

_FILES = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv"}


def run(config: Mapping[str, Any], folder: str | os.PathLike[str]) -> Path:
    """The chain of commands that the configuration has a section for, each a stage of a run.

    What one stage makes is the next one's default: the seed model scores, the scored pool is selected
    from, the selection is pushed and trained on. Pushing comes first, so that the model's card can name
    the subset. All sections are checked before the first one runs.

    Args:
        config: the sections seed, score, score_net, select, train, push and report, each with its command's
            flags.
        folder: the run's folder; the same call goes on where it stopped.

    Raises:
        ValueError: for an unknown section or key, or a missing one.
        StaleRunError: if the folder holds a stage that was made with other settings.
    """
    unknown = sorted(config.keys() - COMMANDS.keys())
    if unknown:
        raise ValueError(f"unknown sections {unknown}; expected some of {list(COMMANDS)}")
    here = Run(folder)
    sections = _wire(config, here.folder)
    for name, section in sections.items():
        parse_section(name, section)
    settings = yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False)
    write_atomically(here.folder / "run.yaml", settings.encode())
    for name, section in sections.items():

        def work(folder: Path, name: str = name, section: Mapping[str, Any] = section) -> None:
            checkpoint = get_last_checkpoint(str(folder)) if folder.is_dir() else None
            resume = {"resume_from_checkpoint": checkpoint} if checkpoint else {}
            _DO[name](*parse_section(name, {**section, **resume}))

        here.stage(name, config[name] or {}, work)
    return here.folder


def load_pool(args: PoolArguments) -> Dataset:
    """The pool: a Parquet, JSON or CSV file, a folder that `save_to_disk` wrote, or `datasets.load_dataset`.

    Raises:
        LayoutError: if a folder holds several splits and none of that name.
    """
    kind = _FILES.get(Path(args.dataset_name).suffix)
    if kind is not None and os.path.isfile(args.dataset_name):
        return load_dataset(kind, data_files=args.dataset_name, split="train")
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
    return load_dataset(args.dataset_name, args.dataset_config, split=args.dataset_train_split)


def parse_budget(text: Any) -> int | float:
    """A budget from a flag: '1200' is rows, '0.15' and '1.0' are shares.

    Raises:
        ValueError: if it is no number.
    """
    text = str(text)
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise ValueError(f"expected a budget such as 1200 (rows) or 0.15 (a share), got {text!r}") from None


def make_rule(args: SelectArguments) -> Rule:
    """The rule that the flags name, with its own flags.

    Raises:
        ValueError: if there is no such rule, or it has no such flag.
    """
    if args.rule not in rules.__all__ or args.rule == "Rule":
        known = sorted(set(rules.__all__) - {"Rule"})
        raise ValueError(f"expected a rule among {known}, got {args.rule!r}")
    kind = getattr(rules, args.rule)
    flags = {
        item.name
        for each in rules.__all__
        if each != "Rule"
        for item in dataclasses.fields(getattr(rules, each))
    }
    given = {name: getattr(args, name) for name in flags if getattr(args, name) is not None}
    if given.get("groups", "").isdigit():
        given["groups"] = int(given["groups"])
    foreign = sorted(given.keys() - {parameter.name for parameter in dataclasses.fields(kind)})
    if foreign:
        raise ValueError(f"{args.rule} has no {foreign}; remove them or choose the rule that has")
    made: Rule = kind(**given)
    return made


def seed_command(args: SeedArguments, model: ModelConfig, training: SFTConfig) -> None:
    """Fine-tunes the seed model and keeps the rows it was trained on."""
    drawn = train_seed_model(
        load_pool(args),
        model.model_name_or_path,
        parse_budget(args.budget),
        _with_model_options(model, training),
        peft_config=get_peft_config(model),
        seed=training.seed,
    )
    drawn.save_to_disk(Path(training.output_dir, "seed_rows"))


def score_command(args: ScoreArguments) -> None:
    """Scores a pool and saves it, columns joined, to the folder ``scored``."""
    scorers: list[Scorer] = []
    if args.model_name_or_path:
        scorers.append(
            NecessityScorer(
                args.model_name_or_path,
                revision=args.model_revision,
                dtype=args.dtype,
                batch_size=args.batch_size,
                max_length=args.max_length,
                trust_remote_code=args.trust_remote_code,
            )
        )
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
    scored = score(load_pool(args), scorers, Path(args.output_dir, "shards"), shard_size=args.shard_size)
    scored.save_to_disk(str(Path(args.output_dir, "scored")))


def score_net_command(args: ScoreNetArguments, model: ModelConfig, training: SFTConfig) -> None:
    """Trains score net and model together; saves the pool with its difficulty to the folder ``scored``."""
    pool, out = load_pool(args), Path(training.output_dir)
    trainer = ScoreNetTrainer(
        model.model_name_or_path,
        pool=pool,
        score_net=ScoreNet.fit(pool, args.columns, hidden=args.hidden, seed=training.seed),
        args=_with_model_options(model, training),
        peft_config=get_peft_config(model),
        quantization_config=get_quantization_config(model),
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model()
    score(pool, ScoreNetScorer(str(out / "score_net")), out / "shards").save_to_disk(str(out / "scored"))


def select_command(args: SelectArguments) -> None:
    """Picks the subset and saves the selection."""
    selection = select_diverse(
        load_pool(args),
        parse_budget(args.budget),
        by=args.by,
        over=args.over,
        rule=make_rule(args),
        seed=args.seed,
    )
    selection.save_to_disk(args.output_dir)


def train_command(args: TrainArguments, model: ModelConfig, training: SFTConfig) -> None:
    """Fine-tunes on a selection, saves the model and its card, and pushes them if asked to."""
    trainer = SelectionSFTTrainer(
        model.model_name_or_path,
        selection=Selection.load_from_disk(args.selection),
        args=_with_model_options(model, training),
        peft_config=get_peft_config(model),
        quantization_config=get_quantization_config(model),
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model()
    trainer.create_model_card()
    if training.push_to_hub:
        trainer.push_to_hub()


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
    selection.save_to_disk(args.selection)


def report_command(args: ReportArguments) -> None:
    """Writes the selection's card, without any Hub."""
    print(write_report(Selection.load_from_disk(args.selection), args.output_dir, run=args.run_dir))


_DO: dict[str, Callable[..., None]] = {
    "seed": seed_command,
    "score": score_command,
    "score_net": score_net_command,
    "select": select_command,
    "train": train_command,
    "push": push_command,
    "report": report_command,
}


def command(name: str, arguments: tuple[Any, ...]) -> None:
    """Runs one command with its parsed arguments."""
    _DO[name](*arguments)


def _wire(config: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """Every section with the results of the stages before it as defaults, in the order of the chain."""
    sections = {name: dict(config[name] or {}) for name in COMMANDS if name in config}
    pool_flags = [item.name for item in dataclasses.fields(PoolArguments)]
    pool = {key: sections["seed"][key] for key in pool_flags if key in sections.get("seed", {})}
    made = {
        "seed": {"output_dir": str(folder / "seed")},
        "score": {"output_dir": str(folder / "score"), **pool},
        "score_net": {"output_dir": str(folder / "score_net")},
        "select": {"output_dir": str(folder / "select")},
        "train": {"output_dir": str(folder / "train")},
        "push": {"run_dir": str(folder)},
        "report": {"output_dir": str(folder / "report"), "run_dir": str(folder)},
    }
    if "seed" in sections:
        made["score"]["model_name_or_path"] = str(folder / "seed")
    if "score" in sections:
        made["score_net"]["dataset_name"] = made["select"]["dataset_name"] = str(folder / "score" / "scored")
    if "score_net" in sections:
        made["select"] |= {"dataset_name": str(folder / "score_net" / "scored"), "by": "score_net"}
    if "select" in sections:
        for name in ("train", "push", "report"):
            made[name]["selection"] = str(folder / "select")
    return {name: {**made[name], **section} for name, section in sections.items()}


def _with_model_options(model: ModelConfig, training: SFTConfig) -> SFTConfig:
    training.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
    }
    return training
