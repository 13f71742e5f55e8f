"""Text alone: nothing here needs an image. PreSel's shares for tasks, and the subset on the Hub if wanted.

    python examples/text_only.py --dataset_name allenai/tulu-3-sft-mixture --task source \
        --model_name_or_path Qwen/Qwen2-VL-2B-Instruct --output_dir text_only

The model may see, and is shown text: how much a question helps with its answer (QuestionGain), and sentence
embeddings in place of CLIP's. Near twins of an evaluation set are left out first.
"""

from dataclasses import dataclass
from pathlib import Path

from trl import TrlParser

from hf_vitselect import QuestionGain, TextEmbedding, find_contamination, push_to_hub, score, select_diverse
from hf_vitselect.cli.flags import PoolFlags
from hf_vitselect.cli.pool import load_pool
from hf_vitselect.rules import PreSel


@dataclass
class Arguments(PoolFlags):
    """Pool, models, and what to keep."""

    model_name_or_path: str = "Qwen/Qwen2-VL-2B-Instruct"
    text_name_or_path: str = "sentence-transformers/all-MiniLM-L6-v2"
    evaluation: str | None = None
    near: float = 0.95
    task: str = "source"
    budget: float = 0.1
    output_dir: str = "text_only"
    repo_id: str | None = None


def main(args: Arguments) -> None:
    """Scores, what an evaluation set has too, picks."""
    out, embed = Path(args.output_dir), TextEmbedding(args.text_name_or_path)
    scored = score(load_pool(args), [QuestionGain(args.model_name_or_path), embed], out / "scores")
    never: list[str] = []
    if args.evaluation:
        held_out = score(load_pool(PoolFlags(args.evaluation)), embed, out / "held_out")
        never = find_contamination(scored, held_out, over=embed.column, threshold=args.near).row_ids
    rule = PreSel(task=args.task)
    selection = select_diverse(scored, args.budget, by="question_gain", rule=rule, exclude=never)
    selection.save_to_disk(out / "selection")
    print(f"{len(selection)} of {len(scored)} rows, {len(never)} left out as too near to {args.evaluation}")
    if args.repo_id:
        push_to_hub(selection, args.repo_id)


if __name__ == "__main__":
    main(*TrlParser(Arguments).parse_args_and_config())
