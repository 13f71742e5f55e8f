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
import torch
from datasets import Dataset, Features, Image, List, Value
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from hf_vitselect.demo.models import CHAT_TEMPLATE, IMAGE, build_tokenizer, save, train_clip

CAPTION_PROMPT = "Give a caption."
PATCH = 16
WIDTH = 128
SPREAD = 0.05  # of the initial weights: with the usual 0.02 models as narrow as this one learn half as fast
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
    processor = build_clip_processor(_texts(train), size)
    clip = build_clip(processor, size)
    train_clip(clip, processor, captions(train), epochs=epochs, batch_size=128, learning_rate=1e-3)
    save(clip, processor, out)


def build_base(train: Dataset, tower: Path) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The LLaVA that is still to be aligned, and its processor.

    Args:
        train: the pool's train side; its words make the tokenizer.
        tower: what `train_tower` saved.
    """
    clip = CLIPModel.from_pretrained(tower)
    processor = build_processor(_texts(train), clip.config.vision_config.image_size)
    return build_llava(processor, clip), processor


def build_processor(texts: list[str], size: int) -> LlavaProcessor:
    """The LLaVA's processor, with a byte-level BPE trained on `texts`."""
    return LlavaProcessor(
        image_processor=_image_processor(size),
        tokenizer=_tokenizer(texts, closes_texts=False),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the CLS token, which "default" takes away again
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    )


def build_clip_processor(texts: list[str], size: int) -> CLIPProcessor:
    """The CLIP's processor; its tokenizer ends every text with the token where CLIP reads the feature."""
    return CLIPProcessor(
        image_processor=_image_processor(size), tokenizer=_tokenizer(texts, closes_texts=True)
    )


def build_clip(processor: CLIPProcessor, size: int, seed: int = 0) -> CLIPModel:
    """A CLIP with fresh weights."""
    tokenizer = processor.tokenizer
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        initializer_range=SPREAD,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(
            CLIPConfig(text_config=text.to_dict(), vision_config=_vision(size).to_dict(), projection_dim=128)
        )


def build_llava(processor: LlavaProcessor, clip: CLIPModel, seed: int = 0) -> LlavaForConditionalGeneration:
    """A LLaVA with fresh weights, but for the vision tower, which is the CLIP's."""
    tokenizer = processor.tokenizer
    tokens = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        initializer_range=SPREAD,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        **tokens,
    )
    vision = clip.config.vision_config
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(vision.image_size // PATCH) ** 2,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
        **tokens,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(clip.vision_model.state_dict())
    return model


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


def _vision(size: int) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        image_size=size,
        patch_size=PATCH,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        projection_dim=128,
    )


def _image_processor(size: int) -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def _tokenizer(texts: list[str], closes_texts: bool) -> PreTrainedTokenizerFast:
    turns = ["USER: \n ASSISTANT: " + text for text in texts]
    return build_tokenizer(
        turns, vocab_size=VOCABULARY, min_frequency=0, context=CONTEXT, closes_texts=closes_texts
    )
