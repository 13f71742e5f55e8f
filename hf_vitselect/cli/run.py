"""`run`: run a chain of commands, each a stage in a folder, and resume it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from hf_vitselect.cli.command import Command, PoolFacts, refuse_unwritable
from hf_vitselect.cli.flags import PoolFlags, flag
from hf_vitselect.cli.parse import read_config
from hf_vitselect.cli.plan import Stage, plan
from hf_vitselect.cli.pool import read_pool
from hf_vitselect.cli.summary import Summary, command_line
from hf_vitselect.cli.training_flags import TrainingCommand
from hf_vitselect.data.image_files import missing_images
from hf_vitselect.data.pools import load_pool
from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.errors import UsageError
from hf_vitselect.models.revisions import identify
from hf_vitselect.report.cost import cost_of_choosing
from hf_vitselect.resume import Run, last_whole_checkpoint, without_secrets, write_atomically
from hf_vitselect.scorers.base.chat import ChatScorer
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training.seed_rows import ROWS_FILE, read_seed_rows

# Flags of score that do not change its result.
_WHERE = {"workers", "engine", "batch_size", "batch_tokens"}
_MODELS = ("model_name_or_path", "processor_name_or_path", "clip_name_or_path", "text_name_or_path")


@dataclass(kw_only=True)
class RunChain(Command):
    """Run a chain of commands."""

    config: str = flag("A YAML file with a section for each command, as in examples/configs; and rounds.")
    output_dir: str = flag("The run's folder; the same command resumes it.")
    example = "--config examples/configs/demo.yaml --output_dir run"

    def run(self) -> Summary:
        """Run the chain, and print what each stage did."""
        return run(read_config(self.config), self.output_dir, say=print)


def run(
    config: Mapping[str, Any], folder: str | os.PathLike[str], say: Callable[[str], None] = lambda text: None
) -> Summary:
    """Run a chain of commands, each a stage of a run, as `plan` orders them.

    All sections are checked before the first stage starts.

    Args:
        config: as in `plan`.
        folder: the run's folder; the same call resumes where it stopped.
        say: called with what each stage did.
    """
    refuse_unwritable(os.fspath(folder))
    here = Run(folder)
    stages = plan(config, here.folder)
    # First the sections of select, whose flags `score` may have, too: an error names the section at fault.
    for stage in sorted(stages, key=lambda stage: stage.command != "select"):
        parsed = stage.parsed  # whose errors name the section already
        try:
            parsed.check()
        except UsageError as error:
            raise UsageError(f"section {stage.name}: {error}") from error
    pools: dict[str, PoolFacts] = {}  # that stages will have made, by name
    for stage in stages:
        known = _pool_facts(stage.parsed, pools)
        _of_base_model(stage, stages).check_inputs(known)
        if known is not None and (added := stage.parsed.added_columns()):
            pools[f"{stage.flags['output_dir']}/scored"] = PoolFacts((*known.columns, *added), known.rows)
    settings = {stage.name: _recorded_settings(stage) for stage in stages}
    here.refuse_stale(settings)
    write_atomically(
        here.folder / "run.yaml", yaml.safe_dump(without_secrets(config), sort_keys=False).encode()
    )
    done: dict[str, Summary] = {}
    for stage in stages:

        def work(folder: Path, stage: Stage = stage) -> None:
            checkpoint = last_whole_checkpoint(folder)
            if checkpoint and isinstance(stage.parsed, TrainingCommand):
                stage.parsed.training.resume_from_checkpoint = checkpoint
            done[stage.name] = stage.parsed.execute()

        here.stage(stage.name, settings[stage.name], work, stage.part)
        say(f"== {stage.name} ==\n{done.get(stage.name, 'done in an earlier call')}\n")
    return _summary(here, stages)


def _summary(here: Run, stages: Sequence[Stage]) -> Summary:
    seconds = ", ".join(f"{stage.name} {here.seconds[stage.name]:.1f} s" for stage in stages)
    chosen = [stage.flags["output_dir"] for stage in stages if stage.command == "select"]
    report = {"run_dir": here.folder, "output_dir": "report"}
    reported = any(stage.command == "report" for stage in stages)
    return Summary(
        {
            "stages": seconds,
            "choosing": _choosing(here, stages),
            "missing images": _missing_images(stages),
            "saved to": here.folder,
        },
        [command_line("report", selection=folder, **report) for folder in chosen[-1:] if not reported],
    )


def _choosing(here: Run, stages: Sequence[Stage]) -> str:
    """The cost of choosing, next to that of the last fine-tune; empty without one."""
    by_command = {stage.command: stage for stage in stages}  # the last round's
    if not {"select", "train"} <= by_command.keys():
        return ""
    selection = Selection.load_from_disk(by_command["select"].flags["output_dir"])
    fine_tune = here.seconds[by_command["train"].name]
    return cost_of_choosing(here.seconds, fine_tune, len(selection), selection.recipe.rows)


def _of_base_model(stage: Stage, stages: Sequence[Stage]) -> Command:
    """The command; `compare` with the base model in place of the seed model, which may not exist yet."""
    seed = next((each for each in stages if each.command == "seed"), None)
    command: Command = stage.parsed
    name = "model_name_or_path"
    if stage.command != "compare" or seed is None or stage.flags.get(name) != seed.flags["output_dir"]:
        return command
    return replace(stage, flags=stage.flags | {name: seed.flags[name]}).parsed  # type: ignore[no-any-return]


def _missing_images(stages: Sequence[Stage]) -> str:
    scored = [f"{stage.flags['output_dir']}/scored" for stage in stages if stage.command == "score"]
    if not scored:
        return ""
    return missing_images(load_pool(scored[-1]))


def _pool_facts(command: Command, pools: Mapping[str, PoolFacts]) -> PoolFacts | None:
    """The facts of a stage's pool, which an earlier stage may make; None if unknown."""
    if not isinstance(command, PoolFlags) or getattr(command, "dataset_streaming", False):
        return None
    if command.dataset_name in pools:
        return pools[command.dataset_name]
    if command.dataset_name.endswith("/scored") and not Path(command.dataset_name).exists():
        return None  # a stage makes it
    pool = read_pool(command)
    return PoolFacts(tuple(pool.column_names), len(pool))


