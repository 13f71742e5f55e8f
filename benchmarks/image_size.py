"""What do smaller images do to the scores, and to the picks?

    python benchmarks/image_size.py measure --fashion FOLDER     added to results/image_size.jsonl
    python benchmarks/image_size.py page                         a table of docs/results/scoring.md

A LLaVA's images have one size. So a small Qwen2-VL, which takes any, is aligned on each testbed's captions
and trained on the random part of its first pool, both with images of 48 pixels a side. It scores the pool
with the same and with smaller images; another one is also trained with smaller ones. The CLIP embedding stays
as it is. FOLDER has the four files of Fashion-MNIST; see benchmarks/trials/garments.py.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_caching, disable_progress_bars, load_from_disk
from evidence import DEFAULT
from precision import apart, same_picks
from results_page import commit, fill
from scoring.models import QwenImagesOnly
from seed_model import auc
from selection.measure import measured
from transformers import AutoTokenizer, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from trials.beds import TRUTH, Bed, Pool
from trials.commands import results_commands, run_command
from trials.plan import POOL_SEEDS
from trials.trial import append_line, choose, read_lines

from hf_vitselect import ImageGain, NecessityScorer, score
from hf_vitselect.call_text import write_call
from hf_vitselect.demo import align
from hf_vitselect.report import table
from hf_vitselect.resume import Run
from hf_vitselect.training import train_seed_model

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "image_size.jsonl"
PAGE = HERE.parent / "docs" / "results" / "scoring.md"
SIDE, PATCH, MERGED = 48, 4, 2  # pixels; patches of a token's side
SIDES = ((48, 48), (48, 40), (48, 32), (48, 24), (32, 32))
"""Pixels a side, of the seed model's training and of the scores."""
BUDGETS = (0.05, 0.15, 0.3)
NAMES = ("vision_start", "vision_end", "image_pad", "video_pad")
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '</s>' if message['role'] == 'assistant' else ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def processor(base: Path, side: int = SIDE) -> QwenImagesOnly:
    """The testbed's tokenizer, and images of at most this many pixels a side."""
    words = AutoTokenizer.from_pretrained(base)
    words.add_special_tokens({"extra_special_tokens": [f"<|{name}|>" for name in NAMES]})
    pixels = {"min_pixels": (PATCH * MERGED) ** 2, "max_pixels": side**2}
    images = Qwen2VLImageProcessorPil(patch_size=PATCH, merge_size=MERGED, **pixels)
    return QwenImagesOnly(images, words, chat_template=TEMPLATE)


def model(words: Any) -> Qwen2VLForConditionalGeneration:
    """A Qwen2-VL with fresh weights, of about the size of the testbeds' LLaVA."""
    ids = {name: getattr(words, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    text = {
        "vocab_size": len(words),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 512,
        "initializer_range": 0.05,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e4},
        **ids,
    }
    vision = {"depth": 3, "embed_dim": 128, "num_heads": 4, "hidden_size": 128, "mlp_ratio": 2}
    vision |= {"patch_size": PATCH, "spatial_merge_size": MERGED, "initializer_range": 0.05}
    tokens = {
        f"{name.removesuffix('_pad')}_token_id": words.convert_tokens_to_ids(f"<|{name}|>") for name in NAMES
    }
    torch.manual_seed(0)
    config = Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **tokens)
    return Qwen2VLForConditionalGeneration(config)


def _align(bed: Bed, folder: Path, base: Path, out: Path) -> None:
    whole, captions = processor(base), bed.captions(Run(folder / bed.name))
    align(model(whole.tokenizer), whole, captions, bed.alignment(out))


def _train_seed(bed: Bed, base: Path, start: Path, side: int, rows: Dataset, out: Path) -> None:
    args, share = bed.training(out), bed.settings.seed_share
    options = {"processing_class": processor(base, side), "freeze_vision": False}
    train_seed_model(rows.remove_columns(TRUTH), str(start), share, args, **options)


