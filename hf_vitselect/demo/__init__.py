"""The demo: a rendered pool, tiny models, and the whole chain on them."""

from hf_vitselect.demo.models import (
    SETTINGS,
    DemoSettings,
    ModelSizes,
    build_clip,
    build_clip_processor,
    build_llava,
    build_processor,
    build_tokenizer,
    save,
    train_clip,
)
from hf_vitselect.demo.pool import Composition, render_captions, render_held_out, render_pool
from hf_vitselect.demo.shapes import Shapes
from hf_vitselect.demo.stages import (
    Grades,
    align,
    answers,
    build_base,
    build_base_clip,
    seed_and_score,
    select_and_save,
    small_training,
)
from hf_vitselect.demo.world import Question, World, ask_for_word

__all__ = [
    "SETTINGS",
    "Composition",
    "DemoSettings",
    "Grades",
    "ModelSizes",
    "Question",
    "Shapes",
    "World",
    "align",
    "answers",
    "ask_for_word",
    "build_base",
    "build_base_clip",
    "build_clip",
    "build_clip_processor",
    "build_llava",
    "build_processor",
    "build_tokenizer",
    "render_captions",
    "render_held_out",
    "render_pool",
    "save",
    "seed_and_score",
    "select_and_save",
    "small_training",
    "train_clip",
]
