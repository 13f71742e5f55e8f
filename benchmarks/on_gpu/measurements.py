"""The measurements: functions from a scale to the figures of one JSON line, independent of each other."""

import gc
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import yaml
from on_gpu.features import clip_like
from peft import LoraConfig
from scoring.models import build, matmul_peak
from scoring.operations import Operations
from scoring.pool import as_dataset, rows_about_images
from selection.features import difficulties
from transformers import TrainerCallback
from trl import ModelConfig, SFTConfig, get_peft_config, get_quantization_config

from hf_vitselect import EL2NScorer, NecessityScorer, Selection, score, select_diverse
from hf_vitselect.models import VLM
from hf_vitselect.rules import FacilityLocation, NeighborPenalty, Rule, SemDeDup, TopScore
from hf_vitselect.training import SelectionSFTTrainer

FLASH = "flash_attention_2"
_BENCHMARKS = Path(__file__).parents[1]
_CONFIGS = _BENCHMARKS.parent / "examples" / "configs" / "training"


class SkippedError(Exception):
    """This machine lacks what the measurement needs."""


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        device: `cuda` or `cpu`.
        dtype: of weights and states.
        models: the model of each family.
        rows: to score for each measurement of throughput.
        tokens: of text in a row, mean.
        batch_tokens: tokens in one forward.
        side: of the square images, in pixels.
        pools: rows of the pools to select from, the smaller one first.
        faiss_rows: of the pool to select from with faiss.
        dimensions: of an embedding.
        steps: of training, of which the first two are not timed.
    """

    device: str
    dtype: str
    models: Mapping[str, str]
    rows: int
    tokens: int
    batch_tokens: int
    side: int
    pools: tuple[int, int]
    faiss_rows: int
    dimensions: int
    steps: int


FULL = Scale(
    device="cuda",
    dtype="bfloat16",
    models={"llava": "7b", "qwen": "qwen 3b"},
    rows=512,
    tokens=250,
    batch_tokens=16384,
    side=480,
    pools=(665_000, 10_000_000),
    faiss_rows=200_000,
    dimensions=1536,
    steps=8,
)
TINY = Scale(
    device="cpu",
    dtype="float32",
    models={"llava": "tiny llava", "qwen": "tiny qwen"},
    rows=16,
    tokens=60,
    batch_tokens=2048,
    side=112,
    pools=(2_000, 20_000),
    faiss_rows=2_000,
    dimensions=64,
    steps=3,
)


def agreement(scale: Scale, dtype: str, tolerance: float) -> dict[str, Any]:
    """Compare scores on this device in one precision with those on the CPU in float32."""
    gaps = {}
    for family in ("llava", "qwen"):
        rows = rows_about_images(32, 2, 60, side=112)
        model, processor = build(f"tiny {family}")
        right = _losses(VLM(model, processor), rows)
        model.to(scale.device, getattr(torch, dtype))
        losses = _losses(VLM(model, processor), rows)
        gaps[family] = float(np.abs(losses - right).max())
    return {
        "dtype": dtype,
        "largest difference of a row, nats": gaps,
        "tolerance": tolerance,
        "within": max(gaps.values()) <= tolerance,
    }


def throughput(scale: Scale, family: str, per_image: int, attention: str) -> dict[str, Any]:
    """Rows and tokens a second of necessity, the share of the card's peak, and memory."""
    vlm = _model(scale, family, attention)
    rows = rows_about_images(scale.rows, per_image, scale.tokens, side=scale.side)
    vlm.score(rows[:32], None, scale.batch_tokens)
    vlm.stats = work = Operations()
    _reset_peak()
    vlm.score(rows, None, scale.batch_tokens)
    rate = work.flops(vlm.model) / work.forward_seconds
    peak = _peak(scale)
    return {
        "model": scale.models[family],
        "attention": attention,
        "rows an image": per_image,
        "rows": work.rows,
        "rows/s": work.rows / work.seconds,
        "rows/s in forwards": work.rows / work.forward_seconds,
        "tokens/s": work.tokens / work.seconds,
        "tokens/s as rows have them": work.alone / work.seconds,
        "tokens a row": work.alone / work.rows,
        "share of padding": 1 - work.tokens / work.padded,
        "share of time in forwards": work.forward_seconds / work.seconds,
        "TFLOP/s in forwards": rate / 1e12,
        "share of peak in forwards": rate / peak,
        "share of peak": work.flops(vlm.model) / work.seconds / peak,
        "measured peak TFLOP/s": peak / 1e12,
        "peak GiB": _peak_gib(),
        "rows share an image's tokens": vlm.no_sharing_reason or "yes",
    }


