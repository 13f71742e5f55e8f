"""The bar of a training, with its newest loss; where no bar is shown, its log lines."""

import sys
from typing import Any

from transformers import ProgressCallback

from hf_vitselect.progress import progress


class TrainingBar(ProgressCallback):  # type: ignore[misc]
    """The Trainer's bar with a title; on a terminal its logs are numbers next to the bar, not lines."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the bar."""
        if state.is_world_process_zero:
            self.training_bar = progress(total=state.max_steps, title="Training", unit="step")
        self.current_step = 0

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Show the newest loss."""
        if not sys.stderr.isatty():
            super().on_log(args, state, control, logs, **kwargs)
        elif self.training_bar is not None and "loss" in logs:
            self.training_bar.set_postfix(loss=logs["loss"])
