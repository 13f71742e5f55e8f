"""The flags of every command, parsed from the command line or from YAML by TRL's own parser."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

import yaml
from trl import ModelConfig, SFTConfig, TrlParser

from hf_vitselect.call_text import fits, type_words
from hf_vitselect.errors import UsageError, nearest, nearest_path


def _flag(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass
class PoolArguments:
    """Which pool: the flags of TRL's scripts."""

    dataset_name: str = field(metadata={"help": "The pool: a data set on the Hub, or a folder on disk."})
    dataset_config: str | None = _flag(None, "The pool's configuration.")
    dataset_train_split: str = _flag("train", "The pool's split.")


@dataclass
class PromptArguments:
    """How rows become a prompt: the same for scores, training and evaluation."""

    processor_name_or_path: str | None = _flag(
        None, "A processor in place of the model's own, on the Hub or in a folder."
    )
    end_of_turn: Literal["auto", "template"] = _flag(
        "auto",
        "'auto' inserts the tokenizer's EOS after responses that the chat template does not close; "
        "'template' leaves the prompt as the template writes it.",
    )


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
    signals: list[str] = field(
        default_factory=lambda: ["necessity"],
        metadata={
            "help": "The seed model's columns: necessity, perplexity, image_gain, question_gain, el2n, upd."
        },
    )
    suffix: str = _flag("", "Appended to the names of the seed model's columns.")
    clip_name_or_path: str | None = _flag(None, "A CLIP model, for the column 'embedding'.")
    clip_score: bool = _flag(False, "Whether the CLIP model also gives the column 'clip_score'.")
    judge: str | None = _flag(None, "A chat model's name, for the column 'judge'.")
    judge_base_url: str | None = _flag(None, "The judge's OpenAI-compatible endpoint; the Hub's if not set.")
    text_name_or_path: str | None = _flag(None, "A sentence-transformers model, for the column 'embedding'.")
    dtype: str = _flag("auto", "The seed model's dtype; auto is the checkpoint's.")
    batch_size: int = _flag(8, "Rows in one forward of the seed model.")
    batch_tokens: int | None = _flag(None, "Tokens in one forward, padding included, in place of batch_size.")
    attn_implementation: str | None = _flag(None, "The seed model's attention kernel, as in transformers.")
    torch_compile: bool = _flag(False, "Whether to compile the seed model's layers.")
    max_length: int | None = _flag(
        None, "Rows with more tokens are too_long; the model's context if not set."
    )
    shard_size: int = _flag(500, "Rows in one shard; a crash loses at most the unfinished shards.")
    workers: int | None = _flag(None, "Worker processes; one for each GPU, if there are several, if not set.")
    engine: Literal["local", "ray"] = _flag("local", "'local', or 'ray' for workers on a Ray cluster.")
    dataset_streaming: bool = _flag(False, "Reads the pool as a stream, in constant memory.")
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
    rule_kwargs: str | None = _flag(None, "Parameters of any rule, as JSON.")
    gamma: float | None = _flag(None, "NeighborPenalty: strength of the penalty.")
    neighbors: int | None = _flag(None, "NeighborPenalty: how many neighbours are penalised.")
    rescale: str | None = _flag(None, "NeighborPenalty: 'minmax' maps the scores to [0, 1] first.")
    groups: str | None = _flag(None, "GroupedSampling: number of groups, or a column that names them.")
    cluster: bool | None = _flag(None, "GroupedSampling: groups are clusters of the embedding.")
    quota: str | None = _flag(None, "GroupedSampling: 'uniform', 'proportional' or 'rising'.")
    within: str | None = _flag(None, "GroupedSampling: 'random' or 'necessity'.")
    approximate: bool | None = _flag(None, "NeighborPenalty: find neighbours with a faiss index.")
    lowest: bool | None = _flag(None, "TopScore: lowest scores first.")
    like: str | None = _flag(None, "LengthMatchedRandom: a column that marks the rows to resemble.")
    lengths: str | None = _flag(
        None, "LengthMatchedRandom: a column of lengths, 'response_tokens' by default."
    )
    seed: int = _flag(0, "Of the rule's random numbers.")
    include: str | None = _flag(None, "Rows that stand in the subset first: a selection or a seed model.")
    balance: str | None = _flag(None, "A column; the rule picks inside the groups of its values.")
    balance_quota: str = _flag("proportional", "The groups' shares: 'proportional' or 'uniform'.")
    exclude: str | None = _flag(None, "Rows that are never picked: a selection or a seed model.")


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
class CompareArguments(PoolArguments):
    """`compare`: fine-tunes on selections and on random rows, evaluates, and says which is better."""

    selections: list[str] = field(
        default_factory=lambda: ["NeighborPenalty"],
        metadata={
            "help": "Rules, 'easy=TopScore(lowest=True)', or with columns, 'net=TopScore(by=\"score_net\")'; "
            "or folders that `select` wrote."
        },
    )
    eval_dataset_name: str = field(kw_only=True, metadata={"help": "The held-out rows, as dataset_name."})
    eval_dataset_config: str | None = _flag(None, "Their configuration.")
    eval_split: str | None = _flag(None, "Their split; test if not set, or all rows of what has no splits.")
    evaluations: list[str] = field(
        default_factory=lambda: ["exact_match"],
        metadata={
            "help": "exact_match, log_likelihood, multiple_choice, token_f1, or your own function of a "
            "model's folder, 'package.module:function'."
        },
    )
    budgets: list[str] = field(
        default_factory=lambda: ["0.15"], metadata={"help": "Rows (1200) or shares (0.15) of the pool."}
    )
    seeds: int = _flag(3, "Fine-tunes of each; the first has the seed --seed.")
    by: str = _flag("necessity", "The score column of rules that name none.")
    matched: list[str] | None = field(
        default=None,
        metadata={
            "help": "Selections beside which random rows of their response lengths are put; all if not set."
        },
    )
    full: bool = _flag(False, "Whether to fine-tune on all usable rows too.")
    columns: list[str] = field(
        default_factory=list, metadata={"help": "Columns, such as source, whose make-up is reported."}
    )
    processes: int | None = _flag(None, "Fine-tunes at once; one for each GPU if not set.")


