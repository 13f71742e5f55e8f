"""`score_net`: train a score net together with a model, and add its difficulty to the pool."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hf_vitselect.cli.command import PoolFacts
from hf_vitselect.cli.flags import PoolFlags, flag
from hf_vitselect.cli.pool import read_pool
from hf_vitselect.cli.score import score_and_save
from hf_vitselect.cli.summary import Summary
from hf_vitselect.cli.training_flags import TrainingCommand
from hf_vitselect.data.columns import refuse_missing
from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.scorers import ScoreNetScorer
from hf_vitselect.scorers.base.scorer import refuse_overwrite, refuse_taken
from hf_vitselect.training import ScoreNetTrainer


@dataclass(kw_only=True)
class TrainScoreNet(PoolFlags, TrainingCommand):
    """Train score net and model, score the pool and save it to the folder `scored`."""

    columns: list[str] = flag(
        "What the net reads: one embedding column, or several score columns.", ["embedding"]
    )
    hidden: int | None = flag("Units of one hidden layer; the net is linear if not set.", None)
    least: ClassVar[Mapping[str, int]] = {"hidden": 1}
    example = (
        "--dataset_name demo/score/scored --columns embedding --model_name_or_path demo/base "
        "--output_dir score_net --use_cpu true"
    )

    def check_inputs(self, pool: PoolFacts | None) -> None:
        """Refuse a pool without the columns that the net reads, or that has a difficulty already."""
        if pool is not None:
            refuse_missing(self.columns, pool.columns, "columns: expected a column")
            refuse_taken("ScoreNetScorer", self.added_columns(), pool.columns)

    def added_columns(self) -> list[str]:
        """The difficulty, its status and its reason."""
        return ["score_net", "score_net_status", "score_net_reason"]

    def run(self) -> Summary:
        """Train, then score."""
        pool, folder = read_pool(self), Path(self.training.output_dir)
        scorer = ScoreNetScorer(str(folder / "score_net"))
        refuse_overwrite(scorer, pool.column_names)
        trainer = ScoreNetTrainer(
            self.model.model_name_or_path,
            pool=pool,
            score_net=ScoreNet.fit(pool, self.columns, hidden=self.hidden, seed=self.training.seed),
            **self.trainer_arguments,
        )
        trainer.train(resume_from_checkpoint=trainer.args.resume_from_checkpoint)
        trainer.save_model()
        return score_and_save(pool, [scorer], folder)
