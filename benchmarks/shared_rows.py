"""What a fine-tune saves that finds its rows encoded, as the trials of `compare` do from the second on.

    python benchmarks/shared_rows.py --rounds 5          prints the table of docs/results/compare.md

Each round fine-tunes the demo's base model on other rows of its pool twice, for an epoch: the first time
every row is encoded, as it would be in every epoch if none were kept; the second time none. The base model
is untrained, since weights do not change the time.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import torch
from datasets import disable_progress_bars
from selection.measure import measured

from hf_vitselect import select_diverse
from hf_vitselect.demo import build_llava, build_processor, render_pool, save, small_training
from hf_vitselect.report import table
from hf_vitselect.rules import Random
from hf_vitselect.training import SelectionSFTTrainer


def fine_tune(rows: int, round_: int, base: str, out: Path) -> list[float]:
    """CPU seconds of two fine-tunes on the same rows."""
    selection = select_diverse(render_pool(rows, round_), 1.0, rule=Random())
    args = small_training(out, epochs=1, batch_size=8, learning_rate=5e-4, seed=0)

    def train() -> None:
        SelectionSFTTrainer(base, selection=selection, args=args).train()

    return [measured(train).cpu for _ in range(2)]


def main() -> None:
    """Parse the command line, measure, print."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=500)
    args = parser.parse_args()
    disable_progress_bars()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        processor = build_processor()
        save(build_llava(processor), processor, folder)
        rounds = [
            fine_tune(args.rows, number, folder, Path(folder, "out")) for number in range(args.rounds + 1)
        ]
    first, second = (sorted(column) for column in zip(*rounds[1:], strict=True))  # the first round warms up
    saved = sorted(1 - after / before for before, after in rounds[1:])
    print(
        table(
            [
                {
                    "rows": args.rows,
                    "rounds": args.rounds,
                    "rows encoded": f"{median(first):.2f} s ({first[0]:.2f} to {first[-1]:.2f})",
                    "rows found encoded": f"{median(second):.2f} s ({second[0]:.2f} to {second[-1]:.2f})",
                    "saved": f"{median(saved):.0%} ({saved[0]:.0%} to {saved[-1]:.0%})",
                }
            ]
        )
    )


if __name__ == "__main__":
    main()
