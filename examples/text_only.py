"""Selects from a pool of text alone: PreSel's budgets for tasks, and the subset on the Hub if wanted.

    python examples/text_only.py --dataset_name allenai/tulu-3-sft-mixture --task source \
        --model_name_or_path Qwen/Qwen2-VL-2B-Instruct --output_dir text_only

The model may be a vision-language model; here it reads text. QuestionGain scores how much a question helps
with its answer, and sentence embeddings replace CLIP's. Near duplicates of an evaluation set are left out.
"""

from dataclasses import dataclass
from pathlib import Path

from trl import ScriptArguments, TrlParser

from hf_vitselect import (
    QuestionGain,
    TextEmbedding,
    find_contamination,
    load_pool,
    push_to_hub,
    score,
    select_diverse,
)
from hf_vitselect.rules import PreSel


@dataclass
class Arguments(ScriptArguments):
    """The pool, the models, and how much to keep."""

    model_name_or_path: str = "Qwen/Qwen2-VL-2B-Instruct"
    text_name_or_path: str = "sentence-transformers/all-MiniLM-L6-v2"
    evaluation: str | None = None
    near: float = 0.95
    task: str = "source"
    budget: float = 0.1
    output_dir: str = "text_only"
    repo_id: str | None = None


def main(args: Arguments) -> None:
    """Scores the pool, finds what the evaluation set contains too, and selects."""
    out, embed = Path(args.output_dir), TextEmbedding(args.text_name_or_path)
    pool = load_pool(args.dataset_name, config=args.dataset_config, split=args.dataset_train_split)
    scored = score(pool, [QuestionGain(args.model_name_or_path), embed], out / "scores")
    never: list[str] = []
    if args.evaluation:
        held_out = score(load_pool(args.evaluation), embed, out / "held_out")
        never = find_contamination(scored, held_out, over=embed.column, threshold=args.near).row_ids
    rule = PreSel(task=args.task)
    selection = select_diverse(scored, args.budget, by="question_gain", rule=rule, exclude=never)
    selection.save_to_disk(out / "selection")
    print(f"{len(selection)} of {len(scored)} rows, {len(never)} left out as too near to {args.evaluation}")
    if args.repo_id:
        push_to_hub(selection, args.repo_id)


if __name__ == "__main__":
    main(*TrlParser(Arguments).parse_args_and_config())
