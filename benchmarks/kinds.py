"""Seconds and memory of finding the kinds of large pools, by their questions and answers.

    python benchmarks/kinds.py                            # 1M rows of both pools
    python benchmarks/kinds.py --rows 10000 100000

`closed` has templates with answers of one or two words: questions without the words of answers are the kinds.
`open` has answers of whole sentences and nearly as many questions as rows: similar questions are clustered.
A tenth of the rows has three turns. Each pool is read and grouped in a process of its own. Peak is the growth
of anonymous memory, which no file stands behind. docs/results/scale.md keeps what was printed.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, Features, Image, List, Value, disable_progress_bars, load_from_disk
from selection.measure import load, measured, peak_growth

from hf_vitselect.data import read_texts
from hf_vitselect.report import table
from hf_vitselect.selection import QuestionKinds

SUFFIX = "\nAnswer the question using a single word or phrase."
THINGS = ["".join(parts) for parts in product("bdkt", "aeiou", "lmnrs", ("", "a", "en"), ("", "per", "son"))]
VALUES = ("red", "green", "blue", "black", "white", "wooden", "metal", "small", "large", "old")
CLOSED = (
    "What color is the {}?",
    "How many {} do you see next to the {}?",
    "Can you see a {} behind the {}?",
    "Where is the {} going?",
    "What is the {} made of?",
    "What kind of {} is this?",
    "Which side of the photo is the {} on, and is it larger than the {}?",
    "Does the {} have a {}?",
)
OPEN = (
    "Describe how the {} and the {} in this image relate to each other.",
    "Why might the {} be so close to the {}, and what could happen to the {} next?",
    "What are the main features of the {} with {} and {}?",
    "Write a short story about a {} that meets a {} and a {}.",
    "If the {} and the {} moved away, how would the {} change the scene?",
    "Explain to a friend what a {} does with a {}.",
)
SENTENCES = (
    "In this image, the {} stands close to the {}, which might relate to why it is so large.",
    "If you describe what could happen next, how would the {} and each other {} change the scene?",
    "To explain the main features: a {} does not have to be where a {} moved away about a short story.",
    "Write that the friend meets this {} with an {} and what are the things they are made of.",
)
FEATURES = Features(
    {"messages": List({"role": Value("string"), "content": Value("string")}), "images": List(Image())}
)


def ask(pool: str, rng: random.Random) -> tuple[str, str]:
    """Makes a question and its answer."""
    things = rng.choices(THINGS, k=6)
    if pool == "closed":
        answer = rng.choice((rng.choice(VALUES), f"{rng.choice(VALUES)} {things[5]}"))
        return rng.choice(CLOSED).format(*things) + SUFFIX, answer
    sentences = " ".join(rng.choices(SENTENCES, k=rng.randint(2, 6)))
    return rng.choice(OPEN).format(*things), sentences.replace("{}", things[3], 3).replace("{}", things[4])


def make(pool: str, rows: int, folder: str) -> None:
    """Writes a pool whose images nobody could decode."""
    rng, tables, image = random.Random(pool), [], [{"bytes": b"no image", "path": None}]
    for start in range(0, rows, 50_000):
        messages = [turns(pool, rng) for _ in range(min(50_000, rows - start))]
        columns = {"messages": messages, "images": [image] * len(messages)}
        tables.append(pa.table(columns, schema=FEATURES.arrow_schema))
    Dataset(pa.concat_tables(tables)).save_to_disk(folder)


def turns(pool: str, rng: random.Random) -> list[dict[str, str]]:
    """Makes one turn, in a tenth of the rows three."""
    asked = [ask(pool, rng) for _ in range(3 if rng.random() < 0.1 else 1)]
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for pair in asked for role, text in zip(roles, pair, strict=True)]


def stage(folder: str) -> None:
    """Prints the kinds of a pool and what they cost, as a line of JSON."""
    pool = load_from_disk(folder)
    with peak_growth() as peak:
        done = measured(lambda: QuestionKinds().find(read_texts(pool)))
    _, kinds = done.result
    figures = {"form": kinds.form, "kinds": len(kinds.names), "others": kinds.kinds[-1].rows}
    print(json.dumps({**figures, "cpu": done.cpu, "wall": done.wall, "peak": peak[0]}))


def main() -> None:
    """Makes both pools in all sizes, and prints one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--folder", help="for temporary files")
    parser.add_argument("--stage", help="the folder of one pool; prints its line")
    args = parser.parse_args()
    disable_progress_bars()
    if args.stage:
        stage(args.stage)
        return
    print(load())
    lines = []
    for pool, rows in product(("closed", "open"), args.rows):
        with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
            folder = str(Path(temporary, "pool"))
            make(pool, rows, folder)
            call = [sys.executable, __file__, "--stage", folder]
            printed = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout
        done = json.loads(printed.splitlines()[-1])
        print(pool, rows, done, file=sys.stderr)
        lines.append(
            {
                "pool": f"{pool}, {rows:,} rows",
                "form": done["form"],
                "kinds": str(done["kinds"]),
                "others": f"{done['others']:,}",
                "cpu": f"{done['cpu']:.1f} s",
                "wall": f"{done['wall']:.1f} s",
                "peak": f"{done['peak'] / 2**20:.0f} MiB",
            }
        )
    print(table(lines))
    print(load())


if __name__ == "__main__":
    main()
