"""The flags of every command, parsed from the command line or from YAML by TRL's own parser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trl import ModelConfig, SFTConfig, TrlParser


def _flag(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass
class PoolArguments:
    """Which pool: the flags of TRL's scripts."""

    dataset_name: str = field(metadata={"help": "The pool: a data set on the Hub, or a folder on disk."})
    dataset_config: str | None = _flag(None, "The pool's configuration.")
    dataset_train_split: str = _flag("train", "The pool's split.")


@dataclass
class SeedArguments(PoolArguments):
    """`seed`: fine-tunes a model on a random part of the pool."""

    budget: str = _flag("0.1", "Rows (1200) or a share (0.1) of the pool to fine-tune the seed model on.")


@dataclass
class ScoreArguments(PoolArguments):
    """`score`: attaches score and embedding columns."""

    output_dir: str = _flag("scored", "Shards go here, and the scored pool into its folder 'scored'.")
    model_name_or_path: str | None = _flag(None, "The seed model, for the column 'necessity'.")
    model_revision: str | None = _flag(None, "The seed model's commit, branch or tag.")
    clip_name_or_path: str | None = _flag(None, "A CLIP model, for the column 'embedding'.")
    clip_score: bool = _flag(False, "Whether the CLIP model also gives the column 'clip_score'.")
    judge: str | None = _flag(None, "A chat model's name, for the column 'judge'.")
    judge_base_url: str | None = _flag(None, "The judge's OpenAI-compatible endpoint; the Hub's if not set.")
    text_name_or_path: str | None = _flag(None, "A sentence-transformers model, for the column 'embedding'.")
    dtype: str = _flag("auto", "The seed model's dtype; auto is the checkpoint's.")
    batch_size: int = _flag(8, "Rows in one forward of the seed model.")
    max_length: int | None = _flag(
        None, "Rows with more tokens are too_long; the model's context if not set."
    )
    shard_size: int = _flag(500, "Rows in one shard; at most so many are lost in a crash.")
    trust_remote_code: bool = _flag(False, "As in transformers.")


@dataclass
class ScoreNetArguments(PoolArguments):
    """`score_net`: trains a score net with the model and attaches its difficulty, as 'score_net'."""

    columns: list[str] = field(
        default_factory=lambda: ["embedding"],
        metadata={"help": "What the net reads: one embedding column, or several score columns."},
    )
    hidden: int | None = _flag(None, "Units of one hidden layer; a linear net if not set.")


@dataclass
class SelectArguments(PoolArguments):
    """`select`: picks a subset of a scored pool."""

    output_dir: str = _flag("selection", "The selection goes here.")
    budget: str = _flag("0.15", "Rows (1200) or a share (0.15) of the pool.")
    by: str = _flag("necessity", "The score column.")
    over: str = _flag("embedding", "The embedding column.")
    rule: str = _flag("NeighborPenalty", "A rule of hf_vitselect.rules.")
    gamma: float | None = _flag(None, "NeighborPenalty: strength of the penalty.")
    neighbors: int | None = _flag(None, "NeighborPenalty: how many neighbours are penalised.")
    rescale: str | None = _flag(None, "NeighborPenalty: 'minmax' maps the scores to [0, 1] first.")
    groups: str | None = _flag(None, "GroupedSampling: number of groups, or a column that names them.")
    cluster: bool | None = _flag(None, "GroupedSampling: groups are clusters of the embedding.")
    quota: str | None = _flag(None, "GroupedSampling: 'uniform', 'proportional' or 'rising'.")
    within: str | None = _flag(None, "GroupedSampling: 'random' or 'necessity'.")
    approximate: bool | None = _flag(None, "NeighborPenalty: find neighbours with a faiss index.")
    lowest: bool | None = _flag(None, "TopScore: lowest scores first.")
    seed: int = _flag(0, "Of the rule's random numbers.")


@dataclass
class TrainArguments:
    """`train`: fine-tunes on a selection."""

    selection: str = field(metadata={"help": "A folder that `select` wrote."})


@dataclass
class PushArguments:
    """`push`: pushes a selection and its card to the Hub."""

    selection: str = field(metadata={"help": "A folder that `select` wrote."})
    repo_id: str = field(metadata={"help": "The data set repository, owner/name."})
    private: bool | None = _flag(None, "Whether a new repository is private.")
    publish: str = _flag("rows", "'rows', or 'indices' for pools that may not be redistributed.")
    revision: str | None = _flag(None, "A branch to push to; main if not set.")
    create_pr: bool = _flag(False, "Push to a pull request.")
    run_dir: str | None = _flag(None, "The run that made the selection: its settings and cost are shown.")


@dataclass
class ReportArguments:
    """`report`: writes the card and its plots to a folder, as Markdown and as one HTML page."""

    selection: str = field(metadata={"help": "A folder that `select` wrote."})
    output_dir: str = _flag("report", "README.md, index.html, plots and examples go here.")
    run_dir: str | None = _flag(None, "The run that made the selection: its settings and cost are shown.")


@dataclass
class TrainingConfig(SFTConfig):  # type: ignore[misc]
    """TRL's SFTConfig without its limit of 1,024 tokens: nothing is truncated here."""

    max_length: int | None = _flag(None, "Longer rows are refused before the first step.")


COMMANDS: dict[str, tuple[type, ...]] = {
    "seed": (SeedArguments, ModelConfig, TrainingConfig),
    "score": (ScoreArguments,),
    "score_net": (ScoreNetArguments, ModelConfig, TrainingConfig),
    "select": (SelectArguments,),
    "push": (PushArguments,),
    "train": (TrainArguments, ModelConfig, TrainingConfig),
    "report": (ReportArguments,),
}


def parse_flags(command: str, flags: Sequence[str]) -> tuple[Any, ...]:
    """The command's arguments from its flags, ``--config file.yaml`` included.

    Raises:
        ValueError: for a key in the YAML file that is no flag of the command.
    """
    parser = TrlParser(COMMANDS[command], prog=f"hf-vitselect {command}")
    return tuple(parser.parse_args_and_config(args=list(flags)))


def parse_section(command: str, section: Mapping[str, Any]) -> tuple[Any, ...]:
    """The command's arguments from a mapping of its flags.

    Raises:
        ValueError: for a key that is no flag of the command, or a required one that is missing.
    """
    if "hub_token" in section:
        # A run keeps its sections on disk.
        raise ValueError(f"section {command}: expected no hub_token; log in with `hf auth login` instead")
    parser = TrlParser(COMMANDS[command], prog=f"section {command}", exit_on_error=False)
    unknown = parser.set_defaults_with_config(**section)
    if unknown:
        raise ValueError(
            f"section {command}: unknown keys {unknown[::2]}; run 'hf-vitselect {command} --help'"
        )
    missing = [action.dest for action in parser._actions if action.required]
    if missing:
        raise ValueError(f"section {command}: missing {missing}; run 'hf-vitselect {command} --help'")
    return tuple(parser.parse_args_into_dataclasses(args=[]))
