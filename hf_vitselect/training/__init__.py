"""Fine-tuning on a selection: thin users of TRL's SFTTrainer."""

from hf_vitselect.training.score_net import ScoreNetTrainer
from hf_vitselect.training.seed import train_seed_model
from hf_vitselect.training.sft import SelectionSFTTrainer

__all__ = ["ScoreNetTrainer", "SelectionSFTTrainer", "train_seed_model"]
