"""One trial: a subset, a fine-tune on it and its evaluations, in a folder that a killed run goes on in."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from trl import SFTConfig

from hf_vitselect.errors import RowError
from hf_vitselect.evaluation.held_out import Evaluation
from hf_vitselect.models.options import EndOfTurn
from hf_vitselect.models.revisions import identify
from hf_vitselect.resume import Run, last_whole_checkpoint
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training import SelectionSFTTrainer

# What says where a fine-tune is written and shown, and not what it learns.
_NO_SETTING = re.compile(
    r"output_dir|run_name|seed|hub_|push_to_hub|report_to|logging|disable_tqdm|log_level"
)


@dataclass(frozen=True)
class Setup:
    """What all trials of a comparison share.

    Attributes:
        model: a Hub id or a folder; what is fine-tuned.
        args: of every fine-tune; output folder and seed are the trial's own.
        peft_config: as in TRL.
        evaluations: by name.
        processor: the Hub id or folder of one in place of the model's own; None for that.
        end_of_turn: as in `SelectionSFTTrainer`.
        training: plain JSON; what a fine-tune depends on.
        identities: the same of every evaluation.
        unusable: rows of the pool that are left out of every fine-tune, each with the reason.
    """

    model: str
    args: SFTConfig
    peft_config: Any
    evaluations: Mapping[str, Evaluation]
    processor: str | None
    end_of_turn: EndOfTurn
    training: dict[str, Any]
    identities: dict[str, dict[str, Any]]
    unusable: Mapping[int, RowError] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: str,
        args: SFTConfig,
        peft_config: Any,
        evaluations: Mapping[str, Evaluation],
        processor: str | None = None,
        end_of_turn: EndOfTurn = "auto",
    ) -> "Setup":
        """The setup, with the exact weights behind the model's name."""
        revision = (args.model_init_kwargs or {}).get("revision")
        training = {
            "model": identify(model, revision),
            "processor": processor and identify(processor),
            "end_of_turn": end_of_turn,
            "args": _plain(args),
            "peft": _plain(peft_config),
        }
        identities = {name: _identity(evaluation) for name, evaluation in evaluations.items()}
        return cls(model, args, peft_config, evaluations, processor, end_of_turn, training, identities)


@dataclass(frozen=True)
class Trial:
    """A method, a budget and a seed.

    Attributes:
        name: of the method.
        budget: in rows.
        seed: of the subset, where chance has a part in it, and of the fine-tune.
        folder: what belongs to the trial, and to no other.
        settings: plain JSON; what the subset depends on.
    """

    name: str
    budget: int
    seed: int
    folder: Path
    settings: Mapping[str, Any]

    def select(self, make: Callable[[], Selection]) -> None:
        """Makes the trial's subset, if it is not there."""
        Run(self.folder).stage("subset", self.settings, lambda out: make().save_to_disk(out))

    def refuse_stale(self, setup: Setup) -> None:
        """Refuses a trial that was made with other settings, before any other costs anything.

        Raises:
            StaleRunError: naming them.
        """
        evaluations = {_evaluation(name): identity for name, identity in setup.identities.items()}
        stages = {"subset": self.settings, "model": setup.training, **evaluations}
        Run(self.folder).refuse_stale(stages)

    @property
    def trained(self) -> bool:
        """Whether the fine-tune is done."""
        record = self.folder / "model.json"
        return record.exists() and "seconds" in json.loads(record.read_text())

    @property
    def subset(self) -> Selection:
        """What was selected."""
        return Selection.load_from_disk(self.folder / "subset")

    def finish(self, setup: Setup) -> None:
        """Fine-tunes on the subset and evaluates the model, as far as that is not done."""
        run = Run(self.folder)
        run.stage("subset", self.settings, _refuse)
        model = run.stage("model", setup.training, lambda out: self._train(setup, out))
        for name, evaluation in setup.evaluations.items():

            def evaluate(out: Path, name: str = name, evaluation: Evaluation = evaluation) -> None:
                scores = finite(evaluation(str(model)), name)
                out.mkdir(exist_ok=True)
                np.save(out / "scores.npy", scores)

            run.stage(_evaluation(name), setup.identities[name], evaluate)

    def scores(self, evaluation: str) -> NDArray[np.float64]:
        """The finished trial's scores, shape (rows,) or ()."""
        scores: NDArray[np.float64] = np.load(self.folder / _evaluation(evaluation) / "scores.npy")
        return scores

    @property
    def tokens(self) -> int:
        """What the finished trial was trained on, over all epochs, prompts and image tokens included."""
        state = json.loads((self.folder / "model" / "trainer_state.json").read_text())
        return int(state["num_input_tokens_seen"])

    @property
    def seconds(self) -> float:
        """What the finished trial's fine-tune took."""
        return float(json.loads((self.folder / "model.json").read_text())["seconds"])

    def _train(self, setup: Setup, out: Path) -> None:
        # Made anew, because arguments remember the devices of the process that they were made in.
        args = replace(
            setup.args,
            output_dir=str(out),
            seed=self.seed,
            push_to_hub=False,
            include_num_input_tokens_seen="non_padding",
        )
        subset = self.subset
        left_out = {
            place: setup.unusable[row]
            for place, row in enumerate(subset.indices.tolist())
            if row in setup.unusable
        }
        trainer = SelectionSFTTrainer(
            setup.model,
            selection=subset,
            args=args,
            peft_config=setup.peft_config,
            processing_class=setup.processor,
            end_of_turn=setup.end_of_turn,
            unusable=left_out,
        )
        trainer.train(resume_from_checkpoint=last_whole_checkpoint(out))
        trainer.save_model()
        trainer.save_state()
        trainer.create_model_card()


