"""Train a score net together with the model (Self-Filter, arXiv 2402.12501, stage 1)."""

from collections.abc import Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from trl import SFTConfig

from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.provenance import pool_source
from hf_vitselect.errors import BudgetError, RowError, counted, shown
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.forward import logits_at
from hf_vitselect.models.options import EndOfTurn
from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.training.checks import find_unusable
from hf_vitselect.training.collator import IGNORED, ResponseCollator, undecoded_rows
from hf_vitselect.training.loading import processor_of
from hf_vitselect.training.response_trainer import ResponseSFTTrainer

_FOLDER = "score_net"
_PREFIX = "score_net."
_QUANTILES = 4


class ScoreNetTrainer(ResponseSFTTrainer):
    """Fine-tune a vision-language model together with a score net, by the model's weighted loss.

    Stage 1 of Self-Filter (arXiv 2402.12501). The net's outputs s for a batch of B rows become weights
    w = softmax(s), and the loss is `B * sum_i sum_t w_i * CE_(i,t) / (response tokens)`. With equal weights
    that is the usual loss; lowering it moves weight away from rows with a high loss. The softmax runs over
    the rows of one process and one forward (`per_device_train_batch_size`, 16 in the paper's code);
    gradient accumulation and further processes average over such batches. Rows that the net cannot read are
    left out like rows that the model cannot be trained on.

    Every log has `score_net/weight_std`, `_min` and `_max` (of B * w, whose mean is 1) and
    `score_net/nll_q1` ... `_q4`, the mean loss of the rows in each quarter of weights, lowest first. The net
    is saved in float32 to the folder `score_net` of every checkpoint and of `output_dir`, never in the
    model's own files.

    Args:
        model: a Hub id, a folder, or a loaded model.
        pool: any conversation layout, with the columns the net reads.
        score_net: the net, usually `ScoreNet.fit(pool, [...])`.
        args: any `trl.SFTConfig` with at least two rows per batch.
        processing_class: a processor with a chat template, or its Hub id or folder; None is the model's own.
        end_of_turn: as in `ResponseSFTTrainer`.
        **options: every other argument of `ResponseSFTTrainer`, such as `peft_config`.

    Raises:
        BudgetError: if fewer than two rows can be trained on, or fit in a batch.
        ColumnError: if the pool lacks a column the net reads.
        ModelError: if the processor has no chat template or a slow tokenizer.

    Examples:
        >>> net = ScoreNet.fit(pool, ["clip_score", "image_reward", "judge"])  # doctest: +SKIP
        >>> trainer = ScoreNetTrainer("llava-hf/llava-1.5-7b-hf", pool=pool, score_net=net)  # doctest: +SKIP
        >>> trainer.train()  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Any,
        *,
        pool: Dataset,
        score_net: ScoreNet,
        args: SFTConfig | None = None,
        processing_class: Any = None,
        end_of_turn: EndOfTurn = "auto",
        **options: Any,
    ) -> None:
        refuse_reserved(pool.features)
        args = args or SFTConfig(max_length=None)
        if args.per_device_train_batch_size < 2:
            raise BudgetError(
                "expected at least two rows in a batch for the score net to weigh against each other, "
                f"got per_device_train_batch_size={args.per_device_train_batch_size}"
            )
        processing_class = processor_of(model, args, processing_class)
        collator = ScoreNetCollator(Encoder(processing_class, end_of_turn=end_of_turn), score_net)
        collator.encoder.check()
        unusable = _unusable(pool, collator, args)
        if len(pool) - len(unusable) < 2:
            raise BudgetError(
                f"expected at least two rows to train on, got {len(pool) - len(unusable)} of {len(pool)}; "
                f"left out: {counted(unusable)}, {shown(unusable)}"
            )
        super().__init__(
            model,
            train_dataset=pool,
            unusable=unusable,
            args=args,
            processing_class=processing_class,
            collator=collator,
            **options,
        )
        self._source = pool_source(pool)["repo_id"]
        self._seen: list[tuple[float, float]] = []
        # A mean over rows, not a sum over a step's tokens: the Trainer divides it by the accumulation steps.
        self.model_accepts_loss_kwargs = False
        self.score_net = score_net.to(self.base_model.device)
        _attach(self.base_model, score_net)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> torch.Tensor | tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted loss of a batch."""
        loss, weights, nll = model(**inputs)
        if self.model.training:
            relative = len(weights) * weights.detach()
            self._seen += zip(relative.tolist(), nll.detach().tolist(), strict=True)
        return (loss, {"weights": weights, "nll": nll}) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the spread of the weights over all processes and rows since the last log."""
        if self.model.training:
            seen = gather_object(self._seen)
            self._seen = []
            if len(seen) >= _QUANTILES:
                logs.update(weight_report(*np.array(seen).T))
        super().log(logs, start_time)

    def complete_card(self, card: Any, dataset_name: str | None) -> None:
        """Name the pool and say how the loss was weighted."""
        card.data.datasets = [name for name in (dataset_name, self._source) if name] or None
        columns = ", ".join(f"`{name}`" for name in self.score_net.columns)
        card.text += (
            "\n\n## Score net\n\nThe rows' losses were weighted by a score net over "
            f"{columns}, trained together with the model (Self-Filter, "
            f"[arXiv 2402.12501](https://arxiv.org/abs/2402.12501)); it is in the folder `{_FOLDER}`.\n"
        )

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        state = self.model.state_dict() if state_dict is None else state_dict
        super()._save(output_dir, {name: value for name, value in state.items() if _PREFIX not in name})
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir, _FOLDER)
            (folder / "README.md").unlink(missing_ok=True)  # an older net's figures
            self.score_net.save_pretrained(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self._load_net(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        self._load_net(self.state.best_model_checkpoint)

    def _load_net(self, folder: str | None) -> None:
        self.score_net.load_state_dict(ScoreNet.from_pretrained(Path(str(folder), _FOLDER)).state_dict())


class ScoreNetCollator(ResponseCollator):
    """Add the score net's inputs to the batches."""

    def __init__(self, encoder: Encoder, score_net: ScoreNet) -> None:
        super().__init__(encoder)
        self.score_net = score_net
        self.reads = tuple(score_net.columns)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """A `ResponseCollator` batch with `score_inputs`, float32 of shape (rows, width)."""
        inputs = np.stack([self.score_net.row_inputs(row) for row in rows])
        return super().__call__(rows) | {"score_inputs": torch.from_numpy(inputs)}


