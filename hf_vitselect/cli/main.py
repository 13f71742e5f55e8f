"""The command line: parses, calls, prints; no logic."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hf_vitselect import __version__

_COMMANDS = {
    "demo": "the whole chain on a pool that it renders itself, in minutes and offline",
    "run": "the whole chain from a YAML file with a section for each command",
    "seed": "fine-tune a model on a random part of a pool",
    "score": "attach score and embedding columns to a pool",
    "score_net": "train a score net with the model, and attach its difficulty",
    "select": "pick a subset of a scored pool",
    "train": "fine-tune a model on a selection",
    "push": "push a selection and its card to the Hub",
    "compare": "fine-tune on selections and on random rows, and say which is better",
    "report": "write a selection's card to a folder, as Markdown and as one HTML page",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit status: 2 for what the user can act on, 1 for an unexpected error, 130 for an interrupt.
        With `--debug` among the arguments the error is raised instead.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = _take_debug(given)
    lines = "\n".join(f"  {name:10}{text}" for name, text in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="hf-vitselect",
        description="Find the part of a visual-instruction-tuning pool that is worth training on.",
        epilog=f"commands (each has --help):\n{lines}\n\nWith --debug an error shows its traceback.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=list(_COMMANDS), metavar="command")
    parser.add_argument("flags", nargs=argparse.REMAINDER, metavar="...")
    parsed = parser.parse_args(given)
    # TRL's own default, which the user has not set.
    warnings.filterwarnings("ignore", "`gradient_checkpointing` is deprecated", FutureWarning)
    usual, warnings.formatwarning = warnings.formatwarning, partial(_format_warning, parsed.command)
    try:
        _do(parsed.command, parsed.flags)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        from hf_vitselect.cli.explain import explain

        message, status = explain(error, parsed.command)
        print(f"hf-vitselect {parsed.command}: {message}", file=sys.stderr)
        return status
    finally:
        warnings.formatwarning = usual
    return 0


def _do(command: str, flags: Sequence[str]) -> None:
    if command == "demo":
        _demo(flags)
    elif command == "run":
        _run(flags)
    else:
        from hf_vitselect.cli import commands
        from hf_vitselect.cli.arguments import parse_flags
        from hf_vitselect.scoring.ranks import Rank

        summary = commands.command(command, parse_flags(command, flags))
        if Rank.here().number == 0:
            print(summary)


def _take_debug(flags: list[str]) -> bool:
    """Whether `--debug` is there, which is taken out. With a value it is a flag of the Trainer's own."""
    for place, flag in enumerate(flags):
        if flag == "--debug" and (
            place == 0 or flags[place + 1 : place + 2] == [] or flags[place + 1][:1] == "-"
        ):
            del flags[place]
            return True
    return False


def _format_warning(command: str, message: Warning | str, category: type[Warning], file: str, *_: Any) -> str:
    """Our own warnings as one line; others as Python has them."""
    if Path(__file__).parents[1] in Path(file).parents:
        return f"hf-vitselect {command}: warning: {message}\n"
    return f"{file}: {category.__name__}: {message}\n"


def _run(flags: Sequence[str]) -> None:
    from hf_vitselect.cli.arguments import read_config
    from hf_vitselect.cli.run import run

    parser = argparse.ArgumentParser(prog="hf-vitselect run")
    parser.add_argument(
        "--config", required=True, help="YAML with sections, as in examples/configs, and rounds"
    )
    parser.add_argument("--output_dir", required=True, help="the run's folder; the same call resumes it")
    given = parser.parse_args(flags)
    run(read_config(given.config), given.output_dir, say=print)


def _demo(flags: Sequence[str]) -> None:
    import time

    from hf_vitselect.cli.summary import Summary, command_line
    from hf_vitselect.demo.chain import demo

    parser = argparse.ArgumentParser(prog="hf-vitselect demo")
    parser.add_argument("--output_dir", default="demo", help="everything is left here")
    parser.add_argument("--seeds", type=int, default=3, help="fine-tunes of each subset, for the spread")
    parser.add_argument("--push_to_hub", metavar="OWNER", help="also push subset and model under this name")
    parser.add_argument(
        "--compare", action="store_true", help="also compare with the highest scores and length-matched rows"
    )
    given = parser.parse_args(flags)
    start = time.perf_counter()
    report = demo(given.output_dir, seeds=given.seeds, owner=given.push_to_hub, compared=given.compare)
    facts = {"saved to": given.output_dir, "seconds": f"{time.perf_counter() - start:.1f}"}
    chosen = Path(given.output_dir, "selection")
    print(Summary(facts, [command_line("report", selection=chosen, output_dir="report")], report))
