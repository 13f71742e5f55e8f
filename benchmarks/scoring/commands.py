"""The measurements, one command each."""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from scoring.models import SHAPES, build, forward_flops, matmul_peak, save
from scoring.naive import mean_loss
from scoring.operations import Operations, image_patches
from scoring.pool import as_dataset, rows_about_images
from selection.measure import Measured, load, measured, peak_growth

from hf_vitselect import ImageGain, NecessityScorer, QuestionGain, score
from hf_vitselect.data import Conversation
from hf_vitselect.models import VLM, Encoder, compile_layers, token_stats
from hf_vitselect.report import table

_CHUNK = 256  # tokens whose logits the package makes at a time


def speed(args: argparse.Namespace) -> None:
    """Score the same rows naively and with the package, also in half precision, in turns."""
    vlm, compiled = VLM(*build(args.model)), VLM(*build(args.model))
    compile_layers(compiled.model)
    half = {dtype: VLM(*build(args.model, dtype=dtype)) for dtype in ("bfloat16", "float16")}
    print(f"{sum(p.numel() for p in vlm.model.parameters()) / 1e6:.0f}M parameters; {load()}", flush=True)
    lines = []
    for tokens in args.tokens:
        for per_image in args.per_image:
            rows = rows_about_images(args.rows, per_image, tokens)
            ways = {
                "naive": lambda rows=rows: [mean_loss(vlm.model, vlm.encoder, row) for row in rows],
                "one row a forward": lambda rows=rows: _means(vlm, rows, 1),
                f"{args.batch_size} rows a forward": lambda rows=rows: _means(vlm, rows, args.batch_size),
                "the same, compiled": lambda rows=rows: _means(compiled, rows, args.batch_size),
                **{
                    f"the same, {dtype}": partial(_means, half[dtype], rows, args.batch_size)
                    for dtype in half
                },
            }
            taken = _in_turns(ways, args.rounds)
            for name, times in taken.items():
                ratios = [a.cpu / b.cpu for a, b in zip(taken["naive"], times, strict=True)]
                apart = zip(times[0].result, taken["naive"][0].result, strict=True)
                lines.append(
                    {
                        "rows an image": per_image,
                        "text tokens": tokens,
                        "way": name,
                        "CPU s a row": f"{median(one.cpu for one in times) / len(rows):.3f}",
                        "times naive": f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                        "largest difference": f"{max(abs(a - b) for a, b in apart):.1e}",
                    }
                )
    print(table(lines))
    print(load())


def signals(args: argparse.Namespace) -> None:
    """Time the token statistics, and the forward that makes their logits."""
    vlm = VLM(*build(args.model))
    talks = rows_about_images(args.rows, 1, args.tokens)
    rows = [vlm.encoder.encode(row) for row in talks]
    count = sum(int(row.response.sum()) for row in rows)
    logits = torch.randn(_CHUNK, vlm.model.config.text_config.vocab_size)
    targets = torch.zeros(_CHUNK, dtype=torch.long)
    ways = {
        "forward": lambda: vlm.score(talks, 1),
        "losses alone": lambda: torch.nn.functional.cross_entropy(logits, targets, reduction="none"),
        "all signals": lambda: token_stats(logits, targets),
    }
    taken = {name: median(one.cpu for one in times) for name, times in _in_turns(ways, args.rounds).items()}
    extra = (taken["all signals"] - taken["losses alone"]) * count / _CHUNK
    print(f"{count} response tokens of {sum(row.length for row in rows)}; {load()}")
    print(f"forwards {taken['forward']:.2f} s, of which statistics besides losses {extra:.3f} s", end=" ")
    print(f"({extra / taken['forward']:.1%})")


def memory(args: argparse.Namespace) -> None:
    """Watches the growth of anonymous memory in one forward over 8 rows, with and without all logits."""
    model, processor = build(args.model)
    vlm = VLM(model, processor)
    talks = rows_about_images(8, 1, args.tokens)
    rows = [vlm.encoder.encode(row) for row in talks]
    inputs, response = vlm.encoder.collate(rows)
    labels = inputs["input_ids"].masked_fill(~response, -100)

    @torch.inference_mode()
    def bare() -> None:
        model.model(**inputs, use_cache=False)

    @torch.inference_mode()
    def all_logits() -> None:
        model(**inputs, labels=labels, use_cache=False)

    print(f"8 rows, {response.numel()} tokens with padding, {int(response.sum())} of responses; {load()}")
    for name, call in {
        "without output layer": bare,
        "with all logits": all_logits,
        "with the package": lambda: vlm.score(talks, None),
    }.items():
        call()
        with peak_growth() as growth:
            call()
        print(f"{name}: {growth[0] / 2**20:.0f} MiB")


