"""The demo's models, built offline from their configs: a CLIP and a LLaVA for 48-pixel pictures.

They are the real architectures at a size that one CPU trains in minutes. As in LLaVA, the CLIP is trained
contrastively on captions first, and its vision tower then becomes the LLaVA's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from tqdm.auto import tqdm
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

from hf_vitselect.demo.pool import PICTURE_SIZE, sample_texts

# These models are narrow: with the usual 0.02 they learn more slowly.
INITIALIZER_RANGE = 0.05

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
    """What the demo trains, and for how long."""

    pool_rows: int = 8000
    held_out_rows: int = 1000
    caption_rows: int = 8000
    budget: float = 0.15  # the share of the pool that is selected: Self-Filter's
    seed_share: float = 0.125  # the random share of the pool that the seed model sees
    clip_epochs: int = 2  # with it, aligning ends at about half the loss
    clip_batch_size: int = 64
    clip_learning_rate: float = 1e-3
    align_epochs: int = 1
    align_batch_size: int = 8  # small: what counts is the number of steps
    align_learning_rate: float = 5e-4  # 3e-4 and 1e-3 end at about twice the loss
    tune_epochs: int = 4  # twice as many raise the accuracy by some two points and cost twice the time
    tune_batch_size: int = 8
    tune_learning_rate: float = 5e-4  # 1e-3 costs four points of accuracy, 2e-3 undoes the alignment
    scoring_batch_size: int = 64


SETTINGS = DemoSettings()


def build_processor() -> LlavaProcessor:
    """The LLaVA's processor: its tokenizer, its pictures' preparation and its chat template."""
    return LlavaProcessor(
        image_processor=_build_image_processor(),
        tokenizer=_build_tokenizer(closes_texts=False),
        patch_size=_vision_config().patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the CLS token, which "default" takes away again
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    )


def build_llava(
    processor: LlavaProcessor, seed: int = 0, clip: CLIPModel | None = None
) -> LlavaForConditionalGeneration:
    """A LLaVA with fresh weights, in training mode.

    Args:
        processor: what `build_processor` returned.
        seed: of the weights.
        clip: what `build_clip` returned; its vision tower's weights are copied into the LLaVA.
    """
    tokenizer = processor.tokenizer
    text_config = LlamaConfig(
        vocab_size=len(tokenizer),
        initializer_range=INITIALIZER_RANGE,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    vision_config = _vision_config()
    config = LlavaConfig(
        vision_config=vision_config,
        text_config=text_config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(PICTURE_SIZE // vision_config.patch_size) ** 2,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    if clip is not None:
        model.model.vision_tower.load_state_dict(clip.vision_model.state_dict())
    return model


def build_clip_processor() -> CLIPProcessor:
    """The CLIP's processor; its tokenizer ends texts with the token where CLIP reads the feature."""
    return CLIPProcessor(
        image_processor=_build_image_processor(), tokenizer=_build_tokenizer(closes_texts=True)
    )


def build_clip(processor: CLIPProcessor, seed: int = 0) -> CLIPModel:
    """A CLIP with fresh weights, in training mode; its features have 64 numbers.

    Args:
        processor: what `build_clip_processor` returned.
        seed: of the weights.
    """
    tokenizer = processor.tokenizer
    text_config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        initializer_range=INITIALIZER_RANGE,
        hidden_size=64,
        intermediate_size=128,
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
            CLIPConfig(
                text_config=text_config.to_dict(), vision_config=_vision_config().to_dict(), projection_dim=64
            )
        )


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
    """Trains the CLIP contrastively on pictures and captions; leaves it in evaluation mode.

    Args:
        model: trained in place.
        processor: what `build_clip_processor` returned.
        captions: what `hf_vitselect.demo.pool.render_captions` returned.
        epochs: passes over the captions.
        batch_size: rows in a step; each caption is told from the others of its batch.
        learning_rate: at its peak; a one-cycle schedule.
        seed: of the rows' order.

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
    for batch in tqdm(
        islice(_batches(len(captions), batch_size, generator), steps),
        total=steps,
        desc="train the CLIP",
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
    """Writes model and processor into one folder; AutoModel and AutoProcessor read them back."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _batches(rows: int, batch_size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Full batches of row numbers, shuffled anew in every pass, without end."""
    while True:
        order = torch.randperm(rows, generator=generator)
        yield from order[: rows // batch_size * batch_size].view(-1, batch_size)


def _vision_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        image_size=PICTURE_SIZE,
        patch_size=16,  # a cell of the grid; 8 is some two points better and takes 1.5 times as long
        initializer_range=INITIALIZER_RANGE,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=64,
    )


def _build_image_processor() -> CLIPImageProcessorPil:
    # The background becomes about 0. With CLIP's own mean it outweighs the embeddings of the places.
    return CLIPImageProcessorPil(
        size={"shortest_edge": PICTURE_SIZE},
        crop_size={"height": PICTURE_SIZE, "width": PICTURE_SIZE},
        image_mean=[0.96] * 3,
        image_std=[0.25] * 3,
    )


def _build_tokenizer(closes_texts: bool) -> PreTrainedTokenizerFast:
    """A tokenizer that knows this world's words, each as one token, and can spell any other text."""
    turn = "USER: \n{0} ASSISTANT: {0}"  # texts follow a line break, or a space
    texts = [turn.format(text) for text in sample_texts(3000)]
    return build_tokenizer(texts, vocab_size=640, min_frequency=20, context=256, closes_texts=closes_texts)


def build_tokenizer(
    texts: list[str], *, vocab_size: int, min_frequency: int, context: int, closes_texts: bool
) -> PreTrainedTokenizerFast:
    """A byte-level BPE.

    Args:
        texts: what it is trained on.
        vocab_size: tokens at most, the special ones and all bytes included.
        min_frequency: of a pair that becomes a token.
        context: tokens of a text at most; 64 where texts are closed.
        closes_texts: whether every text ends with the token where CLIP reads the text's feature.
    """
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
    if closes_texts:
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
        model_max_length=64 if closes_texts else context,
        padding_side="right",
    )