def _recorded_settings(stage: Stage) -> dict[str, Any]:
    """Everything that a stage's result depends on, without secrets."""
    settings = dict(stage.settings)
    if stage.command == "score":
        left_out = _WHERE | ({"budget"} if settings.get("budget") == "all" else set())
        settings = {name: value for name, value in settings.items() if name not in left_out}
    return {**without_secrets(settings), "inputs": _inputs(stage)}


def _inputs(stage: Stage) -> dict[str, Any]:
    """The fingerprint of the user's pool and the exact weights of the user's models, as they are now."""
    given, inputs = stage.settings, {}
    if "dataset_name" in given and not given.get("dataset_streaming"):
        inputs["dataset_name"] = read_pool(stage.parsed)._fingerprint
    for name in _MODELS:
        if given.get(name) and given[name] == stage.flags[name]:  # else it is a stage's
            revision = given.get("model_revision") if name == "model_name_or_path" else None
            inputs[name] = identify(given[name], revision)
    if given.get("scorers"):
        inputs["scorers"] = _identities(stage)
    for name in ("include", "exclude", "selection"):
        folder = stage.flags.get(name)
        if name in given and folder == given[name]:
            inputs[name] = _digest_of_rows(folder)
    return inputs


def _identities(stage: Stage) -> list[dict[str, Any]]:
    """The exact weights of scorers given as text, except for models that the run itself makes."""
    run_folder = Path(stage.flags["output_dir"]).parent
    made = [
        scorer.keywords if isinstance(scorer, partial) else vars(scorer)
        for scorer in stage.parsed.named_scorers
        if not isinstance(scorer, ChatScorer)  # an endpoint does not say which weights it serves
    ]
    models = [(identity["model"], identity.get("revision")) for identity in made if identity.get("model")]
    return [identify(model, revision) for model, revision in models if run_folder not in Path(model).parents]


def _digest_of_rows(folder: str) -> str:
    record = Path(folder, ROWS_FILE)
    if record.exists():
        return pool_digest(read_seed_rows(record)[0])
    return pool_digest(Selection.load_from_disk(folder).row_ids)