def vision(args: argparse.Namespace) -> None:
    """Say which part of a forward over distinct images the vision tower takes: what a cache could save."""
    talks, lines = rows_about_images(args.rows, 1, args.tokens), []
    for name in ("small", "7b", "qwen 3b"):
        model, processor = build(name, "meta")
        rows = [Encoder(processor).encode(row) for row in talks]
        patches, tokens = [image_patches(row) for row in rows], [row.length for row in rows]
        answers = sum(int(row.response.sum()) for row in rows)
        whole = forward_flops(model, sum(tokens), sum(count**2 / 2 for count in tokens), answers, patches)
        own = forward_flops(model, 0, 0, 0, patches)
        images = sum(int((row.inputs["input_ids"] == model.config.image_token_id).sum()) for row in rows)
        bytes_of_image = images / len(rows) * model.config.text_config.hidden_size * 2
        lines.append(
            {
                "model": name,
                "tokens a row": round(sum(tokens) / len(rows)),
                "of an image": round(images / len(rows)),
                "vision tower, operations": f"{own / whole:.1%}",
                "features of an image, bfloat16": f"{bytes_of_image / 2**20:.2f} MiB",
            }
        )
    print(table(lines))
    vlm = VLM(*build(args.model))
    tower, spent, start = vlm.model.model.vision_tower, [0.0], [0.0]
    tower.register_forward_pre_hook(lambda *_: start.__setitem__(0, time.process_time()))
    tower.register_forward_hook(lambda *_: spent.__setitem__(0, spent[0] + time.process_time() - start[0]))
    _means(vlm, talks, 8)
    spent[0] = 0.0
    taken = measured(lambda: _means(vlm, talks, 8)).cpu
    share = f"{spent[0]:.2f} of {taken:.2f} CPU s ({spent[0] / taken:.1%})"
    print(f"{args.model}: {share} in the vision tower; {load()}")


def views(args: argparse.Namespace) -> None:
    """Time scorers that compare two views of a row, and one forward of it, in turns."""
    kinds = (NecessityScorer, ImageGain, QuestionGain)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        model = save(args.model, Path(folder, "model"))
        scorers = {kind.__name__: kind(model) for kind in kinds}
        for per_image in args.per_image:
            rows = rows_about_images(args.rows, per_image, args.tokens)
            ways = {name: partial(scorer.score_rows, rows) for name, scorer in scorers.items()}
            taken = _in_turns(ways, args.rounds)
            for name, times in taken.items():
                ratios = [a.cpu / b.cpu for a, b in zip(times, taken["NecessityScorer"], strict=True)]
                line = {"rows an image": per_image, "scorer": name}
                line["CPU s a row"] = f"{median(one.cpu for one in times) / len(rows):.3f}"
                line["of one forward"] = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                lines.append(line)
    print(table(lines))
    print(load())


def overhead(args: argparse.Namespace) -> None:
    """Time `map` and a finished `score`, and the forwards inside them."""
    with tempfile.TemporaryDirectory() as folder:
        scorer = NecessityScorer(save(args.model, Path(folder, "model")))
        rows = as_dataset(args.rows, args.per_image, args.tokens)
        work = scorer.loaded.stats
        rows.select(range(2)).map(scorer, batched=True)  # the first call checks whether rows can share
        lines = []
        calls = {
            "map": lambda: rows.map(scorer, batched=True, load_from_cache_file=False),
            "score": lambda: score(rows, scorer, Path(folder, "run"), shard_size=args.rows),
            "score again": lambda: score(rows, scorer, Path(folder, "run"), shard_size=args.rows),
        }
        for name, call in calls.items():
            before = work.forward_seconds
            one = measured(call)
            inside = work.forward_seconds - before
            lines.append(
                {
                    "call": name,
                    "wall": f"{one.wall:.2f} s",
                    "in forwards": f"{inside:.2f} s",
                    "outside": f"{(one.wall - inside) / inside:.1%}" if inside else f"{one.wall:.2f} s",
                }
            )
        print(table(lines))
        print(f"{work}; {load()}")


