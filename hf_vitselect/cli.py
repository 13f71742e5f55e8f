"""The command line: parses, calls, prints; no logic."""

import argparse
import sys
from collections.abc import Sequence

from hf_vitselect import __version__
from hf_vitselect.errors import VitSelectError

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
    """Runs one command; returns the exit status, 2 for anything that the user can mend."""
    lines = "\n".join(f"  {name:10}{text}" for name, text in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="hf-vitselect",
        description="Find the part of a visual-instruction-tuning pool that is worth training on.",
        epilog=f"commands (each has --help):\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=list(_COMMANDS), metavar="command")
    parser.add_argument("flags", nargs=argparse.REMAINDER, metavar="...")
    given = parser.parse_args(arguments)
    try:
        if given.command == "demo":
            _demo(given.flags)
        elif given.command == "run":
            _run(given.flags)
        else:
            from hf_vitselect.arguments import parse_flags
            from hf_vitselect.commands import command

            command(given.command, parse_flags(given.command, given.flags))
    except (VitSelectError, ValueError, OSError) as error:
        print(f"hf-vitselect {given.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _run(flags: Sequence[str]) -> None:
    import yaml

    from hf_vitselect.pipeline import run

    parser = argparse.ArgumentParser(prog="hf-vitselect run")
    parser.add_argument(
        "--config", required=True, help="YAML with sections, as in examples/configs, and rounds"
    )
    parser.add_argument("--output_dir", required=True, help="the run's folder; the same call goes on there")
    given = parser.parse_args(flags)
    with open(given.config) as file:
        config = yaml.safe_load(file)
    if not isinstance(config, dict):
        raise ValueError(f"expected a mapping of sections in {given.config}, got {type(config).__name__}")
    print(run(config, given.output_dir))


def _demo(flags: Sequence[str]) -> None:
    from hf_vitselect.demo.chain import demo

    parser = argparse.ArgumentParser(prog="hf-vitselect demo")
    parser.add_argument("--output_dir", default="demo", help="everything is left here")
    parser.add_argument("--seeds", type=int, default=3, help="fine-tunes of each subset, for the spread")
    parser.add_argument("--push_to_hub", metavar="OWNER", help="also push subset and model under this name")
    parser.add_argument(
        "--compare", action="store_true", help="also compare with the highest scores and length-matched rows"
    )
    given = parser.parse_args(flags)
    print(demo(given.output_dir, seeds=given.seeds, owner=given.push_to_hub, compared=given.compare))