def finite(scores: ArrayLike, evaluation: str) -> NDArray[np.float64]:
    """What an evaluation has returned, as float64 of shape (rows,) or ().

    Raises:
        ValueError: if it is anything else, or not finite: its mean would be no number either.
    """
    found = np.asarray(scores, dtype=np.float64)
    if found.ndim > 1 or not found.size or not np.isfinite(found).all():
        raise ValueError(
            f"expected a finite number a row from the evaluation {evaluation!r}, or a single one, got shape "
            f"{found.shape}, {np.count_nonzero(~np.isfinite(found))} of them not finite"
        )
    return found


def processes_or_gpus(processes: int | None) -> int:
    """How many fine-tunes run at once: by default one for each GPU.

    Raises:
        ValueError: if it is less than one.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"processes: expected 1 or more, got {processes}")
    return processes or max(1, len(_visible_gpus()))


def finish(trials: Sequence[Trial], setup: Setup, processes: int) -> None:
    """Finishes trials, one after the other, or spread over processes of their own.

    Args:
        trials: whose subsets are made.
        setup: of all of them.
        processes: how many at once, each of which sees a GPU of its own, as far as there are any. With
            several, the calling script must be importable (`if __name__ == "__main__":`), and evaluations
            must be picklable.
    """
    gpus = _visible_gpus()
    if processes == 1:
        for trial in trials:
            trial.finish(setup)
        return
    context = get_context("spawn")
    places: Queue[str] = context.Queue()
    for number in range(processes):
        places.put(gpus[number % len(gpus)] if gpus else "")
    with ProcessPoolExecutor(processes, context, _settle, (places, torch.get_num_threads())) as pool:
        for _ in pool.map(Trial.finish, trials, [setup] * len(trials)):
            pass


def _visible_gpus() -> list[str]:
    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] if named else [str(number) for number in range(count)]


def _settle(places: "Queue[str]", threads: int) -> None:
    """What a new process does first: takes a GPU, before anything has looked at them."""
    os.environ["CUDA_VISIBLE_DEVICES"] = places.get()
    torch.set_num_threads(threads)


def slug(name: str) -> str:
    """A name as a folder's."""
    return re.sub(r"[^\w.=-]+", "_", name)


def _evaluation(name: str) -> str:
    return f"evaluation_{slug(name)}"


def _identity(evaluation: Evaluation) -> dict[str, Any]:
    if hasattr(evaluation, "identity"):
        identity: dict[str, Any] = evaluation.identity()
        return identity
    return {"evaluation": getattr(evaluation, "__qualname__", type(evaluation).__qualname__)}


def _plain(settings: Any) -> Any:
    """Training arguments, or an adapter's, as plain JSON without what has no part in the result."""
    if settings is None:
        return None
    return {
        name: value if isinstance(value, (int, float, str, bool, type(None))) else _text(value)
        for name, value in settings.to_dict().items()
        if not _NO_SETTING.search(name)
    }


def _text(value: Any) -> str:
    return str(sorted(value) if isinstance(value, (set, frozenset)) else value)


def _refuse(out: Path) -> None:
    raise FileNotFoundError(f"expected a subset in {out}; select before finishing a trial")