def precision(args: argparse.Namespace) -> None:
    """Scores the same rows in several precisions, attentions and batches, as they are and compiled."""
    rows = rows_about_images(args.rows, 4, args.tokens)
    settings = [
        ("float32", "sdpa", 1, False),
        ("float32", "sdpa", 8, False),
        ("float32", "sdpa", 8, True),
        ("float32", "eager", 8, False),
        ("bfloat16", "sdpa", 1, False),
        ("bfloat16", "sdpa", 8, False),
        ("bfloat16", "sdpa", 8, True),
        ("float16", "sdpa", 8, False),
        ("float16", "sdpa", 8, True),
    ]
    lines, right = [], None
    for dtype, attention, batch_size, compiled in settings:
        vlm = VLM(*build(args.model, dtype=dtype, attention=attention))
        if compiled:
            torch.compiler.reset()  # what other precisions have left
            compile_layers(vlm.model)
        score_all = partial(vlm.score, rows, batch_size)
        first, again = measured(score_all), measured(score_all)
        right = right or first.result
        pairs = list(zip(again.result, right, strict=True))
        token = max((a.nll - b.nll).abs().max().item() for a, b in pairs)
        lines.append(
            {
                "dtype": dtype,
                "attention": attention,
                "batch_size": batch_size,
                "torch_compile": compiled,
                "first call": f"{first.wall:.1f} s",
                "CPU s a row, second call": f"{again.cpu / len(rows):.3f}",
                "largest difference of a token": f"{token:.1e}",
                "of a row": f"{max(abs(a.mean - b.mean) for a, b in pairs):.1e}",
            }
        )
    print(table(lines))
    print(load())


def throughput(args: argparse.Namespace) -> None:
    """Scores many rows and counts operations, from the model's shape,  and compare with a large product's."""
    vlm = VLM(*build(args.model, args.device, args.dtype, args.attention))
    if args.torch_compile:
        compile_layers(vlm.model)
    limit = (None, args.batch_tokens) if args.batch_tokens else (args.batch_size, None)
    rows = rows_about_images(args.rows, args.per_image, args.tokens)
    _means(vlm, rows[:32], *limit)
    vlm.stats = work = Operations()
    naive = measured(lambda: [mean_loss(vlm.model, vlm.encoder, row) for row in rows[: args.naive]])
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    vlm.score(rows, *limit)
    done = work.flops(vlm.model)
    peak = matmul_peak(args.device, args.dtype)
    print(f"{args.model}, {args.dtype}, {args.attention}, {_device(args.device)}; {load()}")
    print(
        f"{work.rows / work.seconds:.2f} rows/s, {work.tokens / work.seconds:.0f} tokens/s through the model,"
    )
    print(f"{work.alone / work.seconds:.0f} tokens/s as rows have them; {work}")
    print(
        f"{done / work.seconds / 1e12:.3f} TFLOP/s, {done / work.seconds / peak:.1%} of {peak / 1e12:.3f}, "
        "the best of a product of square matrices"
    )
    if args.naive:
        ratio = naive.wall / args.naive * work.rows / work.seconds
        print(f"naive: {args.naive / naive.wall:.2f} rows/s; {ratio:.2f} times as fast (wall)")
    if args.device == "cuda":
        print(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of device memory at most")


def _device(device: str) -> str:
    threads = torch.get_num_threads()
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {threads} thread(s)"


def _in_turns(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[Measured]]:
    for way in ways.values():
        way()
    taken: dict[str, list[Measured]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(measured(way))
    return taken


def _means(
    vlm: VLM, rows: Sequence[Conversation], batch_size: int | None, batch_tokens: int | None = None
) -> list[float]:
    return [result.mean for result in vlm.score(rows, batch_size, batch_tokens)]


def main(description: str) -> None:
    """Parses the command line and calls the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=raw)
    commands = parser.add_subparsers(required=True)
    for name, do, rows in (
        ("speed", speed, 32),
        ("signals", signals, 8),
        ("memory", memory, 8),
        ("vision", vision, 8),
        ("views", views, 16),
        ("map", overhead, 64),
        ("precision", precision, 16),
        ("throughput", throughput, 64),
    ):
        command = commands.add_parser(name, help=do.__doc__)
        command.add_argument("--threads", type=int, default=1, help="of torch")
        command.add_argument("--model", default="small", choices=list(SHAPES), help="its shape")
        command.add_argument("--rows", type=int, default=rows, help="of the pool")
        several = {"nargs": "+"} if do is speed else {}
        images = {"nargs": "+"} if do in (speed, views) else {}
        command.add_argument(
            "--tokens", type=int, default=[60] if do is speed else 60, help="of text, mean", **several
        )
        if do in (speed, signals, views):
            command.add_argument("--rounds", type=int, default=3, help="of every way")
        if do in (speed, views, overhead, throughput):
            command.add_argument(
                "--per_image", type=int, default=[1, 4] if images else 4, help="rows", **images
            )
        if do in (speed, throughput):
            command.add_argument("--batch_size", type=int, default=8, help="rows in one forward")
        if do is throughput:
            command.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="must be there")
            command.add_argument("--dtype", default="float32", help="of weights and states")
            command.add_argument("--attention", default="sdpa", help="kernel")
            command.add_argument("--torch_compile", action="store_true", help="compile the layers")
            command.add_argument("--batch_tokens", type=int, help="in one forward, in place of --batch_size")
            command.add_argument("--naive", type=int, default=16, help="rows that are scored naively too")
        command.set_defaults(do=do)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    args.do(args)
    print(f"{time.perf_counter() - start:.0f} s in all")
