"""`demo`: run the whole chain on a pool that it renders itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hf_vitselect.cli.command import Command
from hf_vitselect.cli.flags import flag
from hf_vitselect.cli.summary import Summary, command_line
from hf_vitselect.demo.chain import demo


@dataclass(kw_only=True)
class Demo(Command):
    """Run the chain and print its table."""

    output_dir: str = flag("Where everything goes; the same command resumes.", "demo")
    seeds: int = flag("Fine-tunes of each subset, for the spread.", 3)
    push_to_hub: str | None = flag(
        "The Hub user or organization to push to; nothing is pushed if not set.", None
    )
    compare: bool = flag(
        "Whether to compare with the highest scores and with random rows of the same response lengths.", False
    )
    least: ClassVar[Mapping[str, int]] = {"seeds": 1}
    example = "--output_dir demo --seeds 1"

    def run(self) -> Summary:
        """Run the chain."""
        table = demo(self.output_dir, seeds=self.seeds, owner=self.push_to_hub, compared=self.compare)
        selection = Path(self.output_dir, "selection")
        next_line = command_line("report", selection=selection, output_dir="report")
        return Summary({"saved to": self.output_dir}, [next_line], table)
