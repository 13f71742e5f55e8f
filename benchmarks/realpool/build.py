"""Build the real pool: its pictures, their split, and the rows of both sides."""

import hashlib
import random
import shutil
from pathlib import Path

from datasets import Dataset, DatasetDict, Features, Image, List, Value

from hf_vitselect.report import table
from realpool.pictures import Picture, duplicate_groups, read_clipart, read_emoji
from realpool.questions import Questions

SPLITS = ("train", "held_out")
FEATURES = Features(
    {
        "messages": [{"role": Value("string"), "content": Value("string")}],
        "images": List(Image()),
        "source": Value("string"),
        "kind": Value("string"),
        "picture": Value("string"),
        "name": Value("string"),
        "category": Value("string"),
        "options": List(Value("string")),
        "license": Value("string"),
    }
)


def build_pool(
    packages: dict[str, Path], *, size: int = 64, per_image: int = 2, held_out: float = 0.15, seed: int = 0
) -> DatasetDict:
    """Build the conversations from the fetched packages, deterministically.

    Args:
        packages: What `fetch` returned.
        size: Side of the square pictures in pixels.
        per_image: Conversations for each picture, plus a color question if the name states a color.
        held_out: Share of the groups of near-duplicate pictures that are held out.
        seed: Of the split and of the questions.

    Returns:
        `train` and `held_out`, shuffled, with the columns of `FEATURES`. `options` holds the answers to
        choose from where the only question names them, and is empty elsewhere; `name` and `category`
        are the picture's. No picture and no near-duplicate of one is on both sides.
    """
    pictures = list(read_emoji(packages["emoji"], packages["openmoji"], size))
    pictures += read_clipart(packages["clipart_png"], packages["clipart_svg"], size)
    groups = duplicate_groups(pictures).tolist()
    order = sorted(set(groups))
    random.Random(seed).shuffle(order)
    outside = set(order[: round(held_out * len(order))])
    pool = {}
    for split in SPLITS:
        side = [i for i, group in enumerate(groups) if (group in outside) == (split == "held_out")]
        rows = _rows([pictures[i] for i in side], [groups[i] for i in side], per_image, seed)
        random.Random(f"{seed} {split}").shuffle(rows)
        pool[split] = Dataset.from_list(rows, features=FEATURES)
    return DatasetDict(pool)


def save_pool(pool: DatasetDict, out: Path) -> None:
    """Writes the pool to `out`, which appears, or is replaced, once everything is written."""
    if out.exists() and not (out / "dataset_dict.json").is_file():
        raise FileExistsError(f"{out} exists and holds no pool: name another folder or remove it")
    scratch = out.with_name(f".{out.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    pool.save_to_disk(scratch)
    shutil.rmtree(out, ignore_errors=True)
    scratch.rename(out)


def composition(pool: DatasetDict) -> str:
    """Rows by split, source and kind, with their images and megabytes, as a table."""
    kinds = sorted({kind for split in SPLITS for kind in pool[split]["kind"]})
    lines = []
    for split in SPLITS:
        words = pool[split].select_columns(["source", "kind", "picture"]).to_pandas()
        words["bytes"] = [sum(len(image["bytes"]) for image in images) for images in _encoded(pool[split])]
        for source, part in words.groupby("source"):
            line = {"split": split, "source": source, "rows": len(part), "images": part.picture.nunique()}
            line["MB"] = round(part.bytes.sum() / 1e6, 1)
            lines.append(line | {kind: int((part.kind == kind).sum()) for kind in kinds})
    return table(lines)


def digest(pool: DatasetDict) -> str:
    """Hash of all turns and image bytes, in order: equal for equal pools."""
    total = hashlib.sha256()
    for split in SPLITS:
        for messages, images in zip(pool[split]["messages"], _encoded(pool[split]), strict=True):
            total.update(repr(messages).encode())
            for image in images:
                total.update(hashlib.sha256(image["bytes"]).digest())
    return total.hexdigest()[:16]


def _encoded(rows: Dataset) -> list[list[dict]]:
    return rows.data.column("images").to_pylist()


def _rows(pictures: list[Picture], groups: list[int], per_image: int, seed: int) -> list[dict]:
    questions = Questions(pictures, groups)
    rows = []
    for picture in pictures:
        rng = random.Random(f"{seed} {picture.id}")
        for kind, turns in questions.about(picture, per_image, rng):
            messages = []
            for turn in turns:
                messages.append({"role": "user", "content": turn.question})
                messages.append({"role": "assistant", "content": turn.answer})
            rows.append(
                {
                    "messages": messages,
                    "images": [{"bytes": picture.png, "path": None}],
                    "source": picture.source,
                    "kind": kind,
                    "picture": picture.id,
                    "name": picture.name,
                    "category": picture.category,
                    "options": list(turns[0].options) if len(turns) == 1 else [],
                    "license": picture.license,
                }
            )
    return rows
