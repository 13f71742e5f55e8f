"""Fine-tuning on a selection: thin users of TRL's SFTTrainer."""

from hf_vitselect.training.score_net import ScoreNetTrainer
from hf_vitselect.training.seed import train_seed_model
from hf_vitselect.training.seed_rows import load_seed_rows
from hf_vitselect.training.sft import SelectionSFTTrainer

__all__ = ["ScoreNetTrainer", "SelectionSFTTrainer", "load_seed_rows", "train_seed_model"]
