"""MLLM-Selector (arXiv 2503.20502): a seed model says how necessary each row is; groups give their shares.

    python examples/mllm_selector.py --dataset_name HuggingFaceH4/llava-instruct-mix-vsft \
        --model_name_or_path llava-hf/llava-1.5-7b-hf --output_dir mllm_selector \
        --learning_rate 2e-5 --per_device_train_batch_size 16 --num_train_epochs 1

docs/papers.md has other readings of the paper. `--rounds 2` selects half of the budget, scores again with the
model trained on it, and selects the rest. TRL's ModelConfig and SFTConfig flags hold too.
"""

from dataclasses import dataclass
from pathlib import Path

from trl import ModelConfig, SFTConfig, TrlParser, get_peft_config

from hf_vitselect import NecessityScorer, Selection, push_to_hub, score, select_diverse
from hf_vitselect.cli.flags import PoolFlags, TrainingFlags, with_model_options
from hf_vitselect.cli.pool import load_pool
from hf_vitselect.rules import GroupedSampling
from hf_vitselect.training import SelectionSFTTrainer, train_seed_model


@dataclass
class Arguments(PoolFlags):
    """Pool, budgets as shares of it, and what becomes of the seed model's rows."""

    seed_budget: float = 0.05
    budget: float = 0.15
    exclude_seed: bool = True
    rounds: int = 1
    repo_id: str | None = None


def main(args: Arguments, model: ModelConfig, training: SFTConfig) -> None:
    """Seed model, then as many rounds of scoring, selecting and fine-tuning as asked for."""
    out, pool, base = Path(training.output_dir), load_pool(args), model.model_name_or_path
    options = {"peft_config": get_peft_config(model)}
    training = with_model_options(model, training)
    training.output_dir = str(out / "seed")
    seed = train_seed_model(pool, base, args.seed_budget, training, **options)
    selection: Selection | tuple[()] = ()
    for turn in range(1, args.rounds + 1):
        scored = score(pool, NecessityScorer(training.output_dir), out / f"scores_{turn}")
        share, never = args.budget * turn / args.rounds, seed if args.exclude_seed else ()
        selection = select_diverse(scored, share, rule=GroupedSampling(), include=selection, exclude=never)
        selection.save_to_disk(out / f"selection_{turn}")
        training.output_dir = str(out / f"model_{turn}")
        tuned = SelectionSFTTrainer(base, selection=selection, args=training, **options)
        tuned.train()
        tuned.save_model()
    if args.repo_id:
        push_to_hub(selection, args.repo_id)


if __name__ == "__main__":
    main(*TrlParser((Arguments, ModelConfig, TrainingFlags)).parse_args_and_config())
