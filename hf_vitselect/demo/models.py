"""The demo's models, built offline from their configs: a CLIP and a LLaVA for tiny images.

They are the real architectures at a size that one CPU trains in minutes. As in LLaVA, the CLIP is first
trained contrastively on captions; its vision tower then becomes the LLaVA's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
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

from hf_vitselect.demo.pool import SEEN, sample_texts
from hf_vitselect.demo.shapes import IMAGE_SIZE
from hf_vitselect.demo.world import World
from hf_vitselect.progress import progress

PATCH_SIZE = 16  # a cell of the demo's grid; 8 is some two points better and takes 1.5 times as long
WIDTH = 128
INITIALIZER_RANGE = 0.05  # models this narrow learn more slowly with the usual 0.02

PAD, UNK, BOS, EOS, IMAGE = SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>", "<image>")

# "USER: <image>\nwhat color is the ring? ASSISTANT: red</s>"; a content is a string or a list of parts.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ '</s>' if message['role'] == 'assistant' else ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


@dataclass(frozen=True)
class DemoSettings:
    """Sizes and training settings of the demo."""

    pool_rows: int = 8000
    held_out_rows: int = 4000
    caption_rows: int = 8000
    budget: float = 0.15  # the selected share of the pool: Self-Filter's
    seed_share: float = 0.125  # the random share of the pool that the seed model sees
    clip_epochs: int = 2  # with it, alignment ends at about half the loss
    clip_batch_size: int = 64
    clip_learning_rate: float = 1e-3
    align_epochs: int = 1
    align_batch_size: int = 8  # small: what counts is the number of steps
    align_learning_rate: float = 5e-4  # 3e-4 and 1e-3 end at about twice the loss
    tune_epochs: int = 4  # twice as many raise the accuracy by some two points at twice the time
    tune_batch_size: int = 8
    tune_learning_rate: float = 5e-4  # 1e-3 costs four points of accuracy, 2e-3 undoes the alignment
    scoring_batch_size: int = 64


SETTINGS = DemoSettings()


@dataclass(frozen=True)
class ModelSizes:
    """The sizes of a CLIP and a LLaVA; the defaults are the demo's, `None` is CLIP's own."""

    image_size: int = IMAGE_SIZE
    context: int = 256  # tokens of the LLaVA at most
    vision_layers: int = 3
    vision_initializer_range: float = INITIALIZER_RANGE
    clip_width: int = 64  # dimensions of CLIP's text model and of its features
    # The background becomes about 0. With CLIP's own mean it outweighs the position embeddings.
    image_mean: Sequence[float] | None = (0.96,) * 3
    image_std: Sequence[float] | None = (0.25,) * 3


SIZES = ModelSizes()


def build_processor(
    tokenizer: PreTrainedTokenizerFast | None = None, sizes: ModelSizes = SIZES
) -> LlavaProcessor:
    """The LLaVA's processor: its tokenizer, its image processor and its chat template."""
    return LlavaProcessor(
        image_processor=_build_image_processor(sizes),
        tokenizer=tokenizer or world_tokenizer(ends_texts=False),
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the CLS token, which "default" removes again
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    )


