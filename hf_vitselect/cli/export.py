"""`export`: write a selection in the format of another trainer."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from hf_vitselect.cli.command import Command
from hf_vitselect.cli.flags import SelectionFlags, flag
from hf_vitselect.cli.pool import load_selection
from hf_vitselect.cli.summary import Summary
from hf_vitselect.exports.base import Format
from hf_vitselect.exports.export import export, refuse_existing
from hf_vitselect.exports.ids import Ids
from hf_vitselect.exports.llama_factory import LlamaFactory
from hf_vitselect.exports.llava import Llava
from hf_vitselect.exports.ms_swift import MsSwift
from hf_vitselect.exports.openai import OpenAI
from hf_vitselect.exports.parquet import Parquet
from hf_vitselect.exports.sharegpt import ShareGPT
from hf_vitselect.exports.trl import Trl
from hf_vitselect.exports.webdataset import WebDataset

_FORMATS: dict[str, Format] = {
    "llava": Llava(),
    "sharegpt": ShareGPT(),
    "llama-factory": LlamaFactory(),
    "ms-swift": MsSwift(),
    "trl": Trl(),
    "openai": OpenAI(),
    "webdataset": WebDataset(),
    "parquet": Parquet(),
    "ids": Ids(),
}


@dataclass(kw_only=True)
class Export(SelectionFlags, Command):
    """Write the picked rows as files."""

    to: Literal[
        "llava", "sharegpt", "llama-factory", "ms-swift", "trl", "openai", "webdataset", "parquet", "ids"
    ] = flag("The format.")
    output_dir: str = flag("The folder of the file; it may hold other files.", "export")
    name: str = flag(
        "The name of the file without its suffix; for LLaMA-Factory also the dataset's.", "subset"
    )
    images: Literal["write", "reference"] = flag(
        "Whether to write the images next to the file, or to reference them where they lie.", "write"
    )
    positional: ClassVar[str] = "selection"
    example = "demo/selection --to llava --output_dir export"

    def check(self) -> None:
        """Refuse a file that exists."""
        refuse_existing(Path(self.output_dir), self.name)

    def run(self) -> Summary:
        """Export the selection."""
        selection = load_selection(self.selection)
        file = export(selection, self.output_dir, _FORMATS[self.to], name=self.name, images=self.images)
        facts = {"rows": f"{len(selection):,}", "format": self.to, "saved to": file}
        return Summary(facts)