def weighted_loss(nll: torch.Tensor, rows: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """`B * sum_i sum_t w_i * CE_(i,t) / T` with w = softmax(scores), for T tokens of B rows, in nats."""
    weights = scores.softmax(dim=0)
    return len(scores) * (weights[rows] * nll).sum() / max(len(nll), 1)


def weight_report(weights: np.ndarray, nll: np.ndarray) -> dict[str, float]:
    """The spread of the rows' weights, and their mean loss by quarter of weight, lowest first."""
    quarters = np.array_split(nll[np.argsort(weights, kind="stable")], _QUANTILES)
    means = {f"score_net/nll_q{number}": float(part.mean()) for number, part in enumerate(quarters, 1)}
    spread = {"std": weights.std(), "min": weights.min(), "max": weights.max()}
    return {f"score_net/weight_{name}": float(value) for name, value in spread.items()} | means


def _unusable(pool: Dataset, collator: ScoreNetCollator, args: SFTConfig) -> dict[int, RowError]:
    """The rows that the net cannot read or the model cannot be trained on."""
    _, statuses = collator.score_net.read(pool)
    missing = f"no usable value in {' or '.join(collator.reads)}"
    unusable = {int(i): RowError(statuses[i], missing) for i in np.flatnonzero(statuses != "ok")}
    readable = np.flatnonzero(statuses == "ok")
    untrainable = find_unusable(undecoded_rows(pool, collator.reads).select(readable), collator, args)
    return dict(sorted((unusable | {int(readable[i]): error for i, error in untrainable.items()}).items()))


def _attach(model: Any, score_net: ScoreNet) -> None:
    """Make the net a part of the model that runs inside its forward."""
    # There DDP, gradient clipping and the optimizer treat it like any other layer. Called outside the
    # forward it would miss or break DDP's gradient reduction.
    model.add_module("score_net", score_net.requires_grad_(True))
    forward = model.forward

    @wraps(forward)
    def weighted(*args: Any, score_inputs: torch.Tensor | None = None, **inputs: Any) -> Any:
        """The loss, the rows' weights and their mean losses; without score inputs the plain forward."""
        if score_inputs is None:
            return forward(*args, **inputs)
        labels = inputs.pop("labels")
        keep = labels[:, 1:] != IGNORED
        last = torch.zeros_like(keep[:, :1])  # the last position predicts nothing
        logits = logits_at(model, forward, inputs, torch.cat([keep, last], dim=1))
        nll = torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][keep], reduction="none")
        rows = keep.nonzero()[:, 0]
        scores = score_net(score_inputs)
        means = torch.zeros_like(scores).index_add(0, rows, nll) / keep.sum(1).clamp_min(1)
        return weighted_loss(nll, rows, scores), scores.softmax(dim=0), means.detach()

    model.forward = weighted
