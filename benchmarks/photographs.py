"""Near-copies of photographs: how many `NearDuplicates` finds by hash, how many it mistakes, what it costs.

    python benchmarks/photographs.py FILE ...       the tables of docs/results/selection.md, which names files

Each photograph is taken as a whole, scaled to 640 x 480 pixels, and cut into windows of that size without
overlap. Every image has a near-copy, changed in one of several ways. All rows ask the same, so that only
the images differ.
"""

import argparse
import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Image, Value, disable_progress_bars
from PIL import Image as PILImage
from PIL import ImageEnhance
from selection.measure import measured

from hf_vitselect.filters import Drops, NearDuplicates, Rows
from hf_vitselect.report import table

SIZE = (640, 480)
BITS = (6, 12, 24, 48)
CHANGES = {
    "JPEG of quality 50": lambda image: jpeg(image, quality=50),
    "half the size": lambda image: jpeg(image.resize((SIZE[0] // 2, SIZE[1] // 2))),
    "5% brighter": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.05)),
    "1% cut off at each side": lambda image: jpeg(image.crop((6, 5, SIZE[0] - 6, SIZE[1] - 5))),
    "PNG": lambda image: encoded(image, "PNG"),
}


def jpeg(image: PILImage.Image, quality: int = 90) -> bytes:
    """A JPEG file."""
    return encoded(image, "JPEG", quality=quality)


def encoded(image: PILImage.Image, kind: str, **options: int) -> bytes:
    """A file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def images_of(photograph: PILImage.Image) -> Iterator[PILImage.Image]:
    """The whole photograph, and its windows."""
    width, height = SIZE
    yield photograph.resize(SIZE)
    for top in range(0, photograph.height - height + 1, height):
        for left in range(0, photograph.width - width + 1, width):
            yield photograph.crop((left, top, left + width, top + height))


def make_pool(files: Sequence[Path]) -> Dataset:
    """Every image and its copy, in turns, with the photograph, the part of it and the number of the image."""
    rows: list[dict[str, Any]] = []
    for photograph, path in enumerate(files):
        with PILImage.open(path) as opened:
            for part, image in enumerate(images_of(opened.convert("RGB"))):
                number = len(rows) // 2
                change = list(CHANGES)[number % len(CHANGES)]
                about = {"photograph": photograph, "part": part, "number": number, "change": change}
                for data in (jpeg(image), CHANGES[change](image)):
                    row = {"image": {"bytes": data, "path": None}, "question": "What is it?", "answer": "it"}
                    rows.append(row | about)
    numbers = {name: Value("int64") for name in ("photograph", "part", "number")}
    texts = {name: Value("string") for name in ("question", "answer", "change")}
    return Dataset.from_list(rows, features=Features({"image": Image(), **texts, **numbers}))


def count(drops: Drops, pool: Dataset) -> dict[str, str]:
    """Copies found, by their change, and rows mistaken."""
    photographs, parts, numbers, changes = (
        np.array(pool[name]) for name in ("photograph", "part", "number", "change")
    )
    right = numbers[drops.rows] == numbers[drops.repeats]
    line = {}
    for change in CHANGES:
        copies = set(numbers[drops.rows[right & (changes[drops.rows] == change)]])
        line[change] = f"{len(copies) / len(set(numbers[changes == change])):.1%}"
    line["dropped rows that are copies"] = f"{right.mean():.1%} of {len(right):,}"
    other = photographs[drops.rows] != photographs[drops.repeats]
    line["of another photograph"] = str(np.count_nonzero(other))
    line["whole ones mistaken"] = str(np.count_nonzero(~right & (parts[drops.rows] == 0)))
    return line


def decode_all(pool: Dataset) -> None:
    """Decode every image as a whole."""
    for cell in pool.cast_column("image", Image(decode=False))["image"]:
        PILImage.open(io.BytesIO(cell["bytes"])).load()


def main() -> None:
    """Parse the command line, cut, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    args = parser.parse_args()
    disable_progress_bars()
    pool = make_pool(args.files)
    scores = np.random.default_rng(0).random(len(pool))
    rows = Rows.of(scores, pool=pool.select_columns(["image", "question", "answer"]))
    lines, costs = [], []
    for bits in BITS:
        drops, cpu, _ = measured(partial(NearDuplicates(bits=bits).find, rows))
        lines.append({"bits": bits, **count(drops, pool)})
        costs.append(cpu / len(pool))
    print(f"{len(args.files)} photographs, {len(pool) // 2:,} images, as many copies\n\n{table(lines)}\n")
    whole = measured(partial(decode_all, pool)).cpu / len(pool)
    print(f"NearDuplicates: {min(costs):.4f} s of CPU a row; decoding every image as a whole: {whole:.4f} s")


if __name__ == "__main__":
    main()
