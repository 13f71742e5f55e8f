"""How many near-copies `NearDuplicates` finds by image hashes and by CLIP features, and how many it mistakes.

    python benchmarks/copies.py --fashion FOLDER                       the table of docs/results/selection.md
    python benchmarks/copies.py --fashion FOLDER --part validation     the pools that constants are chosen on

Pools are those of benchmarks/evidence.py, whose copies are known. A dropped row is right if it has the scene
of the row that it repeats. FOLDER has the four files of Fashion-MNIST; see benchmarks/trials/garments.py.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from datasets import disable_progress_bars
from trials.beds import TRUTH, Pool, known_beds
from trials.commands import FOLDER
from trials.plan import POOL_SEEDS

from hf_vitselect.filters import NearDuplicates, Rows
from hf_vitselect.report import table

BITS = (6, 12, 24, 48)


def count(pool: Pool, folder: Path) -> dict[str, tuple[int, int, int]]:
    """For each way to compare images: copies in the pool, dropped rows, dropped rows that are right."""
    scored = pool.scored(folder)
    groups, rows = np.array(scored["group"]), scored.remove_columns(TRUTH)
    scores = np.array(scored["necessity"], dtype=np.float64)
    features = np.array(scored.with_format("numpy")["embedding"], dtype=np.float32)
    images = features[:, : features.shape[1] // 2]
    ways = {f"hash, {bits} bits": (NearDuplicates(bits=bits), None) for bits in BITS}
    ways["CLIP, cosine 0.95"] = (NearDuplicates(), images)
    copies = sum(size - 1 for size in Counter(groups.tolist()).values())
    counts = {}
    for name, (near_duplicates, features_or_none) in ways.items():
        drops = near_duplicates.find(Rows.of(scores, pool=rows, image_features=features_or_none))
        right = int(np.count_nonzero(groups[drops.rows] == groups[drops.repeats]))
        counts[name] = (copies, len(drops.rows), right)
    return counts


def main() -> None:
    """Parse the command line, count, print."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--fashion", type=Path, required=True, help="folder of Fashion-MNIST's files")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="pools, models")
    parser.add_argument("--part", choices=["validation", "test"], default="test")
    args = parser.parse_args()
    disable_progress_bars()
    rows = []
    for name, bed in known_beds(args.fashion).items():
        seeds = POOL_SEEDS[name] if args.part == "test" else (0,)
        counts = [count(Pool(bed, "flawed", seed), args.folder) for seed in seeds]
        for way in counts[0]:
            copies, dropped, right = np.sum([each[way] for each in counts], axis=0)
            row = {"testbed": name, "pools": len(seeds), "images by": way, "copies": int(copies)}
            rows.append(
                row
                | {"found": f"{right / copies:.1%}", "dropped rows that are copies": f"{right / dropped:.1%}"}
            )
    print(table(rows))


if __name__ == "__main__":
    main()
