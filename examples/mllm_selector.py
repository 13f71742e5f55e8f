"""MLLM-Selector (arXiv 2503.20502): a seed model scores how necessary each row is; groups share the budget.

    python examples/mllm_selector.py --dataset_name HuggingFaceH4/llava-instruct-mix-vsft \
        --model_name_or_path llava-hf/llava-1.5-7b-hf --output_dir mllm_selector \
        --learning_rate 2e-5 --per_device_train_batch_size 16 --num_train_epochs 1

docs/papers.md has other readings of the paper. `--rounds 2` selects half of the budget, scores again with the
model trained on it, and selects the rest. All flags of TRL's ModelConfig and SFTConfig work too.
"""

from dataclasses import dataclass
from pathlib import Path

from trl import ModelConfig, ScriptArguments, SFTConfig, TrlParser, get_peft_config

from hf_vitselect import NecessityScorer, Selection, load_pool, push_to_hub, score, select_diverse
from hf_vitselect.selection import MLLMSelector
from hf_vitselect.training import SelectionSFTTrainer, train_seed_model


@dataclass
class TrainingConfig(SFTConfig):
    """TRL's SFTConfig without its limit of 1,024 tokens: nothing is truncated here."""

    max_length: int | None = None


@dataclass
class Arguments(ScriptArguments):
    """The pool, the budgets as shares of it, and whether the subset may hold the seed model's rows."""

    seed_budget: float = 0.05
    budget: float = 0.15
    exclude_seed: bool = True
    rounds: int = 1
    repo_id: str | None = None


def main(args: Arguments, model: ModelConfig, training: SFTConfig) -> None:
    """Trains the seed model, then scores, selects and fine-tunes in rounds."""
    out, base = Path(training.output_dir), model.model_name_or_path
    pool = load_pool(args.dataset_name, config=args.dataset_config, split=args.dataset_train_split)
    options = {"peft_config": get_peft_config(model)}
    training.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
    }
    training.output_dir = str(out / "seed")
    seed = train_seed_model(pool, base, args.seed_budget, training, **options)
    selection: Selection | tuple[()] = ()
    for turn in range(1, args.rounds + 1):
        scored = score(pool, NecessityScorer(training.output_dir), out / f"scores_{turn}")
        share, never = args.budget * turn / args.rounds, seed if args.exclude_seed else ()
        selection = select_diverse(scored, share, method=MLLMSelector(), include=selection, exclude=never)
        selection.save_to_disk(out / f"selection_{turn}")
        training.output_dir = str(out / f"model_{turn}")
        tuned = SelectionSFTTrainer(base, selection=selection, args=training, **options)
        tuned.train()
        tuned.save_model()
    if args.repo_id:
        push_to_hub(selection, args.repo_id)


if __name__ == "__main__":
    main(*TrlParser((Arguments, ModelConfig, TrainingConfig)).parse_args_and_config())
