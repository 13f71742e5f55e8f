"""The processor of a training is that of its model."""

from trainings import config

from hf_vitselect.training.loading import processor_of


def test_processor_has_the_models_revision(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "hf_vitselect.training.loading.load_processor",
        lambda name, **options: asked.append((name, options["revision"])),
    )
    processor_of("me/model", config(tmp_path, model_init_kwargs={"revision": "c0ffee"}))
    assert asked == [("me/model", "c0ffee")]
