"""The stages of a run: the sections of its configuration, in rounds, each fed by earlier ones."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hf_vitselect.call_text import write_call
from hf_vitselect.cli.flags import ModelFlags, PoolFlags, parse_budget
from hf_vitselect.cli.parse import parse_section
from hf_vitselect.cli.select import Select
from hf_vitselect.scorers import SIGNALS
from hf_vitselect.selection.method import Method

CHAIN = ("seed", "score", "score_net", "select", "push", "train", "compare", "report")
"""The commands that a run may have a section for, in their order."""
_POOL_FLAGS = [item.name for item in fields(PoolFlags)]
_LAST = {"push", "compare", "report"}  # commands of the last round only
_ROUND_NEEDS = {"score", "select", "train"}
# Later rounds score with the last round's model, and already have the other columns.
_FIRST_ROUND_ONLY = {
    *_POOL_FLAGS,
    "model_name_or_path",
    "model_revision",
    "clip_name_or_path",
    "clip_score",
    "text_name_or_path",
    "judge",
    "judge_base_url",
    "scorers",
}


# Commands that read no scores, or those of the selected rows alone; `compare` if it only compares these.
_NEED_NO_OTHER_SCORES = {"seed", "score", "select", "push", "train", "compare", "report"}
_ROWS_FROM_ELSEWHERE = {"dataset_name", "include"}  # flags of select
_START_FROM_SEED = {"train", "compare"}  # commands whose model may be the stage `seed`
# Flags of score under which only the columns of the selection's method are added.
_SCORES_OF_METHOD = {
    *_POOL_FLAGS,
    *(item.name for item in fields(ModelFlags)),
    *("model_name_or_path", "clip_name_or_path", "shard_size", "workers", "engine"),
}


@dataclass(frozen=True)
class Stage:
    """One command of a run."""

    name: str  # also of its folder
    command: str
    settings: dict[str, Any]  # the flags of the user's section, as the round sets them
    flags: dict[str, Any]  # all flags: the settings, and the results of earlier stages
    part: dict[str, Any] | None = None  # of `score`: the selection whose rows it scores, if not all rows

    @cached_property
    def parsed(self) -> Any:
        """The command with its flags, parsed once."""
        return parse_section(self.command, self.flags)


def plan(config: Mapping[str, Any], folder: Path) -> list[Stage]:
    """Plan the stages in their order.

    Each stage's result is the default of the next: the seed model scores the pool, `select` reads the scored
    pool, `push` and `train` take the selection. `push` comes first, so that the model's card can name the
    subset. The `signals` of `score` are by default those that the methods of `select` and `compare` use. In
    the section select, `include: seed` or `exclude: seed` means the seed model's rows; in the sections train
    and compare, `model_name_or_path: seed` means the seed model. In compare, `selections: [select]` means the
    subset that the run has selected.

    With `rounds: 3` the budget is reached in three equal steps. Each further round scores the pool with the
    last round's model, into columns of its own (`necessity_2`), keeps the rows selected so far and selects
    more. Only the last subset and the last model are pushed.

    Only the rows that `select` may need are scored, see `score_candidates`, if its method draws at random and
    the configuration needs the scores of no other rows: there is one round, the section score names models
    alone, select takes no rows from elsewhere and excludes none but the seed model's, and nothing but its
    subset is compared. `budget: all` in the section score scores all rows.

    Args:
        config: a section of flags for each command of `CHAIN` to run; and `rounds`, 1 if not given.
        folder: the run's folder.
    """
    given = {name: section or {} for name, section in config.items() if name != "rounds"}
    if wrong := [name for name, section in given.items() if not isinstance(section, Mapping)]:
        raise ValueError(f"expected flags and their values in the sections {wrong}, got {config[wrong[0]]!r}")
    sections = {name: dict(given[name]) for name in CHAIN if name in given}
    rounds = config.get("rounds", 1)
    if unknown := sorted(given.keys() - sections.keys()):
        raise ValueError(f"unknown sections {unknown}; expected some of {[*CHAIN, 'rounds']}")
    if placed := [name for name, section in sections.items() if "output_dir" in section]:
        raise ValueError(f"expected no output_dir in the sections {placed}: a run's stages lie in its folder")
    if not isinstance(rounds, int) or isinstance(rounds, bool) or rounds < 1:
        raise ValueError(f"rounds: expected an int of 1 or more, got {rounds!r}")
    if rounds > 1:
        _refuse_rounds(sections, rounds)
    stages: list[Stage] = []
    latest: dict[str, str] = {}  # the folder of each command's latest stage
    for turn in range(1, rounds + 1):
        for command, section in sections.items():
            if (command == "seed" and turn > 1) or (command in _LAST and turn < rounds):
                continue
            settings = _of_round(command, section, turn, rounds)
            flags = {**_from_before(command, latest, sections, turn), **settings}
            flags |= {name: _rows_of(flags[name], latest) for name in ("include", "exclude") if name in flags}
            if command == "compare" and isinstance(flags.get("selections"), list):
                flags["selections"] = [_selection_of(text, latest) for text in flags["selections"]]
            if command in _START_FROM_SEED and flags.get("model_name_or_path") == "seed":
                flags["model_name_or_path"] = latest.get("seed", "seed")
                _refuse_start(command, section, sections.get("seed", {}))
            name = f"{command}_{turn}" if turn > 1 and command not in _LAST else command
            if command != "push":
                latest[command] = flags["output_dir"] = os.path.join(folder, name)
            if command in ("push", "report") or (command == "compare" and "score" in latest):
                flags.setdefault("run_dir", str(folder))
            stages.append(Stage(name, command, settings, flags))
    return _with_draw(_with_signals(stages), sections)


def _refuse_start(command: str, section: Mapping[str, Any], seed: Mapping[str, Any]) -> None:
    """Refuse a fine-tune that cannot start from the seed model."""
    if seed.get("layers"):
        raise ValueError(
            f"section {command}: model_name_or_path: seed: expected a whole seed model, got one without some "
            "of its layers; leave layers out of the section seed, or train the base model"
        )
    if seed.get("use_peft") and section.get("use_peft"):
        raise ValueError(
            f"section {command}: use_peft: expected none, as the seed model is an adapter, which is itself "
            "trained further; leave it out"
        )


def _with_draw(stages: list[Stage], sections: Mapping[str, Mapping[str, Any]]) -> list[Stage]:
    """Let `score` score only what `select` may need, if nothing else needs scores."""
    of = {stage.name: stage for stage in stages}
    if not {"score", "select"} <= of.keys() <= _NEED_NO_OTHER_SCORES:
        return stages
    if "compare" in of and (of["compare"].parsed.planned or "dataset_name" in sections["compare"]):
        return stages
    score, select = of["score"].parsed, of["select"].parsed
    method = select.chosen_method
    if (
        not method.picks_at_random
        or method.by not in score.added_columns()
        or method.kinds in score.added_columns()
        or not _ROWS_FROM_ELSEWHERE.isdisjoint(sections["select"])
        or sections["select"].get("exclude", "seed") != "seed"
        or not sections["score"].keys() <= _SCORES_OF_METHOD
    ):
        return stages
    draw = {"budget": select.budget, "method": write_call(method, whole=True), "seed": select.seed}
    draw |= {"exclude": select.exclude} if select.exclude else {}
    part = {"select": of["select"].settings}  # not `draw`, in which defaults may change with a version
    return [
        replace(stage, flags=stage.flags | draw, part=part) if stage.name == "score" else stage
        for stage in stages
    ]


def _with_signals(stages: list[Stage]) -> list[Stage]:
    """Let `score` add what the methods use; later rounds, which have the other columns, the score alone."""
    methods = [method for stage in stages for method in _methods(stage)]
    used = {name for method in methods for name in method.signals}
    scores = {method.by for method in methods}
    planned = []
    for stage in stages:
        if stage.command == "score" and "model_name_or_path" in stage.flags:
            left_out = set(stage.parsed.named_columns) if stage.name == "score" else SIGNALS.keys() - scores
            signals = sorted(used - left_out, key=lambda name: (name not in scores, name))
            if signals and "signals" not in stage.settings:
                # Among the settings: the columns of another method make the stage stale.
                added = {"signals": signals}
                stage = replace(stage, settings=stage.settings | added, flags=stage.flags | added)
        planned.append(stage)
    return planned


def _methods(stage: Stage) -> list[Method]:
    """The methods by which a stage selects."""
    if stage.command == "select":
        return [stage.parsed.chosen_method]
    if stage.command == "compare":
        return [method for method in stage.parsed.planned.values() if isinstance(method, Method)]
    return []


def _score_of(section: Mapping[str, Any]) -> str:
    """The score column by which a section selects."""
    select: Any = parse_section("select", {"dataset_name": "", **section})
    return str(select.chosen_method.by)


def _rows_of(name: Any, latest: Mapping[str, str]) -> str:
    """The folder of an earlier stage, or the user's own."""
    if not isinstance(name, str) or (name in CHAIN and name not in latest):
        raise ValueError(f"include, exclude: expected a stage before or a folder, got {name!r}")
    return latest.get(name, name)


