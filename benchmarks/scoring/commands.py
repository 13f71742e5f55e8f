"""The measurements, one command each."""

import argparse
import time
from statistics import median

import torch
from scoring.models import build
from scoring.naive import mean_loss
from scoring.pool import rows_about_pictures
from selection.measure import load, measured, table

from hf_vitselect.vlm import VLM


def speed(args: argparse.Namespace) -> None:
    """Scores the same rows naively and with the package, in turns."""
    vlm = VLM(*build("small"))
    print(f"{sum(p.numel() for p in vlm.model.parameters()) / 1e6:.0f}M parameters; {load()}")
    lines = []
    for tokens in args.tokens:
        for per_picture in args.per_picture:
            rows = rows_about_pictures(args.rows, per_picture, tokens)
            ways = {
                "naive": lambda rows=rows: [mean_loss(vlm.model, vlm.encoder, row) for row in rows],
                "one row a forward": lambda rows=rows: _means(vlm, rows, 1),
                "8 rows a forward": lambda rows=rows: _means(vlm, rows, 8),
            }
            taken: dict[str, list[float]] = {name: [] for name in ways}
            found: dict[str, list[float]] = {}
            for name, way in ways.items():
                way()
            for _ in range(args.rounds):
                for name, way in ways.items():
                    one = measured(way)
                    found[name] = one.result
                    taken[name].append(one.cpu)
            for name in ways:
                apart = max(abs(a - b) for a, b in zip(found[name], found["naive"], strict=True))
                seconds = median(taken[name])
                lines.append(
                    {
                        "rows a picture": per_picture,
                        "text tokens": tokens,
                        "way": name,
                        "CPU s a row": f"{seconds / len(rows):.3f}",
                        "times naive": f"{median(a / b for a, b in zip(taken['naive'], taken[name], strict=True)):.2f}",
                        "largest difference": f"{apart:.1e}",
                    }
                )
    print(table(lines))
    print(load())


def _means(vlm: VLM, rows, batch_size):
    return [result.mean for result in vlm.score(rows, batch_size)]


def main(description: str) -> None:
    """Parses the command line and calls the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=raw)
    commands = parser.add_subparsers(required=True)
    for do, rows in ((speed, 32),):
        command = commands.add_parser(do.__name__, help=do.__doc__)
        command.add_argument("--threads", type=int, default=1, help="of torch")
        command.add_argument("--rows", type=int, default=rows, help="of the pool")
        if do is speed:
            command.add_argument("--rounds", type=int, default=3, help="of every way")
            command.add_argument("--per_picture", type=int, nargs="+", default=[1, 4], help="rows")
            command.add_argument("--tokens", type=int, nargs="+", default=[60], help="of text, mean")
        command.set_defaults(do=do)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    args.do(args)
    print(f"{time.perf_counter() - start:.0f} s in all")
