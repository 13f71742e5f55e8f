"""`train`: fine-tune a model on a selection."""

from dataclasses import dataclass

from hf_vitselect.cli.flags import SelectionFlags
from hf_vitselect.cli.pool import load_selection
from hf_vitselect.cli.summary import Summary, command_line
from hf_vitselect.cli.training_flags import TrainingCommand
from hf_vitselect.training import SelectionSFTTrainer


@dataclass(kw_only=True)
class Train(SelectionFlags, TrainingCommand):
    """Fine-tune on a selection, save the model and its card, and push them if asked to."""

    example = "--selection demo/selection --model_name_or_path demo/base --output_dir model --use_cpu true"

    def run(self) -> Summary:
        """Train, save and push."""
        selection, model = load_selection(self.selection), self.model.model_name_or_path
        trainer = SelectionSFTTrainer(model, selection=selection, **self.trainer_arguments)
        trainer.train(resume_from_checkpoint=trainer.args.resume_from_checkpoint)
        trainer.save_model()
        trainer.create_model_card()
        pushed = trainer.push_to_hub() if self.training.push_to_hub else None
        losses = [entry["train_loss"] for entry in trainer.state.log_history if "train_loss" in entry]
        facts = {
            "rows": f"{len(selection):,} of a pool of {selection.recipe.rows:,}",
            "steps": f"{trainer.state.global_step:,}",
            "mean loss": f"{losses[0]:.3f} nats per token" if losses else None,
            "saved to": self.training.output_dir,
            "pushed to": pushed,
        }
        next_line = command_line(
            "compare",
            dataset_name="SCORED_POOL",
            eval_dataset_name="HELD_OUT",
            selections=self.selection,
            model_name_or_path=model,
            output_dir="compare",
            use_cpu="true" if self.training.use_cpu else None,
        )
        return Summary(facts, [next_line])
