"""One bar for a training on a terminal, log lines elsewhere."""

import io
import sys

import pytest
from trainings import config

from hf_vitselect.training import SelectionSFTTrainer
from hf_vitselect.training.training_bar import TrainingBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def train(tiny, scored_pool, tmp_path, monkeypatch):
    def run(stderr, **changes):
        """The output of a training, and the classes of its callbacks."""
        from hf_vitselect import select_diverse
        from hf_vitselect.rules import TopScore

        monkeypatch.delenv("TQDM_DISABLE", raising=False)
        monkeypatch.setattr("hf_vitselect.progress._SECONDS", 0)
        monkeypatch.setattr(sys, "stderr", stderr)
        args = config(tmp_path, save_strategy="no", max_steps=2, **changes)
        selection = select_diverse(scored_pool, 3, rule=TopScore())
        model = tiny("llava")
        trainer = SelectionSFTTrainer(
            model.folder, selection=selection, args=args, processing_class=model.processor
        )
        trainer.train()
        return stderr.getvalue(), [type(each) for each in trainer.callback_handler.callbacks]

    return run


def test_terminal_shows_bar_with_loss(train, capsys):
    text, callbacks = train(Terminal(), disable_tqdm=False)
    assert callbacks.count(TrainingBar) == 1
    assert "Training: 100%" in text
    assert "loss=" in text
    assert "train_runtime" not in capsys.readouterr().out


def test_files_get_log_lines(train, capsys):
    text, _ = train(io.StringIO(), disable_tqdm=False)
    assert "Training" not in text
    assert capsys.readouterr().out.count("'loss'") == 2


def test_disabled_bar_stays_away(train):
    _, callbacks = train(Terminal(), disable_tqdm=True)
    assert TrainingBar not in callbacks
