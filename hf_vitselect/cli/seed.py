"""`seed`: fine-tune a model on a random part of a pool."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hf_vitselect.cli.command import PoolFacts
from hf_vitselect.cli.flags import PoolFlags, flag, given_flags, parse_budget, refuse_large_budget
from hf_vitselect.cli.pool import read_pool
from hf_vitselect.cli.summary import Summary, command_line, dropped, refused_fact
from hf_vitselect.cli.training_flags import TrainingCommand
from hf_vitselect.errors import UsageError
from hf_vitselect.training import train_seed_model


@dataclass(kw_only=True)
class Seed(PoolFlags, TrainingCommand):
    """Fine-tune the seed model and record the rows that it was trained on."""

    budget: str = flag("The part to fine-tune on: rows (1200) or a share (0.125) of the pool.", "0.125")
    freeze_vision: bool = flag("Keep the weights of the vision encoder; training is faster.", True)
    layers: int | None = flag(
        "Train a smaller model with this many decoder layers, for its scores alone.", None
    )
    least: ClassVar[Mapping[str, int]] = {"layers": 1}
    example = "--dataset_name demo/data/pool --model_name_or_path demo/base --output_dir seed --use_cpu true"

    def check(self) -> None:
        """Refuse a budget or options of the training that cannot be followed."""
        super().check()
        parse_budget(self.budget)
        partial = [name for name in ("use_peft", "load_in_4bit", "load_in_8bit") if getattr(self.model, name)]
        if self.layers is not None and partial:
            raise UsageError(f"layers: expected no {partial[0]} with it; leave out either")

    def check_inputs(self, pool: PoolFacts | None) -> None:
        """Refuse a pool with too few rows."""
        if pool is not None:
            refuse_large_budget(self.budget, pool.rows)

    def run(self) -> Summary:
        """Fine-tune on the random part."""
        arguments, folder = self.trainer_arguments, str(self.training.output_dir)
        selection = train_seed_model(
            read_pool(self),
            self.model.model_name_or_path,
            parse_budget(self.budget),
            arguments.pop("args"),
            freeze_vision=self.freeze_vision,
            layers=self.layers,
            seed=self.training.seed,
            **arguments,
        )
        facts = {
            "rows": f"{selection.recipe.rows:,}",
            "trained on": f"{len(selection):,}, drawn at random",
            "refused": refused_fact(dropped(selection.recipe)),
            "saved to": folder,
        }
        pool = given_flags(self, PoolFlags)
        return Summary(facts, [command_line("score", **pool, model_name_or_path=folder, output_dir="scored")])
