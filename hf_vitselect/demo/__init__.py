"""The demo: a rendered pool, tiny models, and the whole chain on them."""

from hf_vitselect.demo.models import (
    ModelSizes,
    build_clip,
    build_clip_processor,
    build_llava,
    build_processor,
    build_tokenizer,
    save,
    train_clip,
)
from hf_vitselect.demo.stages import Grades, align, grade, select_and_fine_tune, small_training

__all__ = [
    "Grades",
    "ModelSizes",
    "align",
    "build_clip",
    "build_clip_processor",
    "build_llava",
    "build_processor",
    "build_tokenizer",
    "grade",
    "save",
    "select_and_fine_tune",
    "small_training",
    "train_clip",
]
