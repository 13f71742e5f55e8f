"""The stages up to a scored pool and a selection, shared with the real-pool benchmark."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import torch
from datasets import Dataset, load_from_disk
from transformers import CLIPModel
from trl import SFTConfig

from hf_vitselect.demo.models import (
    DemoSettings,
    build_clip,
    build_clip_processor,
    build_llava,
    build_processor,
    save,
    train_clip,
    world_tokenizer,
)
from hf_vitselect.demo.pool import SEEN
from hf_vitselect.demo.world import World
from hf_vitselect.evaluation.held_out import response_losses
from hf_vitselect.models.vlm import VLM
from hf_vitselect.resume import Run
from hf_vitselect.rules import Random
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scoring.score import score
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.training import SelectionSFTTrainer, train_seed_model

Training = Callable[..., SFTConfig]


class Grades(TypedDict):
    """One model's answers to held-out rows."""

    right: list[bool]  # every response token is the first choice, as in greedy decoding
    nll: list[float]  # mean negative log-likelihood of the response tokens, in nats


def seed_and_score(
    run: Run,
    pool: Dataset,
    base: Path,
    make_scorers: Callable[[str], Sequence[Scorer]],
    training: Training,
    *,
    seed_share: float,
    freeze_vision: bool = True,
) -> Path:
    """Fine-tune the base model on a random part of a pool, and score the pool with this seed model.

    Args:
        run: the run to which the stages belong.
        pool: any conversation layout.
        base: folder of the aligned model.
        make_scorers: from the seed model's folder to the scorers.
        training: from an output folder and `seed=` to the settings of a fine-tune.
        seed_share: the share of the pool that the seed model is trained on.
        freeze_vision: as in `train_seed_model`.

    Returns:
        The folder of the scored pool.
    """
    settings = {"share": seed_share, "freeze_vision": freeze_vision}
    seed = run.stage("seed", settings, partial(_train_seed, pool, base, training, seed_share, freeze_vision))
    scorers = make_scorers(str(seed))
    columns = {"columns": [scorer.column for scorer in scorers]}
    return run.stage("score", columns, partial(_score, pool, scorers)) / "scored"


def select_and_save(scored: Path, method: Method, budget: float, out: Path) -> None:
    """Select a share of a scored pool, and save the selection."""
    select_diverse(load_from_disk(str(scored)), budget, method=method).save_to_disk(out)


def answers(model: Path, rows: Dataset, batch_size: int) -> Grades:
    """Grade one model on held-out rows, in one pass."""
    losses = response_losses(VLM.load(str(model)), rows, batch_size)
    return Grades(right=[bool(loss.hit.all()) for loss in losses], nll=[loss.mean for loss in losses])


def small_training(
    out: Path, *, epochs: int, batch_size: int, learning_rate: float, seed: int = 0
) -> SFTConfig:
    """Settings for a model so small that one core trains it in minutes."""
    return SFTConfig(
        str(out),
        max_length=None,
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        save_strategy="no",
        logging_steps=100,
        report_to="none",
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
    )


def align(model: Any, processor: Any, captions: Dataset, args: SFTConfig) -> None:
    """Train a model with fresh language weights on captions and saves it."""
    everything = select_diverse(captions, 1.0, rule=Random())
    _train(SelectionSFTTrainer(model, selection=everything, args=args, processing_class=processor))


def build_base_clip(settings: DemoSettings, captions: Dataset, out: Path, *, world: World = SEEN) -> None:
    """Train a CLIP that knows the words of a world on captions, and save it."""
    processor = build_clip_processor(world_tokenizer(world, ends_texts=True))
    clip = build_clip(processor)
    train_clip(
        clip,
        processor,
        captions,
        epochs=settings.clip_epochs,
        batch_size=settings.clip_batch_size,
        learning_rate=settings.clip_learning_rate,
    )
    save(clip, processor, out)


def build_base(
    settings: DemoSettings, captions: Dataset, clip: Path, out: Path, *, world: World = SEEN
) -> None:
    """Align a LLaVA that looks through this CLIP on captions, and save it: the model to fine-tune."""
    processor = build_processor(world_tokenizer(world, ends_texts=False))
    model = build_llava(processor, clip=CLIPModel.from_pretrained(clip))
    args = small_training(
        out,
        epochs=settings.align_epochs,
        batch_size=settings.align_batch_size,
        learning_rate=settings.align_learning_rate,
    )
    align(model, processor, captions, args)


def _train(trainer: SelectionSFTTrainer) -> None:
    trainer.train()
    trainer.save_model()
    trainer.create_model_card()


def _train_seed(
    pool: Dataset, base: Path, training: Training, budget: float, freeze_vision: bool, out: Path
) -> None:
    train_seed_model(pool, str(base), budget, training(out, seed=0), freeze_vision=freeze_vision)


def _score(pool: Dataset, scorers: Sequence[Scorer], out: Path) -> None:
    score(pool, scorers, out / "shards").save_to_disk(str(out / "scored"))