def measure(args: argparse.Namespace) -> None:
    """Measure the first pool of each testbed."""
    disable_progress_bars()
    disable_caching()  # else scores of an earlier version of the code come back
    torch.set_num_threads(1)
    for name, bed in args.beds.items():
        key = f"{name}, {SIDES}, {BUDGETS}"
        if key not in read_lines(args.results):
            line = measure_pool(Pool(bed, "flawed", POOL_SEEDS[name][0]), args.folder)
            append_line(args.results, {"key": key, **line})
            print(json.dumps(line), flush=True)


def measure_pool(pool: Pool, folder: Path) -> dict[str, Any]:
    """Train a seed model, score the pool at each size, and compare with the full size."""
    bed, scored = pool.bed, pool.scored(folder)
    _, base = bed.models(folder)
    rows = load_from_disk(str(pool.folder(folder) / "data"))
    run = Run(folder / bed.name / "image size")
    start = run.stage("base", bed.identity, partial(_align, bed, folder, base))
    size = bed.settings.scoring_batch_size
    whole, lines = None, []
    for trained, side in SIDES:
        train = partial(_train_seed, bed, base, start, trained, rows)
        folder_of_size = Run(run.folder / f"seed {trained}, pool {pool.seed}")
        seed = folder_of_size.stage("seed", bed.identity, train)
        options = {"batch_size": size, "processor": processor(base, side)}
        scorers = [kind(str(seed), **options) for kind in (NecessityScorer, ImageGain)]
        plain = scored.remove_columns([name for scorer in scorers for name in scorer.features])
        score(plain.select(range(size)), scorers)  # warms up
        again, cpu, _ = measured(partial(score, plain, scorers))
        whole = whole or again
        need, gain = (np.array(again[scorer.column], dtype=np.float64) for scorer in scorers)
        lines.append(
            {
                "trained": trained,
                "side": side,
                "tokens": (side // (PATCH * MERGED)) ** 2,
                "cpu": cpu,
                "skill": choose(again, write_call(DEFAULT), BUDGETS[0], 0)[0].recipe.skill,
                **{scorer.column: apart(whole, again, scorer.column) for scorer in scorers},
                "auc": {
                    "wrong": auc(again, "wrong", need, inside=True),
                    "blind": auc(again, "blind", -gain, inside=False),
                },
                "picks": {f"{budget:.0%}": same_picks(whole, again, budget) for budget in BUDGETS},
            }
        )
    made = {"date": str(date.today()), "commit": commit()}
    return {"testbed": bed.name, "pool": pool.seed, "rows": len(rows), "sizes": lines, **made}


def write_page(args: argparse.Namespace) -> None:
    """Fill the table of docs/results/scoring.md."""
    lines = list(read_lines(args.results).values())
    tables = {"picks": lambda: table([*_rows(lines)])}
    args.page.write_text(fill(args.page.read_text(), "image size", tables))
    print(args.page)


def _rows(lines: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for line in lines:
        whole = line["sizes"][0]
        for size in line["sizes"]:
            row = {
                "testbed": line["testbed"],
                "trained with": f"{size['trained']} pixels",
                "scored with": f"{size['side']} pixels",
                "image tokens": size["tokens"],
                "CPU": f"{size['cpu']:.0f} s, {size['cpu'] / whole['cpu']:.0%}",
            }
            for column in ("necessity", "image_gain"):
                row[f"{column}: rank correlation"] = f"{size[column]['rank correlation']:.3f}"
            row |= {f"AUC {flaw}": f"{area:.3f}" for flaw, area in size["auc"].items()}
            yield row | {f"same picks, {budget}": f"{share:.1%}" for budget, share in size["picks"].items()}


def main() -> None:
    """Parse the command line and run the command."""
    parser, _ = results_commands(__doc__, (measure,), write_page, RESULTS, PAGE)
    run_command(parser, RESULTS)


if __name__ == "__main__":
    main()
