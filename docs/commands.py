"""The page of all commands: what each is for, an example, and its own flags.

python docs/commands.py > docs/commands.md
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any

from hf_vitselect.cli.command import COMMANDS, Command, find_command

HEAD = """\
# Commands

Written by `python docs/commands.py > docs/commands.md`. The examples run in the folder of the
[tutorial](tutorial.md). `hf-vitselect COMMAND --help_all` also explains TRL's flags. Each command also takes
`--config file.yaml` with flags and values, and `hf-vitselect run` a section for each command.
"""


def page() -> str:
    """The page, as Markdown."""
    return "\n".join([HEAD, *(line for name in COMMANDS for line in _section(name)), ""]).rstrip() + "\n"


def _section(name: str) -> Iterator[str]:
    command = find_command(name)
    yield from (f"## {name}", "", COMMANDS[name], "", "```text")
    yield from (_wrapped(f"hf-vitselect {name} {command.example}"), "```", "")
    yield from ("| flag | default | |", "| --- | --- | --- |")
    borrowed = {part: _of_trl(part) for part in command.part_types.values()}
    for kind in (command, *(part for part, library in borrowed.items() if library is None)):
        yield from (_row(item, command) for item in fields(kind) if item.init and "help" in item.metadata)
    yield ""
    if names := [f"`{library}`" for library in borrowed.values() if library]:
        yield from (f"And the flags of TRL's {' and '.join(names)}.", "")


def _wrapped(line: str, width: int = 90) -> str:
    """A long command on several lines, broken before flags."""
    lines = [""]
    for part in re.split(r" (?=--)", line):
        if lines[-1] and len(f"{lines[-1]} {part}") > width:
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}" if lines[-1] else part
    return " \\\n".join(lines)


def _of_trl(part: type[Any]) -> str | None:
    """The class of TRL whose flags a part has, None if they are this package's."""
    return next((kind.__name__ for kind in part.__mro__ if kind.__module__.startswith("trl.")), None)


def _row(item: "Field[Any]", command: type[Command]) -> str:
    made = item.default_factory() if item.default_factory is not MISSING else item.default
    default = "required" if made is MISSING else "" if made in (None, "", [], ()) else f"`{made}`"
    dashes = "" if item.name == command.positional else "--"
    return f"| `{dashes}{item.name}` | {default} | {item.metadata['help'].replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    print(page(), end="")
