"""Self-Filter (arXiv 2402.12501): a score net trained with the model, then rows that are hard and diverse.

    python examples/self_filter.py --dataset_name HuggingFaceH4/llava-instruct-mix-vsft \
        --model_name_or_path llava-hf/llava-1.5-7b-hf --clip_name_or_path openai/clip-vit-large-patch14 \
        --output_dir self_filter --learning_rate 2e-5 --per_device_train_batch_size 16 --num_train_epochs 3

The net reads the 1536-d CLIP embedding; `--columns clip_score image_reward judge` makes it read these scores,
or any other numeric columns of the pool. Flags of TRL's ModelConfig and SFTConfig apply to both fine-tunes.
"""

from dataclasses import dataclass, field
from pathlib import Path

from trl import ModelConfig, ScriptArguments, SFTConfig, TrlParser, get_peft_config

from hf_vitselect import (
    ClipEmbedding,
    ClipScore,
    ScoreNet,
    ScoreNetScorer,
    load_pool,
    push_to_hub,
    score,
    select_diverse,
)
from hf_vitselect.selection import SelfFilter
from hf_vitselect.training import ScoreNetTrainer, SelectionSFTTrainer


@dataclass
class TrainingConfig(SFTConfig):
    """TRL's SFTConfig without its limit of 1,024 tokens: nothing is truncated here."""

    max_length: int | None = None


@dataclass
class Arguments(ScriptArguments):
    """The pool, the inputs of the score net, and how much to keep."""

    clip_name_or_path: str = "openai/clip-vit-large-patch14"
    columns: list[str] = field(default_factory=lambda: ["embedding"])
    budget: float = 0.15
    repo_id: str | None = None


def main(args: Arguments, model: ModelConfig, training: SFTConfig) -> None:
    """Runs stage 1, stage 2, and a fine-tune on the subset."""
    out, clip = Path(training.output_dir), args.clip_name_or_path
    options = {"peft_config": get_peft_config(model)}
    pool = load_pool(args.dataset_name, config=args.dataset_config, split=args.dataset_train_split)
    pool = score(pool, [ClipEmbedding(clip), ClipScore(clip)], out / "clip")

    training.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
    }
    training.output_dir, net = str(out / "stage1"), ScoreNet.fit(pool, args.columns)
    trainer = ScoreNetTrainer(model.model_name_or_path, pool=pool, score_net=net, args=training, **options)
    trainer.train()
    trainer.save_model()

    pool = score(pool, ScoreNetScorer(out / "stage1" / "score_net"), out / "difficulty")
    selection = select_diverse(pool, args.budget, method=SelfFilter())
    selection.save_to_disk(out / "selection")
    if args.repo_id:
        push_to_hub(selection, args.repo_id)

    training.output_dir = str(out / "model")
    tuned = SelectionSFTTrainer(model.model_name_or_path, selection=selection, args=training, **options)
    tuned.train()
    tuned.save_model()


if __name__ == "__main__":
    main(*TrlParser((Arguments, ModelConfig, TrainingConfig)).parse_args_and_config())
