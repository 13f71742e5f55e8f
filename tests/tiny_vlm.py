"""Loads the tiny models of `tiny.py` as the scorers do."""

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from hf_vitselect.models.batching import BatchLimit
from hf_vitselect.models.vlm import VLM


def load(model, attention="sdpa", **text):
    """A `VLM` in float32 on the CPU, with a changed text configuration."""
    config = AutoConfig.from_pretrained(model.folder)
    for name, value in text.items():
        setattr(config.get_text_config(), name, value)
    loaded = AutoModelForImageTextToText.from_pretrained(
        model.folder, config=config, dtype="float32", attn_implementation=attention
    )
    return VLM(loaded, model.processor or AutoProcessor.from_pretrained(model.folder))


def response_stats(vlm, rows):
    """The statistics of encoded rows, from one forward in which they share what they can."""
    sequences = vlm._trial.sequences(rows, range(len(rows)), BatchLimit().allows)
    stats = vlm.forward(rows, sequences)
    return [stats[index] for index in range(len(rows))]
