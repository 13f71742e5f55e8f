"""Loads the tiny models of `tiny.py` as the scorers do."""

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

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
