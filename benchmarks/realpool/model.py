"""The real pool's base model: a LLaVA of 1.7 million parameters, trained from scratch on its train side.

No package brings a small vision-language model or CLIP weights, so this one starts from random numbers and
has seen nothing but the pool's train pictures, their names and their categories. It shows what the pipeline
does to a model; it says nothing about large pretrained ones. As in LLaVA: a CLIP is trained contrastively on
captions, its vision tower becomes the LLaVA's, and the LLaVA is aligned on the same captions before anything
is asked.
"""

import io
import random
from pathlib import Path

import PIL.Image
from datasets import Dataset, Features, Image, List, Value
from transformers import CLIPModel, LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

from hf_vitselect.demo import (
    ModelSizes,
    build_clip,
    build_clip_processor,
    build_llava,
    build_processor,
    build_tokenizer,
    save,
    train_clip,
)

CAPTION_PROMPT = "Give a caption."
VOCABULARY = 3000
CONTEXT = 384


def captions(train: Dataset, views: int = 4, seed: int = 0) -> Dataset:
    """The train pictures with a caption made of category and name, "food and drink: red apple".

    Args:
        train: the pool's train side.
        views: rows for each picture: the whole and random crops, against learning single pixels by heart.
        seed: of the crops.
    """
    rng = random.Random(seed)
    rows, seen = [], set()
    for row in train.select_columns(["picture", "category", "name", "images"]):
        if row["picture"] in seen:
            continue
        seen.add(row["picture"])
        caption = ": ".join(word for word in (row["category"], row["name"]) if word)
        turns = [("user", CAPTION_PROMPT), ("assistant", caption)]
        messages = [{"role": role, "content": content} for role, content in turns]
        for view in range(views):
            picture = _crop(row["images"][0], rng) if view else row["images"][0]
            rows.append({"messages": messages, "images": [{"bytes": _png(picture), "path": None}]})
    rng.shuffle(rows)
    message = {"role": Value("string"), "content": Value("string")}
    return Dataset.from_list(rows, features=Features({"messages": [message], "images": List(Image())}))


def train_tower(train: Dataset, size: int, out: Path, *, epochs: int = 4) -> None:
    """Trains the CLIP on the captions and saves it with its processor."""
    processor = build_clip_processor(_tokenizer(train, ends_texts=True), _sizes(size))
    clip = build_clip(processor, sizes=_sizes(size))
    train_clip(clip, processor, captions(train), epochs=epochs, batch_size=128, learning_rate=1e-3)
    save(clip, processor, out)


def build_base(train: Dataset, tower: Path) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The LLaVA that is still to be aligned, and its processor.

    Args:
        train: the pool's train side; its words make the tokenizer.
        tower: what `train_tower` saved.
    """
    clip = CLIPModel.from_pretrained(tower)
    sizes = _sizes(clip.config.vision_config.image_size)
    processor = build_processor(_tokenizer(train, ends_texts=False), sizes)
    return build_llava(processor, clip=clip, sizes=sizes), processor


def _texts(train: Dataset) -> list[str]:
    texts = [turn["content"] for turns in train["messages"] for turn in turns]
    return [*texts, CAPTION_PROMPT, *sorted({*train["name"], *train["category"]})]


def _crop(picture: PIL.Image.Image, rng: random.Random) -> PIL.Image.Image:
    side = round(picture.width * rng.uniform(0.65, 1.0))
    left, top = rng.randint(0, picture.width - side), rng.randint(0, picture.height - side)
    box = (left, top, left + side, top + side)
    return picture.resize(picture.size, PIL.Image.Resampling.BILINEAR, box=box)


def _png(picture: PIL.Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _sizes(image_size: int) -> ModelSizes:
    return ModelSizes(
        image_size=image_size,
        context=CONTEXT,
        vision_layers=4,
        vision_initializer_range=0.02,
        clip_width=128,
        image_mean=None,
        image_std=None,
    )


def _tokenizer(train: Dataset, ends_texts: bool) -> PreTrainedTokenizerFast:
    turns = ["USER: \n ASSISTANT: " + text for text in _texts(train)]
    return build_tokenizer(
        turns, vocab_size=VOCABULARY, min_frequency=0, context=CONTEXT, ends_texts=ends_texts
    )
