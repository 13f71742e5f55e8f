"""Parse flags, or the keys of a YAML file, to a command."""

import os
from argparse import SUPPRESS, Action, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import fields
from functools import partial
from pathlib import Path
from textwrap import fill, indent
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser

from hf_vitselect.call_text import fits, type_words
from hf_vitselect.cli.command import COMMANDS, Command, find_command
from hf_vitselect.errors import UsageError, nearest, nearest_path


def parse_flags(command: str, flags: Sequence[str]) -> Command:
    """The command with its flags, `--config file.yaml` included."""
    flags = [
        part for flag in flags for part in (flag.split("=", 1) if flag.startswith("--config=") else [flag])
    ]
    config: dict[str, Any] = {}
    if command != "run" and "--config" in flags:
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


def parse_section(command: str, section: Mapping[str, Any]) -> Command:
    """The command with its flags from a mapping."""
    if "hub_token" in section:
        # A run keeps its sections on disk.
        raise UsageError(f"section {command}: expected no hub_token; log in with `hf auth login` instead")
    return _parse(command, section, [], where=f"section {command}: ")


def write_help(command: str, every_flag: bool = True) -> str:
    """The purpose of a command, its flags and an example; of TRL's flags a few names, or all."""
    parser, kind = _Parser(command), find_command(command)
    for action in parser._actions:
        if action.option_strings[:1] == [f"--no_{action.dest}"]:  # `--{dest} false` says the same
            action.help = SUPPRESS
    notes = [] if command == "run" else ["The flags may also be in a YAML file: --config flags.yaml"]
    if kind.checked_by_trl and not every_flag:
        of_trl = {item.name for part in kind.checked_by_trl for item in fields(kind.part_types[part])}
        for action in parser._actions:
            action.help = SUPPRESS if action.dest in of_trl else action.help
        usual = fill(", ".join(f"--{name}" for name in kind.usual_flags), 96)
        notes.insert(
            0, f"TRL's flags, such as\n{indent(usual, '  ')}\n--help_all lists and explains them all."
        )
    notes.append(f"Example, next to the demo's folder:\n  hf-vitselect {command} {kind.example}")
    parser.epilog = "\n\n".join(notes)
    return f"{COMMANDS[command]}\n\n{parser.format_help()}"


def read_config(path: str) -> dict[str, Any]:
    """The flags and values, or sections, of a YAML file."""
    try:
        config = yaml.safe_load(Path(path).expanduser().read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"--config: expected a file, got {path!r}, which does not exist{nearest_path(path)}"
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


class _Formatter(RawDescriptionHelpFormatter):
    """Keep the lines of the example; show which flags are required, and defaults that are not empty."""

    def __init__(self, prog: str, positional: str | None) -> None:
        super().__init__(prog, width=100)  # of any terminal: the help is kept as text
        self._positional = positional

    def _format_action_invocation(self, action: Action) -> str:
        """One spelling of a flag: `--output-dir` goes without saying, as does the name of a positional."""
        if action.dest == self._positional:
            return action.dest.upper()
        shown = copy(action)
        shown.option_strings = [flag for flag in action.option_strings if "-" not in flag[2:]]
        return super()._format_action_invocation(shown)

    def _get_help_string(self, action: Action) -> str:
        if action.required:
            return f"{action.help} (required)"
        silent = action.default in (None, SUPPRESS, "", [])
        return f"{action.help}{'' if silent else ' (default: %(default)s)'}"


class _Parser(HfArgumentParser):  # type: ignore[misc]
    """The parser of one command; raises where argparse prints a screen of usage."""

    def __init__(self, command: str) -> None:
        kind = find_command(command)
        first = f" {kind.positional.upper()}" if kind.positional else ""
        super().__init__(
            [kind, *kind.part_types.values()],
            usage=f"hf-vitselect {command}{first} [flags]",
            allow_abbrev=False,
            formatter_class=partial(_Formatter, positional=kind.positional),
        )

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise UsageError(message.replace("argument --", "--"))


def _parse(command: str, config: Mapping[str, Any], flags: Sequence[str], where: str) -> Command:
    parser, kind = _Parser(command), find_command(command)
    first = kind.positional
    if first is not None and flags and not flags[0].startswith("-"):
        flags = [f"--{first}", *flags]
    help_line = f"'hf-vitselect {command} --help_all' lists all flags"
    known = [action.dest for action in parser._actions]
    if unknown := [name for name in config if name not in known]:
        raise UsageError(f"{where}unknown keys {unknown}{nearest(str(unknown[0]), known)}; {help_line}")
    for action in parser._actions:
        if action.dest in config:
            action.default, action.required = config[action.dest], False
    given = {flag.partition("=")[0] for flag in flags}
    options = parser._option_string_actions
    if unknown := [flag for flag in sorted(given) if flag.startswith("--") and flag not in options]:
        raise UsageError(f"{where}unknown flags {unknown}{nearest(unknown[0], options)}; {help_line}")
    missing = [
        action.dest
        for action in parser._actions
        if (action.required or action.dest in kind.needed)
        and not given & {*action.option_strings}
        and config.get(action.dest) is None
    ]
    if missing:
        stray = f", got {list(flags)} instead" if flags and not flags[0].startswith("--") else ""
        raise UsageError(f"{where}missing {missing}{stray}; {help_line}")
    try:
        *parsed, rest = parser.parse_args_into_dataclasses(
            args=list(flags), return_remaining_strings=True, look_for_args_file=False
        )
    except ValueError as error:  # Of the parser, or of TRL, which checks its own arguments.
        no_gpu = "expected a GPU that computes in bfloat16, got none; to train on the CPU give --use_cpu true"
        raise UsageError(f"{where}{no_gpu if 'use_cpu' in str(error) else error}") from error
    if rest:
        raise UsageError(f"{where}expected flags and their values, got {rest} as well; {help_line}")
    made: Command = parsed[0]
    vars(made).update(zip(made.part_types, parsed[1:], strict=True))
    for name, part in zip(("", *made.part_types), parsed, strict=True):
        if name not in made.checked_by_trl:
            _settle_types(part, where)
    return made


def _settle_types(flags: Any, where: str) -> None:
    """Turn numbers from YAML into text and single texts into lists, and refuse other wrong types."""
    hints = get_type_hints(type(flags))
    least_of = flags.least if isinstance(flags, Command) else {}
    for name, hint in [(item.name, hints[item.name]) for item in fields(flags)]:
        value = getattr(flags, name)
        if value is not None and any(get_origin(one) is list for one in (hint, *get_args(hint))):
            value = [_as_text(item) for item in (value if isinstance(value, list) else [value])]
        elif str in (hint, *get_args(hint)):
            value = _as_text(value)
        if not fits(value, hint):
            raise UsageError(f"{where}{name}: expected {type_words(hint)}, got {value!r}")
        if value is not None and name in least_of and value < least_of[name]:
            raise UsageError(f"{where}{name}: expected {least_of[name]} or more, got {value}")
        setattr(flags, name, value)


def _as_text(value: Any) -> Any:
    """A number as text, as on the command line; anything else unchanged."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
