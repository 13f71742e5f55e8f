"""The command line of scripts whose commands work on the testbeds."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trials.beds import known_beds
from trials.plan import POOL_SEEDS

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


def results_commands(
    description: str | None,
    measures: Sequence[Callable[..., None]],
    write_page: Callable[..., None],
    results: Path,
    page: Path,
) -> tuple[argparse.ArgumentParser, dict[Callable[..., None], argparse.ArgumentParser]]:
    """A parser for a script whose results are lines of a file, and tables of a page.

    Args:
        description: of the script.
        measures: functions that add lines to `results`, for chosen testbeds.
        write_page: the function that fills the tables.
        results: the file of the lines.
        page: the page.

    Returns:
        As `bed_commands`.
    """
    parser, commands = bed_commands(description, {do: do.__doc__ for do in (*measures, write_page)})
    for command in commands.values():
        command.add_argument("--results", type=Path, default=results, help="lines of what was measured")
    for do in measures:
        choose_beds(commands[do])
    commands[write_page].add_argument("--page", type=Path, default=page)
    return parser, commands


def choose_beds(command: argparse.ArgumentParser) -> None:
    """Give a command the flags that choose its testbeds; it needs --results, too."""
    command.add_argument("--testbeds", nargs="*", choices=list(POOL_SEEDS), help="by default both")
    command.add_argument("--tiny", action="store_true", help="rehearse on pools that teach nothing")


def run_command(parser: argparse.ArgumentParser, results: Path) -> None:
    """Parse the command line and run the command, with its testbeds as `beds`.

    Args:
        parser: of `bed_commands`.
        results: the file to which no rehearsal may add.
    """
    args = parser.parse_args()
    tiny = getattr(args, "tiny", False)
    if tiny and args.results == results:
        parser.error("--tiny: expected --results, too; its figures mean nothing")
    beds = known_beds(args.fashion, tiny)
    args.beds = {name: beds[name] for name in getattr(args, "testbeds", None) or beds}
    args.do(args)
