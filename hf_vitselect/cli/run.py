"""A run: the chain of commands, each a stage in a folder."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from trl import SFTConfig

from hf_vitselect.cli.arguments import (
    CompareArguments,
    PoolArguments,
    PushArguments,
    ScoreArguments,
    SelectArguments,
    parse_budget,
    parse_section,
)
from hf_vitselect.cli.commands import (
    added_columns,
    check_columns,
    check_compare,
    check_score,
    command,
    load_pool,
    make_rule,
    refuse_unwritable,
)
from hf_vitselect.cli.plan import Stage, plan
from hf_vitselect.cli.summary import Summary, command_line
from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.hub import check_target
from hf_vitselect.models.revisions import identify
from hf_vitselect.resume import Run, last_whole_checkpoint, without_secrets, write_atomically
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training.checks import checked_args
from hf_vitselect.training.seed import ROWS_FILE

# Flags of score that change nothing in the result.
_WHERE = {"workers", "engine", "batch_size", "batch_tokens"}


def run(
    config: Mapping[str, Any], folder: str | os.PathLike[str], say: Callable[[str], None] | None = None
) -> Path:
    """The chain of commands that the configuration has a section for, each a stage of a run.

    `plan` says what follows what. All sections are checked before the first one runs.

    Args:
        config: as in `plan`.
        folder: the run's folder; the same call goes on where it stopped.
        say: called with what each stage did, and in the end the run.

    Raises:
        ValueError: for an unknown section or key, or a missing one.
        StaleRunError: if the folder holds a stage that was made with other settings, from another pool or
            with other weights.
    """
    refuse_unwritable(os.fspath(folder))
    here = Run(folder)
    stages = plan(config, here.folder)
    columns: dict[str, list[str]] = {}
    for stage in stages:
        _refuse_mistakes(stage, columns)
    settings = {stage.name: _recorded_settings(stage) for stage in stages}
    here.refuse_stale(settings)
    write_atomically(
        here.folder / "run.yaml", yaml.safe_dump(without_secrets(config), sort_keys=False).encode()
    )
    done: dict[str, Summary] = {}
    for stage in stages:

        def work(folder: Path, stage: Stage = stage) -> None:
            checkpoint = last_whole_checkpoint(folder)
            resume = {"resume_from_checkpoint": checkpoint} if checkpoint else {}
            done[stage.name] = command(stage.command, parse_section(stage.command, {**stage.flags, **resume}))

        here.stage(stage.name, settings[stage.name], work)
        if say is not None:
            say(f"== {stage.name} ==\n{done.get(stage.name, 'done in an earlier call')}\n")
    if say is not None:
        say(str(_summary(here, stages)))
    return here.folder


def _summary(here: Run, stages: Sequence[Stage]) -> Summary:
    """Of the whole run."""
    seconds = {stage.name: here.seconds[stage.name] for stage in stages}
    chosen = [stage.flags["output_dir"] for stage in stages if stage.command == "select"]
    report = {"run_dir": here.folder, "output_dir": "report"}
    told = any(stage.command == "report" for stage in stages)
    return Summary(
        {
            "stages": ", ".join(f"{name} {taken:.1f} s" for name, taken in seconds.items()),
            "seconds": f"{sum(seconds.values()):.1f}",
            "saved to": here.folder,
        },
        [command_line("report", selection=folder, **report) for folder in chosen[-1:] if not told],
    )


def _refuse_mistakes(stage: Stage, columns: dict[str, list[str]]) -> None:
    """Finds what can be found before hours have passed.

    Args:
        stage: to look at.
        columns: of the pools that stages before it will have made, by name; its own is added.
    """
    args, *others = parse_section(stage.command, stage.flags)
    for training in others:
        if isinstance(training, SFTConfig):
            checked_args(training, evaluates=False)
    if isinstance(args, SelectArguments):
        make_rule(args)
        budget_rows(parse_budget(args.budget), sys.maxsize)
    if isinstance(args, PushArguments):
        check_target(args.repo_id, args.publish)
    if isinstance(args, ScoreArguments):
        check_score(args)
    if isinstance(args, CompareArguments):
        check_compare(args, *others)
    if (there := _columns(args, columns)) is not None:
        check_columns(args, there)
        added = added_columns(args) if isinstance(args, ScoreArguments) else ["score_net"]
        columns[f"{stage.flags.get('output_dir')}/scored"] = there + added


def _columns(args: Any, columns: Mapping[str, list[str]]) -> list[str] | None:
    """The columns of a stage's pool, which an earlier one may have yet to make; None if nobody knows."""
    if not isinstance(args, PoolArguments) or getattr(args, "dataset_streaming", False):
        return None
    if args.dataset_name in columns:
        return columns[args.dataset_name]
    made_by_stage = args.dataset_name.endswith("/scored") and not Path(args.dataset_name).exists()
    return None if made_by_stage else list(load_pool(args).column_names)


def _recorded_settings(stage: Stage) -> dict[str, Any]:
    """What a stage's result depends on, but for secrets."""
    left_out = _WHERE if stage.command == "score" else set()
    settings = {name: value for name, value in stage.settings.items() if name not in left_out}
    return {**without_secrets(settings), "inputs": _inputs(stage)}


def _inputs(stage: Stage) -> dict[str, Any]:
    """What the user's own pool and models are now: a fingerprint, exact weights. A stream has none."""
    found: dict[str, Any] = {}
    if "dataset_name" in stage.settings and not stage.settings.get("dataset_streaming"):
        pool = load_pool(parse_section(stage.command, stage.flags)[0])
        found["dataset_name"] = pool._fingerprint
    for name in (
        "model_name_or_path",
        "processor_name_or_path",
        "clip_name_or_path",
        "text_name_or_path",
    ):
        if stage.settings.get(name):
            revision = stage.settings.get("model_revision") if name.startswith("model") else None
            found[name] = identify(stage.settings[name], revision)
    for name in ("include", "exclude", "selection"):
        folder = stage.flags.get(name)
        if name in stage.settings and folder == stage.settings[name]:  # else it is a stage's
            found[name] = _digest_of_rows(folder)
    return found


def _digest_of_rows(folder: str) -> str:
    record = Path(folder, ROWS_FILE)
    if record.exists():
        return pool_digest(json.loads(record.read_text())["row_ids"])
    return pool_digest(Selection.load_from_disk(folder).row_ids)
