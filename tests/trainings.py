"""Training arguments and trainers that several tests share."""

from trl import SFTConfig

from hf_vitselect.demo.stages import small_training
from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.training import ScoreNetTrainer

LANGUAGE_MODEL = r".*(language_model|text_model).*\.(q_proj|v_proj)"


def config(folder, **changes) -> SFTConfig:
    defaults = {
        "max_length": None,
        "max_steps": 6,
        "save_steps": 3,
        "logging_steps": 1,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 12,  # all rows, so that the losses of two steps can be compared
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
    }
    return SFTConfig(str(folder), **{**defaults, **changes})


def make(model, pool, args, columns="embedding", **options):
    net = ScoreNet.fit(pool, columns)
    return ScoreNetTrainer(
        model.folder, pool=pool, score_net=net, args=args, processing_class=model.processor, **options
    )


def sgd(folder, **changes):
    """Plain gradient steps over the rows in order, so that a step can be recomputed by hand."""
    plain = {"optim": "sgd", "max_grad_norm": 0, "lr_scheduler_type": "constant", "learning_rate": 0.5}
    return config(folder, train_sampling_strategy="sequential", save_strategy="no", **{**plain, **changes})


def training(folder, learning_rate=0.01):
    return small_training(folder, epochs=1, batch_size=4, learning_rate=learning_rate)


def models(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