@dataclass
class TrainingConfig(SFTConfig):  # type: ignore[misc]
    """TRL's SFTConfig without its limit of 1,024 tokens: nothing is truncated here."""

    max_length: int | None = _flag(None, "Longer rows are refused before the first step.")


COMMANDS: dict[str, tuple[type, ...]] = {
    "seed": (SeedArguments, ModelConfig, TrainingConfig, PromptArguments),
    "score": (ScoreArguments, PromptArguments),
    "score_net": (ScoreNetArguments, ModelConfig, TrainingConfig, PromptArguments),
    "select": (SelectArguments,),
    "push": (PushArguments,),
    "train": (TrainArguments, ModelConfig, TrainingConfig, PromptArguments),
    "compare": (CompareArguments, ModelConfig, TrainingConfig, PromptArguments),
    "report": (ReportArguments,),
}


def parse_budget(text: Any) -> int | float:
    """A budget from a flag: '1200' is rows, '0.15', '1.0' and '15%' are shares.

    Raises:
        UsageError: if it is not a number.
    """
    text = str(text).strip()
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise UsageError(f"budget: expected rows (1200) or a share (0.15, 15%), got {text!r}") from None


def parse_flags(command: str, flags: Sequence[str]) -> tuple[Any, ...]:
    """The command's arguments from its flags, `--config file.yaml` included.

    Raises:
        UsageError: for a flag, or a key of the YAML file, that the command does not have or cannot read.
    """
    flags = [
        part for flag in flags for part in (flag.split("=", 1) if flag.startswith("--config=") else [flag])
    ]
    config: dict[str, Any] = {}
    if "--config" in flags:
        place = flags.index("--config")
        if place + 1 == len(flags):
            raise UsageError("--config: expected a YAML file, got nothing")
        config = read_config(flags[place + 1])
        del flags[place : place + 2]
        variables = config.pop("env", None) or {}
        if not isinstance(variables, Mapping):
            raise UsageError(f"env: expected names and their values, got {variables!r}")
        # As in TRL's commands.
        os.environ.update({str(name): str(value) for name, value in variables.items()})
    return _parse(command, config, flags, where="")


def parse_section(command: str, section: Mapping[str, Any]) -> tuple[Any, ...]:
    """The command's arguments from a mapping of its flags.

    Raises:
        UsageError: for a key that is no flag of the command, a required one that is missing, or a value of
            the wrong type.
    """
    if "hub_token" in section:
        # A run keeps its sections on disk.
        raise UsageError(f"section {command}: expected no hub_token; log in with `hf auth login` instead")
    return _parse(command, section, [], where=f"section {command}: ")


