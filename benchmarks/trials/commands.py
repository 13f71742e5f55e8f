"""The command line of scripts whose commands work on the testbeds."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "data" / "evidence"


def bed_commands(
    description: str | None, commands: Mapping[Callable[..., None], str | None]
) -> tuple[argparse.ArgumentParser, dict[Callable[..., None], argparse.ArgumentParser]]:
    """A parser with a command for each function, named like it, and with the flags of testbeds.

    Args:
        description: of the script.
        commands: from a function, which takes the arguments and becomes `do`, to its help.

    Returns:
        The parser, and that of each command.
    """
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=raw)
    parsers, made = parser.add_subparsers(required=True), dict[Callable[..., Any], argparse.ArgumentParser]()
    for do, text in commands.items():
        made[do] = command = parsers.add_parser(do.__name__.removeprefix("write_"), help=text)
        command.set_defaults(do=do)
        command.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST's files")
        command.add_argument("--folder", type=Path, default=FOLDER, help="pools, models")
    return parser, made