def _selection_of(text: Any, latest: Mapping[str, str]) -> Any:
    """A method's text, in which the name of an earlier stage is its folder."""
    if not isinstance(text, str):
        return text
    name, equals, given = text.rpartition("=")
    return f"{name}{equals}{latest.get(given, given)}"


def _refuse_rounds(sections: Mapping[str, Mapping[str, Any]], rounds: int) -> None:
    """Refuse rounds that would fail late."""
    if not sections.keys() >= _ROUND_NEEDS or "score_net" in sections:
        raise ValueError(
            f"rounds: expected the sections {sorted(_ROUND_NEEDS)} and no score_net, got {list(sections)}; "
            "each round scores with the model that the one before has trained"
        )
    by = _score_of(sections["select"])
    signals = sections["score"].get("signals", list(SIGNALS))
    if by not in signals or "suffix" in sections["score"]:
        raise ValueError(f"rounds: expected by= among the signals {signals} and no suffix, got {by!r}")
    budget = parse_budget(sections["select"].get("budget", Select.budget))
    if isinstance(budget, int) and budget < rounds:
        raise ValueError(f"rounds: expected a budget of at least one row a round, got {budget}")


def _of_round(command: str, section: Mapping[str, Any], turn: int, rounds: int) -> dict[str, Any]:
    """The section's flags in this round."""
    settings = dict(section)
    if command == "select" and rounds > 1:
        budget = parse_budget(section.get("budget", Select.budget))
        if turn < rounds:
            share = budget * turn / rounds
            settings["budget"] = budget * turn // rounds if isinstance(budget, int) else share
        if turn > 1:
            settings |= {"by": f"{_score_of(section)}_{turn}", "include": "select"}
    if command == "score" and turn > 1:
        settings = {name: value for name, value in section.items() if name not in _FIRST_ROUND_ONLY}
        settings["suffix"] = f"_{turn}"
    if command == "train" and turn < rounds:
        settings.pop("push_to_hub", None)
    return settings


def _from_before(
    command: str, latest: Mapping[str, str], sections: Mapping[str, Any], turn: int
) -> dict[str, Any]:
    """The flags that a command takes from the latest stages."""
    if command == "score" and turn > 1:
        return {"model_name_or_path": latest["train"], "dataset_name": f"{latest['score']}/scored"}
    if command == "score" and "seed" in latest:
        pool = {name: sections["seed"][name] for name in _POOL_FLAGS if name in sections["seed"]}
        return {**pool, "model_name_or_path": latest["seed"]}
    if command == "select" and "score_net" in latest:
        scored = {"dataset_name": f"{latest['score_net']}/scored"}
        given = sections["select"]
        if "method" in given:  # which names its score itself
            return scored
        return scored | ({"by": "score_net"} if "rule" in given else {"method": "SelfFilter()"})
    if command in ("score_net", "select", "compare") and "score" in latest:
        return {"dataset_name": f"{latest.get('score_net', latest['score'])}/scored"}
    if command in ("train", "push", "report") and "select" in latest:
        return {"selection": latest["select"]}
    return {}