def read_config(path: str) -> dict[str, Any]:
    """A YAML file with a mapping.

    Raises:
        UsageError: if it is not there, is not valid YAML, or holds something else.
    """
    try:
        config = yaml.safe_load(Path(path).expanduser().read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"--config: expected a file, got {path!r}, which is not there{nearest_path(path)}"
        ) from None
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--config: {path!r} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        line = f", line {mark.line + 1}" if mark else ""
        tabs = "; indent with spaces, not tabs" if "\\t" in problem else ""
        raise UsageError(f"{path}{line} is not valid YAML: {problem}{tabs}") from error
    if not isinstance(config, dict):
        raise UsageError(f"expected flags and their values in {path}, got {type(config).__name__}")
    return config


class _Parser(TrlParser):  # type: ignore[misc]
    """TRL's parser, which raises instead of printing a screen of usage."""

    def error(self, message: str) -> NoReturn:
        """Raises what argparse would print."""
        raise UsageError(message.replace("argument --", "--"))


def _parse(command: str, config: Mapping[str, Any], flags: Sequence[str], where: str) -> tuple[Any, ...]:
    parser = _Parser(COMMANDS[command], prog=f"hf-vitselect {command}", allow_abbrev=False)
    known = [action.dest for action in parser._actions]
    help_line = f"'hf-vitselect {command} --help' lists all flags"
    parser.set_defaults_with_config(**config)
    if unknown := [name for name in config if name not in known]:
        raise UsageError(f"{where}unknown keys {unknown}{nearest(str(unknown[0]), known)}; {help_line}")
    given = {flag.partition("=")[0] for flag in flags}
    if given & {"-h", "--help"}:
        parser.parse_known_args(["--help"])
    missing = [
        action.dest
        for action in parser._actions
        if (action.required or (action.dest == "model_name_or_path" and ModelConfig in COMMANDS[command]))
        and not given & {*action.option_strings}
        and config.get(action.dest) is None
    ]
    unknown = [
        flag for flag in sorted(given) if flag.startswith("--") and flag not in parser._option_string_actions
    ]
    if unknown:
        near = nearest(unknown[0], parser._option_string_actions)
        raise UsageError(f"{where}unknown flags {unknown}{near}; {help_line}")
    if missing:
        stray = f", got {list(flags)} instead" if flags and not flags[0].startswith("--") else ""
        raise UsageError(f"{where}missing {missing}{stray}; {help_line}")
    try:
        *parsed, rest = parser.parse_args_into_dataclasses(
            args=list(flags), return_remaining_strings=True, look_for_args_file=False
        )
    except ValueError as error:  # Of the parser, or of TRL, which checks its own arguments.
        raise UsageError(f"{where}{_of_training(str(error))}") from error
    if rest:
        raise UsageError(f"{where}expected flags and their values, got {rest} as well; {help_line}")
    for arguments in parsed:
        if type(arguments).__module__ == __name__ and not isinstance(arguments, SFTConfig):
            _settle_types(arguments, where)
        if isinstance(arguments, ModelConfig) and not arguments.use_peft:
            _refuse_adapter_flags(arguments, where)
    return tuple(parsed)


def _refuse_adapter_flags(model: ModelConfig, where: str) -> None:
    """Refuses flags of an adapter where the whole model is fine-tuned."""
    for item in fields(model):
        value = getattr(model, item.name)
        if item.name.startswith(("lora_", "use_rslora", "use_dora")) and value != item.default:
            raise UsageError(f"{where}{item.name}: expected use_peft with it, got {value!r} alone")


def _of_training(message: str) -> str:
    """TRL's word for a machine without a GPU, with the flag to give."""
    if "use_cpu" in message:
        return "expected a GPU that computes in bfloat16, got none; to train on the CPU give --use_cpu true"
    return message


def _settle_types(arguments: Any, where: str) -> None:
    """Makes texts of what YAML took for numbers or mappings, lists of single texts, and refuses what else
    has the wrong type.
    """
    for name, hint in get_type_hints(type(arguments)).items():
        value = getattr(arguments, name)
        if value is not None and any(get_origin(one) is list for one in (hint, *get_args(hint))):
            value = [_as_text(item) for item in (value if isinstance(value, list) else [value])]
        elif str in (hint, *get_args(hint)):
            value = _as_text(value)
        if not fits(value, hint):
            raise UsageError(f"{where}{name}: expected {type_words(hint)}, got {value!r}")
        setattr(arguments, name, value)


def _as_text(value: Any) -> Any:
    """A number or a mapping as the text that a flag would have been; anything else as it is."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return json.dumps(value) if isinstance(value, Mapping) else value
