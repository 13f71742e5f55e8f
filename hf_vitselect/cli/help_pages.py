"""The help of every command as text, so that showing it imports no library.

    python -m hf_vitselect.cli.help_pages

writes it anew, to the files of `hf_vitselect/cli/help`.
"""

from pathlib import Path

from hf_vitselect.cli.command import COMMANDS

FOLDER = Path(__file__).parent / "help"


def read_help(command: str) -> str:
    """The help of a command, one of `COMMANDS`, with the usual flags."""
    return (FOLDER / f"{command}.txt").read_text("utf-8")


def main() -> None:
    """Write the help of every command."""
    from hf_vitselect.cli.parse import write_help

    for command in COMMANDS:
        (FOLDER / f"{command}.txt").write_text(write_help(command, every_flag=False), "utf-8")


if __name__ == "__main__":
    main()
