"""Compares the default method with random rows, judged from outside: by lm-eval on held-out rows.

    pip install lm-eval
    python examples/lm_eval_judge.py --dataset_name scored/scored --held_out vqa.parquet \
        --model_name_or_path llava-hf/llava-1.5-7b-hf --output_dir judged

The pool has its scores. The held-out rows have the columns image, question and answer. lm-eval generates an
answer to each question and asks whether it is the right one, up to case and punctuation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lm_eval
import torch
from datasets import Dataset, Image
from lm_eval.tasks import TaskManager
from trl import ScriptArguments, SFTConfig, TrlParser

from hf_vitselect import compare, load_pool
from hf_vitselect.selection import CleanBalanced


@dataclass
class Arguments(ScriptArguments):
    """The scored pool, the held-out rows, the model, and how much to keep."""

    held_out: str = "vqa.parquet"
    model_name_or_path: str = "llava-hf/llava-1.5-7b-hf"
    budget: float = 0.15
    seeds: int = 3
    max_new_tokens: int = 32


@dataclass(frozen=True, eq=False)
class LMEval:
    """lm-eval's exact match on rows with the columns image, question and answer: 0 or 1 a row."""

    rows: Dataset
    max_new_tokens: int

    def __call__(self, model: str) -> list[float]:
        """Ask a model every question."""
        task = {
            "task": "held_out",
            "custom_dataset": lambda **_: {"test": self.rows.cast_column("image", Image())},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_image": lambda row: [row["image"].convert("RGB")],
            "doc_to_text": "<image>{{question}}",
            "doc_to_target": "{{answer}}",
            "generation_kwargs": {"until": ["\n"], "do_sample": False, "max_gen_toks": self.max_new_tokens},
            "metric_list": [{"metric": "exact_match", "ignore_case": True, "ignore_punctuation": True}],
        }
        results = lm_eval.simple_evaluate(
            "hf-multimodal",
            {"pretrained": model},
            [task],
            batch_size=8,
            device="cuda" if torch.cuda.is_available() else "cpu",
            apply_chat_template=True,
            bootstrap_iters=0,
            task_manager=TaskManager(include_defaults=False),
        )
        answers = sorted(results["samples"]["held_out"], key=lambda answer: answer["doc_id"])
        return [float(answer["exact_match"]) for answer in answers]

    def identity(self) -> Mapping[str, Any]:
        """What the results depend on, so that a resumed comparison notices other rows."""
        return {"rows": self.rows._fingerprint, "max_new_tokens": self.max_new_tokens}


def main(args: Arguments, training: SFTConfig) -> None:
    """Fine-tunes on the method's rows and on random rows, and lets lm-eval judge."""
    scored = load_pool(args.dataset_name, config=args.dataset_config, split=args.dataset_train_split)
    held_out = Dataset.from_parquet(args.held_out)
    comparison = compare(
        scored,
        {"CleanBalanced": CleanBalanced()},
        args.model_name_or_path,
        {"lm-eval": LMEval(held_out, args.max_new_tokens)},
        training.output_dir,
        budgets=[args.budget],
        seeds=args.seeds,
        args=training,
    )
    comparison.save(training.output_dir)
    print(comparison.results)


if __name__ == "__main__":
    main(*TrlParser((Arguments, SFTConfig)).parse_args_and_config())
