"""One trial: a subset, a fine-tune on it and its evaluations, in a folder where a killed run resumes."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from trl import SFTConfig

from hf_vitselect.errors import RowError
from hf_vitselect.evaluation.held_out import Evaluation
from hf_vitselect.models.options import EndOfTurn
from hf_vitselect.models.revisions import identify
from hf_vitselect.progress import no_library_bars
from hf_vitselect.resume import Run, last_whole_checkpoint
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training import SelectionSFTTrainer
from hf_vitselect.training.checks import model_revision

# Arguments that affect only output and logging, not the trained model; and the seed, which is the trial's.
_NO_SETTING = re.compile(
    r"output_dir|run_name|seed|hub_|push_to_hub|report_to|logging|disable_tqdm|log_level"
)

_LONGEST = 120  # bytes of a folder's name; file systems allow 255


@dataclass
class Setup:
    """Settings that all trials of a comparison share: arguments of `compare`, and what the results depend on.

    Attributes:
        training: what a fine-tune depends on, the model's exact weights included, as plain JSON.
        identities: what each evaluation depends on, as plain JSON.
    """

    model: str
    args: SFTConfig
    peft_config: Any
    evaluations: Mapping[str, Evaluation]
    processor: str | None = None
    end_of_turn: EndOfTurn = "auto"
    training: dict[str, Any] = field(init=False)
    identities: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.training = {
            "model": identify(self.model, model_revision(self.args)),
            "processor": self.processor and identify(self.processor),
            "end_of_turn": self.end_of_turn,
            "args": _plain(self.args),
            "peft": _plain(self.peft_config),
        }
        self.identities = {name: _identity(evaluation) for name, evaluation in self.evaluations.items()}


@dataclass(frozen=True)
class Trial:
    """A method, a budget and a seed.

    Attributes:
        name: of the method.
        budget: in rows.
        seed: of the fine-tune, and of the subset if the method is random.
        folder: the trial's own.
        settings: what the subset depends on, as plain JSON.
    """

    name: str
    budget: int
    seed: int
    folder: Path
    settings: Mapping[str, Any]

    def select(self, make: Callable[[], Selection]) -> None:
        """Make the trial's subset unless it exists."""
        Run(self.folder).stage("subset", self.settings, lambda out: make().save_to_disk(out))

    def refuse_stale(self, setup: Setup) -> None:
        """Raise StaleRunError if the trial was made with other settings, before any trial costs anything."""
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
        """The selected rows."""
        return Selection.load_from_disk(self.folder / "subset")

    @no_library_bars()
    def finish(self, setup: Setup, unusable: Mapping[int, RowError]) -> None:
        """Fine-tune on the subset without the unusable rows of the pool, and evaluate the model.

        Finished stages are not repeated.
        """
        run = Run(self.folder)
        run.stage("subset", self.settings, _refuse)
        model = run.stage("model", setup.training, lambda out: self._train(setup, unusable, out))
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
        """Tokens seen in training over all epochs, including prompts and image tokens."""
        return int(self._state["num_input_tokens_seen"])

    @property
    def seconds(self) -> float:
        """Duration of the finished fine-tune."""
        return self._seconds("model")

    @property
    def training(self) -> float:
        """Seconds of its training alone, without loading and saving."""
        # Logs during the training have the seconds until then.
        return max(float(log.get("train_runtime", 0)) for log in self._state["log_history"])

    @property
    def picking(self) -> float:
        """Seconds that it took to make the subset."""
        return self._seconds("subset")

    @property
    def is_given(self) -> bool:
        """Whether the subset is a finished selection, which the comparison did not pick."""
        return "row_ids" in self.settings

    @property
    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / "model" / "trainer_state.json").read_text())
        return state

    def _seconds(self, stage: str) -> float:
        return float(json.loads((self.folder / f"{stage}.json").read_text())["seconds"])

    def _train(self, setup: Setup, unusable: Mapping[int, RowError], out: Path) -> None:
        # A copy made here: arguments remember the devices of the process that made them.
        args = replace(
            setup.args,
            output_dir=str(out),
            run_name=f"{self.name}, {self.budget} rows, seed {self.seed}",
            seed=self.seed,
            push_to_hub=False,
            include_num_input_tokens_seen="non_padding",
        )
        subset = self.subset
        trainer = SelectionSFTTrainer(
            setup.model,
            selection=subset,
            args=args,
            peft_config=setup.peft_config,
            processing_class=setup.processor,
            end_of_turn=setup.end_of_turn,
            unusable={i: unusable[row] for i, row in enumerate(subset.indices.tolist()) if row in unusable},
        )
        trainer.train(resume_from_checkpoint=last_whole_checkpoint(out))
        trainer.save_model()
        trainer.save_state()
        trainer.create_model_card()


def finite(scores: ArrayLike, evaluation: str) -> NDArray[np.float64]:
    """Convert what an evaluation returned to finite float64 of shape (rows,) or (), or raise ValueError."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim > 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"expected a finite number per row from the evaluation {evaluation!r}, or a single one, got "
            f"shape {values.shape}, {np.count_nonzero(~np.isfinite(values))} of them not finite"
        )
    return values


def trial_folder(folder: Path, name: str, rows: int, seed: int) -> Path:
    """The folder of a method's trial in a comparison's folder."""
    return folder / "trials" / slug(name) / f"{rows}_rows" / f"seed_{seed}"


def slug(name: str) -> str:
    """A name as the name of a folder; of a long one, such as a whole method, the start and a digest."""
    plain = re.sub(r"[^\w.=-]+", "_", name)
    if len(plain.encode()) <= _LONGEST:
        return plain
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{plain.encode()[: _LONGEST - 17].decode(errors='ignore')}-{digest}"


def _evaluation(name: str) -> str:
    return f"evaluation_{slug(name)}"


def _identity(evaluation: Evaluation) -> dict[str, Any]:
    if hasattr(evaluation, "identity"):
        identity: dict[str, Any] = evaluation.identity()
        return identity
    return {"evaluation": getattr(evaluation, "__qualname__", type(evaluation).__qualname__)}


def _plain(settings: Any) -> Any:
    """Settings of a training or an adapter as plain JSON, without those that do not affect the result."""
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