def two_scorers(scale: Scale) -> dict[str, Any]:
    """Compare necessity alone with necessity and EL2N in one pass."""
    vlm = _model(scale, "llava", "sdpa")
    rows = as_dataset(scale.rows // 2, 1, scale.tokens, side=scale.side)
    scorers = [kind("random", batch_tokens=scale.batch_tokens) for kind in (ReadyNecessity, ReadyEL2N)]
    score(rows.select(range(8)), scorers)
    one, forwards = _watch(vlm, lambda: score(rows, scorers[:1]))
    two, forwards_of_two = _watch(vlm, lambda: score(rows, scorers))
    if vlm.stats.rows != len(rows):
        raise RuntimeError(f"expected {len(rows)} rows in forwards of two scorers, got {vlm.stats.rows}")
    return {
        "rows": len(rows),
        "seconds of one": one,
        "seconds of two": two,
        "ratio": two / one,
        "seconds in forwards": [forwards, forwards_of_two],
    }


def map_overhead(scale: Scale) -> dict[str, Any]:
    """Cost of `map` outside its forwards, with one row per image, and of the same rows by the bare model."""
    vlm = _model(scale, "llava", "sdpa")
    rows = as_dataset(scale.rows // 2, 1, scale.tokens, side=scale.side)
    scorer = ReadyNecessity("random", batch_tokens=scale.batch_tokens)
    score(rows.select(range(8)), scorer)
    call = partial(rows.map, scorer, batched=True, batch_size=len(rows), load_from_cache_file=False)
    mapped, inside = _watch(vlm, call)
    made = rows_about_images(scale.rows // 2, 1, scale.tokens, side=scale.side)
    bare, bare_inside = _watch(vlm, lambda: vlm.score(made, None, scale.batch_tokens))
    return {
        "rows": len(rows),
        "seconds of map": mapped,
        "of which in forwards": inside,
        "seconds of the bare model": bare,
        "of which in bare forwards": bare_inside,
        "map beside the bare model": mapped / bare - 1,
    }


def select(scale: Scale, pool: int, fraction: float) -> dict[str, Any]:
    """Exact NeighborPenalty on synthetic embeddings."""
    rows = scale.pools[pool]
    begun = time.perf_counter()
    features = clip_like(rows, scale.dimensions, scale.device)
    made = time.perf_counter() - begun
    gc.collect()
    _reset_peak()
    budget = int(fraction * rows)
    begun = time.perf_counter()
    picks, _ = NeighborPenalty()(difficulties(rows), features, budget, np.random.default_rng(0), {})
    seconds = time.perf_counter() - begun
    return {
        "rows": rows,
        "dimensions": scale.dimensions,
        "picks": len(picks),
        "seconds": seconds,
        "ms a pick": seconds / budget * 1e3,
        "seconds to make the embeddings (not counted)": made,
        "peak GiB": _peak_gib(),
    }


def faiss(scale: Scale, rule: Rule) -> dict[str, Any]:
    """A rule whose clusters or candidates come from faiss, on the GPU and on the CPU: time and equal picks.

    On a machine without a GPU, such as in a rehearsal, both run on the CPU.
    """
    _need("faiss")
    from faiss import get_num_gpus  # a machine without faiss runs the other measurements

    if scale.device == "cuda" and not get_num_gpus():
        raise SkippedError("faiss sees no GPU: pip install --force-reinstall --no-deps faiss-gpu")
    features = clip_like(scale.faiss_rows, scale.dimensions, scale.device)
    scores, budget = difficulties(len(features)), len(features) // 50
    picks, seconds = [], []
    for gpus in (get_num_gpus(), 0):
        with patch("faiss.get_num_gpus", lambda gpus=gpus: gpus):
            begun = time.perf_counter()
            picks.append(rule(scores, features, budget, np.random.default_rng(0), {})[0])
            seconds.append(time.perf_counter() - begun)
    notes = rule.notes(scores, features, budget, np.random.default_rng(0))
    return {
        "rows": len(features),
        "dimensions": scale.dimensions,
        "picks": budget,
        "seconds on the device": seconds[0],
        "seconds on the CPU": seconds[1],
        "faster": seconds[1] / seconds[0],
        "share of equal picks": len(np.intersect1d(*picks)) / budget,
        "notes": notes,
    }


def train(scale: Scale, family: str, *, whole: bool = False) -> dict[str, Any]:
    """Steps of SelectionSFTTrainer: LoRA on the language model's attention, or all weights."""
    model, processor = build(scale.models[family], scale.device, scale.dtype)
    adapter = LoraConfig(r=16, target_modules=r".*language_model.*(q|k|v|o)_proj", task_type="CAUSAL_LM")
    options = {} if whole else {"peft_config": adapter}
    return _steps(scale, model, processing_class=processor, **options) | {"model": scale.models[family]}


def train_launched(scale: Scale, config: str, package: str) -> dict[str, Any]:
    """Train all weights under a shipped launch configuration, in a process for each GPU."""
    _need_configs(scale)
    _need(package)
    free()
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    command += ["--config_file", str(_CONFIGS / config), "--num_processes", str(torch.cuda.device_count())]
    command += ["--module", "on_gpu.launched", scale.device]
    done = subprocess.run(command, cwd=_BENCHMARKS, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-400:])
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def train_quantized(scale: Scale) -> dict[str, Any]:
    """Train the adapter of the shipped QLoRA configuration, the model's weights in 4 bits."""
    _need_configs(scale)
    _need("bitsandbytes")
    flags = yaml.safe_load((_CONFIGS / "qlora.yaml").read_text())
    known = {field.name for field in fields(ModelConfig)}
    config = ModelConfig(**{name: value for name, value in flags.items() if name in known})
    with tempfile.TemporaryDirectory() as folder:
        model, processor = build(scale.models["qwen"], scale.device, scale.dtype)
        model.save_pretrained(folder)
        del model
        free()
        figures = _steps(
            scale,
            folder,
            processing_class=processor,
            peft_config=get_peft_config(config),
            quantization_config=get_quantization_config(config),
        )
    return figures | {"model": scale.models["qwen"]}


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise SkippedError(f"{package} is not installed")


def _need_configs(scale: Scale) -> None:
    if scale.device == "cpu":
        raise SkippedError("needs a GPU")
    if not _CONFIGS.is_dir():
        raise SkippedError("examples/configs/training is not here")


def _steps(scale: Scale, model: Any, **options: Any) -> dict[str, Any]:
    """Train for a few steps; the first two are not timed."""
    clock = _StepClock()
    cpu = scale.device == "cpu"
    batch = 2 if cpu else 16
    args = SFTConfig(
        output_dir="unused",
        max_length=None,
        max_steps=scale.steps,
        per_device_train_batch_size=batch,
        gradient_checkpointing=not cpu,
        bf16=not cpu,
        use_cpu=cpu,
        save_strategy="no",
        logging_steps=1,
        report_to="none",
    )
    _reset_peak()
    rows = _selection(batch * scale.steps, scale)
    trainer = SelectionSFTTrainer(model, selection=rows, args=args, callbacks=[clock], **options)
    trainer.train()
    seconds = float(np.median(clock.seconds[2:]))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "rows a step": batch,
        "seconds a step": seconds,
        "rows/s": batch / seconds,
        "steps timed": len(clock.seconds[2:]),
        "first and last loss": [losses[0], losses[-1]],
        "peak GiB": _peak_gib(),
    }


def _throughputs() -> dict[str, Callable[[Scale], dict[str, Any]]]:
    return {
        f"{family}, {per_image} row{'s' * (per_image > 1)} an image, {attention}": partial(
            throughput, family=family, per_image=per_image, attention=attention
        )
        for family in ("llava", "qwen")
        for attention in ("sdpa", FLASH)
        for per_image in (1, 4)
    }


MEASUREMENTS: dict[str, Callable[[Scale], dict[str, Any]]] = {
    "agreement in float32": partial(agreement, dtype="float32", tolerance=1e-4),
    "agreement in bfloat16": partial(agreement, dtype="bfloat16", tolerance=1e-2),
    **_throughputs(),
    "two scorers in one pass": two_scorers,
    "map": map_overhead,
    "train, llava": partial(train, family="llava"),
    "train, qwen": partial(train, family="qwen"),
    "train, qwen, FSDP": partial(train_launched, config="fsdp.yaml", package="accelerate"),
    "train, qwen, ZeRO-3": partial(train_launched, config="deepspeed_zero3.yaml", package="deepspeed"),
    "train, qwen, QLoRA": train_quantized,
    "select 15% of the smaller pool": partial(select, pool=0, fraction=0.15),
    "select 2% of the larger pool": partial(select, pool=1, fraction=0.02),
    "faiss, SemDeDup": partial(faiss, rule=SemDeDup()),
    "faiss, FacilityLocation": partial(faiss, rule=FacilityLocation(approximate=True)),
    "faiss, NeighborPenalty": partial(faiss, rule=NeighborPenalty(approximate=True)),
}


class _StepClock(TrainerCallback):
    """Wall seconds of every step, to the end of its work on the device."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begun = _now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(_now() - self._begun)


_kept: dict[tuple[str, str], VLM] = {}


def _model(scale: Scale, family: str, attention: str) -> VLM:
    """The model, kept for the next measurement if that wants the same one."""
    if attention == FLASH:
        _need("flash_attn")
    key = (family, attention)
    if key not in _kept:
        free()
        _kept[key] = VLM(*build(scale.models[family], scale.device, scale.dtype, attention))
    return _kept[key]


def free() -> None:
    """Lets go of models and of the device's memory."""
    _kept.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _Ready:
    """Mixed into a scorer: its model is the kept one, so that none is written to disk and hashed."""

    def identify(self) -> dict[str, Any]:
        return {"model": "random", "commit": "0" * 40}

    def load(self, identity: Mapping[str, Any]) -> VLM:
        (vlm,) = _kept.values()
        return vlm


# Of this module, because `datasets` hashes them: it would hash the model of a class made in a function.
class ReadyNecessity(_Ready, NecessityScorer):
    """Necessity by the kept model."""


class ReadyEL2N(_Ready, EL2NScorer):
    """EL2N by the kept model."""


def _watch(vlm: VLM, call: Callable[[], Any]) -> tuple[float, float]:
    """Wall seconds, and those in forwards."""
    vlm.stats = Operations()
    begun = _now()
    call()
    return _now() - begun, vlm.stats.forward_seconds


def _losses(vlm: VLM, rows: Any) -> Any:
    return np.array([stats.mean for stats in vlm.score(rows)])


def _selection(rows: int, scale: Scale) -> Selection:
    pool = as_dataset(rows, 1, scale.tokens, side=scale.side)
    return select_diverse(pool.add_column("necessity", [1.0] * rows), rows, rule=TopScore())


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


_peaks: dict[str, float] = {}


def _peak(scale: Scale) -> float:
    if scale.device not in _peaks:
        _peaks[scale.device] = matmul_peak(scale.device, scale.dtype, None if scale.device == "cuda" else 512)
    return _peaks[scale.device]


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_gib() -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