def build_llava(
    processor: LlavaProcessor, seed: int = 0, clip: CLIPModel | None = None, sizes: ModelSizes = SIZES
) -> LlavaForConditionalGeneration:
    """A LLaVA with fresh weights, in training mode."""
    tokens = _special_token_ids(processor.tokenizer)
    text_config = LlamaConfig(
        vocab_size=len(processor.tokenizer),
        initializer_range=INITIALIZER_RANGE,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=sizes.context,
        tie_word_embeddings=True,
        **tokens,
    )
    config = LlavaConfig(
        vision_config=_vision_config(sizes),
        text_config=text_config,
        image_token_index=processor.tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(sizes.image_size // PATCH_SIZE) ** 2,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
        **tokens,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    if clip is not None:
        model.model.vision_tower.load_state_dict(clip.vision_model.state_dict())
    return model


def build_clip_processor(
    tokenizer: PreTrainedTokenizerFast | None = None, sizes: ModelSizes = SIZES
) -> CLIPProcessor:
    """The CLIP's processor; a tokenizer of its own must be built with `ends_texts`."""
    return CLIPProcessor(
        image_processor=_build_image_processor(sizes),
        tokenizer=tokenizer or world_tokenizer(ends_texts=True),
    )


def build_clip(processor: CLIPProcessor, seed: int = 0, sizes: ModelSizes = SIZES) -> CLIPModel:
    """A CLIP with fresh weights, in training mode."""
    text_config = CLIPTextConfig(
        vocab_size=len(processor.tokenizer),
        initializer_range=INITIALIZER_RANGE,
        hidden_size=sizes.clip_width,
        intermediate_size=2 * sizes.clip_width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=processor.tokenizer.model_max_length,
        **_special_token_ids(processor.tokenizer),
    )
    config = CLIPConfig(
        text_config=text_config.to_dict(),
        vision_config=_vision_config(sizes).to_dict(),
        projection_dim=sizes.clip_width,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(config)


def train_clip(
    model: CLIPModel,
    processor: CLIPProcessor,
    captions: Dataset,
    *,
    epochs: int = SETTINGS.clip_epochs,
    batch_size: int = SETTINGS.clip_batch_size,
    learning_rate: float = SETTINGS.clip_learning_rate,
    seed: int = 0,
) -> list[float]:
    """Train the CLIP contrastively on images and captions, in place; leaves it in evaluation mode.

    Returns:
        The loss of every step, in nats.
    """
    pixels = torch.cat(
        [
            processor.image_processor([row[0] for row in rows["images"]], return_tensors="pt").pixel_values
            for rows in captions.iter(512)
        ]
    )
    texts = processor.tokenizer(
        [turns[-1]["content"] for turns in captions["messages"]],
        padding=True,
        truncation=True,
        return_tensors="pt",
    )
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * (len(captions) // batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    losses: list[float] = []
    model.train()
    for batch in progress(
        islice(_batches(len(captions), batch_size, generator), steps),
        total=steps,
        title="train the CLIP",
        unit="step",
    ):
        loss = model(
            input_ids=texts.input_ids[batch],
            attention_mask=texts.attention_mask[batch],
            pixel_values=pixels[batch],
            return_loss=True,
        ).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses


def save(model: Any, processor: Any, folder: str | Path) -> None:
    """Save model and processor in one folder, for AutoModel and AutoProcessor to load."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _batches(rows: int, batch_size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Endless full batches of row numbers, reshuffled in every pass."""
    while True:
        order = torch.randperm(rows, generator=generator)
        yield from order[: rows // batch_size * batch_size].view(-1, batch_size)


def _vision_config(sizes: ModelSizes) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        image_size=sizes.image_size,
        patch_size=PATCH_SIZE,
        initializer_range=sizes.vision_initializer_range,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=sizes.vision_layers,
        num_attention_heads=4,
        projection_dim=sizes.clip_width,
    )


def _build_image_processor(sizes: ModelSizes) -> CLIPImageProcessorPil:
    side = sizes.image_size
    pixels = {"image_mean": sizes.image_mean, "image_std": sizes.image_std}
    return CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        **{name: list(values) for name, values in pixels.items() if values},
    )


def _special_token_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}


def world_tokenizer(world: World = SEEN, *, ends_texts: bool) -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each word of a world; it can spell any other text."""
    turn = "USER: \n{0} ASSISTANT: {0}"  # texts follow a line break, or a space
    texts = [turn.format(text) for text in sample_texts(3000, world=world)]
    return build_tokenizer(
        texts, vocab_size=640, min_frequency=20, context=SIZES.context, ends_texts=ends_texts
    )


def build_tokenizer(
    texts: list[str], *, vocab_size: int, min_frequency: int, context: int, ends_texts: bool
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer; with `ends_texts`, of 64 tokens, ending at the token that CLIP reads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if ends_texts:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {EOS}", special_tokens=[(EOS, tokenizer.token_to_id(EOS))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        additional_special_tokens=[IMAGE],
        model_max_length=64 if ends_texts else context,
        padding_side="right",
    )
