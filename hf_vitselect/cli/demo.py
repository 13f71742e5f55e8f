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
    """Run the chain and print what it shows."""

    output_dir: str = flag("Where everything goes; the same command resumes.", "demo")
    seeds: int = flag("Fine-tunes on rows of the default method, and on random rows.", 6)
    push_to_hub: str | None = flag(
        "The Hub user or organization to push to; nothing is pushed if not set.", None
    )
    least: ClassVar[Mapping[str, int]] = {"seeds": 1}
    example = "--output_dir demo --seeds 1"

    def run(self) -> Summary:
        """Run the chain."""
        shown = demo(self.output_dir, seeds=self.seeds, owner=self.push_to_hub)
        folder = Path(self.output_dir)
        flags = {"selection": folder / "selection", "run_dir": folder, "output_dir": "report"}
        facts = {"saved to": folder, "card": folder / "card" / "README.md"}
        return Summary(facts, [command_line("report", **flags)], shown, folder / "compare" / "comparison.png")
