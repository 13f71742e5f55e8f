"""Runs the example scripts on small pools, as a user would."""

import subprocess
import sys
from pathlib import Path

from pools import mixed_pool

EXAMPLES = Path(__file__).parents[1] / "examples"
TRAINING = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "per_device_train_batch_size": 4,
    "max_steps": 2,
}


def run_script(name, *flags, **options):
    words = [*(word for option, value in options.items() for word in (f"--{option}", str(value))), *flags]
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def run_training_script(name, model, folder, *flags, **options):
    """Runs a script on 12 rows with half of them as the budget, and returns its output folder."""
    rows = mixed_pool(12).add_column("judge", [float(i % 5) for i in range(12)])
    rows.save_to_disk(folder / "pool")
    given = {"dataset_name": folder / "pool", "model_name_or_path": model, "output_dir": folder / "out"}
    run_script(name, *flags, **given, budget=0.5, **TRAINING, **options)
    return folder / "out"
