"""The command line: finds the command, runs it, prints; no logic."""

import os
import select
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hf_vitselect import __version__
from hf_vitselect.cli.command import COMMANDS
from hf_vitselect.cli.help_pages import read_help
from hf_vitselect.errors import nearest

_HELP = f"""\
Find the part of a visual-instruction-tuning pool that is worth training on.

usage: hf-vitselect <command> [flags]

{"".join(f"  {name:11}{purpose}{chr(10)}" for name, purpose in COMMANDS.items())}
'hf-vitselect <command> --help' lists the flags of a command; --version prints the version.
With --debug an error shows its traceback.

Example, which leaves a folder that the examples of the other commands use:
  hf-vitselect demo --output_dir demo"""

_BROKEN_PIPE = 141  # what a shell reports of a tool that SIGPIPE ends


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 2 for what the user can act on, 1 for an unexpected error, 130 for an interrupt, 141
        if the reader has closed the pipe. With `--debug` among the arguments the error is raised instead.
    """
    try:
        status, text = _run(arguments)
        print(text, end="", flush=True)
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again as it ends
        return _BROKEN_PIPE
    return status


def _run(arguments: Sequence[str] | None) -> tuple[int, str]:
    """Run one command; returns its exit status and what to print."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = _take_debug(given)
    name, *flags = given or [""]
    if name in ("-h", "--help", "--version"):
        return 0, f"{__version__ if name == '--version' else _HELP}\n"
    if name not in COMMANDS:
        near = nearest(name, COMMANDS)
        print(f"hf-vitselect: expected a command among {list(COMMANDS)}, got {name!r}{near}", file=sys.stderr)
        return 2, ""
    if not {"-h", "--help"}.isdisjoint(flags):
        return 0, read_help(name)
    # TRL's own default, which the user has not set.
    warnings.filterwarnings("ignore", "`gradient_checkpointing` is deprecated", FutureWarning)
    usual, warnings.formatwarning = warnings.formatwarning, partial(_format_warning, name)
    try:
        from hf_vitselect.cli.parse import parse_flags, write_help
        from hf_vitselect.progress import no_library_bars
        from hf_vitselect.scoring.ranks import Rank

        if not {"--help_all", "--help-all"}.isdisjoint(flags):
            return 0, write_help(name)
        command = parse_flags(name, flags)
        with no_library_bars():
            command.check()
            summary = command.execute()
        return 0, f"{summary}\n" if Rank.here().number == 0 else ""
    except (Exception, KeyboardInterrupt) as error:
        if debug or (isinstance(error, BrokenPipeError) and _reader_is_gone()):
            raise
        from hf_vitselect.cli.errors import describe_error

        message, status = describe_error(error, name)
        print(f"hf-vitselect {name}: {message}", file=sys.stderr)
        return status, ""
    finally:
        warnings.formatwarning = usual


def _reader_is_gone() -> bool:
    """Whether stdout is a pipe whose reader has closed it, as `head` does once it has its lines."""
    with suppress(OSError):  # stdout is no file
        poll = select.poll()
        poll.register(sys.stdout)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    return False


def _take_debug(flags: list[str]) -> bool:
    """Take `--debug` out; return whether it was given. With a value it is a flag of the Trainer's own."""
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
