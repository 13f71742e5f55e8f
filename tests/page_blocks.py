"""The code blocks of the documentation: reading them, and running them as a reader would, page by page.

    python tests/page_blocks.py WORK_FOLDER RESULTS.json PAGE ...

runs pages with the Hub of HF_ENDPOINT, on which the names in `HUB` are tiny models and pools. The first page
is the tutorial; its demo is a small one, and every later page finds it in its own folder. Fine-tunes take two
steps, those of pages that expect a GPU on the CPU. The explorer's site is written, and not served. Nothing
else differs from what the page says.
"""

import contextlib
import inspect
import io
import json
import re
import shlex
import sys
import time
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pools import encode, stripes

HUB = {
    "HuggingFaceH4/llava-instruct-mix-vsft": "demo/data/pool",
    "me/held-out": "demo/data/held_out",
    "llava-hf/llava-1.5-7b-hf": "demo/base",
    "me/llava-1.5-7b-seed": "demo/seed",
    "openai/clip-vit-large-patch14": "demo/clip",
}
"""What stands on the Hub for each name of the docs: a folder of the small demo."""

DEMO = {"pool_rows": 240, "held_out_rows": 16, "caption_rows": 64, "clip_epochs": 1, "tune_epochs": 1}
QUICK = {"max_steps": 2, "gradient_checkpointing": False}
ON_CPU = {"use_cpu": True, "bf16": False}
FOR_ANY_MACHINE = ("tutorial", "tasks", "compare")
"""Pages on the demo's models, which say themselves how to train on the CPU; the others expect a GPU."""


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        language: such as `python`, `bash` or `yaml`; "" if none is given.
        title: the name of the file that it shows, "" if it has none.
        code: its lines without the fence's indentation.
    """

    language: str
    title: str
    code: str


def read_blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    fence = r'^( *)```(\w*)(?: title="([^"]*)")?\n(.*?)^\1```'
    found = re.finditer(fence, text, re.DOTALL | re.MULTILINE)
    return [Block(match[2], match[3] or "", inspect.cleandoc(match[4])) for match in found]


def commands(code: str) -> list[list[str]]:
    """The calls of `hf-vitselect` in a block of shell, without the program's name."""
    lines = [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines()]
    return [words[1:] for words in lines if words[:1] == ["hf-vitselect"]]


def run_block(block: Block, names: dict[str, Any]) -> None:
    """Run one block in the working directory; Python shares its names with the page's other blocks."""
    from hf_vitselect.cli.main import main

    if block.title:
        Path(block.title).write_text(block.code)
    if block.language == "python":
        exec(compile(block.code, block.title or "block.py", "exec"), names)
    for words in commands(block.code) if block.language == "bash" else ():
        with contextlib.redirect_stderr(io.StringIO()) as shown, contextlib.suppress(SystemExit):
            assert main(words) == 0, f"hf-vitselect {shlex.join(words)}: {shown.getvalue()[-2000:]}"


def run_page(text: str) -> list[str]:
    """Run a page's blocks in the working directory: for each what went wrong, "" if nothing did."""
    names: dict[str, Any] = {"__name__": "page"}
    errors = []
    for block in read_blocks(text):
        try:
            run_block(block, names)
        except Exception:
            return [*errors, traceback.format_exc()]
        errors.append("")
    return errors


def make_quick() -> dict[str, Any]:
    """Make the demo small, every fine-tune two steps, and serve nothing; returns a fine-tune's arguments."""
    import torch
    from trl import SFTConfig

    from hf_vitselect.cli import demo as command
    from hf_vitselect.cli import explore
    from hf_vitselect.demo import chain
    from hf_vitselect.demo.models import DemoSettings

    torch.set_num_threads(1)
    finish, changed = SFTConfig.__post_init__, dict(QUICK)

    def quick(args: SFTConfig) -> None:
        for name, value in changed.items():
            setattr(args, name, value)
        finish(args)

    SFTConfig.__post_init__ = quick
    command.demo = partial(chain.demo, settings=DemoSettings(**DEMO))
    explore.serve = lambda folder, port, ready: None
    compare = chain.compare
    chain.compare = lambda *args, **options: compare(*args, **options | {"processes": 1})
    return changed


def fill_hub(folder: Path) -> None:
    """Upload the small demo's models and pools under the names of the docs."""
    from datasets import load_from_disk
    from huggingface_hub import HfApi

    api = HfApi()
    for name, place in HUB.items():
        if place.startswith("demo/data/"):
            split = "test" if place.endswith("held_out") else "train"
            load_from_disk(str(folder / place)).push_to_hub(name, split=split)
        else:
            api.create_repo(name)
            api.upload_folder(repo_id=name, folder_path=folder / place)


def write_llava_pool(folder: Path) -> None:
    """Write rows in LLaVA's own layout, some of text alone and one whose image file is missing."""
    rows: list[dict[str, Any]] = []
    for i in range(40):
        turns = [
            ("human", f"<image>\nWhat is it? {i}" if i % 5 else "What is one and one?"),
            ("gpt", f"{i % 7}"),
        ]
        row = {"id": f"{i:012d}", "conversations": [{"from": who, "value": text} for who, text in turns]}
        rows.append(row | ({"image": f"coco/train2017/{i:012d}.jpg"} if i % 5 else {}))
        if i % 5 and i != 7:
            file = folder / "images" / rows[-1]["image"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(stripes(seed=i), "JPEG"))
    (folder / "llava_v1_5_mix665k.json").write_text(json.dumps(rows))


def start_ray() -> None:
    """Start a Ray cluster of two processors, to which the page's calls connect."""
    import ray

    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)


def run_pages(work: Path, pages: list[Path]) -> dict[str, list[str]]:
    """Run pages, each in a folder of its own: by page, what went wrong in each block that was reached."""
    changed = make_quick()
    errors = {}
    for number, page in enumerate(pages):
        folder = work / page.stem
        folder.mkdir()
        if number:
            (folder / "demo").symlink_to(work / pages[0].stem / "demo")
        if page.stem == "export":
            write_llava_pool(folder)
        changed.clear()
        changed |= QUICK if page.stem in FOR_ANY_MACHINE else QUICK | ON_CPU
        with contextlib.chdir(folder):
            if page.stem == "gpus":
                start_ray()
            errors[page.name] = run_page(page.read_text())
        if not number:
            fill_hub(folder)
        print(page.name, f"{time.process_time():.0f} s of CPU so far", flush=True)
    return errors


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(
        json.dumps(run_pages(Path(sys.argv[1]), [Path(page) for page in sys.argv[3:]]))
    )
